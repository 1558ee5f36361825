"""Plays the scenarios of ``scorecard`` on real servers, and prints what came of them: ``python -m scorecard``."""

from __future__ import annotations

import argparse
import contextlib
import logging
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from integration.servers.dynamodb_providers import describe_dynamodb
from integration.servers.mysql_providers import describe_mysql
from integration.servers.postgres_providers import describe_postgres
from integration.servers.registry import Servers
from scorecard.core import CORE
from scorecard.division import says
from scorecard.dynamodb import DYNAMODB
from scorecard.mysql import MYSQL
from scorecard.page import division_text, scenario_lines, write
from scorecard.postgres import POSTGRES
from tools.servers import install_servers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorecard.division import Division
    from scorecard.page import Scores

PAGE = Path(__file__).parents[1] / "docs" / "scorecard.md"

DIVISIONS = {"postgres": POSTGRES, "mariadb": MYSQL, "dynamodb": DYNAMODB, "core": CORE}


def main(arguments: Sequence[str] | None = None) -> None:
    """Play what the command line asks for.

    Args:
        arguments: The command line; by default that of this process.
    """
    options = _parser().parse_args(arguments)
    # What the others log of what goes wrong, with a traceback each, is for nobody here.
    logging.disable(logging.CRITICAL)
    if not options.only or set(options.only) != {"core"}:
        install_servers()
    texts = {}
    with contextlib.closing(Servers()) as servers:
        for name in options.only or DIVISIONS:
            scores = _played(servers, DIVISIONS[name], options.scenario)
            texts[name] = division_text(DIVISIONS[name], scores, _server(name))
    if options.write and not options.scenario:
        write(PAGE, texts)


def _played(servers: Servers, division: Division, only: Sequence[str] | None) -> Scores:
    """Let every scenario happen to every way, and say what came of it as soon as it is known."""
    scores = {}
    for scenario in division.scenarios:
        if only and scenario.__name__ not in only:
            continue
        for way in division.ways:
            scores[scenario, way] = division.play(servers, scenario, way)
        print(f"\n{division.title}: {says(scenario)}\n", *scenario_lines(division, scenario, scores), sep="\n")
        sys.stdout.flush()
    return scores


def _server(name: str) -> str:
    """Return which server it was, for the page."""
    told = {"postgres": describe_postgres, "mariadb": lambda: describe_mysql()[0], "dynamodb": describe_dynamodb}
    # Without where it was found, and with the newest alone.
    server = told[name]().partition(",")[0].partition(" (")[0].removeprefix("DynamoDB: ") if name in told else ""
    return f"{server.replace(':', '')}, Python {platform.python_version()}, ".removeprefix(", ")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=tuple(DIVISIONS), help="one of them; may be repeated")
    parser.add_argument("--scenario", action="append", help="one by its function's name; may be repeated")
    parser.add_argument("--write", action="store_true", help="write what was found into docs/scorecard.md")
    return parser


if __name__ == "__main__":
    main()

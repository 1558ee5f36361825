"""How the scorecard is written: a table for each scenario, and the sums of each way."""

from __future__ import annotations

import functools
import operator
import re
from typing import TYPE_CHECKING

from scorecard.division import says
from scorecard.score import Score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from scorecard.division import Division, Scenario
    from scorecard.ways import Way

    Scores = Mapping[tuple[Scenario, type[Way]], Score | None]

_WRITTEN = re.compile(r"(<!-- (\w+): written by make scorecard -->\n).*?(<!-- end -->)", re.DOTALL)

COLUMNS = ("rows", "stored", "right", "wrong", "nothing", "lost", "twice")
_HEAD = ("rows", "stored", "told right", "told wrong", "told nothing", "lost silently", "stored twice")


def division_text(division: Division, scores: Scores, servers: str) -> str:
    """Return the part of the page that a division is."""
    lines = [
        f"\n## {division.title}\n",
        f"{division.about} {servers}{division.versions()}.\n",
        *_table(("way", "as it was set"), ((way.name, way.configured) for way in division.ways)),
        "\n### All scenarios together\n",
        *_table(("way", *_HEAD), (_sums(way, division.scenarios, scores) for way in division.ways)),
    ]
    for scenario in division.scenarios:
        lines += [f"\n### {says(scenario)}\n", *scenario_lines(division, scenario, scores)]
    return "\n".join(lines) + "\n"


def scenario_lines(division: Division, scenario: Scenario, scores: Scores) -> list[str]:
    """Return the table of one scenario."""
    rows = [_row(way, scores.get((scenario, way))) for way in division.ways]
    return _table(("way", *_HEAD, "what callers heard"), rows)


def write(page: Path, texts: Mapping[str, str]) -> None:
    """Put into the page what was found, by the name of the division; what others are told of stays."""
    before = page.read_text(encoding="utf-8")
    written = _WRITTEN.sub(lambda found: found[1] + texts.get(found[2], _between(found)) + found[3], before)
    page.write_text(written, encoding="utf-8")


def parts(page: Path) -> dict[str, str]:
    """Return what the page says, by the name of the division."""
    return {found[2]: _between(found) for found in _WRITTEN.finditer(page.read_text(encoding="utf-8"))}


def shape(text: str) -> list[str]:
    """Return of a division's part what no run changes: its headings, and the first cell of each line."""
    kept = [re.match(r"#+ .*|\| [^|]*\|", line) for line in text.splitlines()]
    return [match[0] for match in kept if match]


def _between(found: re.Match[str]) -> str:
    return found[0].removeprefix(found[1]).removesuffix(found[3])


def _sums(way: type[Way], scenarios: Iterable[Scenario], scores: Scores) -> tuple[str, ...]:
    found = [score for scenario in scenarios if (score := scores.get((scenario, way))) is not None]
    return (way.name, *_numbers(functools.reduce(operator.add, found, Score())))


def _row(way: type[Way], score: Score | None) -> tuple[str, ...]:
    if score is None:
        return (way.name, *("—" for _ in _HEAD), "cannot happen to it")
    return (way.name, *_numbers(score), score.heard)


def _numbers(score: Score) -> Sequence[str]:
    return [f"{getattr(score, name):,}" for name in COLUMNS]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    numbers = ["---:" if cell in _HEAD else "---" for cell in head]
    return [f"| {' | '.join(row)} |" for row in (head, numbers, *rows)]

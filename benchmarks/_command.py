"""The command line that all benchmarks share."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from benchmarks._report import Section, machine, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ValueT = TypeVar("ValueT")


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        is_full: Whether the numbers are to mean something; else it is only shown that everything runs.
        rounds: How many rounds count.
    """

    is_full: bool
    rounds: int

    def pick(self, *, tiny: ValueT, full: ValueT) -> ValueT:
        """Return the one that fits."""
        return full if self.is_full else tiny


Question: TypeAlias = "Callable[[Size], Iterator[Section]]"


def main(name: str, about: str, questions: Mapping[str, Question], arguments: Sequence[str] | None = None) -> None:
    """Answer the questions that the command line asks for, each as soon as it can be.

    Args:
        name: The benchmark's name.
        about: What ``--help`` says.
        questions: What can be asked, by name.
        arguments: The command line; by default that of this process.
    """
    options = _parser(about, questions).parse_args(arguments)
    is_full = options.size == "full"
    size = Size(is_full, options.rounds or (9 if is_full else 1))
    print(f"{name}: {machine()}, {options.size}, {size.rounds} rounds\n", flush=True)
    sections = []
    for each in options.only or questions:
        for section in questions[each](size):
            section.is_judged = is_full
            sections.append(section)
            print(section, flush=True)
    if options.json is not None:
        write_json(options.json, name, sections)


def _parser(about: str, questions: Mapping[str, Question]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--size", choices=("tiny", "full"), default="full", help="tiny measures nothing: it only runs")
    parser.add_argument("--rounds", type=int, help="how often everything is run; by default 9, or 1 if tiny")
    parser.add_argument("--only", action="append", choices=tuple(questions), help="one question; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results as well")
    return parser

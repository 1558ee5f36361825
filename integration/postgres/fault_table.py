"""What ``docs/postgres-faults.md`` says that callers hear of each fault, and how it is written from what they heard.

A test compares what its callers heard with the document's line. With ``BULKWRITER_WRITE_FAULTS`` set it writes the line
instead: ``make faults`` does that for all of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bulkwriter import WriteResult
from integration.postgres.faults import FAULTS, Fault
from integration.postgres.opening import PROBLEMS, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bulkwriter.errors import BulkWriterError
    from integration.postgres.stage import Way

    Answer = WriteResult | BulkWriterError

DOCUMENT = Path(__file__).parents[2] / "docs" / "postgres-faults.md"
IS_WRITTEN = bool(os.environ.get("BULKWRITER_WRITE_FAULTS"))

_GENERATED = re.compile(r"(<!-- written by make faults -->\n).*?(<!-- end -->)", re.DOTALL)
_WAYS = {"insert": "plain inserts", "upsert": "upserts"}


def heard(answers: Iterable[Answer]) -> str:
    """Return what callers were told, as the document says it: each different answer once."""
    return ", ".join(sorted({_told(answer) for answer in answers}))


def _told(answer: Answer) -> str:
    if not isinstance(answer, WriteResult):
        return f"`{type(answer).__name__}`"
    return answer.outcome.value if answer.attempts == 1 else f"{answer.outcome.value}, on another try"


class FaultTable:
    """What the document says, or is going to say."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], str] = {}
        self._heard: dict[tuple[str, str], dict[Way, str]] = {}
        text = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("| ") and len(cells) > 1:
                self._cells |= {(cells[0], str(column)): cell for column, cell in enumerate(cells[1:])}

    def lines(self) -> list[str]:
        """Return what the document has a line for."""
        return [
            says
            for says, column in self._cells
            if column == "0" and says not in {"what happens", "---", "what is wrong"}
        ]

    def says(self, fault: Fault, way: Way, *, ledger: bool) -> str:
        """Return what the document says that callers hear of a fault."""
        cell = self._cells.get((fault.says, str(int(ledger))), "nothing")
        by_way = dict(part.split(": ", 1) for part in cell.split("; ") if ": " in part)
        return by_way.get(_WAYS[way], cell)

    def note(self, fault: Fault, way: Way, answers: Sequence[Answer], *, ledger: bool) -> None:
        """Note what callers heard of a fault, for the document."""
        self._heard.setdefault((fault.says, str(int(ledger))), {})[way] = heard(answers)

    def says_at_opening(self, problem: Problem) -> str:
        """Return what the document says that ``open`` raises."""
        return self._cells.get((problem.says, "0"), "nothing")

    def note_at_opening(self, problem: Problem, error: BulkWriterError) -> None:
        """Note what ``open`` raised, for the document."""
        self._cells[problem.says, "0"] = f"`{type(error).__name__}`"

    def write(self) -> None:
        """Bring the document up to date with what was noted."""
        for place, by_way in self._heard.items():
            texts = set(by_way.values())
            split = "; ".join(f"{_WAYS[way]}: {text}" for way, text in sorted(by_way.items()))
            self._cells[place] = texts.pop() if len(texts) == 1 else split
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(_GENERATED.sub(lambda found: found[1] + self._tables() + found[2], text), encoding="utf-8")

    def _tables(self) -> str:
        groups = dict.fromkeys(fault.group for fault in FAULTS.values())
        return "".join(self._table(group) for group in groups) + self._opening_table()

    def _table(self, group: str) -> str:
        rows = [
            f"| {fault.says} | {self._cell(fault, 0)} | {self._cell(fault, 1)} |\n"
            for fault in FAULTS.values()
            if fault.group == group and (fault.says, "0") in self._cells
        ]
        return f"\n### {group}\n\n| what happens | without a ledger | with a ledger |\n|---|---|---|\n{''.join(rows)}"

    def _cell(self, fault: Fault, column: int) -> str:
        return self._cells.get((fault.says, str(column)), "?")

    def _opening_table(self) -> str:
        rows = [f"| {problem.says} | {self.says_at_opening(problem)} |\n" for problem in PROBLEMS.values()]
        rows = [row for row in rows if "| nothing |" not in row]
        return f"\n### At opening\n\n| what is wrong | `open()` raises |\n|---|---|\n{''.join(rows)}\n"

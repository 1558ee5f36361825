"""What a page of the documentation says that callers hear of each fault, and how it is written from what they heard.

A test compares what its callers heard with the page's line. With ``BULKWRITER_WRITE_FAULTS`` set it writes the line
instead: ``make faults`` does that for all of them.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from bulkwriter import WriteResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bulkwriter.errors import BulkWriterError
    from integration.faults.listing import Fault, FaultList, Problem, Way

    Answer = WriteResult | BulkWriterError

IS_WRITTEN = bool(os.environ.get("BULKWRITER_WRITE_FAULTS"))

_GENERATED = re.compile(r"(<!-- written by make faults -->\n).*?(<!-- end -->)", re.DOTALL)
_WAYS = {"insert": "plain inserts", "upsert": "upserts"}


def heard(answers: Iterable[Answer]) -> str:
    """Return what callers were told, as the page says it: each different answer once."""
    return ", ".join(sorted({_told(answer) for answer in answers}))


def _told(answer: Answer) -> str:
    if not isinstance(answer, WriteResult):
        return f"`{type(answer).__name__}`"
    return answer.outcome.value if answer.attempts == 1 else f"{answer.outcome.value}, on another try"


class FaultTable:
    """What the page says, or is going to say.

    A cell is what is heard, or where it depends a list such as "plain inserts: a; upserts: b", "MariaDB: a; MySQL: b"
    or "plain inserts on MariaDB: a; ...": each text for those who hear it.

    Args:
        faults: What the page is about.
        products: The servers that tests are run on, where these may differ; empty where they may not.
    """

    def __init__(self, faults: FaultList, products: Sequence[str] = ()) -> None:
        self._faults = faults
        self._products = tuple(products) or ("",)
        self._cells: dict[tuple[str, str], str] = {}
        self._heard: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
        document = faults.document
        for line in (document.read_text(encoding="utf-8") if document.exists() else "").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("| ") and len(cells) > 1:
                self._cells |= {(cells[0], str(column)): cell for column, cell in enumerate(cells[1:])}

    def lines(self) -> list[str]:
        """Return what the page has a line for."""
        heads = {"what happens", "---", "what is wrong"}
        return [says for says, column in self._cells if column == "0" and says not in heads]

    def says(self, fault: Fault, way: Way, product: str = "", *, ledger: bool) -> str:
        """Return what the page says that callers hear of a fault."""
        return self._said((fault.says, str(int(ledger))), _WAYS[way], product)

    def note(self, fault: Fault, way: Way, answers: Sequence[Answer], product: str = "", *, ledger: bool) -> None:
        """Note what callers heard of a fault, for the page."""
        place = fault.says, str(int(ledger))
        self._heard.setdefault(place, {})[_WAYS[way], product] = heard(answers)

    def says_at_opening(self, problem: Problem, product: str = "") -> str:
        """Return what the page says that ``open`` raises."""
        return self._said((problem.says, "0"), "", product)

    def note_at_opening(self, problem: Problem, error: BulkWriterError, product: str = "") -> None:
        """Note what ``open`` raised, for the page."""
        self._heard.setdefault((problem.says, "0"), {})["", product] = f"`{type(error).__name__}`"

    def write(self) -> None:
        """Bring the page up to date with what was noted."""
        for place, noted in self._heard.items():
            # Where only some were run this time, what the page says of the others stays.
            ways = {way for way, _ in noted}
            before = {(way, product): self._said(place, way, product) for way in ways for product in self._products}
            known = {who: text for who, text in before.items() if text not in {"nothing", "?"}}
            self._cells[place] = _cell({**known, **noted})
        text = self._faults.document.read_text(encoding="utf-8")
        written = _GENERATED.sub(lambda found: found[1] + self._tables() + found[2], text)
        self._faults.document.write_text(written, encoding="utf-8")

    def _said(self, place: tuple[str, str], way: str, product: str) -> str:
        cell = self._cells.get(place, "nothing")
        by_whom = dict(part.split(": ", 1) for part in cell.split("; ") if ": " in part)
        for whom in (_whom(way, product), product, way):
            if whom in by_whom:
                return by_whom[whom]
        return "nothing" if by_whom else cell

    def _tables(self) -> str:
        groups = dict.fromkeys(fault.group for fault in self._faults.faults.values())
        return "".join(self._table(group) for group in groups) + self._opening_table()

    def _table(self, group: str) -> str:
        rows = [
            f"| {fault.says} | {self._at(fault, 0)} | {self._at(fault, 1)} |\n"
            for fault in self._faults.faults.values()
            if fault.group == group and (fault.says, "0") in self._cells
        ]
        return f"\n### {group}\n\n| what happens | without a ledger | with a ledger |\n|---|---|---|\n{''.join(rows)}"

    def _at(self, fault: Fault, column: int) -> str:
        return self._cells.get((fault.says, str(column)), "?")

    def _opening_table(self) -> str:
        rows = [
            f"| {problem.says} | {self._cells[problem.says, '0']} |\n"
            for problem in self._faults.problems.values()
            if (problem.says, "0") in self._cells
        ]
        if not rows:
            return "\n"
        return f"\n### At opening\n\n| what is wrong | `open()` raises |\n|---|---|\n{''.join(rows)}\n"


def _cell(noted: Mapping[tuple[str, str], str]) -> str:
    """Return what a cell says: as little as tells everybody apart who hears something else."""
    for by_way, by_product in ((False, False), (False, True), (True, False), (True, True)):
        texts: dict[str, set[str]] = {}
        for (way, product), text in sorted(noted.items()):
            texts.setdefault(_whom(way if by_way else "", product if by_product else ""), set()).add(text)
        if all(len(each) == 1 for each in texts.values()):
            break
    if len(texts) == 1:
        return texts.popitem()[1].pop()
    return "; ".join(f"{whom}: {each.pop()}" for whom, each in texts.items())


def _whom(way: str, product: str) -> str:
    return " on ".join(filter(None, (way, product)))

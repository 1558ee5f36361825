"""What a benchmark says: a table, what it was to reach, and the same for machines."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks._rounds import Measured


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A number to reach. It is told, never enforced: a busy machine is no defect.

    Attributes:
        what: What was measured.
        found: What came out.
        wanted: The bound.
        unit: The unit of both.
        is_most: Whether ``wanted`` is the most it may be, instead of the least.
        note: What else is to be known.
    """

    what: str
    found: float
    wanted: float
    unit: str = "x"
    is_most: bool = False
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether it was reached."""
        return self.found <= self.wanted if self.is_most else self.found >= self.wanted

    def __str__(self) -> str:
        bound = "at most" if self.is_most else "at least"
        note = f" ({self.note})" if self.note else ""
        return f"{self.what}: {self.found:,.2f} {self.unit}; wanted {bound} {self.wanted:g} {self.unit}{note}"


@dataclasses.dataclass
class Section:
    """One question and its answer.

    Attributes:
        title: The question.
        header: The names of the columns.
        rows: The cells, as they are printed.
        requirements: What was to be reached.
        notes: What a reader should know.
        is_judged: Whether the numbers mean anything.
    """

    title: str
    header: Sequence[str]
    rows: list[list[str]] = dataclasses.field(default_factory=list)
    requirements: list[Requirement] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    is_judged: bool = True

    def __str__(self) -> str:
        lines = [self.title, *_aligned([list(self.header), *self.rows]), *self.notes]
        lines += [f"{self._verdict(each)} {each}" for each in self.requirements]
        return "\n".join([*lines, ""])

    def _verdict(self, requirement: Requirement) -> str:
        if not self.is_judged:
            return "(tiny)"
        return "ok    " if requirement.is_met else "MISSED"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        requirements = [{**dataclasses.asdict(each), "is_met": each.is_met} for each in self.requirements]
        return {
            "title": self.title,
            "header": list(self.header),
            "rows": self.rows,
            "requirements": requirements,
            "notes": self.notes,
            "is_judged": self.is_judged,
        }


def compared(measured: Mapping[str, Measured], standards: Mapping[str, str], unit: str) -> Section:
    """Make a table of cases, each beside the standards: column names and the cases they stand for."""
    header = ["", f"{unit}/s", f"CPU us/{unit}"]
    for name in standards:
        header += [f"x {name}", "quartiles", "x by CPU"]
    section = Section("", header)
    for case in measured.values():
        row = [case.name, f"{case.rate:,.0f}", f"{case.cpu_per_unit:.2f}"]
        for standard in standards.values():
            ratio = case.against(measured[standard])
            row += [f"{ratio.wall:.2f}", f"{ratio.low:.2f}-{ratio.high:.2f}", f"{ratio.cpu:.2f}"]
        section.rows.append(row)
    return section


def required(case: Measured, standard: Measured, wanted: float, where: str = "") -> Requirement:
    """Require a case to be so many times as fast as another, by the clock; what it is by processor time is noted."""
    ratio = case.against(standard)
    what = f"{case.name} against {standard.name}{where}"
    return Requirement(what, ratio.wall, wanted, note=f"by CPU {ratio.cpu:.2f} x")


def machine() -> str:
    """Say where this ran."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors{load}"


def write_json(file: Path, name: str, sections: Sequence[Section]) -> None:
    """Write what was printed, and the numbers behind the requirements."""
    report = {"benchmark": name, "machine": machine(), "sections": [section.as_dict() for section in sections]}
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = row[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]).rstrip()

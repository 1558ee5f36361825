"""What callers heard, compared with the table: how many heard what is so, what is not so, and nothing."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scorecard.calls import Call
    from scorecard.ways import Way


@dataclasses.dataclass(frozen=True)
class Score:
    """What came of the rows of one scenario, written in one way.

    Attributes:
        rows: How many were handed over.
        stored: How many are in the table as they were handed over, or were replaced by a later one of their key.
        right: How many callers heard what is so.
        wrong: How many heard "stored" of a row that is not, or "not stored" of one that is.
        nothing: How many heard nothing of their row: no answer, an error for the whole batch, "unknown".
        lost: Of those who heard wrong, how many heard "stored".
        twice: How many rows more the table has than were handed over.
        heard: The answers, and how often each was given.
    """

    rows: int = 0
    stored: int = 0
    right: int = 0
    wrong: int = 0
    nothing: int = 0
    lost: int = 0
    twice: int = 0
    heard: str = ""

    def __add__(self, other: Score) -> Score:
        """Add the numbers of two scenarios."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "heard"]
        return Score(**{name: getattr(self, name) + getattr(other, name) for name in names})


def scored(way: Way, calls: Sequence[Call], table: Iterable[Mapping[str, Any]], *, replaces: bool) -> Score:
    """Compare what was heard with what is stored.

    Args:
        way: How they were written: it knows what its errors say.
        calls: In the order in which the rows were handed over.
        table: All that is stored.
        replaces: Whether a row takes the place of an earlier one of its key.
    """
    copies = collections.Counter(_content(row) for row in table)
    present = [copies[_content(call.row)] for call in calls]
    is_stored = [
        bool(there) or (replaces and _is_replaced(place, calls, present)) for place, there in enumerate(present)
    ]
    hearers = collections.Counter(id(call.error) for call in calls if call.error is not None)
    counts: collections.Counter[str] = collections.Counter()
    for call, stored in zip(calls, is_stored, strict=True):
        if not call.has_left:
            counts[_judged(call, way, hearers, is_stored=stored)] += 1
    return Score(
        rows=len(calls),
        stored=sum(is_stored),
        right=counts["right"],
        wrong=counts["lost"] + counts["wrong"],
        nothing=counts["nothing"],
        lost=counts["lost"],
        twice=sum(there - 1 for there in present if there > 1),
        heard=_heard(calls, hearers),
    )


def _judged(call: Call, way: Way, hearers: Mapping[int, int], *, is_stored: bool) -> str:
    if call.has_returned:
        return "right" if is_stored else "lost"
    if call.error is None or not way.says_not_stored(call.error, hearers[id(call.error)]):
        return "nothing"
    return "wrong" if is_stored else "right"


def _content(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what makes it this row and no other; all that the database adds is its own affair."""
    return row["id"], row["name"], row["amount"]


def _is_replaced(place: int, calls: Sequence[Call], present: Sequence[int]) -> bool:
    """Whether a row of the same key that was handed over later is there."""
    key = calls[place].row["id"]
    return any(there and call.row["id"] == key for call, there in list(zip(calls, present, strict=True))[place + 1 :])


def _heard(calls: Sequence[Call], hearers: Mapping[int, int]) -> str:
    counted = collections.Counter(_answer(call, hearers) for call in calls)
    return ", ".join(f"{count} {answer}" for answer, count in counted.most_common())


def _answer(call: Call, hearers: Mapping[int, int]) -> str:
    if call.has_left:
        return "left"
    if call.has_returned:
        return "stored"
    if call.error is None:
        return "no answer"
    shared = " for the batch" if hearers[id(call.error)] > 1 else ""
    return f"`{type(call.error).__name__}`{shared}"

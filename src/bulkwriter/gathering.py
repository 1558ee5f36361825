"""Waiters for many rows at once: one future for a whole ``insert_many`` instead of one a row.

A batch settles whatever stands in its list of waiters: a future for a row that came alone, a ``Ticket`` for a row of
a gathering that shares its batch with others, or a ``Stretch`` for a batch that one gathering filled by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from bulkwriter.statistics import Tally, fate_of, fates_of

if TYPE_CHECKING:
    from bulkwriter.results import WriteResult


class Gathering:
    """Collects the answers to the rows of one call.

    Args:
        keeps_results: Whether every answer is kept, or only the counts and the first errors.
        max_errors: How many errors are kept with ``keeps_results=False``.
    """

    __slots__ = (
        "_all_in",
        "_error_limit",
        "_errors",
        "_waiter",
        "answered",
        "is_abandoned",
        "results",
        "rows",
        "tally",
    )

    def __init__(self, *, keeps_results: bool = True, max_errors: int = 100) -> None:
        self.results: list[Any] | None = [] if keeps_results else None
        self.rows: int = 0
        self.answered: int = 0
        self.tally: Tally = Tally()
        self.is_abandoned: bool = False
        self._errors: list[tuple[int, Exception]] = []
        self._error_limit = max_errors
        self._all_in = False
        self._waiter: asyncio.Future[None] | None = None

    def reserve(self, rows: int) -> int:
        """Make room for the answers to ``rows`` more rows and return the index of the first."""
        start = self.rows
        self.rows += rows
        if self.results is not None:
            self.results.extend([None] * rows)
        return start

    def answer(self, index: int, answer: Any) -> None:
        """Take the answer to one row."""
        if self.results is not None:
            self.results[index] = answer
        elif isinstance(answer, Exception) and len(self._errors) < self._error_limit:
            self._errors.append((index, answer))
        # First: whatever an answer does to who asks what it is, the one who waits for it is woken.
        self._count(1)
        self.tally.add(fate_of(answer))

    def answer_alike(self, start: int, stop: int, answer: Any) -> None:
        """Take one good answer for all rows from ``start`` up to ``stop``."""
        rows = stop - start
        if self.results is not None:
            self.results[start:stop] = [answer] * rows
        self.tally.add(fate_of(answer), rows)
        self._count(rows)

    def answer_each(self, start: int, answers: Sequence[WriteResult]) -> None:
        """Take a good answer for each of the rows from ``start`` on."""
        if self.results is not None:
            self.results[start : start + len(answers)] = answers
        for fate, rows in fates_of(answers).items():
            self.tally.add(fate, rows)
        self._count(len(answers))

    def _count(self, rows: int) -> None:
        self.answered += rows
        if self._all_in and self.answered == self.rows and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until every reserved row is answered; no more may be reserved from here on."""
        self._all_in = True
        if self.answered < self.rows:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def errors(self) -> list[tuple[int, Exception]]:
        """Return ``(index, error)`` of the rows that have one, in the order of the rows."""
        if self.results is None:
            return sorted(self._errors, key=lambda pair: pair[0])
        if not (self.tally.rejected or self.tally.not_written or self.tally.unknown or self.tally.failed):
            return []
        return [(index, answer) for index, answer in enumerate(self.results) if isinstance(answer, Exception)]


class Ticket:
    """Stands for one row of a gathering where a lone row has its future, and answers to the same calls."""

    __slots__ = ("_gathering", "_index", "_is_done")

    def __init__(self, gathering: Gathering, index: int) -> None:
        self._gathering = gathering
        self._index = index
        self._is_done = False

    def done(self) -> bool:
        """Whether the row has its answer, or nobody waits for it any more."""
        return self._is_done or self._gathering.is_abandoned

    def cancelled(self) -> bool:
        """Whether the caller has gone before the row had its answer."""
        return not self._is_done and self._gathering.is_abandoned

    def set_result(self, result: Any) -> None:
        """Take the row's answer."""
        self._is_done = True
        self._gathering.answer(self._index, result)

    def set_exception(self, error: BaseException) -> None:
        """Take the error that is the row's answer."""
        self.set_result(error)

    def exception(self) -> None:
        """Do nothing: a future that is asked for its exception stays silent, and a ticket never speaks."""


class Stretch(Sequence[Ticket]):
    """Stands for consecutive rows of a gathering; a batch that went well is settled without looking at each row."""

    __slots__ = ("_gathering", "_start", "_stop", "_tickets")

    def __init__(self, gathering: Gathering, rows: int) -> None:
        self._gathering = gathering
        self._start = gathering.reserve(rows)
        self._stop = gathering.rows
        self._tickets: list[Ticket] | None = None

    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, index: int) -> Ticket: ...
    @overload
    def __getitem__(self, index: slice) -> list[Ticket]: ...
    def __getitem__(self, index: int | slice) -> Ticket | list[Ticket]:
        # The tickets are made once and kept: a row's ticket remembers whether it has been answered.
        if self._tickets is None:
            self._tickets = [Ticket(self._gathering, row) for row in range(self._start, self._stop)]
        return self._tickets[index]

    @property
    def is_whole(self) -> bool:
        """Whether no row has been looked at alone, so that all may be settled alike."""
        return self._tickets is None

    @property
    def is_abandoned(self) -> bool:
        """Whether the caller of the gathering has gone."""
        return self._gathering.is_abandoned

    def set_result_of_all(self, result: Any) -> None:
        """Settle every row with the same good answer."""
        self._gathering.answer_alike(self._start, self._stop, result)

    def set_results(self, results: Sequence[WriteResult]) -> None:
        """Settle each row with its own good answer."""
        self._gathering.answer_each(self._start, results)

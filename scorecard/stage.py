"""Where one way of writing meets one scenario: the calls, the fault's tools, and the end."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from scorecard.calls import Call, answers, make_row, make_rows
from scorecard.score import scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scorecard.calls import Row
    from scorecard.score import Score
    from scorecard.ways import Way

ROWS = 100
"""Rows of most scenarios."""

PATIENCE = 15.0
"""Seconds after the fault by which every caller must have heard something, and everything must have stopped."""


class NotApplicableError(Exception):
    """The way of writing has nothing to which the scenario could happen."""


class Stage(abc.ABC):
    """One way of writing, one scenario.

    Args:
        way: Writes.

    Attributes:
        way: Writes.
        calls: The rows that were handed over, in this order.
    """

    replaces: ClassVar[bool] = False
    """Whether a row takes the place of an earlier one of its key."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.calls: list[Call] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    @abc.abstractmethod
    async def stored(self) -> Iterable[Mapping[str, Any]]:
        """Return what is in the table."""

    async def open_way(self) -> None:
        """Open the way of writing, and let it write a row, so that everything is warm when the fault comes."""
        self._others = asyncio.all_tasks()
        await self.way.open()
        self._is_open = True
        warm = [Call(make_row(-1))]
        await answers(self.way.begin(warm), PATIENCE)
        if not warm[0].has_returned:
            message = f"{self.way.name} could not write a row before anything went wrong: {warm[0].error!r}"
            raise RuntimeError(message)

    def begin(self, rows: Sequence[Row] | None = None) -> None:
        """Let callers hand over rows, all at once; by default a hundred good ones."""
        calls = [Call(row) for row in (make_rows(ROWS) if rows is None else rows)]
        self.calls += calls
        self._tasks += self.way.begin(calls)

    async def finish(self) -> None:
        """Wait until every caller has heard something, or has waited too long."""
        await answers(self._tasks, PATIENCE)

    async def write(self, rows: Sequence[Row] | None = None) -> None:
        """Let callers hand over rows, and wait for what they hear."""
        self.begin(rows)
        await self.finish()

    async def leave(self, places: Iterable[int]) -> None:
        """Let callers go away while they wait."""
        if not self.way.has_callers:
            raise NotApplicableError
        for place in places:
            self.calls[place].has_left = True
            self._tasks[place].cancel()
        await asyncio.sleep(0)

    async def stop_and_end(self) -> None:
        """Stop in good order, and end the program: what still runs then is cancelled, as by ``asyncio.run``."""
        if not self.way.has_callers:
            raise NotApplicableError
        async with asyncio.timeout(PATIENCE):
            await self.way.stop()
        # An answer that has been given is heard.
        for _ in range(3):
            await asyncio.sleep(0)
        await self._end_program()

    async def close(self) -> None:
        """Let go of everything, whatever the scenario left behind."""
        if self._is_open:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    await self.way.stop()
            with contextlib.suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    await self.way.close()
            await self._end_program()

    async def score(self) -> Score:
        """Compare what was heard with what is stored, when all is over."""
        table = [row for row in await self.stored() if row["id"] != -1]
        return scored(self.way, self.calls, table, replaces=self.replaces)

    async def _end_program(self) -> None:
        left = asyncio.all_tasks() - self._others - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

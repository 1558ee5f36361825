"""Ways to write rows by hand: a queue and one task that writes what is in it, plain and with more care."""

from __future__ import annotations

import abc
import asyncio
from typing import TYPE_CHECKING, ClassVar

import tenacity

from scorecard.ways import BATCH, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorecard.calls import Row


class Loop(Way):
    """By hand: rows in an ``asyncio.Queue``, and one task that takes what is there and writes it in one call."""

    batch: ClassVar[int] = BATCH

    @abc.abstractmethod
    async def write(self, rows: list[Row]) -> Sequence[Exception | None]:
        """Write a batch; return of each row what its caller is to hear. What is raised is for all of them."""

    async def open(self) -> None:
        """Start the task."""
        self._queue: asyncio.Queue[tuple[Row, asyncio.Future[None]]] = asyncio.Queue()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def insert(self, row: Row) -> None:
        """Put it into the queue, and wait."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._queue.put((row, future))
        await future

    async def stop(self) -> None:
        """Wait until the queue is worked off, and end the task."""
        if not self._task.done():
            await self._queue.join()
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self.batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._answer([row for row, _ in batch], [future for _, future in batch])
            for _ in batch:
                self._queue.task_done()

    async def _answer(self, rows: list[Row], futures: list[asyncio.Future[None]]) -> None:
        try:
            results = await self.write(rows)
        except Exception as error:  # noqa: BLE001 - the callers look at it
            results = [error] * len(futures)
        for future, result in zip(futures, results, strict=False):
            # Its caller may have gone.
            if future.done():
                continue
            if result is None:
                future.set_result(None)
            else:
                future.set_exception(result)


class CarefulLoop(Loop):
    """One that tries again when the connection is lost, and goes row by row when a row is bad."""

    passing: ClassVar[tuple[type[Exception], ...]]
    """What is over soon, as far as one can know."""

    of_a_row: ClassVar[tuple[type[Exception], ...]]
    """What is wrong with a row."""

    tries: ClassVar[str] = "tenacity: 8 tries with growing pauses"

    @abc.abstractmethod
    async def insert_many(self, rows: list[Row]) -> None:
        """Write all of them, or raise."""

    async def write(self, rows: list[Row]) -> Sequence[Exception | None]:
        """Write them all, or each by itself."""
        try:
            await self._insert(rows)
        except self.of_a_row:
            return [await self._insert_one(row) for row in rows]
        return [None] * len(rows)

    async def _insert_one(self, row: Row) -> Exception | None:
        try:
            await self._insert([row])
        except self.of_a_row as error:
            return error
        return None

    async def _insert(self, rows: list[Row]) -> None:
        again = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(self.passing),
            stop=tenacity.stop_after_attempt(8),
            wait=tenacity.wait_exponential_jitter(initial=0.1, max=5),
            reraise=True,
        )
        await again(self.insert_many, rows)

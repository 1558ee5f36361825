"""While the callers of one batch are told, over several turns of the loop, the next full batch is on its way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bulkwriter import BulkWriter, Outcome
from bulkwriter.backend import Backend
from bulkwriter.contract import Uniform
from bulkwriter.results import INSERTED
from bulkwriter.testing import MemoryBackend

if TYPE_CHECKING:
    from bulkwriter.contract import Attempt, Reply

ROWS = 1000


class Watched(MemoryBackend):
    """Notes how many callers had heard of their rows when each batch began, and how many were at work at once."""

    prepare = Backend.prepare
    row_size = Backend.row_size

    def __init__(self) -> None:
        super().__init__(key=("id",))
        self.told = 0
        self.told_at: list[int] = []
        self.sizes: list[int] = []
        self.at_work = 0
        self.most_at_work = 0
        self.second = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def attempt(self, attempt: Attempt) -> Reply:
        """Store nothing, and say that all is well."""
        self.told_at.append(self.told)
        self.sizes.append(len(attempt.rows))
        if len(self.sizes) > 1:
            self.second.set()
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        await asyncio.sleep(0)
        await self.go_on.wait()
        self.at_work -= 1
        return Uniform(INSERTED, len(attempt.rows))


async def insert(writer: BulkWriter[Any], backend: Watched, number: int, times: int = 1) -> None:
    """Write one row after the other."""
    for _ in range(times):
        assert (await writer.insert({"id": number})).outcome is Outcome.INSERTED
        backend.told += 1


async def test_a_full_batch_does_not_wait_until_everybody_of_the_one_before_has_been_told() -> None:
    """With one batch at a time; and never are two of them with the database."""
    backend = Watched()
    async with BulkWriter[Any](backend, max_batch_size=ROWS, concurrency=1) as writer:
        await asyncio.gather(*[insert(writer, backend, number) for number in range(4 * ROWS)])
    assert backend.sizes == [ROWS] * 4
    assert backend.told_at[1] <= ROWS // 2
    assert backend.told_at[3] < 3 * ROWS
    assert backend.most_at_work == 1
    assert writer.statistics().inserted == 4 * ROWS
    assert writer.statistics().is_balanced


async def test_a_batch_that_is_still_being_filled_waits_for_them() -> None:
    """They are about to come with their next rows, which would otherwise go in dribs and drabs."""
    backend = Watched()
    async with BulkWriter[Any](backend, max_batch_size=ROWS, concurrency=1) as writer:
        await asyncio.gather(*[insert(writer, backend, number, times=3) for number in range(ROWS)])
    assert backend.sizes == [ROWS] * 3
    assert backend.told_at == [0, ROWS, 2 * ROWS]


async def test_no_more_batches_are_told_at_once_than_may_be_in_flight() -> None:
    """A database that is quicker than the callers is not sent the whole queue."""
    backend = Watched()
    async with BulkWriter[Any](backend, max_batch_size=ROWS, concurrency=1) as writer:
        tasks = [asyncio.ensure_future(insert(writer, backend, number)) for number in range(10 * ROWS)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            figures = writer.statistics()
            assert figures.in_flight <= 2 * ROWS
            assert figures.batches_in_flight <= 1
    assert backend.sizes == [ROWS] * 10


async def test_a_forced_stop_while_callers_are_told_leaves_nobody_waiting() -> None:
    """Those of the batch that has begun meanwhile hear that it is not known, those behind that theirs is not sent."""
    backend = Watched()
    writer = BulkWriter[Any](backend, max_batch_size=ROWS, concurrency=1)
    await writer.open()
    futures = [writer.submit({"id": number}) for number in range(3 * ROWS)]
    await backend.second.wait()
    backend.go_on.clear()
    await writer.stop(force=True)
    assert all(future.done() for future in futures)
    assert [future.exception() for future in futures[:ROWS]] == [None] * ROWS
    assert {type(future.exception()).__name__ for future in futures[ROWS : 2 * ROWS]} == {"OutcomeUnknownError"}
    assert {type(future.exception()).__name__ for future in futures[2 * ROWS :]} == {"BatcherStoppedError"}
    statistics = writer.statistics()
    assert (statistics.inserted, statistics.unknown, statistics.not_written) == (ROWS, ROWS, ROWS)
    assert statistics.is_balanced

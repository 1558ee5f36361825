"""How long the library keeps the loop from everybody else at a stretch.

Taken in processor time of the loop's thread, so that what other threads and processes do is not held against it, and
with the garbage collector's time apart: that depends on all that the program keeps in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

from benchmarks._report import Requirement, Section
from benchmarks._stub import COLUMNS, StubBackend
from bulkwriter import AsyncBatcher, BulkWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import Self

    from benchmarks._command import Size

MOST_MS = 5.0
ROW = {"id": 1, "name": "one", "category": "a", "amount": 1.5, "created": 2}


class LongestTurn:
    """Watches the turns of the loop within ``with``.

    Attributes:
        longest: Seconds of processor time of the longest turn, without garbage collection.
        longest_collection: Seconds of the longest garbage collection.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.longest_collection = 0.0
        self._thread = threading.get_ident()
        self._collecting_since = self._collected = self._last = 0.0
        self._is_watching = False

    def __enter__(self) -> Self:
        gc.collect()
        gc.callbacks.append(self._on_collection)
        self._is_watching = True
        self._last = time.thread_time()
        self._beat()
        return self

    def __exit__(self, *_: object) -> None:
        self._beat()
        self._is_watching = False
        gc.callbacks.remove(self._on_collection)

    def _beat(self) -> None:
        """Note how long the turn since the last beat was; the loop calls it once a turn."""
        if self._is_watching:
            now = time.thread_time()
            self.longest = max(self.longest, now - self._last - self._collected)
            self._last, self._collected = now, 0.0
            asyncio.get_running_loop().call_soon(self._beat)

    def _on_collection(self, phase: str, _: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        now = time.thread_time()
        if phase == "start":
            self._collecting_since = now
        else:
            self._collected += now - self._collecting_since
            self.longest_collection = max(self.longest_collection, now - self._collecting_since)


def blocking(size: Size) -> Iterator[Section]:
    """Ask at large batches, and with many rows of one caller."""
    rows, many = size.pick(tiny=2000, full=100_000), size.pick(tiny=5000, full=1_000_000)
    probes: dict[str, Callable[[], Awaitable[LongestTurn]]] = {
        f"one batch of {rows:,} items, each a result": functools.partial(_one_batch, rows, _echo),
        f"one batch of {rows:,} items, no results": functools.partial(_one_batch, rows, _none),
        f"one batch of {rows:,} items, which fails": functools.partial(_one_batch, rows, _fail),
        f"process_many of {many:,} items": functools.partial(_process_many, many),
        f"one batch of {rows:,} rows by submit": functools.partial(_rows_in_one_batch, rows),
        **{
            f"insert_many of {many:,} dicts, {batch:,} a batch": functools.partial(_insert_many, many, batch)
            for batch in (1000, 5000, 100_000)
        },
        f"insert_many of {many:,} dicts, counts only": functools.partial(_insert_many, many, 1000, results=False),
        f"two insert_many of {many // 2:,} dicts at once": functools.partial(_insert_many, many // 2, 1000, streams=2),
    }
    section = Section("The longest turn of the loop, in ms of its thread's processor time", ["", "turn", "collection"])
    for name, probe in probes.items():
        # The shortest of a few: what is longer by chance was a cold cache.
        runs = [asyncio.run(_awaited(probe())) for _ in range(min(size.rounds, 3))]
        longest = 1000 * min(run.longest for run in runs)
        collection = 1000 * min(run.longest_collection for run in runs)
        section.rows.append([name, f"{longest:.2f}", f"{collection:.2f}"])
        section.requirements.append(Requirement(name, longest, MOST_MS, "ms", is_most=True))
    yield section


async def _awaited(probe: Awaitable[LongestTurn]) -> LongestTurn:
    return await probe


async def _echo(batch: list[Any]) -> list[Any]:
    return batch


async def _none(_: list[Any]) -> None:
    return None


async def _fail(_: list[Any]) -> None:
    message = "planned"
    raise ValueError(message)


async def _one_batch(items: int, process_batch: Callable[[list[Any]], Any]) -> LongestTurn:
    async with AsyncBatcher[Any, Any](process_batch, max_batch_size=items, max_queue_time=60.0) as batcher:
        for item in range(items - 1):
            batcher.submit(item)
        with LongestTurn() as turns:
            batcher.submit(items)
            await batcher.flush()
    return turns


async def _process_many(items: int) -> LongestTurn:
    async with AsyncBatcher[Any, Any](_echo, max_batch_size=1000, max_queue_time=0.0) as batcher:
        with LongestTurn() as turns:
            # Kept until the last turn has ended: to let go of a million numbers takes longer than any of ours.
            results = await batcher.process_many(range(items))
    assert len(results) == items
    return turns


@contextlib.asynccontextmanager
async def _writer(batch: int) -> Any:
    writer = BulkWriter[Any](StubBackend(), max_batch_size=batch, max_queue_size=2 * batch)
    async with writer:
        yield writer


async def _rows_in_one_batch(rows: int) -> LongestTurn:
    async with _writer(rows) as writer:
        for _ in range(rows - 1):
            writer.submit(ROW)
        with LongestTurn() as turns:
            writer.submit(ROW)
            await writer.flush()
    return turns


async def _insert_many(rows: int, batch: int, *, results: bool = True, streams: int = 1) -> LongestTurn:
    async with _writer(batch) as writer:
        with LongestTurn() as turns:
            await asyncio.gather(
                *(writer.insert_many(itertools.repeat(ROW, rows), results=results) for _ in range(streams))
            )
    assert tuple(ROW) == COLUMNS
    return turns

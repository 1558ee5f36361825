"""How long a caller waits when there is little to do: a database that takes 2 ms, and few callers."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from benchmarks._loops import loop_factories, run_on
from benchmarks._report import Requirement, Section
from benchmarks._rounds import Case, Stopwatch, interleaved
from benchmarks._seed import Seed
from bulkwriter import AsyncBatcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from benchmarks._command import Size
    from benchmarks._rounds import Sample

BACKEND_TIME = 0.002
CALLERS = (1, 10, 100)


async def slow(batch: list[Any]) -> list[Any]:
    """Process a batch in 2 ms."""
    await asyncio.sleep(BACKEND_TIME)
    return batch


def latency(size: Size) -> Iterator[Section]:
    """Ask for a lone caller and for a few."""
    calls = size.pick(tiny=3, full=100)
    header = ["callers", "ours calls/s", "ms/call", "async-batcher calls/s", "ms/call", "ratio"]
    section = Section("Latency before a 2 ms backend: max_queue_time=0 against async-batcher's default", header)
    for callers in CALLERS:
        cases = [
            Case("ours", functools.partial(_run, _ours, callers, calls)),
            Case("seed", functools.partial(_run, _seed, callers, calls)),
        ]
        measured = interleaved(cases, min(size.rounds, 5))
        ours, seed = measured["ours"], measured["seed"]
        ratio = ours.against(seed).wall
        row = [str(callers)]
        for each in (ours, seed):
            row += [f"{each.rate:,.0f}", f"{1000 * callers / each.rate:.2f}"]
        section.rows.append([*row, f"{ratio:.2f}"])
        if callers == 1:
            section.requirements.append(Requirement("a lone caller against async-batcher", ratio, 5.0))
    yield section


def _run(measure: Callable[[int, int], Any], callers: int, calls: int) -> Sample:
    sample: Sample = run_on(loop_factories()["asyncio"], measure(callers, calls))
    return sample


async def _ours(callers: int, calls: int) -> Sample:
    async with AsyncBatcher[Any, Any](slow, max_batch_size=1000, max_queue_time=0.0) as batcher:
        return await _measured(batcher.process, callers, calls)


async def _seed(callers: int, calls: int) -> Sample:
    return await _measured(Seed(slow, max_batch_size=1000).process, callers, calls)


async def _measured(process: Callable[[int], Awaitable[Any]], callers: int, calls: int) -> Sample:
    async def caller() -> None:
        for number in range(calls):
            await process(number)

    with Stopwatch() as watch:
        await asyncio.gather(*(caller() for _ in range(callers)))
    return watch.sample(callers * calls)

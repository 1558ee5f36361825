"""How many items a second pass through the core when processing a batch costs nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any

from benchmarks._floor import BareFutures, MinimalBatcher
from benchmarks._loops import loop_factories, run_on
from benchmarks._report import compared, required
from benchmarks._rounds import Case, Stopwatch, interleaved
from benchmarks._seed import Seed
from bulkwriter import AsyncBatcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from benchmarks._command import Size
    from benchmarks._report import Section
    from benchmarks._rounds import Sample

    Send: TypeAlias = Callable[[Any], Awaitable[Any]]
    Contender: TypeAlias = Callable[[], AbstractAsyncContextManager[Send]]

CALLERS = 1000
BATCH = 1000
LINGER = 0.005

MINIMAL, MINIMAL_SUBMIT, BARE, SEED = "minimal: process", "minimal: submit", "bare futures", "async-batcher 0.2.2"
OURS, OURS_NATURAL, OURS_SUBMIT = "process, 5 ms", "process, natural", "submit, natural"


async def echo(batch: list[Any]) -> list[Any]:
    """Process a batch: give everybody their own item."""
    return batch


@contextlib.asynccontextmanager
async def ours(method: str, max_queue_time: float) -> AsyncIterator[Send]:
    """Offer one of our ways to send an item."""
    batcher = AsyncBatcher[Any, Any](echo, max_batch_size=BATCH, max_queue_time=max_queue_time)
    async with batcher:
        yield getattr(batcher, method)


@contextlib.asynccontextmanager
async def minimal(method: str) -> AsyncIterator[Send]:
    """Offer the minimal batcher."""
    yield getattr(MinimalBatcher(echo, BATCH), method)


@contextlib.asynccontextmanager
async def bare() -> AsyncIterator[Send]:
    """Offer futures without a batcher."""
    yield BareFutures().submit


@contextlib.asynccontextmanager
async def seed() -> AsyncIterator[Send]:
    """Offer async-batcher."""
    # It is not stopped: that takes a second, and closing the loop ends it as well.
    yield Seed(echo, max_batch_size=BATCH, max_queue_time=LINGER).process


CONTENDERS: dict[str, Contender] = {
    OURS: functools.partial(ours, "process", LINGER),
    MINIMAL: functools.partial(minimal, "process"),
    OURS_NATURAL: functools.partial(ours, "process", 0.0),
    SEED: seed,
    OURS_SUBMIT: functools.partial(ours, "submit", 0.0),
    MINIMAL_SUBMIT: functools.partial(minimal, "submit"),
    BARE: bare,
}


def throughput(size: Size) -> Iterator[Section]:
    """Ask on each kind of loop."""
    items = size.pick(tiny=2000, full=50_000)
    for name, factory in loop_factories().items():
        cases = [
            Case(contender, functools.partial(_run, factory, _from_callers(offer, items)))
            for contender, offer in CONTENDERS.items()
        ]
        cases.append(Case("process_many, natural", functools.partial(_run, factory, functools.partial(_many, items))))
        measured = interleaved(cases, size.rounds)
        section = compared(measured, {"minimal": MINIMAL, "async-batcher": SEED}, "item")
        section.title = f"Throughput on {name}: {items:,} items from {CALLERS:,} callers, batches of {BATCH:,}"
        for mine in (OURS, OURS_NATURAL):
            section.requirements.append(required(measured[mine], measured[MINIMAL], 0.9, f" on {name}"))
            section.requirements.append(required(measured[mine], measured[SEED], 2.0, f" on {name}"))
        section.requirements.append(required(measured[OURS_SUBMIT], measured[MINIMAL_SUBMIT], 0.9, f" on {name}"))
        yield section


def _run(factory: Callable[[], asyncio.AbstractEventLoop], measure: Callable[[], Any]) -> Sample:
    sample: Sample = run_on(factory, measure())
    return sample


def _from_callers(offer: Contender, items: int) -> Callable[[], Any]:
    async def measure() -> Sample:
        async with offer() as send:
            with Stopwatch() as watch:
                await asyncio.gather(*(_caller(send, items // CALLERS) for _ in range(CALLERS)))
        return watch.sample(items // CALLERS * CALLERS)

    return measure


async def _caller(send: Send, items: int) -> None:
    for item in range(items):
        await send(item)


async def _many(items: int) -> Sample:
    async with AsyncBatcher[Any, Any](echo, max_batch_size=BATCH, max_queue_time=0.0) as batcher:
        with Stopwatch() as watch:
            await batcher.process_many(range(items))
    return watch.sample(items)

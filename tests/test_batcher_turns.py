"""The loop belongs to everybody: what one turn of it has to do stays small, however much there is to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher
from bulkwriter.flights import SETTLED_A_TURN
from tests.processors import Held, assert_at_rest, outcomes, turns

if TYPE_CHECKING:
    from collections.abc import Callable

ENDINGS: dict[str, Callable[[list[int]], Any]] = {
    "results": list,
    "none": lambda _: None,
    "some exceptions": lambda batch: [ValueError() if item % 7 == 0 else item for item in batch],
    "an exception": lambda _: ValueError("bad"),
    "nonsense": lambda _: "nonsense",
}


async def most_settled_in_a_turn(futures: list[asyncio.Future[Any]]) -> int:
    """Return how many of these were settled in the turn in which most were."""
    waiting, most = sum(not future.done() for future in futures), 0
    while waiting:
        await asyncio.sleep(0)
        left = sum(not future.done() for future in futures)
        most = max(most, waiting - left)
        waiting = left
    return most


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_large_batch_is_answered_in_several_turns(ending: str) -> None:
    """Each settled future wakes a task in the next turn: all at once would keep everybody else waiting."""
    held = Held()
    async with AsyncBatcher[int, Any](held, max_queue_time=0) as batcher:
        futures = [batcher.submit(item) for item in range(5500)]
        await turns()
        held.answer(0, ENDINGS[ending](held.batches[0]))
        assert await most_settled_in_a_turn(futures) <= SETTLED_A_TURN
        await outcomes(futures)
    assert_at_rest(batcher)


@pytest.mark.parametrize("size", [100, 1000, 2000])
async def test_batches_that_end_together_take_turns(size: int) -> None:
    """What counts is what the loop has to do, and not for how many batches."""
    held = Held()
    async with AsyncBatcher[int, Any](held, max_queue_time=0, max_batch_size=size, concurrency=-1) as batcher:
        futures = [batcher.submit(item) for item in range(6000)]
        await turns()
        held.echo_all()
        assert await most_settled_in_a_turn(futures) <= 1.3 * SETTLED_A_TURN
        assert await outcomes(futures) == list(range(6000))
    assert_at_rest(batcher)


@pytest.mark.parametrize("size", [1, 100, 999, 4000])
async def test_a_forced_stop_tells_everybody_in_several_turns(size: int) -> None:
    """However the items were divided into batches."""
    held = Held()
    batcher = AsyncBatcher[int, Any](held, max_queue_time=0, max_batch_size=size, concurrency=2)
    futures = [batcher.submit(item) for item in range(5500)]
    await turns()
    stopping = asyncio.ensure_future(batcher.stop(force=True))
    assert await most_settled_in_a_turn(futures) <= 1.3 * SETTLED_A_TURN
    await stopping
    await outcomes(futures)
    assert_at_rest(batcher)


async def test_a_forced_stop_tells_those_who_wait_for_a_place_in_several_turns() -> None:
    """They may be many more than the queue holds."""
    held = Held()
    batcher = AsyncBatcher[int, Any](held, max_queue_time=0, max_batch_size=10, max_queue_size=10, when_full="wait")
    tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(4000)]
    await turns()
    stopping = asyncio.ensure_future(batcher.stop(force=True))
    assert await most_settled_in_a_turn(list(tasks)) <= 1.3 * SETTLED_A_TURN
    await stopping
    await outcomes(list(tasks))
    assert_at_rest(batcher)


async def test_the_slot_is_free_before_the_callers_that_were_answered_are_awake() -> None:
    """Else the first to come back would find everything taken by the batch that it was in."""
    held = Held()
    async with AsyncBatcher[int, Any](held, max_queue_time=0, max_batch_size=2) as batcher:
        seen: list[int] = []
        for item in range(2):
            batcher.submit(item).add_done_callback(lambda _: seen.append(batcher.statistics().batches_in_flight))
        await turns()
        held.echo(0)
        await turns()
        assert seen == [0, 0]

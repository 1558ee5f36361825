"""``submit``: a future for each item, no task, no waiting, and no noise about what nobody reads."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher, BatcherStoppedError, OutcomeUnknownError
from tests.processors import Echo, Held, assert_at_rest, kinds, outcomes, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def unseen() -> AsyncIterator[list[Any]]:
    """What is reported to the loop's exception handler, also of what is only found when it is collected."""
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    reported: list[Any] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    yield reported
    await turns()
    gc.collect()
    await turns()
    loop.set_exception_handler(handler)
    assert reported == []


async def test_it_returns_a_future_at_once() -> None:
    """One of asyncio's own, of this loop."""
    async with AsyncBatcher[int, int](Echo(), max_queue_time=0) as batcher:
        future = batcher.submit(1)
        assert asyncio.isfuture(future)
        assert future.get_loop() is asyncio.get_running_loop()
        assert not future.done()
        assert await future == 1


async def test_it_makes_no_task_for_an_item() -> None:
    """A hundred thousand items are a hundred thousand futures, and one task for each batch."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
        before = len(asyncio.all_tasks())
        futures = [batcher.submit(item) for item in range(1000)]
        assert len(asyncio.all_tasks()) == before
        await turns()
        assert len(asyncio.all_tasks()) == before + 1
        held.echo(0)
        assert await outcomes(futures) == list(range(1000))


async def test_it_can_be_called_from_a_callback() -> None:
    """It needs a running loop, and no task."""
    async with AsyncBatcher[int, int](Echo(), max_queue_time=0) as batcher:
        made: list[asyncio.Future[int]] = []
        asyncio.get_running_loop().call_soon(lambda: made.append(batcher.submit(1)))
        await turns()
        assert await made[0] == 1


def test_it_needs_a_running_loop() -> None:
    """As everything of asyncio does; nothing is taken."""
    batcher = AsyncBatcher[int, int](Echo())
    with pytest.raises(RuntimeError, match="no running event loop"):
        batcher.submit(1)
    assert batcher.statistics().accepted == 0


async def test_done_callbacks_are_called_with_the_future() -> None:
    """So it serves where there is no coroutine to wait in."""
    async with AsyncBatcher[int, int](Echo(), max_queue_time=0) as batcher:
        heard: list[int] = []
        for item in range(3):
            batcher.submit(item).add_done_callback(lambda future: heard.append(future.result()))
        await batcher.flush()
        await turns()
    assert heard == [0, 1, 2]


async def test_a_done_callback_that_raises_harms_nobody() -> None:
    """It is reported by asyncio as always; the results are what they are, and the others hear theirs."""
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    reported: list[Any] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def fail(_: asyncio.Future[int]) -> None:
        raise LookupError

    async with AsyncBatcher[int, int](Echo(), max_queue_time=0) as batcher:
        futures = [batcher.submit(item) for item in range(3)]
        futures[1].add_done_callback(fail)
        assert await outcomes(futures) == [0, 1, 2]
        assert await batcher.process(3) == 3
    loop.set_exception_handler(handler)
    assert kinds(reported) == [LookupError]
    assert_at_rest(batcher)


@pytest.mark.usefixtures("unseen")
class TestUnread:
    """A future that nobody reads stays silent, and is counted."""

    async def test_a_batch_that_fails(self) -> None:
        """Its error is in the figures."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            for item in range(3):
                batcher.submit(item)
            await turns()
            held.answer(0, ValueError("bad"))
        assert batcher.statistics().failed == 3
        assert_at_rest(batcher)

    async def test_single_items_that_fail(self) -> None:
        """Each exception in the list is its own item's."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            for item in range(3):
                batcher.submit(item)
            await turns()
            held.answer(0, [1, ValueError("bad"), StopIteration()])
        assert (batcher.statistics().failed, batcher.statistics().succeeded) == (2, 1)

    async def test_a_batch_that_returns_nonsense(self) -> None:
        """Likewise."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            for item in range(3):
                batcher.submit(item)
            await turns()
            held.answer(0, "nonsense")
        assert batcher.statistics().failed == 3

    async def test_a_batch_that_is_cancelled(self) -> None:
        """Its outcome is unknown."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            for item in range(3):
                batcher.submit(item)
            await turns()
            held.answer(0, asyncio.CancelledError())
        assert batcher.statistics().unknown == 3

    async def test_a_stop_by_force(self) -> None:
        """What was queued and what was in flight."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2)
        for item in range(5):
            batcher.submit(item)
        await turns()
        await batcher.stop(force=True)
        assert (batcher.statistics().unknown, batcher.statistics().not_written) == (2, 3)

    async def test_an_error_that_somebody_reads_is_there_all_the_same(self) -> None:
        """Silent does not mean lost."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1)
        futures = [batcher.submit(item) for item in range(3)]
        await turns()
        held.answer(0, ValueError("bad"))
        await turns()
        await batcher.stop(force=True)
        assert kinds(await outcomes(futures)) == [ValueError, OutcomeUnknownError, BatcherStoppedError]

    async def test_many_that_nobody_waits_for_any_more(self) -> None:
        """A caller of many that was cancelled."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2) as batcher:
            task = asyncio.ensure_future(batcher.process_many(range(5)))
            await turns()
            task.cancel()
            await turns()
            held.answer(0, ValueError("bad"))
            await outcomes([task])
        assert_at_rest(batcher)


async def test_items_that_nobody_waits_for_are_processed_all_the_same() -> None:
    """To drop the future is not to cancel it."""
    echo = Echo()
    async with AsyncBatcher[int, int](echo, max_queue_time=0.001) as batcher:
        for item in range(100):
            batcher.submit(item)
        gc.collect()
    assert echo.items == list(range(100))
    assert batcher.statistics().succeeded == 100


async def test_what_was_answered_is_kept_by_nobody() -> None:
    """The batcher holds neither items nor results nor errors of what is over."""

    class Thing:
        alive = 0

        def __init__(self) -> None:
            Thing.alive += 1

        def __del__(self) -> None:
            Thing.alive -= 1

    async def process_batch(batch: list[Thing]) -> list[Any]:
        return [Thing() if place % 2 else ValueError(Thing()) for place, _ in enumerate(batch)]

    async with AsyncBatcher[Thing, Any](process_batch, max_queue_time=0, max_batch_size=3) as batcher:
        for _ in range(50):
            await outcomes([batcher.submit(Thing()) for _ in range(7)])
            await batcher.process_many([Thing() for _ in range(7)])
            batcher.submit(Thing()).cancel()
        await turns()
        gc.collect()
        assert Thing.alive == 0

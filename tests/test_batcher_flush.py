"""``flush``: send now, wait for everything accepted before, and say what became of it."""

from __future__ import annotations

import asyncio

import pytest

from bulkwriter import AsyncBatcher, Counts, MisconfigurationError
from tests.processors import Echo, Held, Slow, assert_at_rest, outcomes, turns
from tests.virtual_time import virtually


@virtually
async def test_it_sends_what_is_queued_at_once() -> None:
    """It waits out no timer."""
    echo = Echo()
    async with AsyncBatcher[int, int](echo, max_queue_time=3600) as batcher:
        futures = [batcher.submit(item) for item in range(3)]
        await batcher.flush()
        assert asyncio.get_running_loop().time() == 0
        assert [future.result() for future in futures] == [0, 1, 2]
    assert echo.batches == [[0, 1, 2]]


async def test_it_returns_when_the_last_answer_has_been_given() -> None:
    """And not when the last batch has been sent."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=3600, max_batch_size=2) as batcher:
        futures = [batcher.submit(item) for item in range(5)]
        flushing = asyncio.ensure_future(batcher.flush())
        for number in range(3):
            await turns()
            assert not flushing.done()
            held.echo(number)
        await flushing
        assert all(future.done() for future in futures)


async def test_it_waits_for_what_is_in_flight_as_well() -> None:
    """That was accepted before."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
        future = batcher.submit(1)
        await turns()
        flushing = asyncio.ensure_future(batcher.flush())
        await turns()
        assert not flushing.done()
        held.echo(0)
        await flushing
        assert future.done()


@virtually
async def test_what_is_accepted_later_is_neither_hurried_nor_waited_for() -> None:
    """A steady stream does not keep it from returning, and it does not spoil the stream's batches."""
    slow = Slow(1)
    async with AsyncBatcher[int, int](slow, max_queue_time=10, concurrency=2) as batcher:
        early = batcher.submit(1)
        flushing = asyncio.ensure_future(batcher.flush())
        await turns(1)
        late = batcher.submit(2)
        await asyncio.sleep(0.5)
        later = batcher.submit(3)
        await flushing
        assert asyncio.get_running_loop().time() == pytest.approx(1)
        assert early.done()
        assert not late.done()
        await asyncio.gather(late, later)
    assert slow.batches == [[1], [2, 3]]
    assert slow.times == [0, pytest.approx(10)]


async def test_items_before_and_after_it_never_share_a_batch() -> None:
    """Else it would have to wait for both, or for neither."""
    echo = Echo()
    async with AsyncBatcher[int, int](echo, max_queue_time=3600) as batcher:
        batcher.submit(1)
        flushing = asyncio.ensure_future(batcher.flush())
        await turns(1)
        batcher.submit(2)
        await flushing
        await batcher.flush()
    assert echo.batches == [[1], [2]]


async def test_it_counts_what_it_waited_for() -> None:
    """Not what was over before it was called, nor what came after."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=3600, max_batch_size=10) as batcher:
        before = [batcher.submit(item) for item in range(10)]
        await turns()
        held.echo(0)
        await outcomes(before)
        futures = [batcher.submit(item) for item in range(4)]
        futures[3].cancel()
        flushing = asyncio.ensure_future(batcher.flush())
        await turns()
        batcher.submit(99)
        held.answer(1, [1, ValueError("bad"), 3])
        counts = await flushing
        assert counts == Counts(succeeded=2, failed=1, withdrawn=1)
        assert (counts.total, counts.failures) == (4, 1)
        stopping = asyncio.ensure_future(batcher.stop())
        await turns()
        held.echo(2)
        await stopping


@pytest.mark.parametrize(
    "end", [ValueError("bad"), asyncio.CancelledError(), "nonsense"], ids=lambda e: type(e).__name__
)
async def test_it_never_raises_for_an_item(end: object) -> None:
    """Each caller hears for itself; the counts say how many."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=3600) as batcher:
        for item in range(3):
            batcher.submit(item)
        flushing = asyncio.ensure_future(batcher.flush())
        await turns()
        held.answer(0, end)
        counts = await flushing
    assert counts.total == counts.failures == 3


async def test_with_nothing_to_do_it_returns_at_once() -> None:
    """Before first use, after everything is done, and as often as you like."""
    batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)
    assert await batcher.flush() == Counts()
    await batcher.process(1)
    assert await batcher.flush() == Counts()
    assert await batcher.flush() == Counts()
    await batcher.stop()
    assert await batcher.flush() == Counts()


async def test_it_waits_for_callers_that_wait_for_a_place() -> None:
    """They were accepted."""
    echo = Echo()
    async with AsyncBatcher[int, int](echo, max_queue_time=3600, max_queue_size=2, when_full="wait") as batcher:
        tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(7)]
        await turns()
        assert batcher.statistics().queued == 7
        counts = await batcher.flush()
        assert counts == Counts(succeeded=7)
        assert await outcomes(list(tasks)) == list(range(7))
    assert echo.items == list(range(7))


async def test_it_waits_for_the_portions_of_a_caller_of_many_that_were_accepted() -> None:
    """And not for those that are taken in later."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=5, max_queue_size=5) as batcher:
        many = asyncio.ensure_future(batcher.process_many(iter(range(100))))
        await turns(10)
        accepted = batcher.statistics().accepted
        flushing = asyncio.ensure_future(batcher.flush())
        while not flushing.done():
            await turns()
            held.echo_all()
        assert (await flushing).total == accepted
        assert not many.done()
        while not many.done():
            await turns()
            held.echo_all()
        assert await many == list(range(100))


async def test_several_at_once_each_wait_for_their_own() -> None:
    """Each counts what was accepted before it and was not yet answered."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=3600, concurrency=-1) as batcher:
        flushes = []
        for item in range(4):
            batcher.submit(item)
            flushes.append(asyncio.ensure_future(batcher.flush()))
            await turns()
        held.echo(1)
        await turns()
        assert [flush.done() for flush in flushes] == [False] * 4
        held.echo(0)
        await turns()
        assert [flush.done() for flush in flushes] == [True, True, False, False]
        held.echo(3)
        held.echo(2)
        assert [counts.succeeded for counts in await asyncio.gather(*flushes)] == [1, 2, 3, 4]


async def test_one_that_is_cancelled_disturbs_nobody() -> None:
    """Neither the items nor another flush, nor the stop."""
    held = Held()
    batcher = AsyncBatcher[int, int](held, max_queue_time=3600)
    future = batcher.submit(1)
    first = asyncio.ensure_future(batcher.flush())
    await turns()
    second = asyncio.ensure_future(batcher.flush())
    await turns()
    first.cancel()
    await turns()
    held.echo(0)
    assert (await second).succeeded == 1
    assert await future == 1
    await batcher.stop()
    assert_at_rest(batcher)


async def test_an_item_withdrawn_while_it_waits_does_not_keep_it() -> None:
    """Whether queued, or at the door."""
    held = Held()
    async with AsyncBatcher[int, int](
        held, max_queue_time=3600, max_batch_size=2, max_queue_size=2, when_full="wait"
    ) as batcher:
        tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(6)]
        await turns()
        flushing = asyncio.ensure_future(batcher.flush())
        await turns()
        for task in tasks[2:]:
            task.cancel()
        await turns()
        held.echo(0)
        assert await asyncio.wait_for(flushing, 30) == Counts(succeeded=2, withdrawn=4)
        await outcomes(list(tasks))
    assert_at_rest(batcher)


async def test_it_counts_what_a_forced_stop_ended() -> None:
    """It returns with the stop: nobody waits for ever."""
    held = Held()
    batcher = AsyncBatcher[int, int](held, max_queue_time=3600, max_batch_size=2)
    futures = [batcher.submit(item) for item in range(5)]
    flushing = asyncio.ensure_future(batcher.flush())
    await turns()
    await batcher.stop(force=True)
    assert await flushing == Counts(unknown=2, not_written=3)
    await outcomes(futures)


async def test_within_a_batch_it_would_wait_for_itself() -> None:
    """So it raises, instead of waiting for ever."""

    async def process_batch(batch: list[int]) -> list[int]:
        with pytest.raises(RuntimeError, match=r"flush\(\) was called from within a batch"):
            await batcher.flush()
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"flush\(\) was called from within a batch"):
            await batcher.flush()
        return batch

    batcher = AsyncBatcher[int, int](process_batch, max_queue_time=0)
    async with batcher:
        assert await batcher.process(1) == 1


async def test_on_another_loop_it_is_a_clear_error() -> None:
    """The items' answers belong to their own loop."""
    batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)
    await batcher.process(1)

    async def elsewhere() -> None:
        with pytest.raises(MisconfigurationError, match="belongs to another event loop"):
            await batcher.flush()

    await asyncio.to_thread(asyncio.run, elsewhere())
    await batcher.stop()

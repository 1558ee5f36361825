"""``stop``: refuse what is new, finish what was accepted, return when the last answer has been given."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher, BatcherStoppedError, NotWrittenError
from tests.processors import Echo, Held, Slow, assert_at_rest, kinds, outcomes, turns
from tests.virtual_time import virtually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class TestGraceful:
    """Everything that was accepted is finished."""

    @virtually
    async def test_what_is_queued_leaves_at_once(self) -> None:
        """It waits out no timer."""
        echo = Echo()
        batcher = AsyncBatcher[int, int](echo, max_queue_time=3600, max_batch_size=3)
        futures = [batcher.submit(item) for item in range(7)]
        await batcher.stop()
        assert [future.result() for future in futures] == list(range(7))
        assert echo.batches == [[0, 1, 2], [3, 4, 5], [6]]
        assert asyncio.get_running_loop().time() == 0

    @virtually
    async def test_it_returns_when_the_last_batch_is_done(self) -> None:
        """And not when the queue is empty: a program that ends then would lose the batch in flight."""
        slow = Slow(3)
        batcher = AsyncBatcher[int, int](slow, max_queue_time=0)
        future = batcher.submit(1)
        await turns()
        await batcher.stop()
        assert future.result() == 1
        assert asyncio.get_running_loop().time() == 3

    @virtually
    async def test_an_idle_one_stops_at_once(self) -> None:
        """There is nothing to wait for, and nothing that polls."""
        batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)
        await batcher.process(1)
        await batcher.stop()
        assert asyncio.get_running_loop().time() == 0

    @virtually
    async def test_one_that_was_never_used_stops_at_once(self) -> None:
        """In whatever way it is asked to."""
        ways: list[dict[str, Any]] = [{}, {"force": True}, {"timeout": 5}, {"timeout": 0}]
        for options in ways:
            batcher = AsyncBatcher[int, int](Echo())
            await batcher.stop(**options)
            assert not await batcher.is_running()
        assert asyncio.get_running_loop().time() == 0

    @virtually
    async def test_with_time_enough_a_timeout_changes_nothing(self) -> None:
        """It is a limit, not a wait."""
        batcher = AsyncBatcher[int, int](Slow(3), max_queue_time=0)
        future = batcher.submit(1)
        await batcher.stop(timeout=5)
        assert future.result() == 1
        assert asyncio.get_running_loop().time() == 3

    async def test_a_batch_that_fails_does_not_fail_the_stop(self) -> None:
        """Its callers have heard; the stop goes on."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1)
        futures = [batcher.submit(item) for item in range(4)]
        stopping = asyncio.ensure_future(batcher.stop())
        for number, end in enumerate([ValueError(), asyncio.CancelledError(), "nonsense", [3]]):
            await turns()
            held.answer(number, end)
        await stopping
        assert batcher.statistics().failures == 3
        assert (await outcomes(futures))[3] == 3

    async def test_callers_that_go_while_it_waits_do_not_keep_it(self) -> None:
        """There is nothing left to be done for them."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2)
        tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(6)]
        await turns()
        stopping = asyncio.ensure_future(batcher.stop())
        await turns()
        for task in tasks:
            task.cancel()
        await turns()
        held.echo(0)
        await asyncio.wait_for(stopping, 30)
        await outcomes(list(tasks))
        assert held.batches == [[0, 1]]
        assert_at_rest(batcher)


class TestRepeated:
    """Stopping is idempotent."""

    async def test_a_second_stop_returns_at_once(self) -> None:
        """In whatever way."""
        batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)
        await batcher.process(1)
        await batcher.stop()
        await batcher.stop()
        await batcher.stop(force=True)
        await batcher.stop(timeout=0)
        assert_at_rest(batcher)

    async def test_several_at_once_all_wait_for_the_same_end(self) -> None:
        """Nobody is told too early that it is over."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0)
        future = batcher.submit(1)
        await turns()
        stops = [asyncio.ensure_future(batcher.stop()) for _ in range(3)]
        await turns()
        assert not any(stop.done() for stop in stops)
        held.echo(0)
        await asyncio.gather(*stops)
        assert future.done()

    async def test_one_that_is_cancelled_leaves_the_stop_under_way(self) -> None:
        """The batcher stays closed, finishes what was accepted, and can be waited for again."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=3600, max_batch_size=1)
        futures = [batcher.submit(item) for item in range(2)]
        stopping = asyncio.ensure_future(batcher.stop())
        await turns()
        stopping.cancel()
        await turns()
        assert not await batcher.is_running()
        held.echo(0)
        await turns()
        held.echo(1)
        assert await outcomes(futures) == [0, 1]
        await batcher.stop()
        assert_at_rest(batcher)

    async def test_after_an_end_in_another_loop_it_returns_at_once(
        self, run: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        """There is nothing left to be done: who cleans up twice hears no error."""
        batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)

        async def use() -> None:
            async with batcher:
                await batcher.process(1)

        await asyncio.to_thread(run, use())
        await batcher.stop()
        await batcher.stop(force=True)


class TestAfterwards:
    """Nothing is accepted once the stop has begun."""

    @pytest.mark.parametrize("is_over", [False, True], ids=["while it waits", "when it is over"])
    @pytest.mark.parametrize("when_full", ["raise", "wait"])
    async def test_use_after_stop_is_a_clear_error(self, is_over: bool, when_full: Any) -> None:  # noqa: FBT001
        """For every way in; it is also a RuntimeError, and says that nothing was done."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, when_full=when_full, max_queue_size=5, name="orders")
        future = batcher.submit(1)
        await turns()
        stopping = asyncio.ensure_future(batcher.stop())
        await turns()
        if is_over:
            held.echo(0)
            await stopping
        with pytest.raises(BatcherStoppedError, match=r"^AsyncBatcher orders has been stopped") as caught:
            await batcher.process(2)
        assert isinstance(caught.value, RuntimeError)
        assert isinstance(caught.value, NotWrittenError)
        with pytest.raises(BatcherStoppedError):
            batcher.submit(2)
        with pytest.raises(BatcherStoppedError):
            await batcher.process_many([2])
        if not is_over:
            held.echo(0)
        await stopping
        assert await future == 1
        assert held.items == [1]
        assert batcher.statistics().accepted == 1

    async def test_is_running_says_whether_items_are_accepted(self) -> None:
        """From construction until the stop is called."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0)
        assert await batcher.is_running()
        future = batcher.submit(1)
        await turns()
        assert await batcher.is_running()
        stopping = asyncio.ensure_future(batcher.stop())
        await turns()
        assert not await batcher.is_running()
        held.echo(0)
        await stopping
        assert not await batcher.is_running()
        assert await future == 1

    @pytest.mark.parametrize("options", [{}, {"force": True}, {"timeout": 0.001}], ids=str)
    async def test_no_task_or_timer_is_left(self, options: dict[str, Any]) -> None:
        """The loop could sleep for ever."""
        before = asyncio.all_tasks()
        batcher = AsyncBatcher[int, int](Slow(0.001), max_queue_time=0.001, max_batch_size=2, concurrency=2)
        futures = [batcher.submit(item) for item in range(9)]
        await turns()
        await batcher.stop(**options)
        await outcomes(futures)
        await turns()
        assert asyncio.all_tasks() == before
        assert batcher._timer is None or batcher._timer.cancelled()


class TestAsyncWith:
    """The exit of ``async with`` finishes what was accepted."""

    async def test_it_stops_at_the_end(self) -> None:
        """Also items that nobody waited for."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=3600) as batcher:
            futures = [batcher.submit(item) for item in range(3)]
        assert [future.result() for future in futures] == [0, 1, 2]
        assert not await batcher.is_running()

    @pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
    async def test_it_finishes_also_when_the_body_raised(self, error: type[BaseException]) -> None:
        """What was accepted was accepted; and the error goes on to whoever handles it."""
        slow = Slow(0.001)
        caught: list[type[BaseException]] = []
        futures: list[asyncio.Future[int]] = []
        try:
            async with AsyncBatcher[int, int](slow, max_queue_time=3600) as batcher:
                futures += [batcher.submit(item) for item in range(3)]
                raise error  # noqa: TRY301 - the exit is what is tested
        except BaseException as raised:  # noqa: BLE001 - any of them
            caught.append(type(raised))
        assert caught == [error]
        assert [future.result() for future in futures] == [0, 1, 2]

    @virtually
    async def test_it_finishes_also_when_its_time_is_over(self) -> None:
        """A timeout around it ends the body; the exit takes the time that it needs."""
        batcher = AsyncBatcher[int, int](Slow(5), max_queue_time=0)

        async def use() -> None:
            async with asyncio.timeout(1), batcher:
                await asyncio.gather(batcher.process(1), asyncio.sleep(3600))

        with pytest.raises(TimeoutError):
            await use()
        assert asyncio.get_running_loop().time() == 5
        assert_at_rest(batcher)
        assert batcher.statistics().succeeded == 1

    async def test_it_may_be_stopped_within(self) -> None:
        """The exit then has nothing left to do."""
        async with AsyncBatcher[int, int](Echo(), max_queue_time=0) as batcher:
            assert await batcher.process(1) == 1
            await batcher.stop()
        assert_at_rest(batcher)

    async def test_it_gives_the_batcher_itself(self) -> None:
        """Also where a subclass is used."""

        class Mine(AsyncBatcher[int, int]):
            async def process_batch(self, batch: list[int]) -> list[int]:
                return batch

        mine = Mine()
        async with mine as batcher:
            assert batcher is mine
        async with contextlib.AsyncExitStack() as stack:
            assert isinstance(await stack.enter_async_context(Mine()), Mine)


class TestFromWithin:
    """A batch that stops its own batcher would wait for itself."""

    @pytest.mark.parametrize("options", [{}, {"force": True}, {"timeout": 5}], ids=str)
    async def test_it_is_an_error_and_not_a_wait_for_ever(self, options: dict[str, Any]) -> None:
        """Also in the first step of the batch, and in a later one; and nothing is stopped."""

        async def process_batch(batch: list[int]) -> list[int]:
            with pytest.raises(RuntimeError, match=r"stop\(\) was called from within a batch of AsyncBatcher"):
                await batcher.stop(**options)
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match=r"stop\(\) was called from within a batch of AsyncBatcher"):
                await batcher.stop(**options)
            return batch

        batcher = AsyncBatcher[int, int](process_batch, max_queue_time=0)
        async with batcher:
            assert await batcher.process(1) == 1
            assert await batcher.is_running()

    async def test_a_task_that_a_batch_starts_may_stop_it(self) -> None:
        """As long as the batch does not wait for that."""
        stops: list[asyncio.Task[None]] = []

        async def process_batch(batch: list[int]) -> list[int]:
            stops.append(asyncio.create_task(batcher.stop()))
            await asyncio.sleep(0)
            return batch

        batcher = AsyncBatcher[int, int](process_batch, max_queue_time=0)
        assert await batcher.process(1) == 1
        await stops[0]
        assert_at_rest(batcher)

    async def test_another_batcher_may_be_stopped_in_a_batch(self) -> None:
        """It is only its own end that nobody can wait for."""
        inner = AsyncBatcher[int, int](Echo(), max_queue_time=0)

        async def process_batch(batch: list[int]) -> list[int]:
            answers = await asyncio.gather(*map(inner.process, batch))
            await inner.stop()
            return answers

        async with AsyncBatcher[int, int](process_batch, max_queue_time=0) as outer:
            assert await outer.process(1) == 1


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5", True], ids=repr)
async def test_a_timeout_that_is_no_number_of_seconds_is_refused(timeout: Any) -> None:
    """And nothing is stopped."""
    batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)
    with pytest.raises(ValueError, match="timeout must be 0 or more seconds, not"):
        await batcher.stop(timeout=timeout)
    assert await batcher.process(1) == 1
    await batcher.stop()


class TestWithoutStop:
    """A program that just ends."""

    def test_it_ends(self, run: Callable[[Coroutine[Any, Any, Any]], Any], caplog: pytest.LogCaptureFixture) -> None:
        """What is in flight is cancelled with everything else, its callers hear that, and no noise is made."""
        futures: list[asyncio.Future[int]] = []

        async def main() -> None:
            batcher = AsyncBatcher[int, int](Held(), max_queue_time=0, max_batch_size=2)
            futures.extend(batcher.submit(item) for item in range(2))
            await turns()

        run(main())
        assert kinds([future.exception() for future in futures]) != [None, None]
        assert caplog.records == []

    def test_it_ends_also_with_items_that_have_not_been_sent(
        self, run: Callable[[Coroutine[Any, Any, Any]], Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """They are not begun while the loop is being shut down: that would be cut off in the middle."""
        held = Held()
        futures: list[asyncio.Future[int]] = []

        async def main() -> None:
            batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2)
            futures.extend(batcher.submit(item) for item in range(7))
            await turns()

        run(main())
        gc.collect()
        assert held.items == [0, 1]
        assert caplog.records == []

    def test_it_ends_also_with_an_idle_batcher(self, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        """Nothing has to be stopped for the sake of the program's end."""

        async def main() -> int:
            return await AsyncBatcher[int, int](Echo(), max_queue_time=0).process(1)

        assert run(main()) == 1

    def test_it_ends_also_with_callers_that_wait(self, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        """They are cancelled, too."""
        held = Held()

        async def main() -> None:
            batcher = AsyncBatcher[int, int](
                held, max_queue_time=0, max_batch_size=1, max_queue_size=1, when_full="wait"
            )
            tasks.extend(asyncio.ensure_future(batcher.process(item)) for item in range(5))
            await turns()

        tasks: list[asyncio.Future[int]] = []
        run(main())
        assert all(task.cancelled() for task in tasks)
        assert held.items == [0]

"""Callers that are cancelled: what is queued is withdrawn, what is in flight goes on, and nobody else ever notices."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from bulkwriter import AsyncBatcher
from tests.processors import Echo, Held, Slow, assert_at_rest, kinds, outcomes, turns
from tests.virtual_time import virtually


class TestQueued:
    """A caller that goes takes its item along."""

    async def test_an_item_cancelled_while_queued_is_never_sent(self) -> None:
        """It is not written behind the back of somebody who has given up."""
        echo = Echo()
        batcher = AsyncBatcher[int, int](echo, max_queue_time=3600)
        futures = [batcher.submit(item) for item in range(5)]
        futures[0].cancel()
        futures[3].cancel()
        await batcher.flush()
        assert echo.batches == [[1, 2, 4]]
        assert kinds(await outcomes(futures)) == [asyncio.CancelledError, 1, 2, asyncio.CancelledError, 4]
        assert batcher.statistics().withdrawn == 2
        await batcher.stop()
        assert_at_rest(batcher)

    async def test_a_cancelled_task_withdraws_its_item(self) -> None:
        """As with the future of submit."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=3600) as batcher:
            tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(3)]
            await turns()
            tasks[1].cancel()
            await turns()
        assert echo.items == [0, 2]
        assert kinds(await outcomes(list(tasks))) == [0, asyncio.CancelledError, 2]

    @virtually
    async def test_a_caller_whose_time_is_over_withdraws_its_item(self) -> None:
        """``asyncio.timeout`` and ``wait_for`` are cancellations."""
        slow = Slow(10)
        async with AsyncBatcher[int, int](slow, max_queue_time=0) as batcher:
            first = batcher.submit(0)
            await turns()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await batcher.process(1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(batcher.submit(2), 1)
            last = batcher.submit(3)
            assert await outcomes([first, last]) == [0, 3]
        assert slow.batches == [[0], [3]]

    async def test_a_batch_whose_callers_have_all_gone_is_not_sent(self) -> None:
        """There is nothing in it."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2) as batcher:
            futures = [batcher.submit(item) for item in range(5)]
            await turns()
            for future in futures[2:4]:
                future.cancel()
            held.echo(0)
            await turns()
            held.echo(1)
            await outcomes(futures)
        assert held.batches == [[0, 1], [4]]
        assert_at_rest(batcher)

    async def test_an_item_cancelled_in_the_turn_in_which_it_came_is_not_sent(self) -> None:
        """However quick."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0, max_batch_size=2) as batcher:
            for item in range(10):
                batcher.submit(item).cancel()
            await batcher.flush()
        assert echo.batches == []
        assert batcher.statistics().withdrawn == 10
        assert_at_rest(batcher)

    async def test_a_withdrawn_item_does_not_count_for_the_size_of_its_batch_once_that_leaves(self) -> None:
        """What was full leaves with fewer; nobody is moved into another batch."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=3600, max_batch_size=3) as batcher:
            futures = [batcher.submit(item) for item in range(3)]
            futures[1].cancel()
            assert kinds(await outcomes(futures)) == [0, asyncio.CancelledError, 2]
        assert echo.batches == [[0, 2]]

    async def test_a_withdrawn_item_takes_its_bytes_along(self) -> None:
        """They count for nobody any more."""
        held = Held()
        async with AsyncBatcher[str, str](held, max_queue_time=0, max_queue_bytes=10) as batcher:
            first = batcher.submit("first")
            await turns()
            futures = [batcher.submit("four"), batcher.submit("fives")]
            assert batcher.statistics().queued_bytes == 9
            futures[0].cancel()
            later = batcher.submit("again")
            assert batcher.statistics().queued_bytes == 10
            held.echo_all()
            await turns()
            held.echo_all()
            assert kinds(await outcomes([first, *futures, later])) == [
                "first",
                asyncio.CancelledError,
                "fives",
                "again",
            ]
        assert_at_rest(batcher)


class TestInFlight:
    """A caller that goes while its batch is on its way changes nothing for anybody."""

    @pytest.mark.parametrize("gone", [0, 2, 4])
    async def test_its_neighbours_hear_their_results(self, gone: int) -> None:
        """Setting the result of one who has gone must not end the round."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            futures = [batcher.submit(item) for item in range(5)]
            await turns()
            futures[gone].cancel()
            held.answer(0, [10 * item for item in range(5)])
            expected: list[Any] = [0, 10, 20, 30, 40]
            expected[gone] = asyncio.CancelledError
            assert kinds(await outcomes(futures)) == expected
        assert_at_rest(batcher)

    async def test_its_neighbours_hear_their_own_errors(self) -> None:
        """Also where some results are exceptions."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            futures = [batcher.submit(item) for item in range(4)]
            await turns()
            futures[0].cancel()
            futures[1].cancel()
            held.answer(0, [0, ValueError("one"), ValueError("two"), 3])
            assert kinds(await outcomes(futures)) == [asyncio.CancelledError] * 2 + [ValueError, 3]
        assert_at_rest(batcher)
        figures = batcher.statistics()
        assert (figures.succeeded, figures.failed, figures.withdrawn) == (2, 2, 0)

    async def test_its_item_met_its_fate_all_the_same_and_is_counted(self) -> None:
        """It was processed: the figures say so, although nobody wanted to hear it."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            future = batcher.submit(1)
            await turns()
            future.cancel()
            assert batcher.statistics().in_flight == 1
            held.echo(0)
        figures = batcher.statistics()
        assert (figures.accepted, figures.succeeded, figures.withdrawn) == (1, 1, 0)

    async def test_a_batch_whose_callers_have_all_gone_goes_on_to_its_end(self) -> None:
        """It may be halfway: to cut it short would leave what it does half done."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(3)]
            await turns()
            for task in tasks:
                task.cancel()
            await turns()
            assert held.cancelled == []
            held.echo(0)
        assert_at_rest(batcher)

    async def test_one_caller_that_is_cancelled_does_not_cancel_the_batch(self) -> None:
        """Also where it was the first, in whose context the batch runs."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            first = asyncio.ensure_future(batcher.process(1))
            second = asyncio.ensure_future(batcher.process(2))
            await turns()
            first.cancel()
            await turns()
            assert held.cancelled == []
            held.echo(0)
            assert await second == 2

    async def test_a_group_of_tasks_that_fails_leaves_its_items_in_order(self) -> None:
        """A TaskGroup cancels its siblings; strangers in the same batch hear their results."""
        held = Held()

        async def group(batcher: AsyncBatcher[int, int]) -> None:
            async with asyncio.TaskGroup() as tasks:
                for item in range(3):
                    tasks.create_task(batcher.process(item))
                await turns()
                raise LookupError

        async with AsyncBatcher[int, int](held, max_queue_time=3600, max_batch_size=4) as batcher:
            stranger = batcher.submit(99)
            with pytest.raises(ExceptionGroup):
                await group(batcher)
            held.echo(0)
            assert await stranger == 99
        assert held.batches == [[99, 0, 1, 2]]
        assert_at_rest(batcher)


class TestStorms:
    """Many that go at once cost little, and confuse nobody."""

    async def test_all_of_a_long_queue_may_go(self) -> None:
        """Nothing is searched for each of them."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=100) as batcher:
            first = batcher.submit(-1)
            await turns()
            tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(20_000)]
            await turns()
            for task in tasks:
                task.cancel()
            await turns()
            held.echo_all()
            assert await first == -1
        assert held.items == [-1]
        assert_at_rest(batcher)
        assert batcher.statistics().withdrawn == 20_000

    async def test_all_who_wait_for_a_place_may_go(self) -> None:
        """Each of them leaves the line, and the door opens again."""
        held = Held()
        async with AsyncBatcher[int, int](
            held, max_queue_time=0, max_batch_size=10, max_queue_size=10, when_full="wait"
        ) as batcher:
            tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(2000)]
            await turns()
            for task in tasks[10:]:
                task.cancel()
            await turns()
            held.echo_all()
            assert await outcomes(list(tasks[:10])) == list(range(10))
            last = batcher.submit(-1)
            await turns()
            held.echo_all()
            assert await last == -1
        assert_at_rest(batcher)

    async def test_callers_that_come_and_go_at_random_hear_their_own_results_or_nothing(self) -> None:
        """The answer that somebody hears is always its own."""
        luck = random.Random(5)  # noqa: S311 - no secret

        async def process_batch(batch: list[int]) -> list[int]:
            for _ in range(luck.randrange(4)):
                await asyncio.sleep(0)
            return [-item for item in batch]

        async def caller(batcher: AsyncBatcher[int, int], item: int) -> None:
            assert await batcher.process(item) == -item

        async with AsyncBatcher[int, int](
            process_batch, max_queue_time=0, max_batch_size=7, concurrency=3, max_queue_size=20, when_full="wait"
        ) as batcher:
            tasks: list[asyncio.Task[None]] = []
            for item in range(1, 2001):
                tasks.append(asyncio.create_task(caller(batcher, item)))
                if luck.random() < 0.4:
                    luck.choice(tasks[-30:]).cancel()
                if luck.random() < 0.3:
                    await asyncio.sleep(0)
            answers = set(kinds(await asyncio.gather(*tasks, return_exceptions=True)))
        assert answers == {None, asyncio.CancelledError}
        assert_at_rest(batcher)
        figures = batcher.statistics()
        assert figures.accepted == figures.succeeded + figures.withdrawn

    async def test_one_future_awaited_by_several_tasks_is_one_item(self) -> None:
        """It is asyncio's own future, and behaves like one."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            future = batcher.submit(1)
            waiting = [asyncio.ensure_future(asyncio.shield(future)) for _ in range(3)]
            await turns()
            waiting[0].cancel()
            held.echo(0)
            assert kinds(await outcomes(list(waiting))) == [asyncio.CancelledError, 1, 1]
        assert held.batches == [[1]]


@virtually
async def test_a_future_that_somebody_else_has_answered_confuses_nobody() -> None:
    """It is theirs to answer; the batcher neither hangs nor loses count."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2) as batcher:
        futures = [batcher.submit(item) for item in range(6)]
        await turns()
        futures[0].set_result(-1)
        futures[2].set_result(-1)
        held.answer(0, ValueError("bad"))
        await turns()
        futures[3].set_exception(LookupError())
        held.answer(1, ValueError("worse"))
        await turns()
        held.answer(2, asyncio.CancelledError())
        await batcher.flush()
        assert kinds(await outcomes(futures))[:4] == [-1, ValueError, -1, LookupError]
    assert_at_rest(batcher)

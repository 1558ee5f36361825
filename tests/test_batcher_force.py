"""``stop(force=True)`` and ``stop(timeout=…)``: the end now, and an answer for everybody."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher, BatcherStoppedError, OutcomeUnknownError
from bulkwriter.dispatch import GRACE
from tests.processors import Echo, Held, Slow, Stubborn, assert_at_rest, kinds, outcomes, turns
from tests.virtual_time import virtually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class TestAnswers:
    """Each caller hears the truth about its own item."""

    async def test_in_flight_is_unknown_and_queued_is_not_written(self) -> None:
        """What was handed over may have been done; what was not, was not."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2, name="orders")
        futures = [batcher.submit(item) for item in range(7)]
        await turns()
        await batcher.stop(force=True)
        answers = await outcomes(futures)
        assert kinds(answers) == [OutcomeUnknownError] * 2 + [BatcherStoppedError] * 5
        assert len({id(answer) for answer in answers}) == 7
        assert [answer.attempts for answer in answers] == [1, 1, 0, 0, 0, 0, 0]
        assert [answer.safe_to_retry for answer in answers] == [False] * 2 + [True] * 5
        assert "AsyncBatcher orders" in str(answers[0])
        assert "AsyncBatcher orders" in str(answers[2])
        assert held.cancelled == [0]
        assert held.items == [0, 1]
        assert_at_rest(batcher)
        assert (batcher.statistics().unknown, batcher.statistics().not_written) == (2, 5)

    async def test_callers_that_wait_for_a_place_hear_that_nothing_was_written(self) -> None:
        """They count as accepted, and are answered like the queue."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1, max_queue_size=1, when_full="wait")
        tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(6)]
        await turns()
        many = asyncio.ensure_future(batcher.process_many(range(10, 13)))
        await turns()
        await batcher.stop(force=True)
        assert kinds(await outcomes(list(tasks))) == [OutcomeUnknownError] + [BatcherStoppedError] * 5
        assert kinds(await many) == [BatcherStoppedError] * 3
        assert_at_rest(batcher)

    async def test_callers_that_have_gone_are_counted_as_withdrawn_or_by_their_item_s_fate(self) -> None:
        """The figures balance whoever is still there to hear."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2, max_queue_size=2, when_full="wait")
        tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(6)]
        await turns()
        for task in tasks[1::2]:
            task.cancel()
        await batcher.stop(force=True)
        await outcomes(list(tasks))
        assert_at_rest(batcher)
        figures = batcher.statistics()
        assert (figures.unknown, figures.not_written, figures.withdrawn) == (2, 2, 2)

    async def test_items_that_were_in_the_door_when_it_came(self) -> None:
        """Submitted in the same turn of the loop: not yet sent, so not written."""
        echo = Echo()
        batcher = AsyncBatcher[int, int](echo, max_queue_time=0)
        futures = [batcher.submit(item) for item in range(3)]
        await batcher.stop(force=True)
        assert kinds(await outcomes(futures)) == [BatcherStoppedError] * 3
        assert echo.batches == []

    async def test_a_batch_that_has_ended_already_keeps_its_answers(self) -> None:
        """What is known is not unknown."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1, concurrency=2)
        futures = [batcher.submit(item) for item in range(3)]
        await turns()
        held.echo(0)
        await turns()
        await batcher.stop(force=True)
        assert kinds(await outcomes(futures)) == [0, OutcomeUnknownError, OutcomeUnknownError]

    @pytest.mark.parametrize("size", [999, 1000, 1001, 5000])
    async def test_in_the_middle_of_handing_out_answers_it_lets_that_end(self, size: int) -> None:
        """The batch is back, and what became of its items is known: nobody needs to hear that it is not."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0)
        futures = [batcher.submit(item) for item in range(size)]
        await turns()
        held.echo(0)
        await turns(2)
        await batcher.stop(force=True)
        assert kinds(await outcomes(futures)) == list(range(size))
        assert_at_rest(batcher)

    async def test_what_a_cancelled_batch_still_returns_changes_nothing(self) -> None:
        """Its callers have been told; nobody is told twice."""

        async def process_batch(batch: list[int]) -> list[int]:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return batch
            return []

        batcher = AsyncBatcher[int, int](process_batch, max_queue_time=0)
        futures = [batcher.submit(item) for item in range(3)]
        await turns()
        await batcher.stop(force=True)
        assert kinds(await outcomes(futures)) == [OutcomeUnknownError] * 3
        assert_at_rest(batcher)

    async def test_a_plain_function_goes_on_in_its_thread_and_nobody_waits_for_it(self) -> None:
        """A thread cannot be cancelled."""
        loop = asyncio.get_running_loop()
        entered, leave = asyncio.Event(), asyncio.Event()

        def process_batch(batch: list[int]) -> list[int]:
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(leave.wait(), loop).result(30)
            return batch

        batcher = AsyncBatcher[int, int](process_batch, max_queue_time=0)
        futures = [batcher.submit(item) for item in range(3)]
        await entered.wait()
        await batcher.stop(force=True)
        assert kinds(await outcomes(futures)) == [OutcomeUnknownError] * 3
        leave.set()
        await loop.shutdown_default_executor()
        assert_at_rest(batcher)


class TestStubborn:
    """A batch that ignores that it is cancelled does not keep the stop, nor anybody else."""

    @virtually
    async def test_it_is_left_behind_and_everybody_is_answered(self) -> None:
        """After a short grace, in which it could have ended."""
        stubborn = Stubborn()
        batcher = AsyncBatcher[int, int](stubborn, max_queue_time=0, max_batch_size=2, concurrency=2)
        futures = [batcher.submit(item) for item in range(7)]
        await turns()
        await batcher.stop(force=True)
        assert asyncio.get_running_loop().time() == pytest.approx(GRACE)
        assert stubborn.cancels == 2
        assert kinds(await outcomes(futures)) == [OutcomeUnknownError] * 4 + [BatcherStoppedError] * 3
        assert_at_rest(batcher)
        stubborn.released.set()
        await turns()
        assert_at_rest(batcher)

    @virtually
    async def test_callers_do_not_wait_out_the_grace(self) -> None:
        """It is for the batch, not for them."""
        stubborn = Stubborn()
        batcher = AsyncBatcher[int, int](stubborn, max_queue_time=0)
        future = batcher.submit(1)
        await turns()
        stopping = asyncio.ensure_future(batcher.stop(force=True))
        assert isinstance((await outcomes([future]))[0], OutcomeUnknownError)
        assert asyncio.get_running_loop().time() == 0
        await stopping
        stubborn.released.set()

    @virtually
    async def test_its_end_is_logged_with_the_name_and_a_count_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        """Somebody should know that something is still running."""
        stubborn = Stubborn()
        batcher = AsyncBatcher[str, str](stubborn, max_queue_time=0, name="orders")
        batcher.submit("secret item")
        await turns()
        await batcher.stop(force=True)
        stubborn.released.set()
        assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
            ("bulkwriter", logging.WARNING, "AsyncBatcher orders: 1 batches did not end when cancelled; left behind")
        ]

    @virtually
    async def test_a_batch_that_ends_within_the_grace_is_waited_for(self) -> None:
        """It may have to give back a connection."""
        cleaned_up: list[float] = []

        async def process_batch(batch: list[int]) -> list[int]:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(GRACE / 2)
                cleaned_up.append(asyncio.get_running_loop().time())
            return batch

        batcher = AsyncBatcher[int, int](process_batch, max_queue_time=0)
        future = batcher.submit(1)
        await turns()
        await batcher.stop(force=True)
        assert cleaned_up == [pytest.approx(GRACE / 2)]
        assert asyncio.get_running_loop().time() == pytest.approx(GRACE / 2)
        await outcomes([future])

    @virtually
    async def test_a_graceful_stop_that_waits_beside_returns_as_well(self) -> None:
        """It waits for the same end."""
        stubborn = Stubborn()
        batcher = AsyncBatcher[int, int](stubborn, max_queue_time=0)
        future = batcher.submit(1)
        await turns()
        graceful = asyncio.ensure_future(batcher.stop())
        flushing = asyncio.ensure_future(batcher.flush())
        await turns()
        await batcher.stop(force=True)
        await graceful
        assert (await flushing).unknown == 1
        stubborn.released.set()
        await outcomes([future])


class TestTimeout:
    """``stop(timeout=…)`` turns into force when the time is over."""

    @virtually
    async def test_what_is_not_finished_by_then_is_ended(self) -> None:
        """And what is, is."""
        slow = Slow(2)
        batcher = AsyncBatcher[int, int](slow, max_queue_time=0, max_batch_size=2)
        futures = [batcher.submit(item) for item in range(8)]
        await batcher.stop(timeout=5)
        assert kinds(await outcomes(futures)) == [
            *[0, 1, 2, 3],
            *[OutcomeUnknownError] * 2,
            *[BatcherStoppedError] * 2,
        ]
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        assert_at_rest(batcher)

    @virtually
    async def test_zero_seconds_are_force(self) -> None:
        """There is no time at all."""
        batcher = AsyncBatcher[int, int](Slow(2), max_queue_time=0)
        future = batcher.submit(1)
        await turns()
        await batcher.stop(timeout=0)
        assert kinds(await outcomes([future])) == [OutcomeUnknownError]
        assert asyncio.get_running_loop().time() == 0

    @virtually
    async def test_of_several_the_shortest_counts(self) -> None:
        """Whoever is in the greatest hurry ends it for all."""
        batcher = AsyncBatcher[int, int](Slow(100), max_queue_time=0)
        future = batcher.submit(1)
        await turns()
        stops = [asyncio.ensure_future(batcher.stop(timeout=timeout)) for timeout in (None, 50, 3, 20)]
        await asyncio.gather(*stops)
        assert asyncio.get_running_loop().time() == pytest.approx(3)
        assert kinds(await outcomes([future])) == [OutcomeUnknownError]


class TestEscalation:
    """A stop under way may be hurried."""

    @virtually
    async def test_force_ends_a_graceful_stop(self) -> None:
        """Both return, and everybody has an answer."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1)
        futures = [batcher.submit(item) for item in range(4)]
        graceful = asyncio.ensure_future(batcher.stop())
        await turns()
        held.echo(0)
        await turns()
        await batcher.stop(force=True)
        await graceful
        assert kinds(await outcomes(futures)) == [0, OutcomeUnknownError, BatcherStoppedError, BatcherStoppedError]
        assert_at_rest(batcher)

    @virtually
    async def test_several_forced_stops_at_once_are_one(self) -> None:
        """They do not get in each other's way, however much there is to be told."""
        held = Held()
        batcher = AsyncBatcher[int, int](
            held, max_queue_time=0, max_batch_size=1200, max_queue_size=2000, when_full="wait", concurrency=2
        )
        tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(6000)]
        await turns()
        stops = [asyncio.ensure_future(batcher.stop(force=True)) for _ in range(3)]
        await turns(2)
        stops += [asyncio.ensure_future(batcher.stop(timeout=0)), asyncio.ensure_future(batcher.stop())]
        await asyncio.gather(*stops)
        answers = kinds(await outcomes(list(tasks)))
        assert answers == [OutcomeUnknownError] * 2400 + [BatcherStoppedError] * 3600
        assert_at_rest(batcher)

    @pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 7])
    def test_a_forced_stop_whose_caller_is_cancelled_is_carried_out_all_the_same(self, after: int) -> None:
        """In whichever turn that happens: it has begun, and those not told yet would wait for ever."""

        @virtually
        async def scene() -> None:
            stubborn = Stubborn()
            batcher = AsyncBatcher[int, int](
                stubborn, max_queue_time=0, max_batch_size=1200, max_queue_size=1500, when_full="wait", concurrency=2
            )
            tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(5000)]
            await turns()
            stopping = asyncio.ensure_future(batcher.stop(force=True))
            await turns(after)
            stopping.cancel()
            answers = kinds(await outcomes(list(tasks)))
            assert answers == [OutcomeUnknownError] * 2400 + [BatcherStoppedError] * 2600
            await batcher.stop()
            assert_at_rest(batcher)
            stubborn.released.set()
            await outcomes([stopping])

        scene()

    @virtually
    async def test_a_graceful_stop_beside_a_forced_one_whose_caller_is_cancelled_ends_too(self) -> None:
        """Nobody depends on somebody else's patience."""
        stubborn = Stubborn()
        batcher = AsyncBatcher[int, int](stubborn, max_queue_time=0)
        future = batcher.submit(1)
        await turns()
        graceful = asyncio.ensure_future(batcher.stop())
        forced = asyncio.ensure_future(batcher.stop(force=True))
        await turns()
        forced.cancel()
        await graceful
        stubborn.released.set()
        assert kinds(await outcomes([future, forced])) == [OutcomeUnknownError, asyncio.CancelledError]


class TestCancelledFromOutside:
    """Somebody who cancels every task there is, as a shutdown handler may."""

    async def test_a_batch_in_flight_leaves_its_callers_with_an_unknown_outcome(self) -> None:
        """And the batcher goes on."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            futures = [batcher.submit(item) for item in range(3)]
            await turns()
            _cancel_all_others()
            assert kinds(await outcomes(futures)) == [OutcomeUnknownError] * 3
            later = batcher.submit(4)
            await turns()
            held.echo(1)
            assert await later == 4
        assert_at_rest(batcher)

    async def test_a_batch_that_has_not_begun_leaves_nobody_without_an_answer(self) -> None:
        """A task cancelled before its first step never runs at all: not even what would answer its callers."""
        echo = Echo()
        batcher = AsyncBatcher[int, int](echo, max_queue_time=0)
        me = asyncio.current_task()
        futures = [batcher.submit(item) for item in range(3)]
        # Called between the batch's departure and its first step.
        asyncio.get_running_loop().call_soon(lambda: [task.cancel() for task in asyncio.all_tasks() if task is not me])
        # Not wait_for, which is a task of its own on Python 3.11, and would be cancelled with the others.
        async with asyncio.timeout(30):
            answers = await outcomes(futures)
        if not echo.batches:
            assert all(isinstance(answer, Exception) for answer in answers)
            assert not any(isinstance(answer, asyncio.CancelledError) for answer in answers)
        await asyncio.wait_for(batcher.stop(), 30)
        assert_at_rest(batcher)

    def test_a_program_that_ends_before_its_batch_has_begun_leaves_nobody_without_an_answer(
        self, run: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        """``asyncio.run`` cancels every task at its end."""
        batchers: list[AsyncBatcher[int, int]] = []
        futures: list[asyncio.Future[int]] = []

        async def main() -> None:
            batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)
            batchers.append(batcher)
            loop = asyncio.get_running_loop()
            ended = loop.create_future()
            futures.append(batcher.submit(1))
            loop.call_soon(ended.set_result, None)
            await ended

        run(main())
        assert futures[0].done()
        assert batchers[0].statistics().is_balanced


def _cancel_all_others() -> None:
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()

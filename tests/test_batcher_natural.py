"""``max_queue_time=0`` batches naturally; and how many batches are in flight at once."""

from __future__ import annotations

import asyncio

import pytest

from bulkwriter import AsyncBatcher
from tests.processors import Echo, Held, Slow, assert_at_rest, outcomes, turns
from tests.virtual_time import virtually


class TestNatural:
    """No timer that anybody has to choose: batches are as large as the load makes them."""

    async def test_what_arrives_in_one_turn_of_the_loop_leaves_together_and_at_once(self) -> None:
        """A thousand callers that wake together are one batch."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0) as batcher:
            await asyncio.gather(*map(batcher.process, range(1000)))
        assert echo.batches == [list(range(1000))]

    @virtually
    async def test_a_lone_item_does_not_wait_at_all(self) -> None:
        """Not even for the shortest of timers."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0) as batcher:
            await batcher.process(1)
            await batcher.process(2)
        assert echo.batches == [[1], [2]]
        assert echo.times == [0, 0]

    async def test_what_arrives_while_a_batch_is_in_flight_leaves_together_when_it_ends(self) -> None:
        """Turn by turn they come, and wait as long as the one before needs."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
            futures = []
            for item in range(10):
                futures.append(batcher.submit(item))
                await turns()
            assert held.batches == [[0]]
            held.echo(0)
            await turns()
            assert held.batches == [[0], list(range(1, 10))]
            held.echo(1)
            assert await asyncio.gather(*futures) == list(range(10))

    async def test_a_full_batch_leaves_at_once_where_a_slot_is_free(self) -> None:
        """There is nothing to wait for."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=3, concurrency=2) as batcher:
            futures = [batcher.submit(0)]
            await turns()
            futures += [batcher.submit(item) for item in (1, 2, 3)]
            await turns()
            assert held.batches == [[0], [1, 2, 3]]
            held.echo_all()
            await asyncio.gather(*futures)

    async def test_a_batch_that_is_not_full_waits_although_a_slot_is_free(self) -> None:
        """Two half-empty batches side by side are no gain."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=3, concurrency=2) as batcher:
            futures = [batcher.submit(0)]
            await turns()
            futures.append(batcher.submit(1))
            await turns()
            assert held.batches == [[0]]
            held.echo(0)
            await turns()
            held.echo(1)
            await asyncio.gather(*futures)

    @virtually
    async def test_one_stuck_batch_does_not_hold_the_others(self) -> None:
        """A further slot opens when the oldest item has waited longer than a batch usually takes."""
        slow = Slow(0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1000, 0.1)
        async with AsyncBatcher[int, int](slow, max_queue_time=0, concurrency=2) as batcher:
            for item in range(10):
                await batcher.process(item)
            loop = asyncio.get_running_loop()
            stuck = batcher.submit(10)
            await asyncio.sleep(0.05)
            began = loop.time()
            assert await batcher.process(11) == 11
            # One usual batch of waiting, and one of its own; the usual time is still being learned.
            assert 0.1 < loop.time() - began < 0.25
            assert not stuck.done()
            assert await stuck == 10

    @virtually
    async def test_while_one_is_stuck_the_others_go_on_at_their_usual_pace(self) -> None:
        """The slots that are left do the work: nobody waits for the stuck one to end."""
        slow = Slow(1000, 0.01)
        async with AsyncBatcher[int, int](slow, max_queue_time=0, concurrency=2) as batcher:
            stuck = batcher.submit(0)
            await turns()
            loop = asyncio.get_running_loop()
            began = loop.time()
            for item in range(1, 50):
                assert await batcher.process(item) == item
            assert loop.time() - began < 49 * 0.05
            stuck.cancel()
            await batcher.stop(force=True)

    @virtually
    async def test_a_batch_that_was_stuck_for_long_does_not_make_the_others_wait_for_long(self) -> None:
        """What is usual is what most batches take: one outlier must not move it by much."""
        slow = Slow(*[0.01] * 20, 5000, 0.01, 3600, 0.01)
        async with AsyncBatcher[int, int](slow, max_queue_time=0, concurrency=2) as batcher:
            for item in range(20):
                await batcher.process(item)
            await batcher.process(20)
            await batcher.process(21)
            stuck = batcher.submit(22)
            await turns()
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await batcher.process(23) == 23
            assert loop.time() - began < 0.2
            stuck.cancel()
            await batcher.stop(force=True)

    @virtually
    async def test_what_is_usual_follows_when_batches_become_slower(self) -> None:
        """A server that is slower today is not taken for one that is stuck: batches stay full."""
        slow = Slow(*[0.01] * 5, 1.0)
        async with AsyncBatcher[int, int](slow, max_queue_time=0, concurrency=4) as batcher:
            for item in range(60):
                await batcher.process(item)
            before = len(slow.batches)
            lone = batcher.submit(0)
            await turns()
            futures = []
            for item in range(5):
                futures.append(batcher.submit(item))
                await asyncio.sleep(0.1)
            assert len(slow.batches) == before + 1
            await asyncio.gather(lone, *futures)
        assert slow.batches[-1] == [0, 1, 2, 3, 4]


class TestConcurrency:
    """At most ``concurrency`` batches are in flight at once."""

    @pytest.mark.parametrize("concurrency", [1, 2, 5])
    async def test_no_more_batches_are_in_flight_than_there_are_slots(self, concurrency: int) -> None:
        """Whatever is queued, and however full."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1, concurrency=concurrency) as batcher:
            futures = [batcher.submit(item) for item in range(8)]
            await turns()
            in_flight = []
            for number in range(8):
                in_flight.append(sum(not flight.done() for flight in held.flights))
                assert batcher.statistics().batches_in_flight == in_flight[-1]
                held.echo(number)
                await turns()
            assert max(in_flight) == concurrency
            assert await asyncio.gather(*futures) == list(range(8))

    async def test_without_a_limit_every_full_batch_leaves_at_once(self) -> None:
        """-1 means that there is none."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1, concurrency=-1) as batcher:
            futures = [batcher.submit(item) for item in range(100)]
            await turns()
            assert len(held.flights) == 100
            held.echo_all()
            await asyncio.gather(*futures)
        assert_at_rest(batcher)

    async def test_a_slot_is_free_again_when_its_batch_has_ended_in_whatever_way(self) -> None:
        """Well, badly, by nonsense, or because all its callers have gone."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1, concurrency=2) as batcher:
            futures = [batcher.submit(item) for item in range(8)]
            await turns()
            held.echo(1)
            held.answer(0, ValueError("bad"))
            await turns()
            held.answer(2, "nonsense")
            held.answer(3, asyncio.CancelledError())
            await turns()
            futures[4].cancel()
            futures[5].cancel()
            held.echo(4)
            held.echo(5)
            await turns()
            assert len(held.flights) == 8
            held.echo_all()
            await outcomes(futures)
        assert_at_rest(batcher)

    async def test_a_batch_that_takes_no_time_at_all_keeps_no_slot(self) -> None:
        """Also where tasks are eager, and it is over before it has begun."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0, max_batch_size=1) as batcher:
            assert await asyncio.gather(*map(batcher.process, range(2000))) == list(range(2000))
        assert echo.items == list(range(2000))

    async def test_batches_may_overtake_each_other_and_every_caller_hears_its_own(self) -> None:
        """The last one sent may be the first one back."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2, concurrency=3) as batcher:
            futures = [batcher.submit(item) for item in range(6)]
            await turns()
            for number in (2, 0, 1):
                held.answer(number, [10 * item for item in held.batches[number]])
                await turns()
            assert await asyncio.gather(*futures) == [0, 10, 20, 30, 40, 50]

    @virtually
    async def test_a_batch_may_wait_for_an_item_of_another_slot(self) -> None:
        """As a tree is walked: with one slot it would wait for its own end, with more it goes on in the next."""

        async def process_batch(batch: list[int]) -> list[int]:
            return [item + (await batcher.process(item - 1) if item else 0) for item in batch]

        batcher = AsyncBatcher[int, int](process_batch, max_queue_time=0, concurrency=5)
        async with batcher:
            assert await batcher.process(4) == 10
        assert_at_rest(batcher)

    async def test_a_caller_that_was_answered_finds_the_slot_free(self) -> None:
        """It sends its next item, and that may leave at once."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0, max_batch_size=1, max_queue_size=1) as batcher:
            for item in range(20):
                assert await batcher.process(item) == item

"""When a batch leaves: it is full, its oldest item has waited long enough, or somebody asks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bulkwriter import AsyncBatcher
from tests.processors import Echo, Held, Slow, assert_at_rest, outcomes, turns
from tests.virtual_time import virtually


class Sized(AsyncBatcher[Any, Any]):
    """Takes an item that is a number for so many bytes."""

    def item_size(self, item: Any) -> int:
        """Return the number itself."""
        return int(item)


async def trickle(batcher: AsyncBatcher[Any, Any], every: float, items: int) -> list[asyncio.Future[Any]]:
    """Submit an item every so many seconds."""
    futures = []
    for item in range(items):
        futures.append(batcher.submit(item))
        await asyncio.sleep(every)
    return futures


class TestSize:
    """``max_batch_size`` items fill a batch."""

    async def test_a_full_batch_leaves_at_once(self) -> None:
        """However long the others would have to wait for company."""
        echo = Echo()
        batcher = AsyncBatcher[int, int](echo, max_batch_size=3, max_queue_time=3600)
        futures = [batcher.submit(item) for item in range(7)]
        assert await asyncio.gather(*futures[:6]) == list(range(6))
        assert echo.batches == [[0, 1, 2], [3, 4, 5]]
        assert not futures[6].done()
        await batcher.stop()
        assert echo.batches == [[0, 1, 2], [3, 4, 5], [6]]

    async def test_a_batch_is_never_larger(self) -> None:
        """Not after a wait for a slot, nor when a stop asks for all."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_batch_size=3, max_queue_time=0)
        futures = [batcher.submit(item) for item in range(10)]
        stopping = asyncio.ensure_future(batcher.stop())
        for number in range(4):
            await turns()
            held.echo(number)
        await stopping
        assert await asyncio.gather(*futures) == list(range(10))
        assert held.batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]

    async def test_one_item_may_be_a_batch(self) -> None:
        """A limit of 1 is a limit like any other."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_batch_size=1, max_queue_time=3600) as batcher:
            await asyncio.gather(*map(batcher.process, range(3)))
        assert echo.batches == [[0], [1], [2]]

    async def test_without_a_limit_everything_that_waits_leaves_together(self) -> None:
        """-1 means that there is none."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0) as batcher:
            await asyncio.gather(*map(batcher.process, range(5000)))
        assert echo.batches == [list(range(5000))]
        assert batcher.statistics().largest_batch == 5000

    async def test_items_leave_in_the_order_in_which_they_came(self) -> None:
        """Within a batch, and from batch to batch."""
        slow = Slow(0)
        async with AsyncBatcher[int, int](slow, max_batch_size=7, max_queue_time=0) as batcher:
            await asyncio.gather(*map(batcher.process, range(100)))
        assert slow.items == list(range(100))


class TestBytes:
    """``max_batch_bytes`` fill a batch, as ``item_size`` counts them."""

    async def test_a_batch_holds_no_more_bytes_than_the_limit(self) -> None:
        """The item that would be too much opens the next one."""
        echo = Echo()
        async with Sized(echo, max_batch_bytes=10, max_queue_time=3600) as batcher:
            futures = [batcher.submit(item) for item in (4, 4, 4, 6, 1, 10, 3)]
            await turns()
            assert echo.batches == [[4, 4], [4, 6], [1], [10]]
        assert echo.batches == [[4, 4], [4, 6], [1], [10], [3]]
        await asyncio.gather(*futures)

    async def test_a_batch_that_has_its_bytes_leaves_at_once(self) -> None:
        """It is as full as by the number of its items."""
        echo = Echo()
        async with Sized(echo, max_batch_bytes=10, max_queue_time=3600) as batcher:
            assert await outcomes([batcher.submit(7), batcher.submit(3)]) == [7, 3]

    async def test_an_item_that_is_larger_travels_alone(self) -> None:
        """It is not refused, and it does not take others along."""
        echo = Echo()
        async with Sized(echo, max_batch_bytes=10, max_queue_time=0) as batcher:
            await asyncio.gather(*map(batcher.process, [1, 50, 2, 60, 70, 3]))
        assert echo.batches == [[1], [50], [2], [60], [70], [3]]

    async def test_the_first_limit_that_is_reached_counts(self) -> None:
        """Number or bytes."""
        echo = Echo()
        async with Sized(echo, max_batch_bytes=10, max_batch_size=3, max_queue_time=0) as batcher:
            await asyncio.gather(*map(batcher.process, [1, 1, 1, 1, 9, 1, 1]))
        assert echo.batches == [[1, 1, 1], [1, 9], [1, 1]]

    async def test_any_kind_of_integer_is_a_size(self) -> None:
        """Libraries have integers of their own."""

        class Integer:
            def __index__(self) -> int:
                return 6

        class Foreign(AsyncBatcher[int, int]):
            def item_size(self, _: int) -> Any:
                return Integer()

        echo = Echo()
        async with Foreign(echo, max_batch_bytes=12, max_queue_time=0) as batcher:
            await asyncio.gather(*map(batcher.process, range(3)))
        assert echo.batches == [[0, 1], [2]]

    async def test_items_of_no_size_are_counted_by_number_alone(self) -> None:
        """An empty text has no bytes, and is an item all the same."""
        echo = Echo()
        async with AsyncBatcher[str, str](echo, max_batch_bytes=4, max_batch_size=3, max_queue_time=0) as batcher:
            await asyncio.gather(*map(batcher.process, ["", "abcd", "", "", "", "", "x"]))
        assert echo.batches == [["", "abcd"], ["", "", ""], ["", "x"]]

    async def test_many_items_of_one_caller_are_counted_just_so(self) -> None:
        """``process_many`` keeps the same limits."""
        echo = Echo()
        async with Sized(echo, max_batch_bytes=10, max_queue_time=0) as batcher:
            assert await batcher.process_many([4, 4, 4, 50, 6]) == [4, 4, 4, 50, 6]
        assert echo.batches == [[4, 4], [4], [50], [6]]

    async def test_texts_and_bytes_count_their_length_and_other_things_their_memory(self) -> None:
        """So that a limit means something without a subclass."""
        batcher = AsyncBatcher[Any, Any](Echo())
        assert batcher.item_size("abc") == 3
        assert batcher.item_size(b"abcd") == 4
        assert batcher.item_size(bytearray(5)) == 5
        assert batcher.item_size([1, 2, 3]) > 3
        assert batcher.item_size(12) > 0

    @pytest.mark.parametrize("when_full", ["raise", "wait"])
    async def test_an_item_is_asked_for_its_size_once(self, when_full: Any) -> None:
        """It may have to be serialized for that: also one that waits for a place in the queue."""
        asked: list[int] = []

        class Counting(AsyncBatcher[int, int]):
            def item_size(self, item: int) -> int:
                asked.append(item)
                return 4

        async with Counting(
            Slow(0), max_batch_bytes=8, max_queue_bytes=8, when_full=when_full, max_queue_time=0
        ) as batcher:
            await asyncio.gather(*map(batcher.process, range(10)), return_exceptions=True)
            await batcher.process_many(range(10, 20))
        assert sorted(asked) == list(range(20))

    async def test_nobody_is_asked_for_a_size_that_does_not_matter(self) -> None:
        """Without a byte limit it is a waste of time."""

        class Refusing(AsyncBatcher[int, int]):
            def item_size(self, item: int) -> int:
                raise AssertionError(item)

        async with Refusing(Echo(), max_batch_size=2, max_queue_size=100, max_queue_time=0) as batcher:
            await asyncio.gather(*map(batcher.process, range(5)))
            await batcher.process_many(range(5))

    @pytest.mark.parametrize("when_full", ["raise", "wait"])
    async def test_what_item_size_raises_is_raised_to_the_item_s_caller_alone(self, when_full: Any) -> None:
        """The others go on, and the figures stay in balance."""
        echo = Echo()
        async with Sized(echo, max_batch_bytes=10, max_queue_bytes=100, when_full=when_full) as batcher:
            answers = await asyncio.gather(*map(batcher.process, [1, "x", 2]), return_exceptions=True)
            with pytest.raises(ValueError, match="invalid literal"):
                batcher.submit("y")
            many = await batcher.process_many([3, "z", 4])
        assert [answers[0], type(answers[1]), answers[2]] == [1, ValueError, 2]
        assert [many[0], type(many[1]), many[2]] == [3, ValueError, 4]
        assert echo.items == [1, 2, 3, 4]
        assert_at_rest(batcher)
        figures = batcher.statistics()
        assert (figures.accepted, figures.succeeded, figures.rejected) == (7, 4, 3)

    @pytest.mark.parametrize("size", [-1, 1.5, float("nan"), None, "3"], ids=repr)
    async def test_a_size_that_is_no_number_of_bytes_is_an_error_for_its_caller(self, size: Any) -> None:
        """Else the queue would count itself empty, or full for ever."""

        class Confused(AsyncBatcher[int, int]):
            def item_size(self, item: int) -> int:
                return size if item == 2 else 1

        async with Confused(Echo(), max_queue_bytes=2, when_full="wait", max_queue_time=0) as batcher:
            answers = await asyncio.gather(*map(batcher.process, [1, 2, 3, 4, 5]), return_exceptions=True)
            many = await batcher.process_many([1, 2, 3])
        assert isinstance(answers[1], TypeError | ValueError)
        assert isinstance(many[1], TypeError | ValueError)
        assert [answers[0], *answers[2:]] == [1, 3, 4, 5]
        assert_at_rest(batcher)


class TestAge:
    """``max_queue_time`` is the age of the oldest item: never a timer that begins anew with each item."""

    @virtually
    async def test_a_lone_item_leaves_after_max_queue_time(self) -> None:
        """It waits for company so long, and no longer."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0.5) as batcher:
            await asyncio.sleep(10)
            await batcher.process(1)
            assert echo.times == [pytest.approx(10.5)]

    @virtually
    async def test_items_that_trickle_in_do_not_keep_the_first_one_waiting(self) -> None:
        """The batch leaves max_queue_time after its first item, and the next after its own."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0.5) as batcher:
            await trickle(batcher, every=0.2, items=10)
            await asyncio.sleep(1)
        assert echo.batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
        assert echo.times == pytest.approx([0.5, 1.1, 1.7, 2.3])

    @virtually
    async def test_the_second_item_does_not_wait_anew(self) -> None:
        """An item at 0 and one at 0.19 leave at 0.2, and not at 0.39."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0.2) as batcher:
            first = batcher.submit(1)
            await asyncio.sleep(0.19)
            await asyncio.gather(first, batcher.submit(2))
        assert echo.batches == [[1, 2]]
        assert echo.times == [pytest.approx(0.2)]

    @virtually
    async def test_the_time_spent_waiting_for_a_slot_counts(self) -> None:
        """What has waited long enough behind a slow batch leaves at once when that is back."""
        slow = Slow(1.0)
        async with AsyncBatcher[int, int](slow, max_queue_time=0.5) as batcher:
            first = batcher.submit(1)
            await asyncio.sleep(0.6)
            second = batcher.submit(2)
            await asyncio.sleep(0.8)
            third = batcher.submit(3)
            await asyncio.gather(first, second, third)
        assert slow.batches == [[1], [2, 3]]
        assert slow.times == pytest.approx([0.5, 1.5])

    @virtually
    async def test_what_has_not_waited_long_enough_waits_the_rest_after_a_slow_batch(self) -> None:
        """A free slot alone is no reason to leave."""
        slow = Slow(1.0)
        async with AsyncBatcher[int, int](slow, max_queue_time=0.5) as batcher:
            first = batcher.submit(1)
            await asyncio.sleep(1.3)
            await asyncio.gather(first, batcher.submit(2))
        assert slow.times == pytest.approx([0.5, 1.8])

    @virtually
    async def test_a_full_batch_does_not_hurry_the_items_behind_it(self) -> None:
        """Those wait for company of their own."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_batch_size=2, max_queue_time=0.5) as batcher:
            await asyncio.gather(*map(batcher.process, range(3)))
        assert echo.batches == [[0, 1], [2]]
        assert echo.times == pytest.approx([0.0, 0.5])

    @virtually
    async def test_the_time_spent_waiting_for_a_place_counts(self) -> None:
        """Who waited at the door is not made to wait for company all over again: the age counts from the call."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=10, max_queue_size=2, when_full="wait") as batcher:
            early = [batcher.submit(1), batcher.submit(2)]
            await asyncio.sleep(1)
            parked = asyncio.ensure_future(batcher.process(3))
            await asyncio.sleep(8)
            many = asyncio.ensure_future(batcher.process_many([4, 5]))
            await asyncio.gather(*early, parked, many)
        assert echo.batches[0] == [1, 2]
        assert echo.batches[1][0] == 3
        assert echo.times[:2] == pytest.approx([10, 11])
        assert echo.times[-1] <= 19

    @virtually
    async def test_nobody_waits_longer_than_max_queue_time_while_slots_are_free(self) -> None:
        """Whatever else arrives, leaves or is cancelled in between."""
        echo = Echo()
        async with AsyncBatcher[float, float](echo, max_queue_time=0.3, max_batch_size=4, concurrency=-1) as batcher:
            loop = asyncio.get_running_loop()
            futures = []
            for step in range(60):
                futures.append(batcher.submit(loop.time()))
                if step % 3 == 0:
                    futures.pop().cancel()
                await asyncio.sleep(0.01 * (step % 13))
            await asyncio.gather(*futures)
        waits = [when - item for when, batch in zip(echo.times, echo.batches, strict=True) for item in batch]
        assert len(waits) == 40
        assert max(waits) <= 0.3 + 1e-6

    @virtually
    async def test_an_idle_batcher_sets_no_timer(self) -> None:
        """It costs nothing while nothing is queued: the loop could sleep for ever."""
        async with AsyncBatcher[int, int](Echo(), max_queue_time=0.01) as batcher:
            await batcher.process(1)
            loop: Any = asyncio.get_running_loop()
            await asyncio.sleep(1)
            assert [handle for handle in loop._scheduled if not handle.cancelled()] == []

    async def test_items_leave_after_max_queue_time_on_a_real_clock(self) -> None:
        """Whatever the loop makes of small times."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0.003) as batcher:
            for item in range(5):
                assert await batcher.process(item) == item
        assert echo.batches == [[0], [1], [2], [3], [4]]

"""A queue that is full: refusing or waiting, in order of arrival, and nobody forgotten at the door."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher, QueueFullError, QueueFullException, RowTooLargeError
from tests.processors import Echo, Held, assert_at_rest, kinds, outcomes, turns
from tests.virtual_time import virtually

if TYPE_CHECKING:
    from collections.abc import Iterator


def start(batcher: AsyncBatcher[Any, Any], *items: Any) -> list[asyncio.Future[Any]]:
    """Let a task for each of these items process it."""
    return [asyncio.ensure_future(batcher.process(item)) for item in items]


class TestRaising:
    """``when_full="raise"``, the default."""

    async def test_who_finds_the_queue_full_hears_so_at_once(self) -> None:
        """It does not wait, and its item is not taken."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_queue_size=2) as batcher:
            first = batcher.submit(0)
            await turns()
            futures = start(batcher, 1, 2, 3)
            await turns()
            assert futures[2].done()
            with pytest.raises(QueueFullError, match="AsyncBatcher is full: 2 rows are queued"):
                await futures[2]
            with pytest.raises(QueueFullException):
                batcher.submit(4)
            held.echo(0)
            await turns()
            held.echo(1)
            assert await outcomes([first, *futures[:2]]) == [0, 1, 2]
        assert held.batches == [[0], [1, 2]]
        assert batcher.statistics().accepted == 3

    async def test_what_is_in_flight_does_not_count(self) -> None:
        """The limit is that of the queue."""
        held = Held()
        async with AsyncBatcher[int, int](
            held, max_queue_time=0, max_queue_size=1, max_batch_size=1, concurrency=3
        ) as batcher:
            futures = []
            for item in range(4):
                futures.append(batcher.submit(item))
                await turns()
            with pytest.raises(QueueFullError):
                batcher.submit(4)
            held.echo_all()
            await turns()
            held.echo_all()
            assert await outcomes(futures) == [0, 1, 2, 3]

    async def test_there_is_room_again_as_soon_as_a_batch_has_left(self) -> None:
        """A place belongs to what is queued, and to nothing else."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0, max_queue_size=1) as batcher:
            for item in range(50):
                assert await batcher.process(item) == item

    async def test_the_places_of_callers_that_have_gone_are_free(self) -> None:
        """Nobody is refused for the sake of an item that nobody wants."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_queue_size=2) as batcher:
            first = batcher.submit(0)
            await turns()
            gone = [batcher.submit(1), batcher.submit(2)]
            for future in gone:
                future.cancel()
            kept = [batcher.submit(3), batcher.submit(4)]
            with pytest.raises(QueueFullError):
                batcher.submit(5)
            held.echo(0)
            await turns()
            held.echo(1)
            assert await outcomes([first, *kept]) == [0, 3, 4]
        assert held.batches == [[0], [3, 4]]
        assert_at_rest(batcher)

    async def test_an_overload_does_not_search_the_queue_for_each_caller_it_refuses(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Looking for callers that have gone takes a tenth of the time at most, on a loop with any clock."""
        clock = iter(range(10**6))
        monkeypatch.setattr("time.perf_counter", lambda: next(clock))
        searches: list[int] = []

        class Watched(AsyncBatcher[int, int]):
            def _drop_withdrawn(self, batch: Any) -> None:
                searches.append(len(batch.items))
                super()._drop_withdrawn(batch)

        held = Held()
        async with Watched(held, max_queue_time=0, max_queue_size=500) as batcher:
            futures = [batcher.submit(item) for item in range(500)]
            for _ in range(1000):
                with pytest.raises(QueueFullError):
                    batcher.submit(-1)
            assert len(searches) < 300
            await turns()
            held.echo_all()
            await outcomes(futures)


class TestWaiting:
    """``when_full="wait"``."""

    async def test_callers_enter_in_the_order_in_which_they_came(self) -> None:
        """And none of them hears of the limit."""
        echo = Echo()
        async with AsyncBatcher[int, int](
            echo, max_queue_time=0, max_batch_size=3, max_queue_size=3, when_full="wait"
        ) as batcher:
            assert await outcomes(start(batcher, *range(200))) == list(range(200))
        assert echo.items == list(range(200))

    async def test_the_queue_never_holds_more_than_its_limit(self) -> None:
        """Whoever waits does so outside."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_queue_size=3, when_full="wait") as batcher:
            futures = start(batcher, *range(20))
            for _ in range(20):
                await turns()
                assert batcher._queued <= 3
                held.echo_all()
            assert await outcomes(futures) == list(range(20))
        assert max(map(len, held.batches)) <= 3

    async def test_who_waits_counts_as_accepted_and_queued(self) -> None:
        """It is the batcher's to finish."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_queue_size=2, when_full="wait") as batcher:
            futures = start(batcher, *range(7))
            await turns()
            figures = batcher.statistics()
            assert (figures.accepted, figures.queued, figures.in_flight) == (7, 5, 2)
            assert figures.is_balanced
            for _ in range(4):
                held.echo_all()
                await turns()
            await outcomes(futures)
        assert_at_rest(batcher)

    async def test_nobody_overtakes_who_waits(self) -> None:
        """Not even where there is a place for a moment, and not by ``submit``."""
        held = Held()
        async with AsyncBatcher[int, int](
            held, max_queue_time=0, max_batch_size=1, max_queue_size=1, when_full="wait"
        ) as batcher:
            futures = start(batcher, 0, 1, 2)
            await turns()
            for number in range(3):
                with pytest.raises(QueueFullError):
                    batcher.submit(99)
                futures += start(batcher, 3 + number)
                held.echo(number)
                await turns()
            for _ in range(6):
                held.echo_all()
                await turns()
            assert await outcomes(futures) == list(range(6))
        assert held.items == list(range(6))

    async def test_submit_does_not_wait(self) -> None:
        """It cannot: it is no coroutine."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_queue_size=1, when_full="wait") as batcher:
            futures = [batcher.submit(0)]
            with pytest.raises(QueueFullError):
                batcher.submit(1)
            await turns()
            held.echo_all()
            await outcomes(futures)

    async def test_a_cancelled_caller_leaves_the_line_and_the_others_move_up(self) -> None:
        """Its item is never sent."""
        held = Held()
        async with AsyncBatcher[int, int](
            held, max_queue_time=0, max_batch_size=1, max_queue_size=1, when_full="wait"
        ) as batcher:
            futures = start(batcher, *range(5))
            await turns()
            futures[3].cancel()
            futures[2].cancel()
            await turns()
            assert batcher.statistics().is_balanced
            for _ in range(5):
                held.echo_all()
                await turns()
            answers = kinds(await outcomes(futures))
        assert answers == [0, 1, asyncio.CancelledError, asyncio.CancelledError, 4]
        assert held.items == [0, 1, 4]
        assert_at_rest(batcher)

    async def test_who_waits_has_the_place_of_a_caller_that_has_gone(self) -> None:
        """At once, although nothing leaves: the batch in flight may be stuck."""
        held = Held()
        async with AsyncBatcher[int, int](held, max_queue_time=0, max_queue_size=2, when_full="wait") as batcher:
            futures = start(batcher, 0)
            await turns()
            futures += start(batcher, 1, 2, 3, 4)
            await turns()
            futures[1].cancel()
            await turns()
            assert batcher._queued == 2
            assert len(batcher._waiting) == 1
            held.echo(0)
            await turns()
            assert held.batches[1] == [2, 3]
            held.echo(1)
            await turns()
            held.echo_all()
            await outcomes(futures)

    @virtually
    async def test_who_waits_enters_when_everybody_before_it_has_gone(self) -> None:
        """Nobody may be left at the door of an empty house: it would wait until somebody else comes, or for ever."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=1, max_queue_size=2, when_full="wait") as batcher:
            gone = [batcher.submit(0), batcher.submit(1)]
            waiting = start(batcher, 2)
            await turns(1)
            for future in gone:
                future.cancel()
            assert await outcomes(waiting) == [2]
        assert echo.batches == [[2]]

    async def test_a_caller_of_many_that_has_gone_does_not_keep_those_behind_it_out(self) -> None:
        """It may have needed more places than there are, and they fewer."""
        held = Held()
        async with AsyncBatcher[int, int](
            held, max_queue_time=0, max_batch_size=3, max_queue_size=3, when_full="wait"
        ) as batcher:
            futures = start(batcher, 0)
            await turns()
            futures += start(batcher, 1)
            await turns()
            many = asyncio.ensure_future(batcher.process_many(range(10, 16)))
            await turns()
            futures += start(batcher, 2)
            await turns()
            many.cancel()
            await turns()
            futures.append(batcher.submit(3))
            held.echo(0)
            await turns()
            held.echo(1)
            assert await outcomes(futures) == [0, 1, 2, 3]
        assert held.items == [0, 1, 2, 3]
        assert_at_rest(batcher)
        assert batcher.statistics().withdrawn == 3

    async def test_a_failed_batch_lets_in_those_who_wait(self) -> None:
        """In whatever way it ends."""
        held = Held()
        async with AsyncBatcher[int, int](
            held, max_queue_time=0, max_batch_size=1, max_queue_size=1, when_full="wait"
        ) as batcher:
            futures = start(batcher, *range(5))
            for number, end in enumerate([ValueError(), asyncio.CancelledError(), "nonsense", [1, 2, 3], [7]]):
                await turns()
                held.answer(number, end)
            answers = kinds(await outcomes(futures))
        assert answers[-1] == 7
        assert held.items == list(range(5))
        assert_at_rest(batcher)

    @virtually
    async def test_a_stop_finishes_those_who_wait(self) -> None:
        """They were accepted."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=3600, max_queue_size=2, when_full="wait")
        futures = start(batcher, *range(7))
        await turns()
        stopping = asyncio.ensure_future(batcher.stop())
        for _ in range(4):
            await turns()
            held.echo_all()
        await stopping
        assert await outcomes(futures) == list(range(7))
        assert held.items == list(range(7))
        assert_at_rest(batcher)

    async def test_nobody_waits_without_a_limit(self) -> None:
        """-1 means that there is none."""
        echo = Echo()
        async with AsyncBatcher[int, int](echo, max_queue_time=0, when_full="wait") as batcher:
            futures = [batcher.submit(item) for item in range(5000)]
            assert await outcomes(futures) == list(range(5000))


class TestBytes:
    """``max_queue_bytes`` limits the queue as well."""

    async def test_who_finds_too_many_bytes_queued_hears_so(self) -> None:
        """As with the number of items."""
        held = Held()
        async with AsyncBatcher[str, str](held, max_queue_time=0, max_queue_bytes=10) as batcher:
            futures = [batcher.submit("12345")]
            await turns()
            futures += [batcher.submit("1234567"), batcher.submit("123")]
            with pytest.raises(QueueFullError):
                batcher.submit("1")
            with pytest.raises(QueueFullError):
                await batcher.process("1")
            held.echo(0)
            await turns()
            held.echo(1)
            assert await outcomes(futures) == ["12345", "1234567", "123"]
        assert_at_rest(batcher)

    @virtually
    async def test_who_finds_too_many_bytes_queued_may_wait(self) -> None:
        """Nobody who asked to wait is refused, and nobody small overtakes somebody large."""
        held = Held()
        async with AsyncBatcher[str, str](held, max_queue_time=0, max_queue_bytes=10, when_full="wait") as batcher:
            futures = start(batcher, "12345")
            await turns()
            futures += start(batcher, "1234567", "1234", "1", "123456789", "2")
            for _ in range(6):
                await turns()
                assert batcher.statistics().queued_bytes <= 10
                held.echo_all()
            assert await outcomes(futures) == ["12345", "1234567", "1234", "1", "123456789", "2"]
        assert held.items == ["12345", "1234567", "1234", "1", "123456789", "2"]
        assert_at_rest(batcher)

    @pytest.mark.parametrize("when_full", ["raise", "wait"])
    async def test_an_item_larger_than_the_whole_queue_is_an_error_at_once(self, when_full: Any) -> None:
        """It would wait for ever. The message tells sizes, and nothing of the item."""
        echo = Echo()
        async with AsyncBatcher[str, str](echo, max_queue_time=0, max_queue_bytes=10, when_full=when_full) as batcher:
            with pytest.raises(RowTooLargeError, match=r"^AsyncBatcher: 11 bytes exceed max_queue_bytes, which is 10$"):
                await batcher.process("x" * 11)
            with pytest.raises(RowTooLargeError):
                batcher.submit("x" * 11)
            many = await batcher.process_many(["a", "x" * 11, "b"])
            assert kinds(many) == ["a", RowTooLargeError, "b"]
        figures = batcher.statistics()
        assert (figures.accepted, figures.rejected, figures.succeeded) == (5, 3, 2)
        assert_at_rest(batcher)

    async def test_many_items_of_one_caller_keep_to_it(self) -> None:
        """However large its portions are, no more bytes are queued than the limit says."""
        most = 0

        async def process_batch(batch: list[str]) -> list[str]:
            nonlocal most
            for _ in range(3):
                most = max(most, batcher.statistics().queued_bytes)
                await asyncio.sleep(0)
            return batch

        batcher = AsyncBatcher[str, str](process_batch, max_queue_time=0, max_queue_bytes=1000)
        async with batcher:
            many = await asyncio.gather(*(batcher.process_many(["x" * 300] * 50) for _ in range(3)))
        assert [len(answers) for answers in many] == [50, 50, 50]
        assert 300 <= most <= 1000

    async def test_the_first_limit_that_is_reached_counts(self) -> None:
        """Number or bytes."""
        held = Held()
        async with AsyncBatcher[str, str](held, max_queue_time=0, max_queue_bytes=10, max_queue_size=2) as batcher:
            futures = [batcher.submit("a"), batcher.submit("b")]
            with pytest.raises(QueueFullError):
                batcher.submit("c")
            await turns()
            futures.append(batcher.submit("x" * 10))
            with pytest.raises(QueueFullError):
                batcher.submit("d")
            held.echo(0)
            await turns()
            held.echo(1)
            assert await outcomes(futures) == ["a", "b", "x" * 10]


def letters(times: int) -> Iterator[str]:
    """Return so many items of one byte."""
    return iter("x" * times)


async def test_two_callers_of_many_share_a_queue_of_one_place() -> None:
    """The smallest queue there is does not stop anybody."""
    echo = Echo()
    async with AsyncBatcher[str, str](echo, max_queue_time=0, max_queue_size=1, when_full="wait") as batcher:
        answers = await asyncio.gather(
            batcher.process_many(letters(30)), batcher.process_many(letters(30)), batcher.process("y")
        )
    assert list(answers) == [["x"] * 30, ["x"] * 30, "y"]
    assert_at_rest(batcher)

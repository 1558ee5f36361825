"""``process_many``: any number of items of one caller, their answers in order, and never more queued than may be."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher, BatcherStoppedError, MisconfigurationError, OutcomeUnknownError
from tests.processors import Echo, Held, Slow, assert_at_rest, kinds, outcomes, turns
from tests.virtual_time import virtually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SHAPES = [
    {},
    {"max_batch_size": 7},
    {"max_batch_size": 7, "concurrency": 3},
    {"max_batch_size": 1, "concurrency": -1},
    {"max_batch_size": 7, "max_queue_size": 3},
    {"max_batch_size": 7, "max_queue_size": 7, "when_full": "wait"},
    {"max_batch_size": 100, "max_queue_size": 150},
    {"max_queue_size": 1},
    {"max_batch_bytes": 500, "max_queue_bytes": 2000},
    {"max_batch_size": 20_000},
    {"max_queue_time": 0.001, "max_batch_size": 64},
]


def batcher_of(function: Any, **options: Any) -> AsyncBatcher[Any, Any]:
    """Return a batcher that batches naturally, unless told otherwise."""
    return AsyncBatcher(function, **{"max_queue_time": 0, **options})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
async def test_results_come_in_the_order_of_the_items(shape: dict[str, Any]) -> None:
    """Whatever batches they were in."""
    echo = Echo()
    async with batcher_of(echo, **shape) as batcher:
        assert await batcher.process_many(range(1000)) == list(range(1000))
    assert echo.items == list(range(1000))
    assert_at_rest(batcher)
    assert batcher.statistics().succeeded == 1000


@pytest.mark.parametrize("shape", SHAPES, ids=str)
async def test_exceptions_come_in_their_places_and_nothing_is_raised(shape: dict[str, Any]) -> None:
    """One bad item, or one bad batch, does not hide the fate of the others."""

    async def process_batch(batch: list[int]) -> list[Any]:
        if 500 in batch:
            message = "all of it"
            raise LookupError(message)
        return [ValueError(item) if item % 10 == 3 else item for item in batch]

    async with batcher_of(process_batch, **shape) as batcher:
        answers = await batcher.process_many(range(1000))
    assert len(answers) == 1000
    for item, answer in enumerate(answers):
        if isinstance(answer, LookupError):
            continue
        assert kinds([answer]) == [ValueError if item % 10 == 3 else item]
    assert isinstance(answers[500], LookupError)
    assert_at_rest(batcher)


async def test_none_means_none_for_every_item() -> None:
    """As for single ones, in full batches and in those that are not."""

    async def process_batch(_: list[int]) -> None:
        return None

    async with batcher_of(process_batch, max_batch_size=3) as batcher:
        assert await batcher.process_many(range(10)) == [None] * 10


async def test_no_items_are_no_work() -> None:
    """And an empty list of answers."""
    echo = Echo()
    async with batcher_of(echo) as batcher:
        assert await batcher.process_many([]) == []
        assert await batcher.process_many(iter(())) == []
    assert echo.batches == []
    assert batcher.statistics().accepted == 0


async def test_any_iterable_will_do() -> None:
    """Read once, from its beginning to its end."""
    async with batcher_of(Echo(), max_batch_size=3) as batcher:
        assert await batcher.process_many({"a": 1, "b": 2}) == ["a", "b"]
        assert await batcher.process_many(item for item in range(5)) == [0, 1, 2, 3, 4]
        assert await batcher.process_many("abcd") == ["a", "b", "c", "d"]
        assert await batcher.process_many(map(str, range(4))) == ["0", "1", "2", "3"]


async def test_what_is_no_iterable_is_a_type_error() -> None:
    """And nothing else happens."""

    async def generate() -> AsyncIterator[int]:
        yield 1

    async with batcher_of(Echo()) as batcher:
        with pytest.raises(TypeError):
            await batcher.process_many(3)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await batcher.process_many(generate())  # type: ignore[arg-type]
    assert_at_rest(batcher)


async def test_items_are_taken_from_the_iterable_as_places_come_free() -> None:
    """A file of any length is never in memory as a whole."""
    held = Held()
    taken = 0

    def generate() -> Iterator[int]:
        nonlocal taken
        for item in range(1000):
            taken += 1
            yield item

    async with batcher_of(held, max_batch_size=10, max_queue_size=20) as batcher:
        task = asyncio.ensure_future(batcher.process_many(generate()))
        for number in range(100):
            await turns()
            # What is in flight, what is queued, and the portion that waits at the door.
            assert taken <= 10 * (number + 1) + 20 + 10
            held.echo(number)
        assert await task == list(range(1000))
    assert held.items == list(range(1000))


@pytest.mark.parametrize("when_full", ["raise", "wait"])
async def test_it_waits_for_places_whatever_when_full_says(when_full: Any) -> None:
    """To be refused in the middle would help nobody."""
    echo = Echo()
    async with batcher_of(echo, max_queue_size=1, when_full=when_full) as batcher:
        assert await batcher.process_many(range(300)) == list(range(300))


async def test_callers_of_many_and_of_single_items_take_turns() -> None:
    """Nobody is kept waiting until a long call is over."""
    done: list[str] = []

    async def many(batcher: AsyncBatcher[int, int]) -> None:
        await batcher.process_many(range(5000))
        done.append("many")

    async def one(batcher: AsyncBatcher[int, int]) -> None:
        await batcher.process(-1)
        done.append("one")

    async with batcher_of(Slow(0), max_batch_size=10, max_queue_size=20, when_full="wait") as batcher:
        tasks = [asyncio.ensure_future(many(batcher))]
        await turns()
        tasks += [asyncio.ensure_future(one(batcher)) for _ in range(5)]
        await asyncio.gather(*tasks)
    assert done == ["one"] * 5 + ["many"]


async def test_items_do_not_overtake_those_that_came_before() -> None:
    """Not even a full batch those that still wait for company."""
    echo = Echo()
    async with batcher_of(echo, max_queue_time=3600, max_batch_size=3) as batcher:
        futures = [batcher.submit(0), batcher.submit(1)]
        many = asyncio.ensure_future(batcher.process_many(range(10, 16)))
        await turns()
        futures.append(batcher.submit(2))
        await batcher.flush()
        assert await many == list(range(10, 16))
        await outcomes(futures)
    assert echo.items == [0, 1, 10, 11, 12, 13, 14, 15, 2]


@virtually
async def test_a_portion_that_fills_no_batch_waits_for_company_like_single_items() -> None:
    """It shares its batch with whoever comes within max_queue_time."""
    echo = Echo()
    async with batcher_of(echo, max_queue_time=1, max_batch_size=10) as batcher:
        many = asyncio.ensure_future(batcher.process_many(range(3)))
        await asyncio.sleep(0.5)
        await asyncio.gather(many, batcher.submit(3))
    assert echo.batches == [[0, 1, 2, 3]]
    assert echo.times == [pytest.approx(1)]


class TestCancelled:
    """A caller that is cancelled takes along what is still queued."""

    async def test_what_is_queued_is_never_sent_and_what_is_in_flight_goes_on(self) -> None:
        """As for single items."""
        held = Held()
        async with batcher_of(held, max_batch_size=3) as batcher:
            task = asyncio.ensure_future(batcher.process_many(range(10)))
            await turns(20)
            task.cancel()
            assert kinds(await outcomes([task])) == [asyncio.CancelledError]
            held.echo(0)
        assert held.batches == [[0, 1, 2]]
        figures = batcher.statistics()
        assert (figures.accepted, figures.succeeded, figures.withdrawn) == (10, 3, 7)
        assert_at_rest(batcher)

    async def test_what_waits_for_a_place_is_never_sent(self) -> None:
        """Nor is what has not been taken from the iterable."""
        held = Held()
        async with batcher_of(held, max_batch_size=3, max_queue_size=3) as batcher:
            task = asyncio.ensure_future(batcher.process_many(iter(range(100))))
            await turns(20)
            assert batcher.statistics().accepted == 9
            task.cancel()
            await outcomes([task])
            held.echo(0)
        assert held.batches == [[0, 1, 2]]
        assert batcher.statistics().withdrawn == 6
        assert_at_rest(batcher)

    async def test_its_neighbours_in_a_batch_do_not_notice(self) -> None:
        """Neither in flight nor queued."""
        held = Held()
        async with batcher_of(held) as batcher:
            first = batcher.submit(-1)
            task = asyncio.ensure_future(batcher.process_many(range(3)))
            await turns()
            queued = [batcher.submit(-2)]
            second = asyncio.ensure_future(batcher.process_many(range(3, 6)))
            await turns()
            queued.append(batcher.submit(-3))
            task.cancel()
            second.cancel()
            await turns()
            held.echo_all()
            await turns()
            held.echo_all()
            assert await outcomes([first, *queued]) == [-1, -2, -3]
        assert held.batches[-1][-2:] == [-2, -3]
        assert not set(held.items) & {3, 4, 5}
        assert_at_rest(batcher)


class TestRaisingIterable:
    """An iterable that raises in the middle."""

    async def test_its_error_is_raised_and_what_is_queued_is_withdrawn(self) -> None:
        """The caller hears why, and nothing more is sent behind its back."""
        held = Held()

        def generate() -> Iterator[int]:
            yield from range(10)
            message = "end of tape"
            raise OSError(message)

        async with batcher_of(held, max_batch_size=3) as batcher:
            stranger = batcher.submit(-1)
            await turns()
            task = asyncio.ensure_future(batcher.process_many(generate()))
            await turns(20)
            held.echo(0)
            assert kinds(await outcomes([task, stranger])) == [OSError, -1]
        assert held.items == [-1]
        assert_at_rest(batcher)

    async def test_an_endless_iterable_may_raise_in_the_end(self) -> None:
        """Back-pressure keeps it in bounds until then."""
        echo = Echo()

        def generate() -> Iterator[int]:
            for item in itertools.count():
                if item == 2000:
                    message = "enough"
                    raise LookupError(message)
                yield item

        async with batcher_of(echo, max_batch_size=10, max_queue_size=10) as batcher:
            with pytest.raises(LookupError):
                await batcher.process_many(generate())
        assert batcher.statistics().accepted <= 2000
        assert_at_rest(batcher)

    @pytest.mark.parametrize("end", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
    async def test_whatever_it_raises_leaves_the_batcher_in_order(self, end: type[BaseException]) -> None:
        """Also what no ``except Exception`` catches."""

        def generate() -> Iterator[int]:
            yield from range(5)
            raise end

        async with batcher_of(Echo(), max_batch_size=2) as batcher:
            caught: list[type[BaseException]] = []
            try:
                await batcher.process_many(generate())
            except BaseException as error:  # noqa: BLE001 - any of them
                caught.append(type(error))
            assert caught == [end]
            assert await batcher.process(1) == 1
        assert_at_rest(batcher)


class TestStopped:
    """A stop in the middle."""

    async def test_what_was_accepted_is_finished_and_the_rest_is_told_so_in_its_place(self) -> None:
        """So the caller knows of every item what became of it."""
        held = Held()
        batcher = batcher_of(held, max_batch_size=3, max_queue_size=3)
        task = asyncio.ensure_future(batcher.process_many(iter(range(20))))
        await turns(20)
        accepted = batcher.statistics().accepted
        assert accepted == 9
        stopping = asyncio.ensure_future(batcher.stop())
        for _ in range(4):
            await turns()
            held.echo_all()
        await stopping
        answers = await task
        assert kinds(answers) == [*range(9), *[BatcherStoppedError] * 11]
        assert len({id(answer) for answer in answers[9:]}) == 11
        assert_at_rest(batcher)
        assert batcher.statistics().not_written == 11

    async def test_a_forced_stop_tells_each_item_the_truth(self) -> None:
        """In flight: unknown; queued, at the door or still outside: not written."""
        held = Held()
        batcher = batcher_of(held, max_batch_size=3, max_queue_size=3)
        task = asyncio.ensure_future(batcher.process_many(iter(range(20))))
        await turns(20)
        await batcher.stop(force=True)
        answers = await task
        assert kinds(answers) == [OutcomeUnknownError] * 3 + [BatcherStoppedError] * 17
        assert_at_rest(batcher)

    async def test_after_a_stop_it_is_refused(self) -> None:
        """Before anything is taken from the iterable's second portion."""
        batcher = batcher_of(Echo())
        await batcher.stop()
        with pytest.raises(BatcherStoppedError):
            await batcher.process_many([1, 2, 3])
        assert batcher.statistics().accepted == 0

    @pytest.mark.parametrize("options", [{"max_batch_size": 3}, {}, {"max_queue_bytes": 1000}], ids=str)
    async def test_an_endless_iterable_does_not_hold_the_loop_after_a_stop(self, options: dict[str, Any]) -> None:
        """Its caller can still be cancelled; else the program would hang, and eat all memory."""
        batcher = batcher_of(Echo(), **options)
        task = asyncio.ensure_future(batcher.process_many(itertools.count()))
        await turns(20)
        await batcher.stop()
        await turns()
        task.cancel()
        assert kinds(await outcomes([task])) == [asyncio.CancelledError]
        assert_at_rest(batcher)

    async def test_an_endless_iterable_of_refused_items_does_not_hold_the_loop(self) -> None:
        """Also if nothing ever enters the queue."""

        class Picky(AsyncBatcher[int, int]):
            def item_size(self, item: int) -> int:
                raise ValueError(item)

        async with Picky(Echo(), max_queue_bytes=10) as batcher:
            task = asyncio.ensure_future(batcher.process_many(itertools.count()))
            await turns(20)
            task.cancel()
            assert kinds(await outcomes([task])) == [asyncio.CancelledError]
        assert_at_rest(batcher)


async def test_a_long_call_leaves_the_loop_to_others() -> None:
    """It takes its items in portions, and others have their turn in between."""
    turns_of_others = 0
    running = True

    async def others() -> None:
        nonlocal turns_of_others
        while running:
            turns_of_others += 1
            await asyncio.sleep(0)

    async with batcher_of(Echo(), max_batch_size=500) as batcher:
        other = asyncio.ensure_future(others())
        assert len(await batcher.process_many(range(100_000))) == 100_000
        running = False
        await other
    assert turns_of_others > 100


async def test_it_belongs_to_the_batcher_s_loop() -> None:
    """As everything does."""
    batcher = batcher_of(Echo())
    await batcher.process(1)

    def elsewhere() -> Any:
        with asyncio.Runner() as runner:
            return runner.run(_refused(batcher))

    assert await asyncio.to_thread(elsewhere)
    await batcher.stop()


async def _refused(batcher: AsyncBatcher[Any, Any]) -> bool:
    with pytest.raises(MisconfigurationError):
        await batcher.process_many([1])
    return True

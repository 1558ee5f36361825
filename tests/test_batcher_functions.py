"""What may stand as ``process_batch``, where it runs, and which context variables it sees."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import multiprocessing
import operator
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from bulkwriter import AsyncBatcher
from tests.processors import Echo, assert_at_rest, kinds, outcomes, turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


async def doubled(batch: list[int]) -> list[int]:
    """A coroutine function."""
    return [2 * item for item in batch]


def doubled_plainly(batch: list[int]) -> list[int]:
    """A plain function."""
    return [2 * item for item in batch]


def doubled_later(batch: list[int]) -> Awaitable[list[int]]:
    """A plain function that returns a coroutine, as a decorator often makes of a coroutine function."""
    return doubled(batch)


async def times(factor: int, batch: list[int]) -> list[int]:
    """A coroutine function with an argument too many."""
    return [factor * item for item in batch]


def times_plainly(factor: int, batch: list[int]) -> list[int]:
    """A plain function with an argument too many."""
    return [factor * item for item in batch]


class Doubling:
    """An object that is called, with methods that can be given as well."""

    async def __call__(self, batch: list[int]) -> list[int]:
        """Do it in a coroutine."""
        return [2 * item for item in batch]

    async def method(self, batch: list[int]) -> list[int]:
        """Do it in a coroutine."""
        return [2 * item for item in batch]

    def plain_method(self, batch: list[int]) -> list[int]:
        """Do it plainly."""
        return [2 * item for item in batch]

    @staticmethod
    async def static(batch: list[int]) -> list[int]:
        """Do it in a coroutine."""
        return [2 * item for item in batch]

    @classmethod
    async def of_class(cls, batch: list[int]) -> list[int]:
        """Do it in a coroutine."""
        return [2 * item for item in batch]


class PlainDoubling:
    """An object that is called plainly."""

    def __call__(self, batch: list[int]) -> list[int]:
        """Do it plainly."""
        return [2 * item for item in batch]


class Subclass(AsyncBatcher[int, int]):
    """Defines a coroutine function."""

    async def process_batch(self, batch: list[int]) -> list[int]:
        """Do it in a coroutine."""
        return [2 * item for item in batch]


class PlainSubclass(AsyncBatcher[int, int]):
    """Defines a plain function."""

    def process_batch(self, batch: list[int]) -> list[int]:
        """Do it plainly."""
        return [2 * item for item in batch]


class GrandchildClass(Subclass):
    """Inherits what its parent defines."""


def passed_through(function: Callable[[list[int]], Any]) -> Callable[[list[int]], Any]:
    """Wrap a function as decorators do."""

    @functools.wraps(function)
    def wrapper(batch: list[int]) -> Any:
        return function(batch)

    return wrapper


FUNCTIONS: dict[str, Callable[[list[int]], Any]] = {
    "coroutine function": doubled,
    "plain function": doubled_plainly,
    "plain function that returns a coroutine": doubled_later,
    "lambda": lambda batch: [2 * item for item in batch],
    "lambda that returns a coroutine": lambda batch: doubled(batch),  # noqa: PLW0108 - as people write it
    "partial": functools.partial(times, 2),
    "partial of a partial": functools.partial(functools.partial(times, 2)),
    "partial of a plain function": functools.partial(times_plainly, 2),
    "partial of an object": functools.partial(Doubling()),
    "object": Doubling(),
    "plain object": PlainDoubling(),
    "method": Doubling().method,
    "plain method": Doubling().plain_method,
    "static method": Doubling.static,
    "class method": Doubling.of_class,
    "decorated": passed_through(doubled),
    "decorated plain function": passed_through(doubled_plainly),
    "mock": mock.AsyncMock(side_effect=doubled),
    "plain mock": mock.Mock(side_effect=doubled_plainly),
    "built-in": operator.itemgetter(slice(None)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_it_may_be_any_kind_of_function(name: str) -> None:
    """Whatever can be called with a list of items."""
    async with AsyncBatcher[int, int](FUNCTIONS[name], max_queue_time=0) as batcher:
        answers = await asyncio.gather(*map(batcher.process, [1, 2, 3]))
    assert answers == ([1, 2, 3] if name == "built-in" else [2, 4, 6])
    assert_at_rest(batcher)


@pytest.mark.parametrize("kind", [Subclass, PlainSubclass, GrandchildClass])
async def test_a_subclass_may_define_it_of_either_kind(kind: type[AsyncBatcher[int, int]]) -> None:
    """As a coroutine function, or a plain one."""
    async with kind(max_queue_time=0) as batcher:
        assert await asyncio.gather(*map(batcher.process, [1, 2, 3])) == [2, 4, 6]
    assert_at_rest(batcher)


async def test_it_can_be_called_directly() -> None:
    """What does the work can be tested without a batcher around it."""
    batcher = AsyncBatcher[int, int](doubled)
    assert await batcher.process_batch([1, 2]) == [2, 4]
    assert AsyncBatcher[int, int](doubled_plainly).process_batch([1, 2]) == [2, 4]
    assert batcher.statistics().accepted == 0


async def test_it_is_called_with_the_items_alone_and_by_position() -> None:
    """So its parameter may have any name, and other parameters their defaults."""

    async def store(rows: list[int], /, chunk: int = 100) -> list[int]:
        return [chunk + row for row in rows]

    async with AsyncBatcher[int, int](store, max_queue_time=0) as batcher:
        assert await batcher.process(1) == 101


async def test_it_is_given_a_list_of_its_own_each_time() -> None:
    """What it keeps is not changed by the items that come later."""
    kept: list[list[int]] = []

    async def process_batch(batch: list[int]) -> None:
        assert type(batch) is list
        kept.append(batch)

    async with AsyncBatcher[int, None](process_batch, max_queue_time=0, max_batch_size=2) as batcher:
        await asyncio.gather(*map(batcher.process, range(5)))
    assert kept == [[0, 1], [2, 3], [4]]


async def test_a_plain_function_leaves_the_loop_free() -> None:
    """It blocks a thread of the pool, while everybody else goes on."""
    loop = asyncio.get_running_loop()
    entered, leave = asyncio.Event(), threading.Event()

    def process_batch(batch: list[int]) -> list[int]:
        loop.call_soon_threadsafe(entered.set)
        assert leave.wait(30)
        return batch

    async with AsyncBatcher[int, int](process_batch, max_queue_time=0) as batcher:
        future = batcher.submit(1)
        await entered.wait()
        assert not future.done()
        leave.set()
        assert await future == 1


async def test_a_plain_function_runs_in_the_executor_it_was_given() -> None:
    """And in no other."""

    def process_batch(batch: list[int]) -> list[str]:
        return [threading.current_thread().name for _ in batch]

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="ours") as executor:
        async with AsyncBatcher[int, str](process_batch, executor=executor, max_queue_time=0) as batcher:
            assert (await batcher.process(1)).startswith("ours")


async def test_a_coroutine_function_runs_on_the_loop_whatever_the_executor() -> None:
    """It belongs to the loop's thread."""

    async def process_batch(batch: list[int]) -> list[bool]:
        return [threading.current_thread() is threading.main_thread() for _ in batch]

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        async with AsyncBatcher[int, bool](process_batch, executor=executor, max_queue_time=0) as batcher:
            assert await batcher.process(1)


async def test_what_a_plain_function_returns_to_be_awaited_is_awaited_on_the_loop() -> None:
    """Not in the thread, which has no loop."""

    async def process(batch: list[int]) -> list[bool]:
        return [threading.current_thread() is threading.main_thread() for _ in batch]

    async with AsyncBatcher[int, bool](passed_through(process), max_queue_time=0) as batcher:
        assert await batcher.process(1)


async def test_plain_functions_run_side_by_side_as_far_as_concurrency_goes() -> None:
    """Two slots are two threads."""
    barrier = threading.Barrier(2, timeout=30)

    def process_batch(batch: list[int]) -> list[int]:
        barrier.wait()
        return batch

    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        async with AsyncBatcher[int, int](
            process_batch, executor=executor, max_batch_size=1, concurrency=2, max_queue_time=0
        ) as batcher:
            assert await outcomes([batcher.submit(1), batcher.submit(2)]) == [1, 2]


async def test_the_error_of_a_plain_function_reaches_its_callers() -> None:
    """Like that of a coroutine function."""

    def process_batch(_: list[int]) -> None:
        message = "bad"
        raise ValueError(message)

    async with AsyncBatcher[int, None](process_batch, max_queue_time=0) as batcher:
        assert kinds(await outcomes([batcher.submit(1), batcher.submit(2)])) == [ValueError] * 2


async def test_an_executor_that_takes_nothing_more_is_an_error_for_the_callers() -> None:
    """Its batches cannot be run, and nobody waits for them."""
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.shutdown()
    async with AsyncBatcher[int, int](doubled_plainly, executor=executor, max_queue_time=0) as batcher:
        assert kinds(await outcomes([batcher.submit(1), batcher.submit(2)])) == [RuntimeError] * 2
    assert_at_rest(batcher)


@pytest.fixture(scope="module")
def process_pool() -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """One other process for all tests that need one: it takes a while to start."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


class TestProcessPool:
    """A plain function may run in another process."""

    async def test_results_come_back_from_there(self, process_pool: concurrent.futures.ProcessPoolExecutor) -> None:
        """Function and items are pickled, and nothing else."""
        async with AsyncBatcher[int, int](sorted, executor=process_pool, max_queue_time=0) as batcher:
            assert await asyncio.gather(*map(batcher.process, [1, 2, 3])) == [1, 2, 3]
            assert await batcher.process_many([4, 5]) == [4, 5]
        assert_at_rest(batcher)

    async def test_errors_come_back_from_there(self, process_pool: concurrent.futures.ProcessPoolExecutor) -> None:
        """What it raises reaches every caller."""
        async with AsyncBatcher[Any, int](sum, executor=process_pool, max_queue_time=0) as batcher:
            assert kinds(await outcomes([batcher.submit(1), batcher.submit("one")])) == [TypeError] * 2

    async def test_stop_iteration_comes_back_from_there(
        self, process_pool: concurrent.futures.ProcessPoolExecutor
    ) -> None:
        """It must not get lost between processes either."""
        batcher = AsyncBatcher[Any, int](_first_of_nothing, executor=process_pool, max_queue_time=0)
        answers = await asyncio.wait_for(outcomes([batcher.submit(1), batcher.submit(2)]), 30)
        await batcher.stop()
        assert kinds(answers) == [RuntimeError] * 2

    async def test_what_cannot_be_pickled_is_an_error_for_its_callers(
        self, process_pool: concurrent.futures.ProcessPoolExecutor
    ) -> None:
        """A lambda cannot go there; nor can an item that is a lock."""
        async with AsyncBatcher[Any, Any](lambda batch: batch, executor=process_pool, max_queue_time=0) as batcher:
            answers = await outcomes([batcher.submit(1), batcher.submit(2)])
        async with AsyncBatcher[Any, Any](list, executor=process_pool, max_queue_time=0) as batcher:
            answers += await outcomes([batcher.submit(threading.Lock())])
        assert all(isinstance(answer, Exception) for answer in answers)
        assert_at_rest(batcher)


def _first_of_nothing(_: list[Any]) -> Any:
    return next(iter(()))


async def remembering(seen: list[str], batch: list[int]) -> list[int]:
    """Note whose request this seems to be."""
    seen.append(request_id.get())
    return batch


def remembering_plainly(seen: list[str], batch: list[int]) -> list[int]:
    """Note whose request this seems to be, in a thread."""
    seen.append(request_id.get())
    return batch


async def remembering_later(seen: list[str], batch: list[int]) -> list[int]:
    """Note whose request this seems to be after a while, and in a task of its own."""
    await asyncio.sleep(0)
    await asyncio.create_task(remembering(seen, batch))
    return batch


async def request(name: str, send: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Send something as the request of this name."""
    request_id.set(name)
    await send()


@pytest.mark.parametrize("function", [remembering, remembering_plainly, remembering_later])
class TestContext:
    """Each batch sees the context variables of its own first caller, and not those of the first caller ever."""

    async def test_of_single_items(self, function: Callable[..., Any]) -> None:
        """The first of a batch stands for the others in it."""
        seen: list[str] = []
        async with AsyncBatcher[int, int](functools.partial(function, seen), max_batch_size=2, max_queue_time=0) as own:
            await asyncio.gather(*(request(name, functools.partial(own.process, 1)) for name in "abcdef"))
        assert seen == ["a", "c", "e"]

    async def test_of_batches_that_wait_for_a_slot(self, function: Callable[..., Any]) -> None:
        """Also where it is the end of another batch that sends them."""
        seen: list[str] = []
        async with AsyncBatcher[int, int](functools.partial(function, seen), max_batch_size=1, max_queue_time=0) as own:
            await asyncio.gather(*(request(name, functools.partial(own.process, 1)) for name in "abcdef"))
        assert seen == list("abcdef")

    async def test_of_callers_that_waited_for_a_place_in_the_queue(self, function: Callable[..., Any]) -> None:
        """They enter when another's batch has left; it is their own context all the same."""
        seen: list[str] = []
        async with AsyncBatcher[int, int](
            functools.partial(function, seen), max_batch_size=1, max_queue_size=1, when_full="wait", max_queue_time=0
        ) as own:
            await asyncio.gather(*(request(name, functools.partial(own.process, 1)) for name in "abcdef"))
        assert seen == list("abcdef")

    async def test_of_callers_of_many(self, function: Callable[..., Any]) -> None:
        """Every portion of one caller's items, also those that waited for a place."""
        seen: list[str] = []
        async with AsyncBatcher[int, int](
            functools.partial(function, seen), max_batch_size=2, max_queue_size=2, max_queue_time=0
        ) as own:
            await asyncio.gather(
                *(request(name, functools.partial(own.process_many, range(4))) for name in "ab"),
            )
        assert sorted(seen) == ["a", "a", "b", "b"]

    async def test_of_callers_of_many_whose_portions_are_mixed(self, function: Callable[..., Any]) -> None:
        """A portion that does not fill a batch waits for a place just so."""
        seen: list[str] = []
        async with AsyncBatcher[int, int](functools.partial(function, seen), max_queue_size=2, max_queue_time=0) as own:
            await asyncio.gather(
                *(request(name, functools.partial(own.process_many, range(4))) for name in "ab"),
            )
        assert sorted(seen) == ["a", "a", "b", "b"]

    async def test_of_submitted_items(self, function: Callable[..., Any]) -> None:
        """What counts is who called submit, not who awaits the future."""
        seen: list[str] = []
        async with AsyncBatcher[int, int](functools.partial(function, seen), max_batch_size=1, max_queue_time=0) as own:
            contexts = {name: contextvars.copy_context() for name in "abc"}
            for name, context in contexts.items():
                context.run(request_id.set, name)
            futures = [context.run(own.submit, 1) for context in contexts.values()]
            request_id.set("somebody else")
            await asyncio.gather(*futures)
        assert seen == ["a", "b", "c"]


async def test_what_a_batch_sets_in_its_context_is_seen_by_nobody_else() -> None:
    """Neither by its caller nor by the next batch."""
    seen: list[str] = []

    async def process_batch(batch: list[int]) -> None:
        seen.append(request_id.get())
        request_id.set(f"batch of {batch[0]}")
        await asyncio.sleep(0)

    request_id.set("caller")
    async with AsyncBatcher[int, None](process_batch, max_batch_size=1, max_queue_time=0) as batcher:
        await asyncio.gather(*map(batcher.process, range(3)))
        await batcher.process(4)
    assert seen == ["caller"] * 4
    assert request_id.get() == "caller"


async def test_items_that_a_batch_submits_to_its_own_batcher_are_processed() -> None:
    """A crawler finds new pages while it fetches some; it must only not wait for them there."""
    echo = Echo()
    futures: list[asyncio.Future[int]] = []

    async def process_batch(batch: list[int]) -> list[int]:
        futures.extend(batcher.submit(item - 1) for item in batch if item > 0)
        await turns(1)
        return list(await echo(batch))

    async with AsyncBatcher[int, int](process_batch, max_queue_time=0) as batcher:
        await batcher.process(3)
        while futures:
            await futures.pop()
    assert echo.batches == [[3], [2], [1], [0]]

"""What ``process_batch`` returns, and what each caller hears of it."""

from __future__ import annotations

import array
import asyncio
import collections
import types
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from bulkwriter import AsyncBatcher, OutcomeUnknownError
from tests.processors import assert_at_rest, kinds

if TYPE_CHECKING:
    from collections.abc import Iterator


async def answers_to(reply: Any, items: int = 3) -> list[Any]:
    """Return what ``items`` callers hear when their batch is answered with ``reply``; nobody may be left behind."""

    async def process_batch(batch: list[int]) -> Any:
        assert len(batch) == items
        return reply

    async with AsyncBatcher[int, Any](process_batch, max_queue_time=0) as batcher:
        answers = await asyncio.gather(*map(batcher.process, range(items)), return_exceptions=True)
        many = await batcher.process_many(range(items))
    assert kinds(many) == kinds(answers)
    assert_at_rest(batcher)
    assert batcher.statistics().accepted == 2 * items
    return answers


class Array:
    """What numpy's arrays have: a length, places and iteration, and no truth value."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: int) -> Any:
        return self.values[place]

    def __bool__(self) -> bool:
        message = "the truth value of an array with more than one element is ambiguous"
        raise ValueError(message)

    def __eq__(self, other: object) -> Any:
        return Array(*(value == other for value in self.values))

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"an array of {len(self.values)}"


class BrokenLength:
    """Cannot say how long it is."""

    def __len__(self) -> int:
        message = "no idea"
        raise LookupError(message)

    def __getitem__(self, place: int) -> Any:
        raise IndexError


class BrokenPlaces(Array):
    """Says how long it is, and fails when it is read."""

    def __getitem__(self, place: int) -> Any:
        message = "lost"
        raise OSError(message)


class Endless:
    """Says that it is short, and never ends."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: int) -> Any:
        return place


class Longer(Array):
    """Says that it is shorter than it is."""

    def __len__(self) -> int:
        return 3


class Shorter(Array):
    """Says that it is longer than it is."""

    def __len__(self) -> int:
        return 3


class BadItemError(ValueError):
    """An exception that somebody returns to say what is wrong with one item."""


def a_generator() -> Iterator[int]:
    """Look like results, with no length."""
    yield from (1, 2, 3)


async def test_none_means_none_for_everybody() -> None:
    """Nothing to tell is no error."""
    assert await answers_to(None) == [None, None, None]


@pytest.mark.parametrize(
    "reply",
    [
        ["a", "b", "c"],
        ("a", "b", "c"),
        collections.deque("abc"),
        collections.UserList("abc"),
        Array("a", "b", "c"),
    ],
    ids=lambda reply: type(reply).__name__,
)
async def test_each_caller_hears_the_result_at_its_own_place(reply: Any) -> None:
    """Any sized sequence is as good as a list."""
    assert await answers_to(reply) == ["a", "b", "c"]


async def test_numbers_in_an_array_are_results() -> None:
    """Also where a sequence has no objects in it until it is read."""
    assert await answers_to(array.array("d", [0.5, 1.5, 2.5])) == [0.5, 1.5, 2.5]
    assert await answers_to(range(3)) == [0, 1, 2]


async def test_none_false_and_zero_in_a_list_are_results_like_any_other() -> None:
    """A result that counts as false is not a missing one."""
    assert await answers_to([None, False, 0]) == [None, False, 0]


async def test_results_that_cannot_be_compared_are_handed_over_as_they_are() -> None:
    """Nobody asks an array whether it is true, or equal to something."""
    first = Array(1, 2)
    answers = await answers_to([first, Array(), first])
    assert answers[0] is first
    assert answers[2] is first


@pytest.mark.parametrize("reply", [[], [1, 2], [1, 2, 3, 4], (), Array(1, 2)], ids=str)
async def test_another_number_of_results_is_an_error_for_everybody(reply: Any) -> None:
    """Nobody is told a result that may be its neighbour's."""
    answers = await answers_to(reply)
    assert kinds(answers) == [ValueError] * 3
    assert str(answers[0]) == f"process_batch returned {len(reply)} results for 3 items"
    assert len({id(answer) for answer in answers}) == 3


@pytest.mark.parametrize(
    "reply",
    [
        "abc",
        b"abc",
        bytearray(b"abc"),
        memoryview(b"abc"),
        {1: 1, 2: 2, 3: 3},
        collections.OrderedDict.fromkeys(range(3)),
        types.MappingProxyType({1: 1, 2: 2, 3: 3}),
        {1, 2, 3},
        frozenset({1, 2, 3}),
        3,
        3.5,
        False,
        object(),
        a_generator(),
        iter([1, 2, 3]),
        map(str, [1, 2, 3]),
        ValueError,
        Ellipsis,
    ],
    ids=lambda reply: type(reply).__name__,
)
async def test_what_is_no_list_of_results_is_an_error_for_everybody(reply: Any) -> None:
    """A text of the right length would hand out its letters, a mapping its keys."""
    answers = await answers_to(reply)
    assert kinds(answers) == [TypeError] * 3
    expected = f"process_batch must return a list with one result an item, or None, not {type(reply).__name__}"
    assert str(answers[0]) == expected


async def test_an_exception_that_is_returned_for_the_whole_batch_is_an_error_for_everybody() -> None:
    """It was meant to be raised, or to be in a list: a caller must not take it for a result."""
    assert kinds(await answers_to(BadItemError("all of it"))) == [TypeError] * 3


async def test_an_array_without_dimensions_is_an_error_for_everybody() -> None:
    """As numpy has them: they have the method ``__len__``, and it fails."""

    class Scalar(Array):
        def __len__(self) -> int:
            message = "len() of unsized object"
            raise TypeError(message)

    assert kinds(await answers_to(Scalar())) == [TypeError] * 3


@pytest.mark.parametrize(
    ("reply", "error"),
    [(BrokenLength(), LookupError), (BrokenPlaces(1, 2, 3), OSError)],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_what_fails_when_it_is_looked_at_is_an_error_for_everybody(reply: Any, error: type[Exception]) -> None:
    """Whatever a reply does to who reads it, its callers hear of it."""
    assert kinds(await answers_to(reply)) == [error] * 3


@pytest.mark.parametrize(
    "reply", [Longer(1, 2, 3, 4), Shorter(1, 2), Endless()], ids=lambda reply: type(reply).__name__
)
async def test_what_lies_about_its_length_is_an_error_for_everybody(reply: Any) -> None:
    """Also where reading it to its end would take for ever."""
    assert kinds(await answers_to(reply)) == [ValueError] * 3


async def test_a_mock_that_was_not_told_what_to_return_is_an_error_for_everybody() -> None:
    """Mocks have every method there is: tests of users are full of them."""
    assert kinds(await answers_to(mock.MagicMock())) == [ValueError] * 3
    assert kinds(await answers_to(mock.Mock())) == [TypeError] * 3


async def test_an_exception_in_the_list_goes_to_its_caller_alone() -> None:
    """One bad item is not its neighbours' fault."""
    bad = BadItemError("the second")
    answers = await answers_to([1, bad, 3])
    assert answers == [1, bad, 3]
    assert answers[1] is bad


async def test_an_exception_class_in_the_list_is_a_result() -> None:
    """Only an instance says that something went wrong."""
    assert await answers_to([1, ValueError, 3]) == [1, ValueError, 3]


async def test_stop_iteration_in_the_list_reaches_its_caller_as_an_error() -> None:
    """``await`` is made of it: set on a future it would never arrive, and the caller would wait for ever."""
    answers = await answers_to([1, StopIteration("no more"), StopAsyncIteration("no more")])
    assert kinds(answers) == [1, RuntimeError, StopAsyncIteration]
    assert isinstance(answers[1].__cause__, StopIteration)


@pytest.mark.parametrize(
    "element", [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit(), SystemExit(3)], ids=repr
)
async def test_what_ended_the_work_on_an_item_is_no_result(element: BaseException) -> None:
    """``gather(return_exceptions=True)`` returns the cancellation of a part: nobody must take that for success."""
    answers = await answers_to([1, element, 3])
    assert answers[::2] == [1, 3]
    assert isinstance(answers[1], Exception)
    assert answers[1].__cause__ is element


async def test_what_only_looks_like_an_exception_leaves_nobody_without_an_answer() -> None:
    """A mock made to be a ValueError passes ``isinstance``, but cannot be raised."""
    impostor = mock.Mock(spec=ValueError("bad"))
    assert isinstance(impostor, Exception)
    for neighbour in (1, ValueError("bad")):
        answers = await answers_to([neighbour, impostor, 3])
        assert answers[1] is impostor
        assert answers[2] == 3


async def test_what_fails_when_its_class_is_asked_for_leaves_nobody_without_an_answer() -> None:
    """A lazy object may do anything, also to who only asks what it is."""

    class Evil:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            message = "not today"
            raise OSError(message)

    evil = Evil()
    for neighbour in (1, ValueError("bad")):
        answers = await answers_to([neighbour, evil, 3])
        assert answers[1] is evil
        assert answers[2] == 3


async def test_an_item_may_be_anything() -> None:
    """Also what cannot be hashed, compared or shown."""

    class Shy:
        def __eq__(self, other: object) -> bool:
            raise NotImplementedError

        def __hash__(self) -> int:
            raise NotImplementedError

        def __repr__(self) -> str:
            raise NotImplementedError

    async def process_batch(batch: list[Any]) -> list[Any]:
        return [id(item) for item in batch]

    items: list[Any] = [Shy(), None, [], {}, ValueError("an item, not an error"), Ellipsis]
    async with AsyncBatcher[Any, int](process_batch, max_queue_time=0) as batcher:
        assert await asyncio.gather(*map(batcher.process, items)) == [id(item) for item in items]
        assert await batcher.process_many(items) == [id(item) for item in items]


async def test_a_batch_is_never_empty() -> None:
    """Nothing to do is no call."""
    seen: list[int] = []

    async def process_batch(batch: list[int]) -> None:
        seen.append(len(batch))

    async with AsyncBatcher[int, None](process_batch, max_queue_time=0) as batcher:
        assert await batcher.process_many([]) == []
        await batcher.flush()
        future = batcher.submit(1)
        future.cancel()
    assert seen == []


async def test_a_list_that_process_batch_empties_while_its_items_are_told_leaves_nobody_waiting() -> None:
    """More items than are told in one turn of the loop: those of later turns hear that it is not known."""
    kept: list[int] = []

    async def process_batch(batch: list[int]) -> list[int]:
        kept[:] = batch
        asyncio.get_running_loop().call_soon(kept.clear)
        return kept

    batcher = AsyncBatcher[int, int](process_batch, max_batch_size=2500)
    futures = [batcher.submit(number) for number in range(2500)]
    answers = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 10)
    assert answers[:1000] == list(range(1000))
    assert all(isinstance(answer, OutcomeUnknownError) for answer in answers[1000:])
    figures = batcher.statistics()
    assert figures.is_balanced
    assert (figures.succeeded, figures.unknown) == (1000, 1500)
    await batcher.stop()

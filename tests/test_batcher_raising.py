"""What ``process_batch`` raises, and what each caller hears of it: nobody waits for ever, whatever it is."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import gc
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher, BulkWriterError, OutcomeUnknownError, UniqueViolationError
from tests.processors import Held, assert_at_rest, kinds, outcomes, turns

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class CodedError(Exception):
    """Made with a keyword, so Python's own way of copying it fails."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class TwoPartError(Exception):
    """Tells its base less than it was given, so Python's own way of copying it fails."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class CountedError(Exception):
    """Becomes another one when it is copied the way Python copies it."""

    def __init__(self, number: Any) -> None:
        super().__init__(number + 1)


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    """Lets nobody set anything on it."""

    code: int


@dataclasses.dataclass(frozen=True)
class EmptyFrozenError(Exception):
    """Can be copied, and then lets nobody set anything on the copy."""


class IncomparableError(Exception):
    """Holds what cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise NotImplementedError

    __hash__ = None  # type: ignore[assignment]


class AmbiguousValue:
    """Compares as numpy's arrays do: to something that is neither true nor false."""

    def __add__(self, other: int) -> AmbiguousValue:
        return AmbiguousValue()

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        message = "ambiguous"
        raise ValueError(message)

    __hash__ = None  # type: ignore[assignment]


class UncopyableError(Exception):
    """Refuses to be copied."""

    def __copy__(self) -> UncopyableError:
        message = "no"
        raise TypeError(message)

    def __reduce__(self) -> Any:
        message = "no"
        raise TypeError(message)


class OnceCopyableError(Exception):
    """Can be copied once, and never again."""

    copies = 0

    def __copy__(self) -> OnceCopyableError:
        OnceCopyableError.copies += 1
        if OnceCopyableError.copies % 2 == 0:
            raise MemoryError
        return OnceCopyableError(*self.args)


class OtherwiseCopiedError(Exception):
    """Says that a copy of it is something else."""

    def __copy__(self) -> Any:
        return None


class TheEnd(BaseException):
    """Somebody's own exception that no ``except Exception`` may catch."""


def raising(error: BaseException) -> Callable[[list[int]], Coroutine[Any, Any, None]]:
    """Return a ``process_batch`` that raises."""

    async def process_batch(_: list[int]) -> None:
        raise error

    return process_batch


async def answers_to(error: BaseException, items: int = 3) -> list[Any]:
    """Return what the callers of a batch hear when its processing raises; nobody may be left behind."""
    async with AsyncBatcher[int, None](raising(error), max_queue_time=0) as batcher:
        answers = await asyncio.gather(*map(batcher.process, range(items)), return_exceptions=True)
        many = await batcher.process_many(range(items))
    assert kinds(many) == kinds(answers)
    assert_at_rest(batcher)
    return answers


async def test_an_error_goes_to_every_caller_as_an_object_of_its_own() -> None:
    """A shared exception collects other people's tracebacks, and grows with each."""
    error = ValueError("bad batch", 3)
    error.add_note("noted")
    answers = await answers_to(error)
    assert kinds(answers) == [ValueError] * 3
    assert len({id(answer) for answer in [*answers, error]}) == 4
    for answer in answers:
        assert answer.args == error.args
        assert answer.__notes__ == ["noted"]
        answer.add_note("mine alone")
        assert error.__notes__ == ["noted"]


async def test_each_caller_sees_where_it_was_raised_and_nothing_of_the_other_callers() -> None:
    """The traceback goes down into process_batch, and up through this caller alone."""
    batcher = AsyncBatcher[int, None](raising(ValueError("bad")), max_queue_time=0)

    async def first_caller() -> None:
        await batcher.process(1)

    async def second_caller() -> None:
        await batcher.process(2)

    async with batcher:
        answers = await asyncio.gather(first_caller(), second_caller(), return_exceptions=True)
    first, second = ("".join(traceback.format_exception(answer)) for answer in answers if answer)
    assert "in process_batch" in first
    assert "in process_batch" in second
    assert "first_caller" in first
    assert "second_caller" not in first
    assert "first_caller" not in second


async def test_cause_and_context_come_along() -> None:
    """What a driver said is two links down the chain."""
    cause, context = OSError("connection lost"), LookupError("before that")
    error = ValueError("bad batch")
    error.__cause__, error.__context__ = cause, context
    for answer in await answers_to(error):
        assert answer.__cause__ is cause
        assert answer.__context__ is context


async def test_an_error_of_this_library_keeps_all_it_tells() -> None:
    """A backend's process_batch may stand behind the generic core."""
    error = UniqueViolationError("taken", constraint_name="t_pkey", row={"id": 1}, attempts=2, table="t")
    for answer in await answers_to(error):
        assert answer is not error
        assert (answer.constraint_name, answer.row, answer.attempts, answer.table) == ("t_pkey", {"id": 1}, 2, "t")


@pytest.mark.parametrize(
    "error",
    [
        CodedError(code=3),
        TwoPartError(3, "why"),
        CountedError(1),
        CountedError(AmbiguousValue()),
        FrozenError(3),
        EmptyFrozenError(),
        IncomparableError("x"),
        UncopyableError("x"),
        OnceCopyableError("x"),
        OtherwiseCopiedError("x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        OSError(2, "no such file", "name"),
        ExceptionGroup("many", [ValueError(1), ValueError(2)]),
    ],
    ids=[
        "keyword",
        "two parts",
        "changes when copied",
        "compares to no truth",
        "frozen",
        "empty and frozen",
        "incomparable",
        "uncopyable",
        "copyable once",
        "copied otherwise",
        "unicode",
        "os",
        "group",
    ],
)
async def test_every_caller_hears_an_error_however_hard_it_is_to_copy(error: Exception) -> None:
    """It is this error, with what it says, whether as an object of its own or not."""
    answers = await answers_to(error)
    assert kinds(answers) == [type(error)] * 3
    for answer in answers:
        assert str(answer) == str(error)
        assert getattr(answer, "code", None) == getattr(error, "code", None)


async def test_an_error_is_compared_with_its_copy_once_and_not_for_every_caller() -> None:
    """What it says may be as long as a page for each item of the batch."""
    shown = 0

    class TalkativeError(Exception):
        def __str__(self) -> str:
            nonlocal shown
            shown += 1
            return "x" * 1000

    await answers_to(TalkativeError(), items=200)
    assert shown < 10


async def test_stop_iteration_reaches_the_callers_of_a_coroutine_function_as_an_error() -> None:
    """Python itself turns it into a RuntimeError there."""
    assert kinds(await answers_to(StopIteration("no more"))) == [RuntimeError] * 3
    assert kinds(await answers_to(StopAsyncIteration("no more"))) == [StopAsyncIteration] * 3


@pytest.mark.parametrize("error", [StopIteration("no more"), StopAsyncIteration("no more")], ids=repr)
async def test_stop_iteration_reaches_the_callers_of_a_plain_function_as_an_error(error: Exception) -> None:
    """``next()`` on what is exhausted raises it; on its way out of a thread it can get lost in a future for ever."""

    def process_batch(_: list[int]) -> None:
        raise error

    batcher = AsyncBatcher[int, None](process_batch, max_queue_time=0)
    answers = await asyncio.wait_for(outcomes([batcher.submit(item) for item in range(3)]), 30)
    await batcher.stop()
    assert all(isinstance(answer, RuntimeError | StopAsyncIteration) for answer in answers)
    assert_at_rest(batcher)


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError("by hand"), TheEnd("by hand"), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
async def test_what_ends_a_batch_from_within_leaves_its_callers_with_an_unknown_outcome(error: BaseException) -> None:
    """It may have done its work or not; a caller must not take the cancellation for its own."""
    answers = await answers_to(error)
    assert kinds(answers) == [OutcomeUnknownError] * 3
    assert len({id(answer) for answer in answers}) == 3
    for answer in answers:
        assert answer.__cause__ is error
        assert answer.attempts == 1
        assert type(error).__name__ in str(answer) or "cancelled" in str(answer)


async def test_the_next_batch_goes_on_after_one_that_was_ended_from_within() -> None:
    """Neither the slot nor the batcher is lost."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
        for number, end in enumerate([asyncio.CancelledError(), TheEnd(), ValueError()]):
            future = batcher.submit(number)
            await turns()
            held.answer(number, end)
            await outcomes([future])
        last = batcher.submit(3)
        await turns()
        held.echo(3)
        assert await last == 3
    assert_at_rest(batcher)
    figures = batcher.statistics()
    assert (figures.unknown, figures.failed, figures.succeeded) == (2, 1, 1)


async def test_a_batch_that_cancels_its_own_task_leaves_its_callers_with_an_unknown_outcome() -> None:
    """As a timeout inside process_batch would, if somebody wrote it by hand."""

    async def process_batch(_: list[int]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with AsyncBatcher[int, None](process_batch, max_queue_time=0) as batcher:
        answers = await outcomes([batcher.submit(item) for item in range(3)])
    assert kinds(answers) == [OutcomeUnknownError] * 3
    assert_at_rest(batcher)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_program_after_every_caller_was_told(
    kind: type[BaseException], run: Callable[[Coroutine[Any, Any, Any]], Any]
) -> None:
    """Ctrl-C is the person's wish: it goes where Python takes it, and nobody is left waiting."""
    futures: list[asyncio.Future[None]] = []
    batchers: list[AsyncBatcher[int, None]] = []

    async def main() -> None:
        # asyncio itself reports the task that was ended so.
        asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
        batcher = AsyncBatcher[int, None](raising(kind()), max_queue_time=0)
        batchers.append(batcher)
        futures.extend(batcher.submit(item) for item in range(3))
        await asyncio.sleep(60)

    with pytest.raises(kind):
        run(main())
    assert [type(future.exception()) for future in futures] == [OutcomeUnknownError] * 3
    assert_at_rest(batchers[0])


async def test_an_interrupt_in_a_thread_reaches_its_callers() -> None:
    """What ends a plain function ends its batch, also where it runs elsewhere."""

    def process_batch(_: list[int]) -> None:
        raise TheEnd

    async with AsyncBatcher[int, None](process_batch, max_queue_time=0) as batcher:
        assert kinds(await outcomes([batcher.submit(1), batcher.submit(2)])) == [OutcomeUnknownError] * 2


async def test_a_cancellation_out_of_a_thread_pool_reaches_its_callers() -> None:
    """A pool that is shut down cancels what has not begun."""

    def process_batch(_: list[int]) -> None:
        raise concurrent.futures.CancelledError

    async with AsyncBatcher[int, None](process_batch, max_queue_time=0) as batcher:
        answers = await outcomes([batcher.submit(1), batcher.submit(2)])
    assert all(isinstance(answer, OutcomeUnknownError | concurrent.futures.CancelledError) for answer in answers)
    assert not any(isinstance(answer, asyncio.CancelledError) for answer in answers)


@pytest.mark.parametrize("end", [ValueError("bad"), asyncio.CancelledError(), TheEnd()], ids=lambda e: type(e).__name__)
async def test_an_error_reaches_everybody_but_the_caller_that_has_gone(end: BaseException) -> None:
    """One who was cancelled in mid-batch must not keep the news from its neighbours."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
        futures = [batcher.submit(item) for item in range(4)]
        await turns()
        futures[0].cancel()
        futures[2].cancel()
        held.answer(0, end)
        answers = await outcomes(futures)
    expected = ValueError if isinstance(end, ValueError) else OutcomeUnknownError
    assert kinds(answers) == [asyncio.CancelledError, expected, asyncio.CancelledError, expected]
    assert_at_rest(batcher)


async def drain(batch: list[int]) -> None:
    """Take the items out of the list one by one, as work often does, and fail in the middle."""
    while batch:
        if batch.pop() == 2:
            raise asyncio.CancelledError


async def grow(batch: list[int]) -> list[int]:
    """Add items that nobody sent, and answer those as well."""
    batch.append(99)
    return list(batch)


async def reverse(batch: list[int]) -> list[int]:
    """Put the items in another order, and answer in that one."""
    batch.reverse()
    return batch


async def clear(batch: list[int]) -> None:
    """Empty the list, and answer everybody alike."""
    batch.clear()


async def swap_and_raise(batch: list[int]) -> None:
    """Empty the list, and fail."""
    batch.clear()
    raise ValueError


@pytest.mark.parametrize(
    ("process_batch", "expected"),
    [
        (drain, [OutcomeUnknownError] * 4),
        (grow, [ValueError] * 4),
        (reverse, [3, 2, 1, 0]),
        (clear, [None] * 4),
        (swap_and_raise, [ValueError] * 4),
    ],
    ids=lambda value: getattr(value, "__name__", "-"),
)
async def test_what_is_done_to_the_list_of_items_leaves_nobody_without_an_answer(
    process_batch: Callable[[list[int]], Any], expected: list[Any]
) -> None:
    """The list is process_batch's own; who waits for what is not in it."""
    async with AsyncBatcher[int, Any](process_batch, max_queue_time=0) as batcher:
        answers = await outcomes([batcher.submit(item) for item in range(4)])
        many = await batcher.process_many(range(4))
    assert kinds(answers) == expected
    assert kinds(many) == expected
    assert_at_rest(batcher)


async def test_what_is_done_to_the_list_later_does_not_change_a_forced_stop() -> None:
    """Also a batch that has emptied its list in mid-air can be given up, and everybody hears so."""

    async def process_batch(batch: list[int]) -> None:
        batch.clear()
        await asyncio.sleep(3600)

    batcher = AsyncBatcher[int, None](process_batch, max_queue_time=0)
    futures = [batcher.submit(item) for item in range(3)]
    await turns()
    await batcher.stop(force=True)
    assert kinds(await outcomes(futures)) == [OutcomeUnknownError] * 3
    assert_at_rest(batcher)


async def test_errors_that_were_heard_are_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    """Who was told can log it; a batcher that logs each failed batch as well fills disks in an outage."""
    for error in (ValueError("bad"), asyncio.CancelledError(), TheEnd()):
        await answers_to(error)
    gc.collect()
    await turns()
    assert caplog.records == []


async def test_an_error_holds_no_memory_of_its_batch_once_it_was_heard() -> None:
    """An exception keeps its frames alive: a thousand copies must not keep a thousand chains of them."""
    answers = await answers_to(ValueError("bad"), items=50)
    assert all(len(traceback.extract_tb(answer.__traceback__)) < 10 for answer in answers)


async def test_an_error_raised_for_a_large_batch_is_handed_out_in_turns_to_all() -> None:
    """Also beyond the number of callers that are answered in one turn of the loop, each has an object of its own."""
    answers = await answers_to(ValueError("bad"), items=5000)
    assert len({id(answer) for answer in answers}) == 5000


def test_every_error_of_the_core_is_one_of_the_library() -> None:
    """One ``except`` clause is enough for what is not the user's own."""
    assert issubclass(OutcomeUnknownError, BulkWriterError)

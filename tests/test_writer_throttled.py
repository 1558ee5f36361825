"""A database that throttles: rows wait as long as it takes some, and nobody waits for ever where it takes none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import BulkWriter, NotWrittenError, RetryPolicy, ThrottledError, WriteResult
from bulkwriter.contract import Attempt, NotApplied, Uniform
from bulkwriter.pace import Pace
from bulkwriter.results import INSERTED
from bulkwriter.testing import FaultScript, MemoryBackend
from tests.virtual_time import virtually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.contract import Reply

POLICY = RetryPolicy(max_time=30.0)
THROTTLED = ThrottledError("too much")


async def answers_of(writer: BulkWriter[Any], rows: int) -> Sequence[Any]:
    """Write rows that arrive together, and return what each caller heard."""
    return await asyncio.gather(*(writer.submit({"id": number}) for number in range(rows)), return_exceptions=True)


class Small(MemoryBackend):
    """Takes small batches."""

    limits = MemoryBackend.limits.but(max_batch_size=5)


class Slow(Small):
    """Takes a second for a batch, and no more than its first rows.

    Attributes:
        most: How many.
    """

    most = 4

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write the first rows, and leave the others."""
        await asyncio.sleep(1)
        done = await super().attempt(Attempt(attempt.plan, attempt.rows[: self.most]))
        verdicts = [done.verdict] * done.rows if isinstance(done, Uniform) else done
        left = NotApplied(ThrottledError("the others later"))
        return [*verdicts, *[left] * (len(attempt.rows) - len(verdicts))]


@virtually
async def test_a_long_queue_is_no_reason_to_give_up_a_row_that_comes_back() -> None:
    """Its retry time begins with its first attempt: the last ones of these are sent after a minute and more."""
    loop, backend = asyncio.get_running_loop(), Slow()
    async with BulkWriter[Any](backend, retry=POLICY) as writer:
        answers = await answers_of(writer, 400)
    assert all(isinstance(answer, WriteResult) for answer in answers)
    assert len(backend.rows) == 400
    assert loop.time() > 2 * POLICY.max_time


@virtually
async def test_a_row_that_is_throttled_too_long_is_given_up() -> None:
    """Its retry time is over, though others of its batch were stored."""
    loop, backend = asyncio.get_running_loop(), MemoryBackend(faults=FaultScript().leave_unprocessed(1, times=-1))
    async with BulkWriter[Any](backend, retry=RetryPolicy(max_attempts=1000)) as writer:
        answers = await answers_of(writer, 3)
    assert [type(answer) for answer in answers] == [WriteResult, WriteResult, ThrottledError]
    assert 25 < loop.time() < 35
    assert len(backend.rows) == 2


@virtually
async def test_a_long_list_is_written_as_long_as_some_of_it_is_taken() -> None:
    """``process_batch`` gives up what has been throttled too long, and not what has only waited behind it."""
    loop, backend = asyncio.get_running_loop(), Slow()
    answers = await backend.process_batch([{"id": number} for number in range(100)], retry=POLICY)
    assert all(isinstance(answer, WriteResult) for answer in answers)
    assert loop.time() > POLICY.max_time


@virtually
async def test_nobody_waits_for_ever_where_nothing_is_taken() -> None:
    """Rows that are queued behind the tries of others hear so too, soon after the retry time is over."""
    loop, backend = asyncio.get_running_loop(), MemoryBackend(faults=FaultScript().throttle(times=-1))
    async with BulkWriter[Any](backend, max_batch_size=5, retry=RetryPolicy(max_attempts=1000)) as writer:
        answers = await answers_of(writer, 1000)
    assert all(isinstance(answer, ThrottledError) for answer in answers)
    assert loop.time() < 70
    assert backend.rows == []


@virtually
async def test_no_list_waits_for_ever_where_nothing_is_taken() -> None:
    """Each batch behind the first one is tried once."""
    loop, backend = asyncio.get_running_loop(), Small(faults=FaultScript().throttle(times=-1))
    rows = [{"id": number} for number in range(1000)]
    answers = await backend.process_batch(rows, retry=RetryPolicy(max_attempts=1000))
    assert all(isinstance(answer, ThrottledError) for answer in answers)
    assert loop.time() < 40


@virtually
async def test_rows_that_are_held_back_keep_their_order() -> None:
    """Also before rows that came later, and whatever has been topped up with what."""
    faults = FaultScript()
    for rows in (3, 5, 1, 4, 2, 5, 5, 3):
        faults.hold_back(rows, wait=0.5).passing(1)
    backend = MemoryBackend(faults=faults)
    async with BulkWriter[Any](backend, max_batch_size=5, concurrency=1) as writer:
        for number in range(60):
            writer.submit({"id": number})
            await asyncio.sleep(0.01)
        await writer.flush()
    assert [row["id"] for row in backend.rows] == list(range(60))


def test_nothing_leaves_until_the_time_of_what_is_held_back_is_over() -> None:
    """Also if a batch comes back well that was sent before; and what is held back in part lowers no limit."""
    pace = Pace(POLICY, 16)
    held = NotApplied(THROTTLED, 0.5, was_tried=False)
    for now in range(100):
        pace.note([INSERTED, held], float(now))
        assert pace.slots(now + 0.4) == (0, now + 0.5)
        assert pace.slots(now + 0.5) == (16, None)
    pace.note([INSERTED, held], 200.0)
    pace.note(Uniform(INSERTED, 1), 200.1)
    assert pace.slots(200.2) == (0, 200.5)


def test_as_many_batches_leave_as_are_let_through() -> None:
    """One less for each that was held back as a whole, and more again with those that were not."""
    pace = Pace(POLICY, 16)
    held = NotApplied(THROTTLED, 0.1, was_tried=False)
    for _ in range(12):
        pace.note([held] * 25, 0.0)
    assert pace.slots(1.0) == (4, None)
    for _ in range(20):
        pace.note([held] * 25, 0.0)
    assert pace.slots(1.0) == (1, None)
    pace.note(Uniform(INSERTED, 25), 1.0)
    assert pace.slots(1.0) == (2, None)
    for _ in range(200):
        pace.note(Uniform(INSERTED, 25), 1.0)
    assert pace.slots(1.0) == (16, None)


@pytest.mark.parametrize("ends_with", [INSERTED, NotApplied(NotWrittenError("a deadlock"))], ids=["some", "none"])
def test_throttling_becomes_an_outage_when_nothing_is_taken_for_long(ends_with: Any) -> None:
    """And is none any more with the first row that is stored."""
    pace = Pace(POLICY, 16)
    for now in range(31):
        pace.note([NotApplied(THROTTLED)] * 5, float(now))
        assert pace.outage is None
    pace.note([NotApplied(THROTTLED)] * 5, 31.0)
    assert pace.outage is THROTTLED
    pace.note([NotApplied(THROTTLED), ends_with], 32.0)
    assert (pace.outage is None) == (ends_with is INSERTED)


def test_who_holds_rows_back_has_a_pace_of_its_own() -> None:
    """What is throttled of the others closes no slot, and delays nothing."""
    pace = Pace(POLICY, 16)
    for now in range(20):
        pace.note([NotApplied(THROTTLED), NotApplied(THROTTLED, 0.1, was_tried=False)], float(now))
        assert pace.slots(now + 0.1) == (16, None)
    pace.note([NotApplied(THROTTLED)], 20.0)
    assert pace.slots(25.0) == (11, None)


class Choked(MemoryBackend):
    """Takes a row a second of all that it is sent, and keeps to that after it has been asked for too much once."""

    free_at = 0.0

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write the first row if it is time; the first ones that come are refused as a whole."""
        now = asyncio.get_running_loop().time()
        # So that all of them are under way before the first is refused.
        await asyncio.sleep(0.001)
        if now == 0:
            return [NotApplied(ThrottledError("too much"))] * len(attempt.rows)
        if now < self.free_at:
            held = NotApplied(ThrottledError("not yet"), self.free_at - now, was_tried=False)
            return [held] * len(attempt.rows)
        self.free_at = now + 1
        reply = await super().attempt(Attempt(attempt.plan, attempt.rows[:1]))
        first = reply.verdict if isinstance(reply, Uniform) else reply[0]
        return [first, *[NotApplied(THROTTLED, 1.0, was_tried=False)] * (len(attempt.rows) - 1)]


@virtually
async def test_who_was_throttled_once_waits_in_the_queue_as_long_as_it_takes() -> None:
    """All are refused at once in the beginning; the last one has its turn after minutes, at its second try."""
    loop, backend = asyncio.get_running_loop(), Choked()
    async with BulkWriter[Any](backend, max_batch_size=5, concurrency=16, retry=POLICY) as writer:
        answers = await answers_of(writer, 80)
    assert all(isinstance(answer, WriteResult) and answer.attempts == 2 for answer in answers)
    assert len(backend.rows) == 80
    assert loop.time() > 2 * POLICY.max_time

"""Callers that will not wait for ever: deadlines and cancellation, queued and in flight."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bulkwriter.errors import DeadlineExceededError, OutcomeUnknownError, QueueFullError
from bulkwriter.results import WriteResult
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript

SOON = 0.1
"""A deadline that comes while something else hangs, however slow the machine is."""
LATER = 0.5
"""A deadline that comes when the row is in flight already."""


class DeadlinePromises:
    """``timeout=`` ends the wait, and its error says what is certain."""

    async def test_a_row_still_queued_at_its_deadline_is_not_written(self, scene: Scene) -> None:
        """It hears ``DeadlineExceededError``, which is a ``TimeoutError`` too, and is never sent."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults, concurrency=1)
        first = scene.start(writer, make_row(1))
        await faults.wait_for("hang")
        late = await scene.insert(writer, make_row(2), timeout=SOON)
        assert isinstance(late, DeadlineExceededError)
        assert isinstance(late, TimeoutError)
        assert late.safe_to_retry
        faults.release()
        assert await scene.answer(first) == WriteResult(scene.new())
        assert await scene.stored(2) is None

    async def test_a_row_in_flight_at_its_deadline_is_unknown(self, scene: Scene) -> None:
        """Its batch goes on undisturbed, and its neighbours hear how it went."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults)
        impatient = scene.start(writer, make_row(1), timeout=LATER)
        patient = scene.start(writer, make_row(2))
        await faults.wait_for("hang")
        answer = await scene.answer(impatient)
        assert isinstance(answer, OutcomeUnknownError)
        assert not patient.done()
        faults.release()
        assert await scene.answer(patient) == WriteResult(scene.new())
        assert await scene.stored(1) is not None

    async def test_a_row_awaiting_a_retry_at_its_deadline_is_not_written(self, scene: Scene) -> None:
        """What was proven not applied stays so."""
        faults = FaultScript().throttle(wait=20)
        writer = await scene.writer(faults)
        answer = await scene.insert(writer, make_row(1), timeout=SOON)
        assert isinstance(answer, DeadlineExceededError), answer
        assert faults.attempts == 1

    async def test_a_row_in_line_behind_its_key_keeps_its_deadline(self, scene: Scene) -> None:
        """A later row of the same key is not written if it does not come to its turn in time."""
        scene.need_policy("update")
        faults = FaultScript().hang()
        writer = await scene.writer(faults, on_conflict="update", concurrency=4)
        first = scene.start(writer, make_row(1, note="first"))
        await faults.wait_for("hang")
        second = await scene.insert(writer, make_row(1, note="second"), timeout=SOON)
        assert isinstance(second, DeadlineExceededError)
        faults.release()
        assert await scene.answer(first) == WriteResult(scene.new("update"))

    async def test_the_writers_timeout_is_every_rows_default(self, scene: Scene) -> None:
        """A row's own ``timeout=`` stands above it."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults, concurrency=1, timeout=SOON)
        own = scene.start(writer, make_row(1), timeout=60)
        await faults.wait_for("hang")
        default = await scene.insert(writer, make_row(2))
        assert isinstance(default, DeadlineExceededError)
        faults.release()
        assert await scene.answer(own) == WriteResult(scene.new())

    async def test_a_row_that_waits_for_the_opening_has_a_deadline_too(self, scene: Scene) -> None:
        """A database that does not let itself be opened holds nobody beyond it."""
        faults = FaultScript().hang(during="open")
        writer = scene.make_writer(faults)
        patient = scene.start(writer, make_row(1))
        late = await scene.insert(writer, make_row(2), timeout=SOON)
        assert isinstance(late, DeadlineExceededError)
        await faults.wait_for("hang")
        faults.release()
        assert await scene.answer(patient) == WriteResult(scene.new())

    async def test_a_delete_has_a_deadline_too(self, scene: Scene) -> None:
        """A delete that was not sent in time is not done."""
        scene.need("delete")
        await scene.seed(make_row(2))
        faults = FaultScript().hang()
        writer = await scene.writer(faults, concurrency=1)
        first = scene.start(writer, make_row(1))
        await faults.wait_for("hang")
        late = await scene.delete(writer, 2, timeout=SOON)
        assert isinstance(late, DeadlineExceededError)
        faults.release()
        await first
        assert await scene.stored(2) is not None


class QueuePromises:
    """The queue is bounded: who finds it full waits for a place, or hears so."""

    async def test_a_full_queue_makes_callers_wait_in_order(self, scene: Scene) -> None:
        """A caller that waits for a place counts as accepted, and its row is stored like any other."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults, max_batch_size=2, max_queue_size=4, concurrency=1)
        calls = [scene.start(writer, make_row(number)) for number in range(2)]
        await faults.wait_for("hang")
        calls += [scene.start(writer, make_row(number)) for number in range(2, 20)]
        await asyncio.sleep(0)
        assert writer.statistics().accepted == 20
        faults.release()
        assert [await scene.answer(call) for call in calls] == [WriteResult(scene.new())] * 20

    @pytest.mark.parametrize("by", ["insert", "submit"])
    async def test_a_full_queue_may_refuse(self, scene: Scene, by: str) -> None:
        """``submit`` never waits, nor does ``insert`` with ``when_full="raise"``: ``QueueFullError``, not written."""
        faults = FaultScript().hang()
        when_full = "raise" if by == "insert" else "wait"
        writer = await scene.writer(faults, max_batch_size=2, max_queue_size=4, concurrency=1, when_full=when_full)
        calls = [scene.start(writer, make_row(number)) for number in range(2)]
        await faults.wait_for("hang")
        calls += [scene.start(writer, make_row(number)) for number in range(2, 6)]
        await asyncio.sleep(0)
        refused = make_row(6)
        answer = await scene.insert(writer, refused) if by == "insert" else (await scene.submit(writer, [refused]))[0]
        assert isinstance(answer, QueueFullError)
        assert answer.safe_to_retry
        faults.release()
        assert [await scene.answer(call) for call in calls] == [WriteResult(scene.new())] * 6

    async def test_a_caller_cancelled_while_it_waits_for_a_place_is_withdrawn(self, scene: Scene) -> None:
        """Its row is never sent, and whoever waits behind it moves up."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults, max_batch_size=1, max_queue_size=1, concurrency=1)
        calls = [scene.start(writer, make_row(0))]
        await faults.wait_for("hang")
        calls += [scene.start(writer, make_row(number)) for number in range(1, 5)]
        await asyncio.sleep(0)
        calls[3].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls.pop(3)
        faults.release()
        assert [await scene.answer(call) for call in calls] == [WriteResult(scene.new())] * 4
        assert await scene.stored(3) is None


class CancellationPromises:
    """A caller that is cancelled takes its row along while it can, and nobody else notices."""

    async def test_a_caller_cancelled_in_the_queue_withdraws_its_row(self, scene: Scene) -> None:
        """The row is never sent and counts as withdrawn; its neighbours are stored."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults, concurrency=1)
        first = scene.start(writer, make_row(1))
        await faults.wait_for("hang")
        queued = [scene.start(writer, make_row(number)) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        queued[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued[1]
        faults.release()
        for call in (first, queued[0], queued[2]):
            assert await scene.answer(call) == WriteResult(scene.new())
        assert await scene.stored(3) is None
        assert writer.statistics().withdrawn == 1

    async def test_a_caller_cancelled_in_flight_leaves_the_batch_alone(self, scene: Scene) -> None:
        """The batch is written as it is, and the neighbours hear how it went."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults)
        calls = [scene.start(writer, make_row(number)) for number in range(5)]
        await faults.wait_for("hang")
        calls[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[2]
        faults.release()
        for number in (0, 1, 3, 4):
            assert await scene.answer(calls[number]) == WriteResult(scene.new())
        assert await scene.stored(2) is not None

    async def test_a_caller_cancelled_in_line_withdraws_its_row(self, scene: Scene) -> None:
        """The rows of its key before and behind it are applied."""
        scene.need_policy("update")
        faults = FaultScript().hang()
        writer = await scene.writer(faults, on_conflict="update", concurrency=4)
        calls = [scene.start(writer, make_row(1, note=note)) for note in "abc"]
        await faults.wait_for("hang")
        calls[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[1]
        faults.release()
        answers = [await scene.answer(calls[0]), await scene.answer(calls[2])]
        assert answers == [WriteResult(scene.new("update")), WriteResult(scene.changed)]
        stored = await scene.stored(1)
        assert stored is not None
        assert stored["note"] == "c"

    async def test_a_caller_cancelled_while_its_row_awaits_a_retry_withdraws_it(self, scene: Scene) -> None:
        """A row that is proven not applied, and that nobody waits for, is not sent again."""
        faults = FaultScript().throttle(wait=0.4)
        writer = await scene.writer(faults)
        calls = [scene.start(writer, make_row(number)) for number in (1, 2)]
        await faults.wait_for("throttle")
        await asyncio.sleep(0.01)
        calls[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[0]
        assert await scene.answer(calls[1]) == WriteResult(scene.new(), attempts=2)
        await writer.flush()
        assert await scene.stored(1) is None

    async def test_a_cancelled_insert_many_leaves_nothing_behind(self, scene: Scene) -> None:
        """What was queued is withdrawn, what is in flight is finished, and the figures balance."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults, max_batch_size=5, concurrency=1, max_queue_size=20)
        rows = [make_row(number) for number in range(50)]
        call: asyncio.Task[Any] = asyncio.get_running_loop().create_task(writer.insert_many(rows))
        await faults.wait_for("hang")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        faults.release()
        await writer.flush()
        figures = writer.statistics()
        assert figures.is_balanced
        assert len(await scene.target.rows()) == figures.written == 5
        scene.note(writer, rows, [None] * 50)

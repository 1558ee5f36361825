"""The end: finished or forced, every caller has its answer, and the answer is true."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bulkwriter.errors import BatcherStoppedError, BulkWriterError, NotWrittenError, OutcomeUnknownError
from bulkwriter.results import WriteResult
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript


class StopPromises:
    """``stop`` finishes everything; by force it ends now and tells everyone the truth."""

    async def test_stop_finishes_what_was_accepted(self, scene: Scene) -> None:
        """It returns when the last row is stored; later rows are refused, and stopping again is no error."""
        writer = await scene.writer(FaultScript().delay(0.02).throttle(), max_batch_size=7)
        calls = [scene.start(writer, make_row(number)) for number in range(50)]
        await asyncio.sleep(0)
        await writer.stop()
        assert len(await scene.target.rows()) == 50
        assert all(call.done() for call in calls)
        refused = await scene.insert(writer, make_row(100))
        assert isinstance(refused, BatcherStoppedError)
        assert isinstance(refused, RuntimeError)
        await writer.stop()
        await writer.stop(force=True)

    async def test_leaving_the_block_finishes_also_when_its_body_raised(self, scene: Scene) -> None:
        """The exception goes on, and nothing of what was accepted is lost."""
        calls: list[asyncio.Task[Any]] = []
        writer = scene.make_writer()

        async def body() -> None:
            async with writer:
                calls.extend(scene.start(writer, make_row(number)) for number in range(20))
                await asyncio.sleep(0)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await body()
        assert [await scene.answer(call) for call in calls] == [WriteResult(scene.new())] * 20

    @pytest.mark.parametrize("after_commit", [False, True], ids=["before the commit", "after the commit"])
    async def test_a_forced_stop_tells_queued_from_in_flight(self, scene: Scene, *, after_commit: bool) -> None:
        """Queued rows are certainly not written; rows in flight are unknown; nobody is left waiting."""
        faults = FaultScript().hang(after_commit=after_commit)
        writer = await scene.writer(faults, concurrency=1)
        flying = [scene.start(writer, make_row(number)) for number in range(3)]
        await faults.wait_for("hang")
        queued = [scene.start(writer, make_row(number)) for number in range(3, 6)]
        await asyncio.sleep(0)
        await writer.stop(force=True)
        for call in flying:
            assert isinstance(await scene.answer(call), OutcomeUnknownError)
        for call in queued:
            assert isinstance(await scene.answer(call), BatcherStoppedError)
        assert not any(row["id"] >= 3 for row in await scene.target.rows())

    async def test_a_forced_stop_ends_retries_as_not_written(self, scene: Scene) -> None:
        """A row that awaits a retry is proven not applied."""
        faults = FaultScript().throttle(wait=20)
        writer = await scene.writer(faults)
        calls = [scene.start(writer, make_row(number)) for number in range(3)]
        await faults.wait_for("throttle")
        await asyncio.sleep(0.01)
        await writer.stop(force=True)
        for call in calls:
            assert isinstance(await scene.answer(call), BatcherStoppedError)
        assert await scene.target.rows() == []

    async def test_a_forced_stop_ends_settling_as_unknown(self, scene: Scene) -> None:
        """While the backend is being asked what became of them, rows are in doubt."""
        if not (scene.capabilities.ledger or scene.capabilities.settles):
            scene.decline("way to settle a lost acknowledgement")
        faults = FaultScript().lose_acknowledgement().hang(during="settle")
        writer = await scene.writer(faults, ledger=scene.capabilities.ledger)
        call = scene.start(writer, make_row(1))
        await faults.wait_for("hang")
        await writer.stop(force=True)
        assert isinstance(await scene.answer(call), OutcomeUnknownError)

    async def test_a_stop_in_time_is_not_forced(self, scene: Scene) -> None:
        """``timeout=`` is only a bound."""
        writer = await scene.writer()
        call = scene.start(writer, make_row(1))
        await asyncio.sleep(0)
        await writer.stop(timeout=60)
        assert await scene.answer(call) == WriteResult(scene.new())

    async def test_a_stop_that_takes_too_long_is_forced(self, scene: Scene) -> None:
        """When the time is over, everyone hears what is certain by then."""
        faults = FaultScript().hang()
        writer = await scene.writer(faults, concurrency=1)
        flying = scene.start(writer, make_row(1))
        await faults.wait_for("hang")
        queued = scene.start(writer, make_row(2))
        await asyncio.sleep(0)
        await writer.stop(timeout=0.05)
        assert isinstance(await scene.answer(flying), OutcomeUnknownError)
        assert isinstance(await scene.answer(queued), NotWrittenError)

    @pytest.mark.parametrize("ending", ["deadline", "cancelled"])
    async def test_stop_does_not_wait_for_a_row_that_has_its_answer(self, scene: Scene, ending: str) -> None:
        """A row that was to be tried again much later, and that nobody waits for any more, holds nothing up."""
        faults = FaultScript().throttle(wait=20)
        writer = await scene.writer(faults)
        call = scene.start(writer, make_row(1), timeout=0.1 if ending == "deadline" else None)
        await faults.wait_for("throttle")
        await asyncio.sleep(0.01)
        if ending == "cancelled":
            call.cancel()
        await asyncio.wait([call])
        async with asyncio.timeout(10):
            await writer.stop()
        assert await scene.target.rows() == []

    async def test_a_forced_stop_in_an_outage_leaves_nobody_waiting(self, scene: Scene) -> None:
        """Also rows that came while nothing could be written get their answer."""
        faults = FaultScript().disconnect(-1)
        writer = await scene.writer(faults)
        calls = [scene.start(writer, make_row(number)) for number in range(20)]
        await faults.wait_for("disconnect", 2)
        await writer.stop(force=True)
        for call in calls:
            assert isinstance(await scene.answer(call), BulkWriterError)
        assert await scene.target.rows() == []

    async def test_a_forced_stop_while_opening_leaves_nobody_waiting(self, scene: Scene) -> None:
        """Rows that wait for a database that does not even let itself be opened are not written."""
        faults = FaultScript().hang(during="open")
        writer = scene.make_writer(faults)
        calls = [scene.start(writer, make_row(number)) for number in range(5)]
        await faults.wait_for("hang")
        await writer.stop(force=True)
        for call in calls:
            assert isinstance(await scene.answer(call), BatcherStoppedError)
        assert await scene.target.rows() == []

    async def test_a_writer_can_be_stopped_before_it_was_opened(self, scene: Scene) -> None:
        """There is nothing to finish, and nothing to complain about."""
        writer = scene.make_writer()
        await writer.stop()
        assert isinstance(await scene.insert(writer, make_row(1)), BatcherStoppedError)


class FlushPromises:
    """``flush`` sends now, waits for all that was accepted before, and never raises for a row."""

    async def test_flush_waits_for_everything_accepted_before(self, scene: Scene) -> None:
        """Rows that linger are sent at once, and when it returns they are stored."""
        writer = await scene.writer(max_queue_time=600)
        calls = [scene.start(writer, make_row(number)) for number in range(10)]
        await asyncio.sleep(0)
        counts = await writer.flush()
        assert len(await scene.target.rows()) == 10
        assert counts.total == counts.written == 10
        assert [await scene.answer(call) for call in calls] == [WriteResult(scene.new())] * 10

    async def test_flush_counts_failures_and_raises_none(self, scene: Scene) -> None:
        """Its counts say how many rows of those it waited for met which fate."""
        faults = FaultScript().poison(lambda row: row["id"] in (1, 4)).throttle()
        writer = await scene.writer(faults)
        calls = [scene.start(writer, make_row(number)) for number in range(10)]
        await asyncio.sleep(0)
        counts = await writer.flush()
        assert (counts.total, counts.rejected, counts.written) == (10, 2, 8)
        for call in calls:
            await scene.answer(call)

    async def test_flush_of_nothing_is_nothing(self, scene: Scene) -> None:
        """An idle writer has nothing to wait for."""
        writer = await scene.writer()
        assert (await writer.flush()).total == 0
        unopened = scene.make_writer()
        assert (await unopened.flush()).total == 0

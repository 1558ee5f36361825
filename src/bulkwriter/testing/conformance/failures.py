"""Failures of which the backend knows that nothing was written: retried, and stored once."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bulkwriter.errors import BackendUnavailableError, NotWrittenError, RowRejectedError, ThrottledError
from bulkwriter.results import WriteResult
from bulkwriter.retry import RetryPolicy
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript

if TYPE_CHECKING:
    from collections.abc import Callable

FEW = RetryPolicy(max_attempts=3, max_time=30, initial_backoff=0.001, max_backoff=0.002)
PASSING: dict[str, Callable[[], FaultScript]] = {
    "a connection lost before the commit": lambda: FaultScript().fail_before_commit(),
    "throttling": lambda: FaultScript().throttle(),
    "throttling with a time to wait": lambda: FaultScript().throttle(wait=0.02),
    "a deadlock": lambda: FaultScript().deadlock(),
    "a server out of reach": lambda: FaultScript().disconnect(),
    "several of them": lambda: FaultScript().fail_before_commit().throttle().deadlock().disconnect(2),
}
LASTING: dict[str, tuple[Callable[[], FaultScript], type[NotWrittenError]]] = {
    "lost connections": (lambda: FaultScript().fail_before_commit(times=-1), BackendUnavailableError),
    "throttling": (lambda: FaultScript().throttle(times=-1), ThrottledError),
    "deadlocks": (lambda: FaultScript().deadlock(times=-1), NotWrittenError),
    "no server": (lambda: FaultScript().disconnect(-1), BackendUnavailableError),
}


class FailurePromises:
    """A failure is not a bad row, and costs no more than time."""

    @pytest.mark.parametrize("failure", PASSING)
    async def test_what_passes_is_retried_and_stored_once(self, scene: Scene, failure: str) -> None:
        """Every caller hears that its row is stored, and after how many attempts."""
        writer = await scene.writer(PASSING[failure]())
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        for answer in answers:
            assert isinstance(answer, WriteResult), answer
            assert answer.outcome is scene.new()
            assert answer.attempts > 1
        assert writer.statistics().retries >= 10

    @pytest.mark.parametrize("failure", LASTING)
    async def test_what_lasts_is_not_written(self, scene: Scene, failure: str) -> None:
        """When the retries are used up, every caller hears so; sending the rows again is safe."""
        script, error = LASTING[failure]
        writer = await scene.writer(script(), retry=FEW)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        for answer in answers:
            assert isinstance(answer, error), answer
            assert answer.safe_to_retry
            assert answer.attempts == 3
            assert answer.__cause__ is not None
        assert await scene.target.rows() == []

    async def test_retries_end_with_their_time(self, scene: Scene) -> None:
        """``max_time`` counts from the row's acceptance, and ends the trying however many attempts are left."""
        retry = RetryPolicy(max_attempts=1_000_000, max_time=0.05, initial_backoff=0.001, max_backoff=0.002)
        writer = await scene.writer(FaultScript().fail_before_commit(times=-1), retry=retry)
        answer = await scene.insert(writer, make_row(1))
        assert isinstance(answer, BackendUnavailableError)

    async def test_a_server_that_comes_back_serves_everybody(self, scene: Scene) -> None:
        """Rows that came before, during and after an outage are all stored."""
        faults = FaultScript().passing(1).disconnect(4)
        writer = await scene.writer(faults, max_batch_size=5)
        before = await scene.submit(writer, [make_row(number) for number in range(5)])
        during = [scene.start(writer, make_row(number)) for number in range(5, 30)]
        await faults.wait_for("disconnect", 2)
        during += [scene.start(writer, make_row(number)) for number in range(30, 40)]
        answers = before + [await scene.answer(call) for call in during]
        assert [getattr(answer, "outcome", answer) for answer in answers] == [scene.new()] * 40

    async def test_an_outage_starts_no_search_for_a_bad_row(self, scene: Scene) -> None:
        """A database that is down is never reported as a bad row, and batches are not split because of it."""
        faults = FaultScript().disconnect(-1)
        writer = await scene.writer(faults, retry=FEW)
        answers = await scene.submit(writer, [make_row(number) for number in range(20)])
        assert not any(isinstance(answer, RowRejectedError) for answer in answers)
        assert faults.attempts <= 6

    async def test_rows_left_unprocessed_are_sent_again_and_the_others_are_not(self, scene: Scene) -> None:
        """Each row is stored once; those that were left out took one attempt more."""
        writer = await scene.writer(FaultScript().leave_unprocessed(4))
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        attempts = [answer.attempts for answer in answers]
        assert attempts == [1] * 6 + [2] * 4

    async def test_bad_rows_are_found_in_the_midst_of_failures(self, scene: Scene) -> None:
        """Isolating goes on after a failure, and the good rows are stored once."""
        faults = FaultScript().fail_before_commit().throttle().passing(1).deadlock()
        faults.poison(lambda row: row["id"] in (3, 7))
        writer = await scene.writer(faults)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        rejected = [number for number, answer in enumerate(answers) if isinstance(answer, RowRejectedError)]
        assert rejected == [3, 7]
        assert all(isinstance(answer, WriteResult) for number, answer in enumerate(answers) if number not in (3, 7))

    async def test_a_row_that_waits_for_its_retry_takes_no_slot(self, scene: Scene) -> None:
        """Nobody sleeps in a slot that others need: while a row left unprocessed waits, new rows are written."""
        faults = FaultScript().leave_unprocessed(1, wait=20)
        writer = await scene.writer(faults, concurrency=1)
        quick, slow = (scene.start(writer, make_row(number)) for number in (1, 2))
        assert await scene.answer(quick) == WriteResult(scene.new())
        assert await scene.insert(writer, make_row(3)) == WriteResult(scene.new())
        assert not slow.done()
        slow.cancel()
        await asyncio.wait([slow])

    async def test_opening_is_tried_again(self, scene: Scene) -> None:
        """A server that is out of reach when the first row comes may be there for the next try."""
        writer = scene.make_writer(FaultScript().disconnect(2, during="open"))
        answer = await scene.insert(writer, make_row(1))
        assert isinstance(answer, WriteResult)
        assert answer.outcome is scene.new()

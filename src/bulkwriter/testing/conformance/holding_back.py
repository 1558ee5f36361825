"""Rows that a backend holds back, for a limit of its own: as good as never taken out of the queue."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

import asyncio

from bulkwriter.errors import BatcherStoppedError, DeadlineExceededError
from bulkwriter.results import WriteResult
from bulkwriter.retry import RetryPolicy
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript

SOON = 0.1
"""A deadline that comes while rows are held back."""
ONCE = RetryPolicy(max_attempts=1)


class HoldingBackPromises:
    """What was not sent uses up no try, and its caller hears the truth as if it had stayed in the queue."""

    async def test_a_row_that_is_held_back_uses_up_no_try(self, scene: Scene) -> None:
        """However often: its first attempt is the first in which it is sent."""
        writer = await scene.writer(FaultScript().hold_back(7, wait=0.01, times=5), retry=ONCE)
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        assert answers == [WriteResult(scene.new())] * 10
        assert writer.statistics().retries == 0

    async def test_a_row_that_is_held_back_after_a_try_keeps_it(self, scene: Scene) -> None:
        """What was tried and what was held back are counted apart."""
        writer = await scene.writer(FaultScript().throttle().hold_back(wait=0.01, times=3))
        answer = await scene.insert(writer, make_row(1))
        assert answer == WriteResult(scene.new(), attempts=2)

    async def test_nothing_leaves_while_rows_are_held_back(self, scene: Scene) -> None:
        """Who came first goes first, when the time is over."""
        faults = FaultScript().hold_back(10, wait=20)
        writer = await scene.writer(faults, concurrency=4)
        first = scene.start(writer, make_row(1))
        await faults.wait_for("hold_back")
        await asyncio.sleep(0.01)
        late = await scene.insert(writer, make_row(2), timeout=SOON)
        assert isinstance(late, DeadlineExceededError)
        assert faults.attempts == 1
        first.cancel()
        await asyncio.wait([first])

    async def test_a_row_held_back_at_its_deadline_is_not_written(self, scene: Scene) -> None:
        """It was never sent."""
        writer = await scene.writer(FaultScript().hold_back(wait=20))
        answer = await scene.insert(writer, make_row(1), timeout=SOON)
        assert isinstance(answer, DeadlineExceededError)
        assert answer.attempts == 0

    async def test_a_forced_stop_ends_holding_back_as_not_written(self, scene: Scene) -> None:
        """Nothing of it is unknown."""
        faults = FaultScript().hold_back(10, wait=20)
        writer = await scene.writer(faults)
        calls = [scene.start(writer, make_row(number)) for number in range(3)]
        await faults.wait_for("hold_back")
        await asyncio.sleep(0.01)
        await writer.stop(force=True)
        for call in calls:
            assert isinstance(await scene.answer(call), BatcherStoppedError)
        assert await scene.target.rows() == []

    async def test_stop_and_flush_wait_for_what_is_held_back(self, scene: Scene) -> None:
        """It counts as accepted."""
        writer = await scene.writer(FaultScript().hold_back(3, wait=0.01).passing(1).hold_back(2, wait=0.01))
        calls = [scene.start(writer, make_row(number)) for number in range(5)]
        await asyncio.sleep(0)
        counts = await writer.flush()
        assert counts.total == 5
        calls += [scene.start(writer, make_row(number)) for number in range(5, 10)]
        await asyncio.sleep(0)
        await writer.stop()
        assert [await scene.answer(call) for call in calls] == [WriteResult(scene.new())] * 10

    async def test_a_ready_list_is_held_back_in_the_same_way(self, scene: Scene) -> None:
        """Without a writer."""
        backend = scene.backend(FaultScript().hold_back(7, wait=0.01, times=5).throttle())
        answers = await scene.process_batch(backend, [make_row(number) for number in range(10)])
        assert answers[:3] == [WriteResult(scene.new())] * 3
        assert answers[3:] == [WriteResult(scene.new(), attempts=2)] * 7

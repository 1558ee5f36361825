"""Everything at once, by chance and reproducible: what callers were told is what is stored all the same."""

from __future__ import annotations

# ruff: noqa: PLR2004, S311 - the numbers of a test are its example; chance guards no secret
import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.errors import OutcomeUnknownError
from bulkwriter.results import WriteResult
from bulkwriter.retry import RetryPolicy
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript

if TYPE_CHECKING:
    from bulkwriter.writer import BulkWriter

SEEDS = pytest.mark.parametrize("seed", range(4))
PATIENT = RetryPolicy(max_attempts=1000, max_time=60, initial_backoff=0.001, max_backoff=0.01)
"""In a storm that is long enough, some row is hit ten times."""
KNOWN_NOT_APPLIED = ("fail_before_commit", "throttle", "deadlock", "leave_unprocessed", "hold_back")


class StormPromises:
    """Told in order, it is what is stored; nobody is left waiting, and the figures balance."""

    @SEEDS
    async def test_a_mixture_ends_as_its_callers_were_told(self, scene: Scene, seed: int) -> None:
        """Inserts, updates and deletes of few keys; whatever is retried, nothing is lost or turned around."""
        scene.need_policy("update")
        faults = FaultScript().at_random(seed, rate=0.3, faults=KNOWN_NOT_APPLIED)
        writer = await scene.writer(faults, on_conflict="update", max_batch_size=7, concurrency=3, retry=PATIENT)
        for call in self.mixture(scene, writer, seed):
            assert isinstance(await scene.answer(call), WriteResult)

    @SEEDS
    async def test_a_mixture_may_be_coalesced(self, scene: Scene, seed: int) -> None:
        """Who was superseded was followed by a row of its key that is stored."""
        scene.need_policy("update")
        faults = FaultScript().at_random(seed, rate=0.3, faults=KNOWN_NOT_APPLIED)
        faults.poison(lambda row: row["amount"] % 10 == 3)
        writer = await scene.writer(
            faults, on_conflict="update", max_batch_size=7, concurrency=2, coalesce=True, retry=PATIENT
        )
        scene.expects_every_fault = False
        for call in self.mixture(scene, writer, seed):
            await scene.answer(call)

    @SEEDS
    async def test_with_proof_nothing_is_unknown(self, scene: Scene, seed: int) -> None:
        """A storm of faults of every kind: each row is stored once, and its caller knows."""
        if not (scene.capabilities.settles or scene.capabilities.ledger):
            scene.decline("way to settle a lost acknowledgement")
        faults = FaultScript().at_random(seed, rate=0.4)
        writer = await scene.writer(
            faults, ledger=scene.capabilities.ledger, max_batch_size=7, concurrency=3, retry=PATIENT
        )
        answers = await scene.submit(writer, [make_row(number) for number in range(150)])
        assert faults.hits, "the storm did not come"
        for answer in answers:
            assert isinstance(answer, WriteResult), answer
            assert answer.outcome is scene.new()
        assert len(await scene.target.rows()) == 150

    @SEEDS
    async def test_without_proof_nobody_is_told_a_lie(self, scene: Scene, seed: int) -> None:
        """In the same storm without a ledger some rows are unknown, and what the others were told is so."""
        faults = FaultScript().at_random(seed, rate=0.4)
        writer = await scene.writer(faults, max_batch_size=7, concurrency=3, retry=PATIENT)
        answers = await scene.submit(writer, [make_row(number) for number in range(150)])
        assert all(isinstance(answer, WriteResult | OutcomeUnknownError) for answer in answers)

    @pytest.mark.parametrize("ending", ["stopped", "stopped by force"])
    @pytest.mark.parametrize("coalesce", [False, True], ids=["each row", "coalesced"])
    @SEEDS
    async def test_impatient_callers_in_a_storm(self, scene: Scene, seed: int, ending: str, *, coalesce: bool) -> None:
        """Deadlines, cancelled callers, bad rows, lost connections and a stop in the midst of it."""
        scene.need_policy("update")
        chance = random.Random(seed)
        faults = FaultScript().at_random(seed, rate=0.3).poison(lambda row: row["amount"] % 10 == 3)
        options = {"max_batch_size": 7, "concurrency": 3, "max_queue_size": 40, "coalesce": coalesce, "retry": PATIENT}
        writer = await scene.writer(faults, on_conflict="update", **options)
        scene.expects_every_fault = False
        calls = self.mixture(scene, writer, seed, impatience=0.3)
        for _ in calls:
            if chance.random() < 0.2:
                await asyncio.sleep(chance.choice((0, 0.001)))
                chance.choice(calls).cancel()
            scene.check_balance()
        await writer.stop(force=ending == "stopped by force")
        for call in calls:
            # Also what its task found out of balance.
            assert call.cancelled() or call.result() is not None

    def mixture(
        self, scene: Scene, writer: BulkWriter[Any], seed: int, *, impatience: float = 0.0
    ) -> list[asyncio.Task[Any]]:
        """Begin 150 inserts and deletes of 8 keys, some with a deadline that is soon."""
        chance = random.Random(seed)
        calls = []
        for turn in range(150):
            key = chance.randrange(8)
            timeout = chance.uniform(0.001, 0.05) if chance.random() < impatience else None
            if scene.capabilities.delete and chance.random() < 0.25:
                calls.append(scene.start_delete(writer, key, timeout=timeout))
            else:
                row = make_row(key, note=f"turn {turn}", amount=turn)
                calls.append(scene.start(writer, row, timeout=timeout))
        return calls

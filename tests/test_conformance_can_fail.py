"""The conformance suite finds liars: for each promise, a backend that breaks it, and the test that notices."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from bulkwriter import InvalidValueError, UniqueViolationError, WriteResult
from bulkwriter.backend import Backend
from bulkwriter.contract import Attempt, Plan, Reply, Uniform, Verdict
from bulkwriter.errors import RowRejectedError
from bulkwriter.results import INSERTED, Outcome
from bulkwriter.testing import MemoryBackend
from bulkwriter.testing.conformance import ConformanceSuite, Scene
from bulkwriter.testing.conformance.scene import make_row
from tests.test_memory_conformance import MemoryTarget

SUITE = ConformanceSuite()


class LosingBackend(MemoryBackend):
    """Loses the last row of a batch and says nothing."""

    async def _attempt(self, attempt: Attempt) -> Reply:
        await super()._attempt(Attempt(attempt.plan, attempt.rows[:-1]))
        return Uniform(INSERTED, len(attempt.rows))


class DistortingBackend(MemoryBackend):
    """Stores something else than it was given."""

    def prepare(self, plan: Plan, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Add one to seven."""
        values = super().prepare(plan, values)
        return tuple(
            value + 1 if value == 7 and name == "amount" else value
            for name, value in zip(plan.columns, values, strict=True)
        )


class SlanderingBackend(MemoryBackend):
    """Calls good neighbours of a bad row bad too."""

    async def _attempt(self, attempt: Attempt) -> Reply:
        reply = await super()._attempt(attempt)
        if not isinstance(reply, list) or not any(isinstance(verdict, RowRejectedError) for verdict in reply):
            return reply
        return [InvalidValueError("guilt by association", backend=self.name, table=self.table) for _ in reply]


class CredulousBackend(MemoryBackend):
    """Takes every doubtful attempt for applied."""

    async def _settle(self, attempt: Attempt) -> Reply:
        return Uniform(INSERTED, len(attempt.rows))


class PessimisticBackend(MemoryBackend):
    """Takes every doubtful attempt for not applied, and so writes twice."""

    async def _settle(self, attempt: Attempt) -> Reply:
        return await super()._settle(Attempt(attempt.plan, attempt.rows))


class ConfusedBackend(MemoryBackend):
    """Gives the verdicts in another order than the rows."""

    async def _attempt(self, attempt: Attempt) -> Reply:
        reply = await super()._attempt(attempt)
        return reply[::-1] if isinstance(reply, list) else reply


class TalkativeBackend(MemoryBackend):
    """Puts values into its messages."""

    def _apply_one(self, apply: Any, attempt: Attempt, row: Any) -> Verdict:
        verdict = super()._apply_one(apply, attempt, row)
        if isinstance(verdict, RowRejectedError):
            verdict.args = (f"{verdict.args[0]}: {row}",)
        return verdict


class OverwritingBackend(MemoryBackend):
    """Gives NULL to columns that a row leaves out."""

    def _apply_insert(self, given: dict[str, Any]) -> WriteResult:
        return super()._apply_insert({"note": None, **given})


class ForgetfulBackend(MemoryBackend):
    """Does not look into the ledger before it writes."""

    def _transact(self, attempt: Attempt) -> Reply:
        self.store.ledger.pop(attempt.identity, None)
        return super()._transact(attempt)


class AnonymousBackend(MemoryBackend):
    """Leaves the driver's error behind."""

    def _apply_one(self, apply: Any, attempt: Attempt, row: Any) -> Verdict:
        verdict = super()._apply_one(apply, attempt, row)
        if isinstance(verdict, RowRejectedError):
            verdict.__cause__ = None
        return verdict


class OptimisticBackend(MemoryBackend):
    """Tells of an update as if it were an insert."""

    async def _attempt(self, attempt: Attempt) -> Reply:
        reply = await super()._attempt(attempt)
        assert isinstance(reply, list)
        return [INSERTED if isinstance(v, WriteResult) and v.outcome is Outcome.UPDATED else v for v in reply]


class BlamingBackend(MemoryBackend):
    """Calls a row bad because the server is away."""

    is_away = True

    async def _attempt(self, attempt: Attempt) -> Reply:
        if not self.is_away:
            return await super()._attempt(attempt)
        self.is_away = False
        return [UniqueViolationError("no answer", backend=self.name, table=self.table) for _ in attempt.rows]


class SecondHandTarget(MemoryTarget):
    """The memory table, written by a liar."""

    liar: ClassVar[type[MemoryBackend]]

    def backend(self, **options: Any) -> Backend:
        """Return the liar."""
        return self.liar(self._table, **options)


async def _plain(scene: Scene) -> None:
    await SUITE.test_a_hundred_callers_each_hear_of_their_own_row(scene)


async def _one_bad_row(scene: Scene) -> None:
    await SUITE.test_a_bad_row_is_rejected_alone(scene, "check", "one in the middle")


async def _nobody_called_bad(scene: Scene) -> None:
    """Without any assertion of the test's own: the look at the table is enough."""
    writer = await scene.writer()
    await scene.submit(writer, [make_row(1), make_row(2, amount=-1), make_row(3)])


async def _lost_request(scene: Scene) -> None:
    await SUITE.test_what_never_arrived_is_stored_once_or_unknown(scene, "a lost request", ledger=True)


async def _lost_acknowledgement(scene: Scene) -> None:
    await SUITE.test_what_was_committed_is_told_or_unknown(scene, "a lost acknowledgement", ledger=True)


async def _error_details(scene: Scene) -> None:
    await SUITE.test_an_error_names_table_constraint_and_column(scene)


async def _defaults(scene: Scene) -> None:
    await SUITE.test_a_column_left_out_gets_the_databases_default(scene)


async def _skipping(scene: Scene) -> None:
    await SUITE.test_skip_leaves_the_row_that_is_there(scene)


async def _updating(scene: Scene) -> None:
    await SUITE.test_update_replaces_what_is_there(scene)


async def _working_twice(scene: Scene) -> None:
    await SUITE.test_work_with_an_identity_is_stored_once_however_often_it_is_run(scene)


@pytest.mark.parametrize(
    ("liar", "promise"),
    [
        (LosingBackend, _plain),
        (DistortingBackend, _plain),
        (SlanderingBackend, _one_bad_row),
        (SlanderingBackend, _nobody_called_bad),
        (CredulousBackend, _lost_request),
        (PessimisticBackend, _lost_acknowledgement),
        (ConfusedBackend, _skipping),
        (ConfusedBackend, _one_bad_row),
        (TalkativeBackend, _one_bad_row),
        (OverwritingBackend, _defaults),
        (ForgetfulBackend, _working_twice),
        (AnonymousBackend, _error_details),
        (OptimisticBackend, _updating),
        (BlamingBackend, _plain),
    ],
)
async def test_a_liar_is_found_out(liar: type[MemoryBackend], promise: Callable[[Scene], Awaitable[None]]) -> None:
    """The honest backend passes, the liar does not."""
    await _play(MemoryBackend, promise)
    with pytest.raises(AssertionError):
        await _play(liar, promise)


async def _play(backend: type[MemoryBackend], promise: Callable[[Scene], Awaitable[None]]) -> None:
    target = SecondHandTarget()
    target.liar = backend  # type: ignore[misc] # one for each play
    scene = Scene(target)
    try:
        await promise(scene)
    finally:
        await scene.close()
    await scene.check()

"""The backend alone, without the engine: what its verdicts say of an attempt is so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.contract import Attempt, Doubtful, NotApplied, Suspect, Uniform
from bulkwriter.errors import NotWrittenError, RowRejectedError
from bulkwriter.results import WriteResult
from bulkwriter.testing.conformance.scene import Scene, make_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Reply, Verdict

LEDGER = pytest.mark.parametrize("ledger", [False, True], ids=["without a ledger", "with a ledger"])


class AttemptPromises:
    """``attempt`` and ``settle``: as many verdicts as rows, and every one of them true."""

    @LEDGER
    async def test_a_good_batch_is_done(self, scene: Scene, *, ledger: bool) -> None:
        """Every row has its result, and is stored."""
        backend = await self.open_backend(scene, ledger=ledger)
        rows = [make_row(number) for number in range(50)]
        attempt = self.attempt_at(backend, rows)
        verdicts = await self.verdicts(attempt, backend.attempt(attempt))
        self.note(scene, backend, rows, verdicts)
        assert verdicts == [WriteResult(scene.new())] * 50

    @pytest.mark.parametrize("careful", [False, True])
    async def test_a_batch_with_bad_rows_is_told_as_it_is(self, scene: Scene, *, careful: bool) -> None:
        """Whatever a backend says of good rows and bad ones: who is called done is stored, and nobody else."""
        kinds = scene.target.bad_rows()
        if not kinds:
            scene.decline("constraints")
        if careful:
            scene.need("isolates")
        changed, error = kinds["check" if "check" in kinds else "key"]
        await scene.seed(make_row(0))
        rows = [make_row(number) for number in range(1, 11)]
        rows[2].update(changed)
        rows[6].update(changed)
        backend = await self.open_backend(scene)
        attempt = self.attempt_at(backend, rows, careful=careful)
        verdicts = await self.verdicts(attempt, backend.attempt(attempt))
        self.note(scene, backend, rows, verdicts)
        assert not any(isinstance(verdict, Doubtful) for verdict in verdicts)
        if careful:
            assert [isinstance(verdict, error) for verdict in verdicts] == [place in (2, 6) for place in range(10)]

    @LEDGER
    async def test_what_was_done_is_never_said_not_to_be(self, scene: Scene, *, ledger: bool) -> None:
        """Settling an attempt that was applied says so, or that nobody can tell."""
        backend = await self.open_backend(scene, ledger=ledger)
        rows = [make_row(number) for number in range(5)]
        attempt = self.attempt_at(backend, rows)
        self.note(scene, backend, rows, await self.verdicts(attempt, backend.attempt(attempt)))
        for _ in range(2):
            verdicts = await self.verdicts(attempt, backend.settle(attempt))
            assert all(isinstance(verdict, WriteResult | Doubtful) for verdict in verdicts), verdicts
            if scene.can_settle(ledger=ledger):
                assert all(isinstance(verdict, WriteResult) for verdict in verdicts), verdicts

    @LEDGER
    async def test_what_was_never_sent_is_never_said_to_be_done(self, scene: Scene, *, ledger: bool) -> None:
        """Settling an attempt that never began says that it was not applied, or that nobody can tell."""
        backend = await self.open_backend(scene, ledger=ledger)
        attempt = self.attempt_at(backend, [make_row(number) for number in range(5)])
        verdicts = await self.verdicts(attempt, backend.settle(attempt))
        assert all(isinstance(verdict, NotApplied | Doubtful) for verdict in verdicts), verdicts

    @LEDGER
    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 40])
    async def test_an_attempt_that_is_given_up_is_settled_as_it_went(
        self, scene: Scene, turns: int, *, ledger: bool
    ) -> None:
        """Cancelled at any moment, it is told as stored or not; and what is told as not stored is not stored later."""
        backend = await self.open_backend(scene, ledger=ledger)
        rows = [make_row(number) for number in range(100)]
        attempt = self.attempt_at(backend, rows)
        call = asyncio.ensure_future(backend.attempt(attempt))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        verdicts = await self.verdicts(attempt, backend.settle(attempt))
        self.note(scene, backend, rows, verdicts)
        later = self.attempt_at(backend, [make_row(1000)])
        told = await self.verdicts(later, backend.attempt(later))
        assert told == [WriteResult(scene.new())]
        self.note(scene, backend, [make_row(1000)], told)

    async def test_attempts_side_by_side_do_not_meet(self, scene: Scene) -> None:
        """As many as the backend would have in flight, each with its own rows."""
        backend = await self.open_backend(scene)
        batches = [[make_row(100 * number + place) for place in range(20)] for number in range(6)]
        attempts = [self.attempt_at(backend, rows) for rows in batches]
        calls = (self.verdicts(attempt, backend.attempt(attempt)) for attempt in attempts)
        for rows, verdicts in zip(batches, await asyncio.gather(*calls), strict=True):
            self.note(scene, backend, rows, verdicts)
            assert verdicts == [WriteResult(scene.new())] * 20

    async def open_backend(self, scene: Scene, **options: Any) -> Backend:
        """Return an open backend."""
        backend = scene.backend(**options)
        await backend.open()
        return backend

    def attempt_at(self, backend: Backend, rows: Sequence[dict[str, Any]], *, careful: bool = False) -> Attempt:
        """Return an attempt at writing rows of the same columns."""
        plan = backend.plan("insert", tuple(rows[0]))
        prepared = [backend.prepare(plan, tuple(row[column] for column in plan.columns)) for row in rows]
        return Attempt(plan, prepared, careful=careful)

    async def verdicts(self, attempt: Attempt, call: Awaitable[Reply]) -> list[Verdict]:
        """Return a verdict for every row, as the engine reads a reply."""
        try:
            reply = await call
        except RowRejectedError as error:
            reply = Uniform(Suspect(error), len(attempt.rows))
        except NotWrittenError as error:
            reply = Uniform(NotApplied(error), len(attempt.rows))
        verdicts = [reply.verdict] * reply.rows if isinstance(reply, Uniform) else reply
        assert len(verdicts) == len(attempt.rows), f"{len(verdicts)} verdicts for {len(attempt.rows)} rows"
        return verdicts

    def note(self, scene: Scene, backend: Backend, rows: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> None:
        """Note the verdicts, to be compared with the table: what is neither done nor doubtful must not be there."""
        for row, verdict in zip(rows, verdicts, strict=True):
            if isinstance(verdict, WriteResult | Doubtful):
                scene.note(backend, [row], [verdict if isinstance(verdict, WriteResult) else None])

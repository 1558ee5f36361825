"""Many rows from one caller, by ``insert_many`` and by a backend's own ``process_batch``."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.batcher import AsyncBatcher
from bulkwriter.errors import MisconfigurationError, RowRejectedError
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.testing.conformance.scene import QUICK, Scene, make_row
from bulkwriter.testing.faults import FaultScript

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bulkwriter.errors import BulkWriterError


async def _slowly(rows: Iterable[Any]) -> AsyncIterator[Any]:
    for row in rows:
        yield row


class ManyPromises:
    """``insert_many`` takes rows from anywhere, of any number, and its report balances."""

    @pytest.mark.parametrize("source", ["a list", "a generator", "an async generator"])
    async def test_rows_may_come_from_anywhere(self, scene: Scene, source: str) -> None:
        """The report has one answer for each row, in input order."""
        writer = await scene.writer(max_batch_size=10, max_queue_size=25)
        rows = [make_row(number) for number in range(100)]
        given: Any = {"a list": rows, "a generator": iter(rows), "an async generator": _slowly(rows)}[source]
        report = await scene.insert_many(writer, rows, given)
        assert list(report.results) == [WriteResult(scene.new())] * 100
        assert report.counts.total == report.counts.written == 100
        assert list(report.errors) == []
        report.raise_for_errors()

    async def test_no_rows_are_no_error(self, scene: Scene) -> None:
        """An empty source makes an empty report."""
        writer = await scene.writer()
        report = await scene.insert_many(writer, [])
        assert (report.counts.total, list(report.results), list(report.errors)) == (0, [], [])

    async def test_bad_rows_are_reported_by_index(self, scene: Scene) -> None:
        """Rows refused at the door and rows the database refused stand side by side; the others are stored."""
        faults = FaultScript().poison(lambda row: row["id"] in (7, 30, 31))
        writer = await scene.writer(faults, max_batch_size=20)
        rows: list[Any] = [make_row(number) for number in range(60)]
        rows[12] = {}
        report = await scene.insert_many(writer, rows)
        assert [index for index, _ in report.errors] == [7, 12, 30, 31]
        assert all(report.results[index] is error for index, error in report.errors)
        assert (report.counts.total, report.counts.rejected, report.counts.written) == (60, 4, 56)
        with pytest.raises(ExceptionGroup, match="4 of 60"):
            report.raise_for_errors()

    async def test_the_report_can_do_without_results(self, scene: Scene) -> None:
        """With ``results=False`` it keeps the counts and the first ``max_errors`` errors."""
        faults = FaultScript().poison(lambda row: row["id"] % 4 == 0)
        writer = await scene.writer(faults, max_batch_size=20)
        rows = [make_row(number) for number in range(60)]
        report = await writer.insert_many(rows, results=False, max_errors=3)
        assert len(report.results) == 0
        assert len(report.errors) == 3
        assert all(index % 4 == 0 and isinstance(error, RowRejectedError) for index, error in report.errors)
        assert (report.counts.total, report.counts.rejected, report.counts.written) == (60, 15, 45)
        scene.note(writer, rows, [None] * 60)

    async def test_conflicts_are_reported_row_by_row(self, scene: Scene) -> None:
        """The same keys again are skipped or updated, and new ones inserted."""
        scene.need_policy("update")
        writer = await scene.writer(on_conflict="update", max_batch_size=8)
        await scene.insert_many(writer, [make_row(number, note="first") for number in range(20)])
        report = await scene.insert_many(writer, [make_row(number, note="second") for number in range(10, 30)])
        outcomes = [answer.outcome for answer in report.results if isinstance(answer, WriteResult)]
        assert outcomes == [scene.changed] * 10 + [scene.new("update")] * 10

    async def test_a_key_may_come_many_times(self, scene: Scene) -> None:
        """Rows of one call with the same key are applied in order."""
        scene.need_policy("update")
        writer = await scene.writer(on_conflict="update", max_batch_size=8, concurrency=3)
        rows = [make_row(number % 3, note=f"row {number}") for number in range(30)]
        report = await scene.insert_many(writer, rows)
        assert all(isinstance(answer, WriteResult) for answer in report.results)

    async def test_several_callers_of_many_share_the_writer(self, scene: Scene) -> None:
        """Their rows mix, and each report is about its own."""
        writer = await scene.writer(FaultScript().throttle(), max_batch_size=10, max_queue_size=30, concurrency=2)
        first = scene.start(writer, make_row(1000))
        reports = [
            await scene.insert_many(writer, [make_row(1 + base + number) for number in range(40)])
            for base in (0, 100, 200)
        ]
        assert [report.counts.total for report in reports] == [40] * 3
        assert isinstance(await scene.answer(first), WriteResult)

    async def test_thousands_of_rows_pass_in_the_backends_own_sizes(self, scene: Scene) -> None:
        """With the defaults of the backend, and a few bad rows anywhere: each of them is found, the others stored."""
        bad = {0, 17, 1023, 1024, 1999}
        writer = await scene.writer(FaultScript().poison(lambda row: row["id"] in bad))
        report = await scene.insert_many(writer, [make_row(number) for number in range(2000)])
        assert {index for index, _ in report.errors} == bad
        assert report.counts.written == 1995

    async def test_faults_do_not_unbalance_the_report(self, scene: Scene) -> None:
        """Retries, leftovers and bad rows end in one answer a row."""
        faults = FaultScript().throttle().passing(1).leave_unprocessed(3).fail_before_commit().deadlock()
        faults.poison(lambda row: row["id"] == 33)
        writer = await scene.writer(faults, max_batch_size=10)
        report = await scene.insert_many(writer, [make_row(number) for number in range(60)])
        assert (report.counts.total, report.counts.rejected, report.counts.written) == (60, 1, 59)


class ProcessBatchPromises:
    """A backend alone, without a writer: the same engine over one ready list."""

    async def test_a_list_is_written_with_all_that_may_happen(self, scene: Scene) -> None:
        """It opens the backend, isolates bad rows, retries, and answers in order."""
        faults = FaultScript().throttle().leave_unprocessed(2).fail_before_commit()
        faults.poison(lambda row: row["id"] == 4)
        backend = scene.backend(faults)
        rows: list[Any] = [make_row(number) for number in range(10)]
        rows[6] = {}
        answers = await scene.process_batch(backend, rows)
        for place, answer in enumerate(answers):
            assert isinstance(answer, RowRejectedError if place in (4, 6) else WriteResult), (place, answer)

    async def test_an_empty_list_is_an_empty_list(self, scene: Scene) -> None:
        """Nothing is asked of the database."""
        assert await scene.process_batch(scene.backend(), []) == []

    async def test_order_per_key_holds_within_the_list(self, scene: Scene) -> None:
        """Also through retries, the last row of a key is the one that stays."""
        scene.need_policy("update")
        backend = scene.backend(FaultScript().leave_unprocessed(3).throttle(), on_conflict="update")
        rows = [make_row(number % 4, note=f"row {number}") for number in range(20)]
        answers = await scene.process_batch(backend, rows)
        assert all(isinstance(answer, WriteResult) for answer in answers)
        assert {row["note"] for row in await scene.target.rows()} == {f"row {number}" for number in range(16, 20)}

    async def test_it_may_stand_as_a_batchers_process_batch(self, scene: Scene) -> None:
        """Each item's caller hears of its own row, also of a bad one."""
        backend = scene.backend(FaultScript().poison(lambda row: row["id"] == 2))
        rows = [make_row(number) for number in range(5)]
        async with AsyncBatcher[Any, Any](backend.process_batch, max_batch_size=3) as batcher:
            answers = await batcher.process_many(rows)
            alone = await batcher.process(make_row(9))
        assert isinstance(answers[2], RowRejectedError)
        told: list[Any] = [*answers, alone]
        scene.note(backend, [*rows, make_row(9)], told)

    async def test_work_with_an_identity_is_stored_once_however_often_it_is_run(self, scene: Scene) -> None:
        """A second run hears what the first one heard, also on another backend object, and changes nothing."""
        scene.need("ledger")
        rows = [make_row(number, id=... if scene.target.generates_ids else number) for number in range(1, 11)]
        first = await self.run(scene, rows)
        second = await self.run(scene, rows)
        assert [answer.outcome for answer in second if isinstance(answer, WriteResult)] == [Outcome.INSERTED] * 10
        assert len(first) == len(second)
        stored = await scene.target.rows()
        assert len(stored) == 10
        scene.tellings[:] = scene.tellings[:10]

    async def test_work_with_an_identity_is_stored_once_through_a_lost_acknowledgement(self, scene: Scene) -> None:
        """A run that nobody can tell the end of, and another one with the same name, are stored once."""
        scene.need("ledger")
        rows = [make_row(number, id=... if scene.target.generates_ids else number) for number in range(1, 11)]
        backend = scene.backend(FaultScript().lose_acknowledgement().refuse_settle(for_good=True), ledger=True)
        unknown = await backend.process_batch(rows, identity="work 1", retry=QUICK)
        assert not any(isinstance(answer, WriteResult) for answer in unknown)
        answers = await self.run(scene, rows)
        assert all(isinstance(answer, WriteResult) for answer in answers), answers
        assert len(await scene.target.rows()) == 10

    async def test_work_with_an_identity_and_bad_rows_is_stored_once(self, scene: Scene) -> None:
        """The bad rows are rejected both times, and the good ones stored once."""
        scene.need("ledger", "constraints")
        rows = [make_row(number, id=... if scene.target.generates_ids else number) for number in range(1, 11)]
        for row in rows[3:8:2]:
            row["amount"] = -1
        for _ in range(2):
            answers = await self.run(scene, rows)
            told = [isinstance(answer, RowRejectedError) for answer in answers]
            assert told == [row["amount"] < 0 for row in rows]
        assert len(await scene.target.rows()) == 7
        scene.tellings[:] = scene.tellings[:10]

    async def test_an_identity_without_a_ledger_is_refused(self, scene: Scene) -> None:
        """There is nothing to remember it in."""
        backend = scene.backend()
        with pytest.raises(MisconfigurationError):
            await backend.process_batch([make_row(1)], identity="work 1")

    async def run(
        self, scene: Scene, rows: list[Any], faults: FaultScript | None = None
    ) -> list[WriteResult | BulkWriterError]:
        """Run a named piece of work on a backend of its own."""
        backend = scene.backend(faults, ledger=True, on_conflict=scene.plain)
        return await scene.process_batch(backend, rows, identity="work 1")

"""A test's scene: it makes writers, notes what their callers are told, and in the end compares it with the table."""

from __future__ import annotations

import asyncio
import collections
import pickle
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from bulkwriter.errors import BulkWriterError, NotWrittenError, OutcomeUnknownError, RowRejectedError
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.retry import RetryPolicy
from bulkwriter.statistics import FATES, fate_of
from bulkwriter.testing.conformance.told import Telling, assert_told_equals_stored, keep_columns, replace_row
from bulkwriter.writer import BulkWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Capabilities, OnConflict
    from bulkwriter.results import Report
    from bulkwriter.testing.conformance.target import Target
    from bulkwriter.testing.faults import FaultScript

    Answer = WriteResult | BulkWriterError
    Row = Mapping[str, Any]

SENTINEL = "s3cret"
"""Part of every name the suite writes; it must not turn up in any message or log line."""

QUICK = RetryPolicy(max_attempts=10, max_time=30, attempt_timeout=30, initial_backoff=0.001, max_backoff=0.01)
"""Retries as in life, with short waits."""

_OF_BACKEND = frozenset(
    ("columns", "on_conflict", "conflict_columns", "update_columns", "update_where", "returning", "ledger")
)


def make_row(number: int, **columns: Any) -> dict[str, Any]:
    """Return a good row with this ``id``; a column set to ``...`` is left out."""
    row = {"id": number, "name": f"{SENTINEL}-{number}", "amount": number, **columns}
    return {column: value for column, value in row.items() if value is not ...}


class Scene:
    """Writers over one target, and what their callers were told.

    Attributes:
        target: The table.
        merge: What an update makes of the stored and the new row; a test with ``update_columns`` sets its own.
        tellings: What was told, in the order in which the rows were handed over.
        key_column: The column that the check tells rows apart by.
        expects_every_fault: Whether each fault of the scripts must have come; not where chance decides.
        told_in_order: Whether what was told can be followed to what is stored; not with writers side by side.
    """

    def __init__(self, target: Target) -> None:
        self.target: Target = target
        self.merge: Callable[[Row, Row], Row] = replace_row if target.replaces else keep_columns
        self.tellings: list[Telling] = []
        self._writers: list[BulkWriter[Any]] = []
        self._backends: list[Backend] = []
        self._scripts: list[FaultScript] = []
        self._of_writer: dict[BulkWriter[Any], list[Telling]] = {}
        self._policies: dict[BulkWriter[Any], OnConflict] = {}
        self.key_column: str = "id"
        self.expects_every_fault: bool = True
        self.told_in_order: bool = True

    # -- what the backend can do

    @property
    def capabilities(self) -> Capabilities:
        """What the backend declares."""
        return self.target.capabilities

    @property
    def plain(self) -> OnConflict:
        """The policy of a plain write."""
        return self.target.plain

    def need(self, *capabilities: str) -> None:
        """Skip the test if the backend declines one of these, as its ``Capabilities`` say."""
        for capability in capabilities:
            if not getattr(self.capabilities, capability):
                self.decline(capability)

    def need_policy(self, *policies: OnConflict) -> None:
        """Skip the test if the backend declines one of these policies, as its ``Capabilities`` say."""
        for policy in policies:
            if policy not in self.capabilities.on_conflict:
                self.decline(f'on_conflict="{policy}"')

    def decline(self, what: str) -> NoReturn:
        """Skip the test, naming what the backend does not do."""
        pytest.skip(f"declined: {self.target.name} has no {what}")

    def can_settle(self, *, ledger: bool) -> bool:
        """Whether a lost acknowledgement can be told from a lost request."""
        return ledger or self.capabilities.settles

    def new(self, on_conflict: OnConflict | None = None) -> Outcome:
        """Return what a new row must be told."""
        tells = (on_conflict or self.plain) != "update" or self.capabilities.tells_updated
        return Outcome.INSERTED if tells else Outcome.STORED

    @property
    def changed(self) -> Outcome:
        """What an update that changed something must be told."""
        return Outcome.UPDATED if self.capabilities.tells_updated else Outcome.STORED

    # -- making

    def backend(self, faults: FaultScript | None = None, **options: Any) -> Backend:
        """Return a backend, by default for plain writes, as seen through the faults."""
        options.setdefault("on_conflict", self.plain)
        if options.get("ledger"):
            self.need("ledger")
        else:
            # A backend that has none need not know the word.
            options.pop("ledger", None)
        backend = self.target.backend(**options)
        self._backends.append(backend)
        if faults is None:
            return backend
        self._scripts.append(faults)
        return faults.wrap(backend)

    def make_writer(self, faults: FaultScript | None = None, **options: Any) -> BulkWriter[Any]:
        """Return a writer that is not yet open; options of the backend and of the writer in one."""
        of_backend = {name: value for name, value in options.items() if name in _OF_BACKEND}
        of_writer = {name: value for name, value in options.items() if name not in _OF_BACKEND}
        of_writer.setdefault("retry", QUICK)
        backend = self.backend(faults, **of_backend)
        writer: BulkWriter[Any] = BulkWriter(backend, **of_writer)
        self._writers.append(writer)
        self._policies[writer] = backend.on_conflict
        self._of_writer[writer] = []
        return writer

    async def writer(self, faults: FaultScript | None = None, **options: Any) -> BulkWriter[Any]:
        """Return an open writer; options of the backend and of the writer in one."""
        writer = self.make_writer(faults, **options)
        await writer.open()
        return writer

    # -- handing over rows

    async def insert(self, writer: BulkWriter[Any], row: Any, **options: Any) -> Answer:
        """Insert a row and return what its caller is told, be it a result or an error."""
        answer: Answer = await self.answer(self.start(writer, row, **options))
        return answer

    def start(self, writer: BulkWriter[Any], row: Any, **options: Any) -> asyncio.Task[Any]:
        """Begin to insert a row in a task of its own."""
        return self._start(writer, Telling(row, self._policies[writer]), writer.insert(row, **options))

    async def delete(self, writer: BulkWriter[Any], key: Any, **options: Any) -> Answer:
        """Delete a row by key and return what the caller is told."""
        answer: Answer = await self.answer(self.start_delete(writer, key, **options))
        return answer

    def start_delete(self, writer: BulkWriter[Any], key: Any, **options: Any) -> asyncio.Task[Any]:
        """Begin to delete a row in a task of its own. The key is the ``id``, in any form."""
        values = key if isinstance(key, dict) else {"id": key[0] if isinstance(key, tuple) else key}
        return self._start(
            writer, Telling(values, self._policies[writer], is_delete=True), writer.delete(key, **options)
        )

    async def submit(self, writer: BulkWriter[Any], rows: Iterable[Any], **options: Any) -> list[Answer]:
        """Submit rows in one turn of the loop, and return what each caller is told."""
        waiting: list[tuple[Telling, asyncio.Future[WriteResult] | BulkWriterError]] = []
        for row in rows:
            telling = self._note(writer, Telling(row, self._policies[writer]))
            try:
                waiting.append((telling, writer.submit(row, **options)))
            except BulkWriterError as error:
                waiting.append((telling, error))
            self.check_balance()
        for telling, future in waiting:
            telling.answer = future if isinstance(future, BulkWriterError) else await self.answer(future)
            self.check_balance()
        return [telling.answer for telling, _ in waiting if telling.answer is not None]

    async def insert_many(self, writer: BulkWriter[Any], rows: Sequence[Any], source: Any = None) -> Report:
        """Insert rows by ``insert_many``, from another source of the same rows if one is given."""
        report = await writer.insert_many(rows if source is None else source)
        assert len(report.results) == len(rows)
        for row, answer in zip(rows, report.results, strict=True):
            self._note(writer, Telling(row, self._policies[writer])).answer = answer
        return report

    async def process_batch(self, backend: Backend, rows: Sequence[Any], **options: Any) -> list[Answer]:
        """Write rows by the backend's own ``process_batch``."""
        options.setdefault("retry", QUICK)
        answers = await backend.process_batch(rows, **options)
        assert len(answers) == len(rows)
        self.note(backend, rows, answers)
        return answers

    def note(self, told_by: BulkWriter[Any] | Backend, rows: Sequence[Any], answers: Sequence[Answer | None]) -> None:
        """Note what was told of rows that went another way; ``None`` for callers that heard nothing."""
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(told_by, BulkWriter):
                self._note(told_by, Telling(row, self._policies[told_by])).answer = answer
            else:
                self.tellings.append(Telling(row, told_by.on_conflict, answer=answer))

    async def seed(self, *rows: Row) -> None:
        """Let rows be stored before the test begins."""
        answers = await self.process_batch(self.backend(), rows)
        assert all(isinstance(answer, WriteResult) for answer in answers), answers

    async def answer(self, awaitable: Any) -> Any:
        """Return what a caller is told, be it a result or an error."""
        try:
            return await awaitable
        except BulkWriterError as error:
            return error

    def _start(self, writer: BulkWriter[Any], telling: Telling, call: Any) -> asyncio.Task[Any]:
        self._note(writer, telling)

        async def tell() -> Any:
            try:
                telling.answer = await call
            except BulkWriterError as error:
                # Returned, not raised: a test may leave its task behind without having looked at it.
                telling.answer = error
            finally:
                self.check_balance()
            return telling.answer

        return asyncio.get_running_loop().create_task(tell())

    def _note(self, writer: BulkWriter[Any], telling: Telling) -> Telling:
        self.tellings.append(telling)
        self._of_writer[writer].append(telling)
        return telling

    # -- what holds at every moment, and in the end

    def check_balance(self) -> None:
        """Check that every accepted row is in exactly one place."""
        for writer in self._writers:
            figures = writer.statistics()
            assert figures.is_balanced, figures

    async def stored(self, number: int) -> Row | None:
        """Return the stored row with this ``id``."""
        return next((row for row in await self.target.rows() if row["id"] == number), None)

    async def close(self) -> None:
        """Let go of everything, whatever the test left behind."""
        for script in self._scripts:
            script.release()
        for writer in self._writers:
            await writer.stop(timeout=10)
        for backend in self._backends:
            await backend.close()

    async def check(self) -> None:
        """Check what must hold after every test: callers, table, errors and statistics agree."""
        self.check_balance()
        for script in self._scripts if self.expects_every_fault else ():
            assert script.is_spent, f"a fault never came, so the test proves nothing: {script}"
        for writer, tellings in self._of_writer.items():
            _check_statistics(writer, tellings)
        errors = [telling.answer for telling in self.tellings if isinstance(telling.answer, BulkWriterError)]
        assert len({id(error) for error in errors}) == len(errors), "callers share an error object"
        for telling in self.tellings:
            if isinstance(telling.answer, BulkWriterError):
                check_error(telling.answer, telling.row, self.target)
        if self.told_in_order:
            assert_told_equals_stored(self.tellings, await self.target.rows(), self.merge, self.key_column)


def _check_statistics(writer: BulkWriter[Any], tellings: Sequence[Telling]) -> None:
    """Check that the statistics say what the callers heard."""
    figures = writer.statistics()
    assert figures.queued == figures.in_flight == figures.batches_in_flight == 0, figures
    told = collections.Counter(fate_of(telling.answer) for telling in tellings if telling.answer is not None)
    # Who was cancelled heard nothing, and counts as whatever became of the row; who was turned away was not accepted.
    silent = sum(telling.answer is None for telling in tellings)
    turned_away = sum(isinstance(told, NotWrittenError) and not told.attempts for told in (t.answer for t in tellings))
    for fate in FATES:
        at_least = told[fate] - (turned_away if fate == "not_written" else 0)
        assert at_least <= getattr(figures, fate) <= told[fate] + silent, (fate, figures, told)


def check_error(error: BulkWriterError, row: Any, target: Target) -> None:
    """Check what every error for a row must be: typed, complete, discreet and picklable."""
    assert isinstance(error, RowRejectedError | NotWrittenError | OutcomeUnknownError), error
    assert error.backend == target.name, error
    assert error.table, error
    for text in (str(error), repr(error), " ".join(map(str, error.args))):
        assert SENTINEL not in text, f"a message tells a value: {text}"
    if isinstance(row, dict) and error.row is not None:
        assert dict(error.row) == row
    if isinstance(error, RowRejectedError) and error.sqlstate is not None:
        assert error.__cause__ is not None, "the driver's error is not the cause"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own pickle
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.attempts == error.attempts

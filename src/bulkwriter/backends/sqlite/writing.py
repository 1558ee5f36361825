"""The rows of one batch, written within a transaction: many a statement, and bad ones found in few."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.sqlite.errors import code_of, is_row_fault, rejected, swallowed
from bulkwriter.backends.sqlite.statements import power_of_two_in
from bulkwriter.results import SKIPPED, UNCHANGED, UPDATED, Outcome, WriteResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backends.sqlite.batch import Batch
    from bulkwriter.backends.sqlite.session import Session
    from bulkwriter.backends.sqlite.statements import Statements

_PARTS: Final = 8
"""A statement that failed is written again in this many parts: one bad row among 512 costs 3 statements of it."""


class RolledBackError(Exception):
    """A trigger's RAISE(ROLLBACK) undid the whole transaction.

    Args:
        start: Where, among all rows of the attempt, those rows begin of which one did it.
        stop: Where they end.
    """

    def __init__(self, start: int, stop: int) -> None:
        super().__init__(start, stop)
        self.start = start
        self.stop = stop


class Writing:
    """Writes a batch within the transaction that is open, and notes what became of each row.

    Every count is checked: a statement that wrote another number of rows than it was given is undone, and its rows are
    looked at one by one. ``RolledBackError`` and ``sqlite3.Error`` leave the batch to be begun again.

    Args:
        session: The connection.
        statements: How the rows are written.
        batch: The rows.
        may_decline: Whether an update may be declined by ``update_where``.

    Attributes:
        returned: For each place, what a row that was written by itself gave back.
        went_singly: Whether rows had to be written by themselves that might have been written together.
    """

    def __init__(self, session: Session, statements: Statements, batch: Batch, *, may_decline: bool) -> None:
        self._session = session
        self._connection = session.connection
        self._cursor = session.connection.cursor()
        self._statements = statements
        self._table = statements.table
        self._batch = batch
        self._may_decline = may_decline
        self._expects_conflicts = False
        self._mode = statements.on_conflict if statements.operation == "insert" else "delete"
        # Where a statement can succeed and yet do something else than expected, it must be possible to undo it.
        may_differ = self._table.has_triggers or self._mode == "skip" or may_decline
        self._is_guarded = may_differ or bool(statements.returning)
        self.went_singly: bool = False
        self.returned: dict[int, tuple[Any, ...]] = {}

    def write(self, start: int, stop: int) -> None:
        """Write the rows from one place to another."""
        if start < stop and self._statements.is_usual(stop - start):
            self._write_statement(start, stop)
        else:
            self._write_in_parts(start, stop, self._statements.largest)

    def write_singly(self, start: int, stop: int) -> None:
        """Write the rows from one place to another, a statement each."""
        self.went_singly = self.went_singly or start < stop
        for place in range(start, stop):
            self._write_single(place)

    # -- many rows a statement

    def _write_in_parts(self, start: int, stop: int, size: int) -> None:
        """Write rows in statements of ``size`` rows, a power of two, and the rest in smaller ones.

        So there are few different statements, each prepared once.
        """
        while start < stop:
            while size > stop - start:
                size >>= 1
            self._write_statement(start, start + size)
            start += size

    def _write_statement(self, start: int, stop: int) -> None:
        """Write rows in one statement; if that does not go as expected, in ever smaller ones."""
        self._session.check_ending()
        if stop - start == 1:
            self._write_single(start)
            return
        try:
            if self._write_together(start, stop):
                return
        except Exception as error:
            self._require_row_fault(error, self._statements.sql(stop - start), stop - start)
            if not self._connection.in_transaction:
                raise RolledBackError(self._batch.index(start), self._batch.index(stop - 1) + 1) from error
        self.went_singly = True
        self._write_in_parts(start, stop, power_of_two_in((stop - start) // _PARTS))

    def _write_together(self, start: int, stop: int) -> bool:
        """Write rows in one statement, and say whether all went as expected; if not, nothing has been written."""
        if not self._can_be_told(start, stop):
            return False
        if not self._is_guarded:
            if not self._write_expectedly(start, stop):
                message = "SQLite wrote another number of rows than it was given"
                raise RuntimeError(message)
            return True
        self._cursor.execute("SAVEPOINT bulkwriter")
        is_as_expected = False
        try:
            is_as_expected = self._write_expectedly(start, stop)
        finally:
            if self._connection.in_transaction:
                if not is_as_expected:
                    self._cursor.execute("ROLLBACK TO bulkwriter")
                self._cursor.execute("RELEASE bulkwriter")
        return is_as_expected

    def _can_be_told(self, start: int, stop: int) -> bool:
        """Whether the fate of several rows of one statement can be told from what was there before it."""
        if self._mode != "update" or not self._statements.may_conflict:
            return True
        statements = self._statements
        if statements.keys is None:
            return False
        # Two rows with one key: whether the second is an update depends on what becomes of the first.
        keys = statements.keys.read_all([self._batch.column(place, start, stop) for place in statements.key_places])
        return len(set(keys)) == len(keys) - max(0, keys.count(None) - 1)

    def _write_expectedly(self, start: int, stop: int) -> bool:
        """Write rows in one statement, and say whether what it did is what its verdicts will say."""
        asks = self._expects_conflicts
        if self._mode == "delete":
            self._execute(start, stop)
            return not self._table.has_triggers or not self._existing(start, stop)
        present = self._expected_conflicts(start, stop)
        rows, given_back = self._execute(start, stop)
        expected = stop - start - (len(present) if self._mode == "skip" else 0)
        if rows != expected:
            self._expects_conflicts = True
            # With what was there known, skipped rows can be told: once more, then, if it was not asked.
            return self._mode == "skip" and self._can_look_up and not asks and self._again(start, stop)
        self._expects_conflicts = bool(present)
        if not self._statements.returning:
            self._tell(start, stop, present)
            return True
        return self._tell_returned(start, stop, present, given_back)

    def _again(self, start: int, stop: int) -> bool:
        self._cursor.execute("ROLLBACK TO bulkwriter")
        return self._write_expectedly(start, stop)

    @property
    def _can_look_up(self) -> bool:
        return self._statements.key is not None and self._statements.may_conflict

    def _expected_conflicts(self, start: int, stop: int) -> set[int]:
        """Return the places of the rows whose key is there already, if that matters and is likely."""
        if self._mode == "error" or not self._can_look_up:
            return set()
        if self._mode == "skip" and not self._expects_conflicts:
            return set()  # most batches are new: the count says if one is not
        return self._existing(start, stop)

    def _existing(self, start: int, stop: int) -> set[int]:
        """Return the places of the rows whose key is in the table."""
        statements, batch = self._statements, self._batch
        columns = [batch.column(place, start, stop) for place in statements.given_key_places]
        keys = columns[0] if len(columns) == 1 else list(itertools.chain.from_iterable(zip(*columns, strict=True)))
        (found,) = self._cursor.execute(statements.existing(stop - start), keys).fetchone()
        return set() if found is None else {start + int(number) for number in str(found).split(",")}

    def _execute(self, start: int, stop: int) -> tuple[int, list[tuple[Any, ...]]]:
        """Execute the statement; return how many rows it wrote, and what it gave back."""
        before = self._connection.total_changes
        self._session.before_long()
        self._cursor.execute(self._statements.sql(stop - start), self._batch.values(start, stop))
        if self._statements.returning:
            rows = self._cursor.fetchall()
            return len(rows), rows
        if self._table.is_view:
            # SQLite counts no changes on a view; what its triggers did elsewhere shows that the row was not swallowed.
            return int(self._connection.total_changes > before), []
        return self._cursor.rowcount, []

    def _tell(self, start: int, stop: int, present: set[int]) -> None:
        """Note the fate of rows that went as expected."""
        there = SKIPPED if self._mode == "skip" else UPDATED
        if len(present) == stop - start:
            self._batch.tell_all(start, stop, [there] * len(present))
            return
        for place in present:
            self._batch.tell(place, there)

    def _tell_returned(self, start: int, stop: int, present: set[int], rows: list[tuple[Any, ...]]) -> bool:
        """Note what each row gave back; nothing if it is not proven which gave back what."""
        written: Sequence[int] = range(start, stop)
        if self._mode == "skip" and present:
            written = [place for place in written if place not in present]
        if not self._is_in_order(rows, start, stop, written):
            return False
        asked, first = self._statements.asked, Outcome.INSERTED
        if len(written) == stop - start and not present:
            self._batch.tell_all(start, stop, [WriteResult(first, dict(zip(asked, row))) for row in rows])  # noqa: B905
            return True
        self._tell(start, stop, present)
        for place, row in zip(written, rows, strict=True):
            outcome = Outcome.UPDATED if place in present else first
            self._batch.tell(place, self._result(outcome, row))
        return True

    def _is_in_order(self, rows: list[tuple[Any, ...]], start: int, stop: int, written: Sequence[int]) -> bool:
        """Whether it is proven that what came back is in the order of what was sent."""
        places, first = self._statements.proof_places, len(self._statements.wanted)
        back = list(zip(*rows, strict=True))[first:] if rows else [()] * len(places)
        is_whole_row = len(places) == self._batch.width
        for column, values in zip(places, back, strict=True):
            sent = self._batch.column(column, start, stop)
            if len(written) < len(sent):
                sent = [sent[place - start] for place in written]
            if sent != list(values) or not (is_whole_row or None not in sent):
                return False
        return True

    def _result(self, outcome: Outcome, row: tuple[Any, ...]) -> WriteResult:
        # What comes after the columns asked for is the proof.
        return WriteResult(outcome, dict(zip(self._statements.asked, row, strict=False)))

    # -- one row a statement

    def _write_single(self, place: int) -> None:
        sql = self._statements.sql(1)
        was_there = False
        try:
            if self._mode == "update" and self._can_look_up:
                was_there = bool(self._existing(place, place + 1))
            rows, given_back = self._execute(place, place + 1)
        except Exception as error:
            self._require_row_fault(error, sql, 1)
            self._reject(place, error)
            if not self._connection.in_transaction:
                index = self._batch.index(place)
                raise RolledBackError(index + 1, index + 1) from error
            return
        if self._mode == "delete":
            self._check_deleted(place)
        elif not rows:
            self._nothing_written(place, was_there=was_there)
        else:
            self._written(place, Outcome.UPDATED if was_there else Outcome.INSERTED, given_back)

    def _written(self, place: int, outcome: Outcome, given_back: list[tuple[Any, ...]]) -> None:
        if given_back:
            self.returned[place] = given_back[0]
        if self._statements.wanted:
            self._batch.tell(place, self._result(outcome, given_back[0]))
        elif outcome is Outcome.UPDATED:
            self._batch.tell(place, UPDATED)

    def _check_deleted(self, place: int) -> None:
        if self._table.has_triggers and self._existing(place, place + 1):
            self._swallowed(place, "deleting")

    def _nothing_written(self, place: int, *, was_there: bool) -> None:
        """Tell a row that met another from one that a trigger dropped."""
        if self._mode == "skip" and (not self._table.has_triggers or bool(self._existing(place, place + 1))):
            self._batch.tell(place, SKIPPED)
        elif self._mode == "update" and was_there and self._may_decline:
            self._batch.tell(place, UNCHANGED)
        else:
            self._swallowed(place, "writing")

    def _swallowed(self, place: int, doing: str) -> None:
        self._batch.reject(place, swallowed(self._table.label, doing))

    def _reject(self, place: int, error: Exception) -> None:
        values = self._batch.values(place, place + 1)
        self._batch.reject(place, rejected(error, self._table.label, self._statements.columns, values))

    def _require_row_fault(self, error: Exception, sql: str, rows: int) -> None:
        """Raise an error that is no row's fault: nothing is ever searched for because of it."""
        if is_row_fault(error):
            return
        # "Malformed JSON" and "no such table" have the same code; but only the latter is found without any values.
        values = rows * self._batch.width
        if code_of(error) != "SQLITE_ERROR" or not self._session.compiles(sql, values):
            raise error

"""One batch from BEGIN to COMMIT; what it answers is certain."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.sqlite import deferred
from bulkwriter.backends.sqlite.batch import Batch
from bulkwriter.backends.sqlite.errors import code_of
from bulkwriter.backends.sqlite.writing import RolledBackError, Writing
from bulkwriter.results import DELETED, INSERTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkwriter.backends.sqlite.book import Book
    from bulkwriter.backends.sqlite.options import Options
    from bulkwriter.backends.sqlite.session import Session
    from bulkwriter.contract import Attempt, Reply

MULTI_ROW: Final = "multi-row"
ROW_BY_ROW: Final = "row by row"
CAREFUL: Final = "careful"


class OrphansError(Exception):
    """Rows refer to what is not there, and have been rejected: the others are to be written again."""


class UnknownCulpritError(Exception):
    """A deferred constraint fails, and it is not told for which row.

    Args:
        why: What SQLite said.
    """

    def __init__(self, why: sqlite3.Error) -> None:
        super().__init__(str(why))
        self.why = why


class DoubtfulCommitError(Exception):
    """COMMIT failed in a way that does not say whether the transaction will be there after a restart.

    Args:
        why: What SQLite said.
    """

    def __init__(self, why: sqlite3.Error) -> None:
        super().__init__(str(why))
        self.why: sqlite3.Error = why


class Transaction:
    """One attempt: begun again without the rows that turn out to undo it as a whole."""

    def __init__(
        self,
        session: Session,
        book: Book | None,
        options: Options,
        attempt: Attempt,
        gave_up: Callable[[], bool],
    ) -> None:
        """Check and convert the values, before the lock is taken: nobody else needs to wait for that.

        Args:
            session: The connection.
            book: The ledger, if there is one.
            options: What the caller asked for.
            attempt: The batch.
            gave_up: Whether nobody wants it written any more; asked while waiting for the lock.
        """
        self._session = session
        self._book = book
        self._options = options
        self._attempt = attempt
        self._gave_up = gave_up
        self._singly = range(len(attempt.rows)) if attempt.careful else range(0)
        self._is_tracing = False
        self._went_singly = False
        usual = DELETED if attempt.plan.operation == "delete" else INSERTED
        self._batch = Batch(attempt.rows, attempt.plan.columns, options.table, usual)

    @property
    def path(self) -> str:
        """The way in which the rows were written."""
        if self._attempt.careful:
            return CAREFUL
        return ROW_BY_ROW if self._went_singly else MULTI_ROW

    def run(self) -> Reply:
        """Write, as often as it takes, and return a verdict for every row."""
        while True:
            try:
                return self._once()
            except (RolledBackError, OrphansError):
                # Each time a row is out, or a statement is narrowed down to single rows: it comes to an end.
                self._session.rollback()
                self._batch.restart()
            except BaseException:
                self._session.rollback()
                raise

    def _once(self) -> Reply:
        session = self._session
        session.begin(self._gave_up)
        connection, schema, book = session.connection, session.table.schema, self._book
        entry = None if book is None else book.look_up(connection, schema, self._attempt)
        if book is not None and entry is not None and not entry.is_tombstone:
            session.rollback()
            return book.reply(entry, self._attempt)
        writing = self._written()
        reply = self._batch.reply()
        if book is not None:
            book.record(connection, schema, self._attempt, reply, entry)
        try:
            session.commit()
        except sqlite3.Error as error:
            self._commit_failed(error, writing)
        return reply

    def _written(self) -> Writing:
        plan, batch = self._attempt.plan, self._batch
        trace = deferred.traced_columns(self._session.table) if self._is_tracing else ()
        statements = self._session.statements_for(plan, trace=trace)
        writing = Writing(self._session, statements, batch, may_decline=self._options.update_where is not None)
        start, stop = batch.place(self._singly.start), batch.place(self._singly.stop)
        try:
            writing.write(0, start)
            writing.write_singly(start, stop)
            writing.write(stop, batch.size)
        except RolledBackError as error:
            # Up to here all went well, and will again; the culprit is looked for row by row.
            end = max(error.stop, self._singly.stop) if error.start in self._singly else error.stop
            self._singly = range(error.start, end)
            raise
        finally:
            self._went_singly = self._went_singly or writing.went_singly
        return writing

    # -- COMMIT

    def _commit_failed(self, error: sqlite3.Error, writing: Writing) -> None:
        code = code_of(error) or ""
        if code.startswith("SQLITE_CONSTRAINT"):
            self._find_orphans(error, writing)
        if code.startswith("SQLITE_IOERR"):
            raise DoubtfulCommitError(error)
        raise error

    def _find_orphans(self, error: sqlite3.Error, writing: Writing) -> None:
        """Look for the rows because of which a deferred constraint fails."""
        table = self._session.table
        if self._attempt.plan.operation == "delete" or not table.foreign_keys:
            raise UnknownCulpritError(error)
        if not self._is_tracing:
            self._is_tracing = True
            self._singly = range(len(self._attempt.rows))
            raise OrphansError
        width = len(deferred.traced_columns(table))
        left = {place: row[-width:] for place, row in writing.returned.items()}
        found = deferred.orphans(self._session.connection, table, left)
        if not found:
            raise UnknownCulpritError(error)
        for place, key in found.items():
            self._batch.reject(place, deferred.violation(table, key, error))
        raise OrphansError

"""One attempt from BEGIN to COMMIT, on the backend's thread; what it answers is certain."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.sqlite import deferred
from bulkwriter.backends.sqlite.batch import Batch
from bulkwriter.backends.sqlite.errors import BACKEND, code_of, not_applied, rejected
from bulkwriter.backends.sqlite.session import GaveUpError, Session
from bulkwriter.backends.sqlite.writing import RolledBackError, Writing
from bulkwriter.contract import Doubtful, NotApplied, Suspect, Uniform
from bulkwriter.errors import BackendUnavailableError, MisconfigurationError
from bulkwriter.results import DELETED, INSERTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkwriter.backends.sqlite.options import Options
    from bulkwriter.contract import Attempt, Reply

logger = logging.getLogger("bulkwriter.sqlite")

MULTI_ROW: Final = "multi-row"
ROW_BY_ROW: Final = "row by row"
CAREFUL: Final = "careful"


class _OrphansError(Exception):
    """Rows refer to what is not there, and have been rejected: the others are to be written again."""


class _UnknownCulpritError(Exception):
    """A deferred constraint fails, and it is not told for which row.

    Args:
        why: What SQLite said.
    """

    def __init__(self, why: sqlite3.Error) -> None:
        super().__init__(str(why))
        self.why = why


class Attempting:
    """Makes attempts, one after the other.

    Args:
        session: The connection.
        options: What the caller asked for.
        paths: Counts, for each way of writing, the attempts that took it.
    """

    def __init__(self, session: Session, options: Options, paths: dict[str, int]) -> None:
        self._session = session
        self._options = options
        self._paths = paths

    def attempt(self, attempt: Attempt, gave_up: Callable[[], bool]) -> Reply:
        """Write one batch in one transaction.

        Args:
            attempt: The batch.
            gave_up: Whether nobody wants it written any more; asked while waiting for the lock.

        Returns:
            A verdict for every row.
        """
        rows = len(attempt.rows)
        try:
            return _Transaction(self._session, self._options, self._paths, attempt, gave_up).run()
        except _UnknownCulpritError as error:
            bad = rejected(error.why, self._options.table, (), ())
            return Uniform(Suspect(bad) if rows > 1 else bad, rows)
        except GaveUpError as error:
            return Uniform(NotApplied(given_up(self._options.table, error)), rows)
        except MisconfigurationError as error:
            return Uniform(NotApplied(error, retry=False), rows)
        except _DoubtfulCommitError as error:
            return Uniform(Doubtful(error.__cause__), rows)
        except Exception as error:
            # Whatever it was, even a defect here: the transaction has been rolled back, so nothing is written.
            if not isinstance(error, sqlite3.Error | MemoryError):
                logger.exception("table %s: writing %d rows failed", self._options.table, rows)
            return Uniform(not_applied(error, self._options.table), rows)


def given_up(table: str, cause: BaseException | None = None) -> BackendUnavailableError:
    """Return what every caller of an attempt hears that ended before it had begun to write."""
    error = BackendUnavailableError(f"table {table}: given up while waiting to write", backend=BACKEND, table=table)
    error.__cause__ = cause
    return error


class _DoubtfulCommitError(Exception):
    """COMMIT failed in a way that does not say whether the transaction will be there after a restart."""


class _Transaction:
    """One attempt: begun again without the rows that turn out to undo it as a whole."""

    def __init__(
        self, session: Session, options: Options, paths: dict[str, int], attempt: Attempt, gave_up: Callable[[], bool]
    ) -> None:
        self._session = session
        self._options = options
        self._paths = paths
        self._attempt = attempt
        self._gave_up = gave_up
        self._singly = range(len(attempt.rows)) if attempt.careful else range(0)
        self._is_tracing = False
        self._went_singly = False
        usual = DELETED if attempt.plan.operation == "delete" else INSERTED
        # Before the lock is taken: nobody else needs to wait for values to be checked.
        self._batch = Batch(attempt.rows, attempt.plan.columns, options.table, usual)

    def run(self) -> Reply:
        """Write, as often as it takes, and return a verdict for every row."""
        while True:
            try:
                return self._once()
            except (RolledBackError, _OrphansError):
                # Each time a row is out, or a statement is narrowed down to single rows: it comes to an end.
                self._session.rollback()
                self._batch.restart()
            except BaseException:
                self._session.rollback()
                raise

    def _once(self) -> Reply:
        session = self._session
        session.begin(self._gave_up)
        writing = self._written()
        reply = self._batch.reply()
        try:
            session.commit()
        except sqlite3.Error as error:
            self._commit_failed(error, writing)
        self._count_path()
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
            raise _DoubtfulCommitError from error
        raise error

    def _find_orphans(self, error: sqlite3.Error, writing: Writing) -> None:
        """Look for the rows because of which a deferred constraint fails."""
        table = self._session.table
        if self._attempt.plan.operation == "delete" or not table.foreign_keys:
            raise _UnknownCulpritError(error)
        if not self._is_tracing:
            self._is_tracing = True
            self._singly = range(len(self._attempt.rows))
            raise _OrphansError
        width = len(deferred.traced_columns(table))
        left = {place: row[-width:] for place, row in writing.returned.items()}
        found = deferred.orphans(self._session.connection, table, left)
        if not found:
            raise _UnknownCulpritError(error)
        for place, key in found.items():
            self._batch.reject(place, deferred.violation(table, key, error))
        raise _OrphansError

    def _count_path(self) -> None:
        path = CAREFUL if self._attempt.careful else ROW_BY_ROW if self._went_singly else MULTI_ROW
        self._paths[path] = self._paths.get(path, 0) + 1

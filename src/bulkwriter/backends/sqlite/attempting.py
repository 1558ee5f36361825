"""Attempts and their settling, on the backend's thread: whatever happens becomes a verdict."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from bulkwriter.backends.sqlite.errors import BACKEND, not_applied, not_written, rejected
from bulkwriter.backends.sqlite.session import GaveUpError, Session
from bulkwriter.backends.sqlite.transaction import DoubtfulCommitError, Transaction, UnknownCulpritError
from bulkwriter.contract import Doubtful, NotApplied, Suspect, Uniform
from bulkwriter.errors import BackendUnavailableError, MisconfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkwriter.backends.sqlite.book import Book
    from bulkwriter.backends.sqlite.options import Options
    from bulkwriter.contract import Attempt, Reply

logger: logging.Logger = logging.getLogger("bulkwriter.sqlite")


class Attempting:
    """Makes attempts, one after the other.

    Args:
        session: The connection.
        book: The ledger, if there is one.
        options: What the caller asked for.
        paths: Counts, for each way of writing, the attempts that took it.
    """

    def __init__(self, session: Session, book: Book | None, options: Options, paths: dict[str, int]) -> None:
        self._session = session
        self._book = book
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
        rows, table = len(attempt.rows), self._options.table
        try:
            return self._run(attempt, gave_up)
        except UnknownCulpritError as error:
            bad = rejected(error.why, table, (), ())
            return Uniform(Suspect(bad) if rows > 1 else bad, rows)
        except GaveUpError as error:
            return Uniform(NotApplied(given_up(table, error.with_traceback(None))), rows)
        except MisconfigurationError as error:
            # Without its traceback, which would keep the batch in memory for as long as one caller keeps its error.
            return Uniform(NotApplied(error.with_traceback(None), retry=False), rows)
        except DoubtfulCommitError as error:
            return Uniform(Doubtful(error.why.with_traceback(None)), rows)
        except Exception as error:
            # Whatever it was, even a defect here: the transaction has been rolled back, so nothing is written.
            if not isinstance(error, sqlite3.Error | MemoryError):
                logger.exception("table %s: writing %d rows failed", table, rows)
            return Uniform(not_applied(error, table), rows)

    def _run(self, attempt: Attempt, gave_up: Callable[[], bool]) -> Reply:
        transaction = Transaction(self._session, self._book, self._options, attempt, gave_up)
        reply = transaction.run()
        self._paths[transaction.path] = self._paths.get(transaction.path, 0) + 1
        return reply

    def settle(self, attempt: Attempt, gave_up: Callable[[], bool]) -> Reply:
        """Find out what became of an attempt whose COMMIT failed without saying whether it was done.

        Returns:
            A verdict for every row.

        Raises:
            NotWrittenError: The database cannot be asked now.
        """
        try:
            return self._settle(attempt, gave_up)
        except (sqlite3.Error, GaveUpError) as error:
            told = not_written(error, self._options.table, "settling a batch")
            raise told from told.__cause__
        finally:
            self._session.rollback()

    def _settle(self, attempt: Attempt, gave_up: Callable[[], bool]) -> Reply:
        session, book, rows = self._session, self._book, len(attempt.rows)
        session.begin(gave_up)
        if book is not None:
            entry = book.bar(session.connection, session.table.schema, attempt)
            if not entry.is_tombstone:
                return book.reply(entry, attempt)
        elif session.journal_mode != "wal":
            return Uniform(Doubtful(can_settle=False), rows)
        # The failed commit was not published, since readers look for it where the write-ahead log's index says. Only a
        # recovery after a crash could still find its frames; the commit that follows here is written over them.
        session.touch()
        session.commit()
        return Uniform(NotApplied(_commit_failed(self._options.table)), rows)


def given_up(table: str, cause: BaseException | None = None) -> BackendUnavailableError:
    """Return what every caller of an attempt hears that ended before it had begun to write."""
    error = BackendUnavailableError(f"table {table}: given up while waiting to write", backend=BACKEND, table=table)
    error.__cause__ = cause
    return error


def _commit_failed(table: str) -> BackendUnavailableError:
    return BackendUnavailableError(f"table {table}: the commit failed", backend=BACKEND, table=table)

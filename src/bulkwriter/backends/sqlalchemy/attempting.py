"""One attempt from BEGIN to COMMIT; what it answers is certain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy import errors
from bulkwriter.backends.sqlalchemy.batch import Batch
from bulkwriter.backends.sqlalchemy.errors import LedgerMovedError
from bulkwriter.backends.sqlalchemy.writing import BadRowError, SwallowedError, UndoneError, UnprovenError, Writing
from bulkwriter.contract import Doubtful, NotApplied, Suspect, Uniform
from bulkwriter.errors import MisconfigurationError, NotWrittenError

if TYPE_CHECKING:
    from bulkwriter.backends.sqlalchemy.parts import Parts
    from bulkwriter.contract import Attempt, Reply
    from bulkwriter.ledger import Entry

logger: logging.Logger = logging.getLogger("bulkwriter.sqlalchemy")

TOGETHER: Final = "together"
CAREFUL: Final = "careful"

# How often the ledger may turn out to know the batch.
_MOST_ROUNDS: Final = 4


class Attempting:
    """Makes one attempt, in a task of its own.

    Who gives up waiting leaves it behind, and asks it what became of it: a cancelled driver does not say whether the
    server has gone on with what it was sent.

    Args:
        parts: What the backend is made of.
        attempt: The batch.

    Attributes:
        task: It at work; its result is a verdict for every row.
        is_committing: Whether COMMIT may have been sent.
    """

    def __init__(self, parts: Parts, attempt: Attempt) -> None:
        self._parts = parts
        self._transactions = parts.transactions
        self._attempt = attempt
        self._language = parts.options.family.language
        self._table = parts.options.table
        self._is_given_up = False
        self._is_ended = False
        self._most_bytes: int | None = None
        self._connection: sa.Connection | None = None
        self._detached: Any = None
        self._reply: Reply | None = None
        self.is_committing: bool = False
        self.task: asyncio.Task[Reply] = asyncio.get_running_loop().create_task(self._attempted())

    async def reply(self) -> Reply:
        """Wait for the end of the attempt; return a verdict for every row."""
        return await asyncio.shield(self.task)

    def give_up(self) -> bool:
        """See that it is not committed, if COMMIT has not been sent yet; return whether nobody has done so before."""
        is_first = not self._is_given_up
        self._is_given_up = True
        return is_first

    def end(self) -> None:
        """Cancel it, once: a driver that is cancelled while it closes its connection might leave it open."""
        if not self._is_ended:
            self._is_ended = True
            self.task.cancel()

    def detach(self) -> None:
        """Take its connection out of the pool, so that another may be had in its place."""
        connection = self._connection
        if self._detached is None and connection is not None and not (connection.closed or connection.invalidated):
            self._detached = connection.connection.dbapi_connection
            connection.detach()

    async def _attempted(self) -> Reply:
        try:
            async with self._parts.connection() as connection:
                self._connection = None if self._language == "sqlite" else connection.sync_connection
                self._reply = await connection.run_sync(self._run)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told here, while it is known how far it came
            if self._reply is not None:
                # The ledger could not be pruned, or the connection be given back; what is committed stays so.
                logger.warning("table %s: what follows a commit failed with %s", self._table, type(error).__name__)
                return self._reply
            return self._reply_after(error)
        return self._reply

    def _run(self, connection: sa.Connection) -> Reply:
        try:
            return self._written_and_committed(connection)
        finally:
            self._transactions.clear(connection)

    def _written_and_committed(self, connection: sa.Connection) -> Reply:
        """Write a batch, and once more if the ledger has turned out to know the work."""
        self._most_bytes = self._parts.most_bytes(connection)
        book, tombstone = self._parts.book, None
        looks = book is not None and book.may_know(self._attempt)
        for _ in range(_MOST_ROUNDS):
            try:
                self._transactions.begin(connection, writes_first=not looks and self._writes_first)
                if looks and book is not None:
                    tombstone = book.look_up(connection, self._attempt)
                    if tombstone is not None and not tombstone.is_tombstone:
                        return book.reply(tombstone, self._attempt)
                reply = self._written(connection, tombstone)
                self._commit(connection)
            except LedgerMovedError:
                self._transactions.roll_back(connection)
                looks = True
            else:
                # Before anything else is tried: it is certain from here on.
                self._reply = reply
                self._prune(connection)
                return reply
        message = f"table {self._table}: the ledger's entry for this batch changes all the time"
        raise errors.unavailable(message, self._table)

    @property
    def _writes_first(self) -> bool:
        """Whether nothing is asked, and nothing may be taken back, before rows are written."""
        is_plain = self._attempt.plan.operation == "delete" or self._parts.options.on_conflict == "error"
        return is_plain and not self._attempt.careful

    def _written(self, connection: sa.Connection, tombstone: Entry | None) -> Reply:
        parts, attempt = self._parts, self._attempt
        statements = parts.statements_for(attempt.plan.operation, attempt.plan.columns)
        batch = Batch(statements, attempt.rows)
        writing = Writing(
            connection,
            parts.options,
            statements,
            batch,
            most_bytes=self._most_bytes,
            is_over=self._transactions.is_over,
        )
        path = CAREFUL if attempt.careful else TOGETHER
        try:
            if not attempt.careful:
                writing.write()
        except (BadRowError, SwallowedError, UnprovenError):
            path = CAREFUL
            self._transactions.roll_back(connection)
            batch.restart()
            self._transactions.begin(connection)
        if path == CAREFUL:
            writing.write_carefully()
        parts.paths[path] = parts.paths.get(path, 0) + 1
        reply = batch.reply()
        if parts.book is not None:
            parts.book.record(connection, attempt, reply, tombstone)
        return reply

    def _commit(self, connection: sa.Connection) -> None:
        if self._is_given_up:
            raise given_up(self._table)
        self.is_committing = True
        try:
            connection.commit()
        except BaseException as error:
            if self._language != "sqlite" and not errors.is_refused_commit(error, self._language):
                # It may be in the midst of its transaction, of which whoever settles would wait for the end.
                with contextlib.suppress(Exception):
                    connection.invalidate()
                    if self._detached is not None:
                        # The pool knows nothing of it any more, and would not close it.
                        connection.dialect.do_terminate(self._detached)
            raise
        self.is_committing = False

    def _prune(self, connection: sa.Connection) -> None:
        """Let old entries of the ledger go: what fails here is tried again another time."""
        if self._parts.book is None:
            return
        try:
            self._parts.book.prune(connection)
        except sa.exc.SQLAlchemyError as error:
            logger.debug("table %s: pruning the ledger failed with %s", self._table, type(error).__name__)
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.rollback()

    def _reply_after(self, error: BaseException) -> Reply:
        """Return a verdict for every row of an attempt that ended in an error."""
        rows = len(self._attempt.rows)
        if self.is_committing and not errors.is_refused_commit(error, self._language):
            # Without a ledger there is nobody to ask.
            can_settle = self._parts.book is not None
            return Uniform(Doubtful(errors.cause_of(error).with_traceback(None), can_settle=can_settle), rows)
        is_bad_row = isinstance(error, UndoneError)
        why = error.why if isinstance(error, UndoneError) else error
        if is_bad_row or (self.is_committing and errors.is_row_fault(why, self._language)):
            # A constraint that is looked at with COMMIT, say: it does not tell which row is the one.
            bad = errors.rejected(why, self._language, self._table, self._attempt.plan.columns)
            return Uniform(Suspect(bad) if rows > 1 else bad, rows)
        if isinstance(error, asyncio.CancelledError):
            return Uniform(NotApplied(given_up(self._table, error.with_traceback(None))), rows)
        if isinstance(error, MisconfigurationError):
            return Uniform(NotApplied(error.with_traceback(None), retry=False), rows)
        if not isinstance(error, sa.exc.SQLAlchemyError | NotWrittenError | OSError):
            logger.error("table %s: writing %d rows failed", self._table, rows, exc_info=error)
        return Uniform(errors.not_applied(error, self._language, self._table), rows)


def given_up(table: str, cause: BaseException | None = None) -> NotWrittenError:
    """Return what every caller of an attempt hears that was ended before its COMMIT."""
    return errors.unavailable(f"table {table}: given up before it was committed", table, cause)

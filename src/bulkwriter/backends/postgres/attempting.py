"""One attempt from BEGIN to COMMIT; what it answers is certain."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bulkwriter.backends.postgres import driver, errors
from bulkwriter.backends.postgres.careful_writing import CarefulWriting
from bulkwriter.backends.postgres.errors import LedgerMovedError, RolledBackError
from bulkwriter.backends.postgres.progress import Progress
from bulkwriter.backends.postgres.task import Task
from bulkwriter.backends.postgres.writing import NeedsCareError, Writing
from bulkwriter.errors import BackendUnavailableError, MisconfigurationError

if TYPE_CHECKING:
    from bulkwriter.backends.postgres.parts import Parts
    from bulkwriter.backends.postgres.session import Session
    from bulkwriter.backends.postgres.statements import Statements
    from bulkwriter.contract import Attempt, Reply
    from bulkwriter.ledger import Entry

logger: logging.Logger = logging.getLogger("bulkwriter.postgres")

# How often the table may turn out to have changed, or the ledger to know the batch.
_MOST_ROUNDS = 4


class KnownWorkError(Exception):
    """The ledger has an answer: this work has been done before.

    Args:
        reply: What its callers heard.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


class Attempting:
    """Makes attempts.

    Args:
        parts: What the backend is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._table = parts.options.table

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write one batch.

        Returns:
            A verdict for every row.
        """
        progress = attempt.token = Progress(len(attempt.rows), self._table)
        try:
            session = await self._parts.connections.lend()
            try:
                return await self._run(session, attempt, progress)
            finally:
                await self._parts.connections.take_back(session)
        except KnownWorkError as known:
            return known.reply
        except MisconfigurationError as error:
            # Without its traceback, which would keep the batch in memory for as long as one caller keeps its error.
            return progress.reply_after(error.with_traceback(None))
        except Exception as error:
            if not isinstance(error, driver.ERRORS):
                logger.exception("table %s: writing %d rows failed", self._table, len(attempt.rows))
            return progress.reply_after(error)

    async def _run(self, session: Session, attempt: Attempt, progress: Progress) -> Reply:
        """Write a batch, and once more if the table has turned out to be another than it was, or the work is known."""
        tombstone: Entry | None = None
        if self._parts.book is not None and self._parts.book.may_know(attempt):
            tombstone = await self._look_up(session, attempt)
        for _ in range(_MOST_ROUNDS):
            seen = self._parts.table
            try:
                return await self._write(session, attempt, progress, tombstone)
            except (driver.ServerError, RolledBackError) as error:
                if errors.is_about_session(error):
                    session.drop()
                if progress.is_doubtful(error) or session.connection.is_closed():
                    raise
                await self._undo(session, progress)
                if self._parts.book is not None and self._is_about_ledger(error):
                    tombstone = await self._look_up(session, attempt)
                elif not errors.may_be_stale(error) or not await self._parts.refresh(session.connection, seen):
                    raise
        message = f"table {self._table}: the table, or the ledger, changes all the time"
        return progress.reply_after(BackendUnavailableError(message))

    async def _write(self, session: Session, attempt: Attempt, progress: Progress, tombstone: Entry | None) -> Reply:
        parts = self._parts
        statements = await self._statements(session, attempt)
        task = Task(session, parts, statements, attempt, progress, tombstone)
        is_troubled = attempt.careful or parts.expects_bad_rows(statements)
        if not is_troubled and parts.can_write_quickly(statements):
            try:
                return await Writing(task).write()
            except NeedsCareError:
                await self._undo(session, progress)
            except driver.ServerError as error:
                is_row_fault = errors.is_row_fault(error, has_row_security=statements.table.has_row_security)
                is_row_fault = is_row_fault or errors.code_of(error) == "21000"
                if progress.is_doubtful(error) or self._is_about_ledger(error) or not is_row_fault:
                    raise
                await self._undo(session, progress)
        return await CarefulWriting(task).write()

    async def _statements(self, session: Session, attempt: Attempt) -> Statements:
        """Return the SQL for an attempt; a table that does not fit is looked up once more: it may do so again."""
        parts = self._parts
        try:
            return parts.statements_for(attempt.plan)
        except MisconfigurationError:
            await parts.refresh(session.connection, parts.table)
            return parts.statements_for(attempt.plan)

    def _is_about_ledger(self, error: Exception) -> bool:
        """Whether the ledger has this identity already, as turned out when the entry was to be written."""
        if self._parts.book is None:
            return False
        if isinstance(error, LedgerMovedError):
            return True
        is_duplicate = errors.code_of(error) == "23505"
        return is_duplicate and getattr(error, "table_name", None) == self._parts.options.ledger_table

    async def _look_up(self, session: Session, attempt: Attempt) -> Entry | None:
        """Return the tombstone that stands in this attempt's place, if there is one.

        Raises:
            KnownWorkError: The work has been done before.
        """
        book = self._parts.book
        assert book is not None
        entry = await book.look_up(session.connection, attempt)
        if entry is not None and not entry.is_tombstone:
            raise KnownWorkError(book.reply(entry, attempt))
        return entry

    async def _undo(self, session: Session, progress: Progress) -> None:
        """Undo what is open, of which it is now certain that it is not stored."""
        await session.rollback()
        progress.undo()

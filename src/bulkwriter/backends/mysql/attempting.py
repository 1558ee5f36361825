"""One attempt from its first packet to COMMIT; what it answers is certain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from bulkwriter.backends.mysql import driver, errors
from bulkwriter.backends.mysql.careful import CarefulWriting
from bulkwriter.backends.mysql.errors import LedgerMovedError, NotUndoneError
from bulkwriter.backends.mysql.task import Task
from bulkwriter.backends.mysql.writing import Writing
from bulkwriter.contract import NotApplied, Uniform
from bulkwriter.errors import BackendUnavailableError, NotWrittenError

if TYPE_CHECKING:
    from bulkwriter.backends.mysql.parts import Parts
    from bulkwriter.backends.mysql.session import Session
    from bulkwriter.contract import Attempt, Reply
    from bulkwriter.ledger import Entry

logger: logging.Logger = logging.getLogger("bulkwriter.mysql")

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
    """Makes one attempt, in a task of its own that nobody cancels.

    aiomysql's commands must not be cancelled: the server goes on with what it has been sent, and commits it. Who gives
    up waiting leaves this behind, and asks it what became of it.

    Args:
        parts: What the backend is made of.
        attempt: The batch.

    Attributes:
        session: The connection it is made on; ``None`` before it has one, and when it has given it back.
        abandoned: One that was lost after COMMIT had been sent: nobody knows how far the server has come.
    """

    def __init__(self, parts: Parts, attempt: Attempt) -> None:
        self._parts = parts
        self._attempt = attempt
        self._table = parts.options.table
        self._is_given_up = False
        self._work: Task | None = None
        self.session: Session | None = None
        self.abandoned: Session | None = None
        self._running: asyncio.Task[Reply] = asyncio.get_running_loop().create_task(self._attempted())

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._running.done()

    async def reply(self) -> Reply:
        """Wait for the end of the attempt; return a verdict for every row."""
        return await asyncio.shield(self._running)

    def give_up(self) -> Session | None:
        """See that it ends soon: it is not committed if COMMIT has not been sent yet.

        If it has, its answer is the only one there will be, and is still waited for; unless there is a ledger, which
        could not be asked as long as the transaction holds its entry.

        Returns:
            The session that has been dropped in the midst of it, if there is one.
        """
        self._is_given_up = True
        session = self.session
        if session is None or (session.is_ending and self._parts.book is None):
            return None
        session.drop()
        return session

    async def _attempted(self) -> Reply:
        try:
            async with self._parts.connections.session() as session:
                if self._is_given_up:
                    return Uniform(NotApplied(errors.lost(self._table)), len(self._attempt.rows))
                self.session = session
                try:
                    return await self._run(session)
                except Exception as error:  # noqa: BLE001 - told here, while it is known how far the session had come
                    return self._reply_after(error)
        except Exception as error:  # noqa: BLE001 - there was no connection, so that nothing has been sent
            return self._reply_after(error)
        finally:
            self.session = None

    async def _run(self, session: Session) -> Reply:
        """Write a batch, and once more if the table has turned out to be another than it was, or the work is known."""
        tombstone = await self._begin(session)
        for _ in range(_MOST_ROUNDS):
            seen = self._parts.table
            try:
                reply = await self._write(session, tombstone)
            except LedgerMovedError:
                if self._is_given_up:
                    raise
                await session.rollback()
                tombstone = await self._look_up(session)
            except driver.Error as error:
                if session.is_ending and errors.number_of(error) not in errors.NOT_COMMITTED:
                    raise
                if errors.is_session_over(error):
                    session.is_ending = False
                    session.drop()
                    raise
                await session.rollback()
                if errors.number_of(error) not in errors.MAY_BE_STALE or not await self._parts.refresh(session, seen):
                    raise
            else:
                await self._prune(session)
                return reply
        message = f"table {self._table}: the table, or the ledger, changes all the time"
        return self._reply_after(BackendUnavailableError(message))

    async def _begin(self, session: Session) -> Entry | None:
        """Look at what must be known before anything is written; return the tombstone to be replaced, if there is one.

        Raises:
            KnownWorkError: The work has been done before.
            MisconfigurationError: The table is no longer one that can be written to.
        """
        if self._parts.is_suspect:
            await self._parts.refresh(session, self._parts.table)
        if self._parts.book is None or not self._parts.book.may_know(self._attempt):
            return None
        return await self._look_up(session)

    async def _write(self, session: Session, tombstone: Entry | None) -> Reply:
        statements = self._parts.statements_for(self._attempt.plan)
        task = self._work = Task(session, self._parts, statements, self._attempt, tombstone)
        path = statements.mode
        if self._attempt.careful or not await Writing(task).write():
            path = "careful"
            await CarefulWriting(task).write()
        reply = await task.commit()
        self._parts.count(path)
        return reply

    async def _look_up(self, session: Session) -> Entry | None:
        """Return the tombstone that stands in this attempt's place, if there is one.

        Raises:
            KnownWorkError: The work has been done before.
        """
        book = self._parts.book
        assert book is not None
        entry = await book.look_up(session, self._attempt)
        await session.rollback()
        if entry is not None and not entry.is_tombstone:
            raise KnownWorkError(book.reply(entry, self._attempt))
        return entry

    async def _prune(self, session: Session) -> None:
        """Delete old entries in a transaction of their own: whatever becomes of that, the batch has its answer."""
        if self._parts.book is None:
            return
        with contextlib.suppress(Exception):
            await self._parts.book.prune(session)
        if not session.is_at_rest:
            session.drop()

    def _reply_after(self, error: Exception) -> Reply:
        """Return the verdicts of an attempt that ended with an error."""
        if isinstance(error, KnownWorkError):
            return error.reply
        if isinstance(error, LedgerMovedError):
            error = errors.lost(self._table)
        if not isinstance(error, (*driver.OPENING_ERRORS, NotWrittenError)):
            logger.error("table %s: writing %d rows failed", self._table, len(self._attempt.rows), exc_info=error)
        # Without its traceback, which would keep the batch in memory for as long as one caller keeps its error.
        error = error.with_traceback(None)
        if isinstance(error, NotUndoneError) and self._work is not None:
            self._parts.is_suspect = True
            # Nor does the ledger know: its own entry was undone. What rows had been told of before counts no more.
            self._work.verdicts.clear()
            return self._work.doubtful(error, can_settle=False)
        is_sent = self.session is not None and self.session.is_ending
        if is_sent and self._work is not None and errors.number_of(error) not in errors.NOT_COMMITTED:
            self.abandoned = self.session
            return self._work.doubtful(error, can_settle=self._parts.book is not None)
        return Uniform(errors.not_applied(error, self._table), len(self._attempt.rows))

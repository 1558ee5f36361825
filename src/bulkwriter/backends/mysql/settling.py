"""What became of an attempt that was given up, or whose COMMIT had no answer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bulkwriter.backends.mysql import driver, errors
from bulkwriter.contract import NotApplied, Uniform, is_doubtful
from bulkwriter.errors import NotWrittenError

if TYPE_CHECKING:
    from bulkwriter.backends.mysql.attempting import Attempting
    from bulkwriter.backends.mysql.parts import Parts
    from bulkwriter.backends.mysql.session import Session
    from bulkwriter.contract import Attempt, Reply


class Settling:
    """Finds out what became of attempts.

    One that has not sent its COMMIT is ended, and then certainly never will. Of one that has, the ledger tells; without
    one its answer is waited for, and if that is lost nobody can know.

    Args:
        parts: What the backend is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._table = parts.options.table

    async def settle(self, attempt: Attempt) -> Reply:
        """Ask once.

        Returns:
            A verdict for every row.

        Raises:
            NotWrittenError: The database cannot be asked now.
        """
        attempting: Attempting | None = attempt.token
        if attempting is None:
            # It was given up before it had begun.
            return Uniform(NotApplied(errors.lost(self._table)), len(attempt.rows))
        abandoned = attempting.give_up() or attempting.abandoned
        if abandoned is not None:
            await self._end(abandoned)
        if self._parts.book is None:
            return await attempting.reply()
        if attempting.is_done:
            reply = await attempting.reply()
            if not is_doubtful(reply):
                return reply
        try:
            return await self._by_ledger(attempt)
        except driver.OPENING_ERRORS as error:
            told = errors.not_written(error, self._table, "settling a batch")
            raise told from told.__cause__

    async def _end(self, abandoned: Session) -> None:
        """End a session on the server too: until that notices that nobody is there any more, its rows are locked.

        Another server, or one that has been started since, gives the same number to somebody else.
        """
        if not abandoned.number:
            return
        with contextlib.suppress(*driver.OPENING_ERRORS, NotWrittenError):
            async with self._parts.connections.session() as session:
                is_there = session.server.place == abandoned.server.place
                if is_there and await session.server_began_at() <= abandoned.began_at:
                    await session.run(f"KILL {abandoned.number}")

    async def _by_ledger(self, attempt: Attempt) -> Reply:
        """Put a tombstone where the attempt's entry would be: it waits for a transaction that is still under way."""
        book = self._parts.book
        assert book is not None
        async with self._parts.connections.session() as session:
            try:
                entry = await book.bar(session, attempt)
            except driver.Error:
                await session.rollback()
                raise
        return book.settled(entry, attempt, errors.lost(self._table))

"""What became of an attempt that was given up, or whose COMMIT had no answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy import errors
from bulkwriter.backends.sqlalchemy.attempting import Attempting, given_up
from bulkwriter.contract import NotApplied, Uniform, is_doubtful

if TYPE_CHECKING:
    from bulkwriter.backends.sqlalchemy.parts import Parts
    from bulkwriter.contract import Attempt, Reply

# Seconds in which a statement may still come to its end, before its connection is dropped; and that this may take.
_PATIENCE: Final = 0.25


class Settling:
    """Finds out what became of attempts.

    One that has not sent its COMMIT is ended, and then certainly never will. Of one that has, the ledger tells; without
    one its answer is waited for, outside of the pool, and if that is lost nobody can know.

    Args:
        parts: What the backend is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._language = parts.options.family.language
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
            return Uniform(NotApplied(given_up(self._table)), len(attempt.rows))
        has_ledger = self._parts.book is not None
        if attempting.is_committing and not has_ledger:
            self._parts.wait_for(attempting)
            return await attempting.reply()
        if attempting.give_up():
            await asyncio.wait([attempting.task], timeout=_PATIENCE)
        if not attempting.task.done() and self._language != "sqlite":
            # A thread goes on whatever is cancelled; what waits for a server can be let go. With its connection ends
            # what holds on to the ledger's entry.
            attempting.end()
            await asyncio.wait([attempting.task], timeout=_PATIENCE)
        if not has_ledger:
            return await attempting.reply()
        if attempting.task.done():
            reply = await attempting.reply()
            if not is_doubtful(reply):
                return reply
        try:
            return await self._by_ledger(attempt)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            told = errors.not_written(error, self._language, self._table, "settling a batch")
            raise told from told.__cause__

    async def _by_ledger(self, attempt: Attempt) -> Reply:
        """Put a tombstone where the attempt's entry would be: it waits for a transaction that is still under way."""
        book = self._parts.book
        assert book is not None
        async with self._parts.connection() as connection:
            entry = await connection.run_sync(book.bar, attempt)
        return book.settled(entry, attempt, given_up(self._table))

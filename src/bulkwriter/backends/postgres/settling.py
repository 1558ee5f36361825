"""What became of an attempt whose COMMIT was sent, and whose answer was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres import driver, errors
from bulkwriter.backends.postgres.session import INCARNATION, Transaction
from bulkwriter.contract import NotApplied, Uniform

if TYPE_CHECKING:
    from bulkwriter.backends.postgres.driver import Connection
    from bulkwriter.backends.postgres.parts import Parts
    from bulkwriter.backends.postgres.progress import Progress
    from bulkwriter.contract import Attempt, Reply

_STATUS: Final = (
    f"SELECT CASE WHEN i.run = $1 THEN pg_catalog.pg_xact_status($2::text::xid8) END, i.run = $1 "  # noqa: S608
    f"FROM (SELECT {INCARNATION} AS run) AS i"
)

_END: Final = (
    "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a "
    "WHERE a.backend_xid = $1::text::xid8::xid AND a.pid <> pg_catalog.pg_backend_pid()"
)


class Settling:
    """Finds out what became of attempts.

    By the number of its transaction, of which PostgreSQL remembers whether it was committed; but after a crash it gives
    the same number to another one, so that nothing is believed of a run of the server other than the one that gave it.
    With a ledger by its entry, which survives crashes and failovers as the rows do.

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
        progress: Progress | None = attempt.token
        if progress is None:
            # It was given up before it had a connection.
            return Uniform(NotApplied(errors.lost(self._table)), len(attempt.rows))
        try:
            async with self._parts.connections.session() as session:
                if self._parts.book is not None:
                    return await self._by_ledger(session.connection, attempt, progress)
                return await self._by_status(session.connection, progress)
        except driver.ERRORS as error:
            told = errors.not_written(error, self._table, "settling a batch")
            raise told from told.__cause__

    async def _by_status(self, connection: Connection, progress: Progress) -> Reply:
        transaction = progress.transaction
        if transaction is None:
            return progress.settled(is_committed=False)
        if not transaction.is_ending:
            # Without COMMIT it cannot be committed; but until the server notices that nobody is there any more, it
            # holds its locks, and the next try would wait for them.
            await self._end(connection, transaction)
            return progress.settled(is_committed=False)
        status, is_same_run = await connection.fetchrow(_STATUS, transaction.incarnation, transaction.number)  # type: ignore[misc]
        if status in {"committed", "aborted"}:
            return progress.settled(is_committed=status == "committed")
        progress.asked += 1
        if is_same_run and progress.asked > 1:
            # It had time enough to end by itself. Whatever it waits for, nobody waits for it.
            await self._end(connection, transaction)
        return progress.unsettled(can_settle=bool(is_same_run) and status is not None)

    async def _end(self, connection: Connection, transaction: Transaction | None) -> None:
        """End the session that still has the transaction open."""
        if transaction is None or transaction.number is None:
            return
        run = await connection.fetchval(f"SELECT {INCARNATION}")
        if run == transaction.incarnation:
            await connection.fetch(_END, transaction.number)

    async def _by_ledger(self, connection: Connection, attempt: Attempt, progress: Progress) -> Reply:
        """Put a tombstone where the attempt's entry would be: it waits for a transaction that is still under way."""
        book = self._parts.book
        assert book is not None
        entry = await book.bar(connection, attempt)
        if entry.is_tombstone:
            # A COMMIT that is still on its way finds itself barred; but until it comes, its rows are locked.
            await self._end(connection, progress.transaction)
        return book.settled(entry, attempt, errors.lost(self._table))

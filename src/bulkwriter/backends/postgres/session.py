"""One connection, and the transaction on it, of which it is always known how far it has come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.postgres import driver
from bulkwriter.backends.postgres.errors import RolledBackError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bulkwriter.backends.postgres.driver import Connection

_TOLD = re.compile(r"bulkwriter (\d+) (.*)")

INCARNATION: Final = (
    "extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text || '/' || "
    "coalesce(extract(epoch FROM pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::text, '')"
)
"""Which run of the server it is. A crash of one process restarts all others without a new start time of the first; but
the figures are reset then: https://www.postgresql.org/docs/current/monitoring-stats.html."""

TELL: Final = f"RAISE INFO 'bulkwriter % %', pg_catalog.pg_current_xact_id(), {INCARNATION}"
"""Tells a transaction's number, in a DO block. INFO is sent whatever ``client_min_messages`` says, and at once."""


class Transaction:
    """What is needed to find out later what became of a transaction.

    Attributes:
        number: Its number; ``None`` while it is not known.
        incarnation: The run of the server that gave it the number. After a crash the same number is given again.
        is_ending: Whether COMMIT has been sent: until then it certainly cannot have been committed.
    """

    __slots__ = ("incarnation", "is_ending", "number")

    def __init__(self) -> None:
        self.number: str | None = None
        self.incarnation: str = ""
        self.is_ending: bool = False


class Session:
    """A connection in use.

    Args:
        connection: The connection.

    Attributes:
        is_at_rest: Whether no transaction is open, and nothing is on its way: it may be used for something else.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_at_rest: bool = True
        self._transaction: Transaction | None = None

    def listen(self, _connection: object, message: Any) -> None:
        """Hear what the server says besides its answers: the number of the transaction."""
        found = _TOLD.fullmatch(getattr(message, "message", None) or "")
        if found is not None and self._transaction is not None:
            self._transaction.number, self._transaction.incarnation = found.groups()

    def drop(self) -> None:
        """Drop the connection, whatever it is doing."""
        self.is_at_rest = False
        self.connection.terminate()

    async def begin(self, transaction: Transaction, before: str) -> None:
        """Begin a transaction, run some commands in it, and learn its number."""
        self._enter(transaction)
        await self.connection.execute(before)

    async def begin_with_copy(
        self,
        transaction: Transaction,
        before: str,
        table: tuple[str, str],
        columns: Sequence[str],
        source: AsyncIterator[bytes],
    ) -> int:
        """Begin a transaction with some commands and a COPY; return how many rows the server has taken."""
        self._enter(transaction)
        return await driver.copy(self.connection, before, table, columns, source)

    def _enter(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.is_at_rest = False

    async def commit(self, before: str = "") -> None:
        """Commit. When this returns, it is certain.

        Args:
            before: A command to run before, in the same round trip.

        Raises:
            RolledBackError: It was rolled back, for whatever went wrong in it before.
        """
        transaction = self._transaction
        assert transaction is not None
        if transaction.number is None:
            # The message was lost: without its number, nobody could find out what became of it.
            row = await self.connection.fetchrow(f"SELECT pg_catalog.pg_current_xact_id()::text, {INCARNATION}")
            assert row is not None
            transaction.number, transaction.incarnation = row
        transaction.is_ending = True
        tag = await self.connection.execute(f"{before}; COMMIT" if before else "COMMIT")
        if tag != "COMMIT":
            raise RolledBackError
        self._transaction = None
        self.is_at_rest = True

    async def rollback(self) -> None:
        """Undo what is open.

        Raises:
            Exception: The connection is lost, which undoes it as well.
        """
        if not self.is_at_rest:
            await self.connection.execute("ROLLBACK")
            self._transaction = None
            self.is_at_rest = True

"""One connection, and the transaction on it, of which it is always known how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.postgres import ahead, driver
from bulkwriter.backends.postgres.errors import RolledBackError, code_of, is_undoing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bulkwriter.backends.postgres.driver import Connection, Row, Statement

INCARNATION: Final = (
    "extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text || '/' || "
    "coalesce(extract(epoch FROM pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::text, '')"
)
"""Which run of the server it is. A crash of one process restarts all others without a new start time of the first; but
the figures are reset then: https://www.postgresql.org/docs/current/monitoring-stats.html."""

IDENTITY: Final = f"pg_catalog.pg_current_xact_id()::text, {INCARNATION}"
"""The number of a transaction, and the run of the server that gave it."""

ARRAYS_WITH_NULL: Final = "; SET LOCAL array_nulls = on"
"""Else, where a session has it off, NULL in an array's text is taken for the word."""

# A value, or a constraint: nothing is wrong with the statement.
_OF_A_ROW: Final = ("22", "23")

# Statements that are kept prepared: a writer has one or two for each set of columns.
_MOST_STATEMENTS: Final = 32


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
        keeps_statements: Whether statements may be prepared on it and kept: it is nobody else's, and there is no pooler
            before the server.

    Attributes:
        is_at_rest: Whether no transaction is open, and nothing is on its way: it may be used for something else.
        sends_ahead: Whether commands can travel in front of a statement.
    """

    def __init__(self, connection: Connection, *, keeps_statements: bool = False) -> None:
        self.connection = connection
        self.is_at_rest: bool = True
        self.sends_ahead: bool = keeps_statements and ahead.can_send(connection)
        self._statements: dict[str, Statement] = {}

    def drop(self) -> None:
        """Drop the connection, whatever it is doing."""
        self.is_at_rest = False
        self.connection.terminate()

    async def begin(self, with_settings: str = "") -> None:
        """Begin a transaction, with some settings of its own."""
        self.is_at_rest = False
        await self.connection.execute(f"BEGIN{with_settings}")

    async def fetch(self, sql: str, values: Sequence[Any], with_settings: str = "") -> list[Row]:
        """Run a statement and return its rows; if no transaction is open, in a new one, with some settings of its own.

        A new one takes no round trip of its own where that is possible.
        """
        if not self.is_at_rest or not self.sends_ahead:
            if self.is_at_rest:
                await self.begin(with_settings)
            return await self.connection.fetch(sql, *values)
        self.is_at_rest = False
        return await self._fetch(ahead.beginning(with_settings), sql, values)

    async def commit_at_once(
        self, transaction: Transaction, entry: tuple[str, Sequence[str]], sql: str, values: Sequence[Any]
    ) -> None:
        """Run two statements as a transaction, which ends with them, in one round trip.

        Only where ``sends_ahead``, and where it can be found out without the transaction's number what became of it.
        When this returns, it is committed.

        Args:
            transaction: The transaction.
            entry: The first statement, and its parameters as text.
            sql: The second.
            values: Its parameters.
        """
        self.is_at_rest = False
        first, parameters = entry
        # Prepared, the server need not read and plan it again for every row.
        prepared = await self._prepared(first)
        await self._prepared(sql)
        before = ahead.bound(prepared.get_name(), parameters)
        transaction.is_ending = True
        try:
            await self._fetch(before, sql, values)
        except driver.ServerError as error:
            # By an error it is undone, and over.
            self.is_at_rest = is_undoing(error)
            raise
        except driver.CLIENT_ERRORS as error:
            # The Sync that would commit comes behind the values. Any other error leaves open what has been sent.
            transaction.is_ending = not driver.is_unsendable(error)
            raise
        self.is_at_rest = True

    async def _fetch(self, before: bytes, sql: str, values: Sequence[Any]) -> list[Row]:
        """Return the rows of a statement in front of which something else travels."""
        statement = await self._prepared(sql)
        try:
            return await ahead.fetch(self.connection, before, statement, values)
        except driver.ServerError as error:
            if not (code_of(error) or "").startswith(_OF_A_ROW):
                # It may be a statement that is out of date.
                self._statements.clear()
            raise

    async def _prepared(self, sql: str) -> Statement:
        """Return a statement that is prepared, and keep it."""
        statement = self._statements.get(sql)
        if statement is None:
            if len(self._statements) >= _MOST_STATEMENTS:
                self._statements.clear()
            statement = self._statements[sql] = await self.connection.prepare(sql)
        return statement

    async def begin_with_copy(
        self, table: tuple[str, str], columns: Sequence[str], source: AsyncIterator[bytes]
    ) -> int:
        """Begin a transaction with a COPY; return how many rows the server has taken."""
        self.is_at_rest = False
        return await driver.copy(self.connection, "BEGIN", table, columns, source)

    async def identify(self, transaction: Transaction, besides: str = "NULL") -> Any:
        """Learn the number of the open transaction: without it, nobody could find out what became of it.

        Args:
            transaction: Where to note it.
            besides: SQL for something else to be asked in the same round trip.

        Returns:
            That.
        """
        row = await self.connection.fetchrow(f"SELECT {IDENTITY}, {besides}")
        assert row is not None
        transaction.number, transaction.incarnation, answer = row
        return answer

    async def commit(self, transaction: Transaction, before: str = "") -> None:
        """Commit. When this returns, it is certain.

        Args:
            transaction: What is open; its number must be known.
            before: A command to run before, in the same round trip.

        Raises:
            RolledBackError: It was rolled back, for whatever went wrong in it before.
        """
        assert transaction.number is not None, "a transaction is committed only if its fate can be found out"
        transaction.is_ending = True
        tag = await self.connection.execute(f"{before}; COMMIT" if before else "COMMIT")
        if tag != "COMMIT":
            raise RolledBackError
        self.is_at_rest = True

    async def rollback(self) -> None:
        """Undo what is open.

        Raises:
            Exception: The connection is lost, which undoes it as well.
        """
        if not self.is_at_rest:
            await self.connection.execute("ROLLBACK")
            self.is_at_rest = True

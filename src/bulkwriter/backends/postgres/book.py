"""The ledger, in the target's own database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres.driver import ServerError, server_error
from bulkwriter.backends.postgres.errors import BACKEND, LedgerMovedError, code_of, refuse
from bulkwriter.backends.postgres.sql import literal
from bulkwriter.errors import RowRejectedError
from bulkwriter.ledger import (
    PRUNED_AT_ONCE,
    Entry,
    statements,
)
from bulkwriter.sql import BookKeeping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backends.postgres.driver import Connection
    from bulkwriter.backends.postgres.options import Options
    from bulkwriter.contract import Attempt, Reply


_MADE_BY_OTHERS: Final = frozenset({"23505", "42P07", "42710"})
"""What is said of a table that somebody else has made meanwhile: a key of the catalogue's, a table, or a type twice."""


class Book(BookKeeping):
    """Reads and writes the ledger, within whatever transaction is open.

    Args:
        options: What the caller asked for.
        schema: Where the target is, and the ledger too.
    """

    def __init__(self, options: Options, schema: str) -> None:
        super().__init__(BACKEND, options)
        self._sql = statements("postgresql", options.ledger_table, schema=schema, style="numeric_dollar")
        self._name = self._sql.look_up.partition(" FROM ")[2].partition(" WHERE ")[0]
        # Text and the number of a parameter, by turns.
        self._pieces = re.split(r"\$(\d+)", self._sql.record)

    async def create(self, connection: Connection) -> None:
        """Make the ledger, if it is not there, and see that it can be written to.

        Raises:
            MisconfigurationError: It cannot.
        """
        if await connection.fetchval("SELECT pg_catalog.to_regclass($1)", self._name) is None:
            for sql in self._sql.create:
                await _made(connection, sql)
        rights = "SELECT pg_catalog.has_table_privilege($1, 'SELECT') AND pg_catalog.has_table_privilege($1, 'INSERT') "
        rights += "AND pg_catalog.has_table_privilege($1, 'UPDATE') AND pg_catalog.has_table_privilege($1, 'DELETE')"
        if not await connection.fetchval(rights, self._name):
            message = f"the ledger {self._name} needs the privileges SELECT, INSERT, UPDATE and DELETE (42501)"
            refuse(message, self._table)

    async def look_up(self, connection: Connection, attempt: Attempt) -> Entry | None:
        """Return what is known of an attempt's identity."""
        row = await connection.fetchrow(self._sql.look_up, attempt.identity)
        return None if row is None else Entry(*row)

    def reply(self, entry: Entry, attempt: Attempt) -> Reply:
        """Return what the callers heard when the work of this identity was done.

        Raises:
            MisconfigurationError: It was another piece of work.
        """
        reply = super().reply(entry, attempt)
        for verdict in reply if isinstance(reply, list) else ():
            if isinstance(verdict, RowRejectedError) and verdict.sqlstate:
                verdict.__cause__ = _cause(verdict)
        return reply

    def record(self, attempt: Attempt, reply: Reply) -> str:
        """Return the command that writes what the callers will hear, to be run right before COMMIT.

        Raises:
            MisconfigurationError: A returned value cannot be kept.
        """
        literals = [str(value) if isinstance(value, int) else literal(value) for value in self.recorded(attempt, reply)]
        pieces = self._pieces.copy()
        pieces[1::2] = [literals[int(number) - 1] for number in pieces[1::2]]
        return "".join(pieces)

    def entry(self, attempt: Attempt, reply: Reply) -> tuple[str, Sequence[str]]:
        """Return the same as a statement to be prepared, and its parameters as text.

        Raises:
            MisconfigurationError: A returned value cannot be kept.
        """
        return self._sql.record, [str(value) for value in self.recorded(attempt, reply)]

    async def replace(self, connection: Connection, attempt: Attempt, reply: Reply, tombstone: Entry) -> None:
        """Write it in the place of a tombstone.

        Raises:
            LedgerMovedError: It is not there any more.
        """
        tag = await connection.execute(self._sql.replace, *self.replacing(attempt, reply, tombstone))
        if tag != "UPDATE 1":
            raise LedgerMovedError

    async def prune(self, connection: Connection) -> None:
        """Delete old entries, if it is time to."""
        if self._prune.is_due():
            await connection.execute(self._sql.prune, int(self._retention), PRUNED_AT_ONCE)

    async def bar(self, connection: Connection, attempt: Attempt) -> Entry:
        """See to it that an attempt cannot commit any more, unless it has; return what is there."""
        await connection.execute(self._sql.bar, *self.barred(attempt))
        entry = await self.look_up(connection, attempt)
        assert entry is not None
        return entry


def _cause(error: RowRejectedError) -> Exception:
    """Return the server's error, as far as the ledger has kept what it said."""
    fields = {"message": error.detail, "constraint_name": error.constraint_name, "column_name": error.column_name}
    return server_error(error.sqlstate or "", fields)


async def _made(connection: Connection, sql: str) -> None:
    """Make something, if it is not there: also if others make the same at this very moment, as workers do that start.

    ``IF NOT EXISTS`` does not see what is not committed yet, and fails by the catalogue's own keys once it is.
    """
    try:
        await connection.execute(sql)
    except ServerError as error:
        if code_of(error) not in _MADE_BY_OTHERS:
            raise
        await connection.execute(sql)

"""The ledger, in the target's own database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkwriter.backends.sqlite.errors import BACKEND
from bulkwriter.ledger import (
    PRUNED_AT_ONCE,
    Entry,
    Statements,
    check_identity,
    statements,
)
from bulkwriter.sql import BookKeeping

if TYPE_CHECKING:
    import sqlite3

    from bulkwriter.backends.sqlite.options import Options
    from bulkwriter.contract import Attempt, Reply


class Book(BookKeeping):
    """Reads and writes the ledger, within whatever transaction is open.

    Args:
        options: What the caller asked for.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(BACKEND, options)
        self._ledger_table = options.ledger_table
        self._known: dict[str, Statements] = {}

    def create(self, connection: sqlite3.Connection, schema: str) -> None:
        """Make the ledger in a schema, if it is not there: the target's own, for one commit is atomic there alone."""
        for sql in self._sql(schema).create:
            connection.execute(sql)
        connection.execute(f"EXPLAIN {self._sql(schema).record}", [None] * 5)

    def look_up(self, connection: sqlite3.Connection, schema: str, attempt: Attempt) -> Entry | None:
        """Return what is known of an attempt's identity.

        Raises:
            MisconfigurationError: No ledger could hold this identity.
        """
        check_identity(attempt.identity)
        row = connection.execute(self._sql(schema).look_up, (attempt.identity,)).fetchone()
        return None if row is None else Entry(*row)

    def record(
        self, connection: sqlite3.Connection, schema: str, attempt: Attempt, reply: Reply, tombstone: Entry | None
    ) -> None:
        """Write what the callers will hear, in the batch's transaction.

        Args:
            connection: The connection.
            schema: Where the ledger is.
            attempt: The batch.
            reply: What its callers will hear.
            tombstone: What ``look_up`` found in this transaction, whose place it takes.
        """
        sql = self._sql(schema)
        if tombstone is None:
            connection.execute(sql.record, self.recorded(attempt, reply))
        else:
            connection.execute(sql.replace, self.replacing(attempt, reply, tombstone))
        if self._prune.is_due():
            connection.execute(sql.prune, (self._retention, PRUNED_AT_ONCE))

    def bar(self, connection: sqlite3.Connection, schema: str, attempt: Attempt) -> Entry:
        """See to it that an attempt cannot commit any more, unless it has; return what is there."""
        connection.execute(self._sql(schema).bar, self.barred(attempt))
        entry = self.look_up(connection, schema, attempt)
        assert entry is not None
        return entry

    def _sql(self, schema: str) -> Statements:
        known = self._known.get(schema)
        if known is None:
            known = self._known[schema] = statements("sqlite", self._ledger_table, schema=schema)
        return known

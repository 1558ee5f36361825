"""The ledger, in the target's own database."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from bulkwriter.errors import MisconfigurationError
from bulkwriter.ledger import (
    PRUNED_AT_ONCE,
    Entry,
    PruneCounter,
    Statements,
    Work,
    check_identity,
    digest_of,
    encode_answers,
    statements,
)

if TYPE_CHECKING:
    import sqlite3

    from bulkwriter.backends.sqlite.options import Options
    from bulkwriter.contract import Attempt, Reply


class Book:
    """Reads and writes the ledger, within whatever transaction is open.

    Args:
        options: What the caller asked for.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._prune = PruneCounter()
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

    def reply(self, entry: Entry, attempt: Attempt) -> Reply:
        """Return what the callers heard when the work of this identity was done.

        Raises:
            MisconfigurationError: It was another piece of work.
        """
        try:
            return entry.reply(attempt.identity, self._work(attempt))
        except MisconfigurationError as error:
            error.backend, error.table = "sqlite", self._options.table
            raise

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
        sql, work, token = self._sql(schema), self._work(attempt), secrets.token_hex(16)
        facts = (token, work.digest, work.row_count, encode_answers(reply))
        if tombstone is None:
            connection.execute(sql.record, (attempt.identity, *facts))
        else:
            connection.execute(sql.replace, (*facts, attempt.identity, tombstone.token))
        if self._prune.is_due():
            connection.execute(sql.prune, (self._options.ledger_retention, PRUNED_AT_ONCE))

    def bar(self, connection: sqlite3.Connection, schema: str, attempt: Attempt) -> Entry:
        """See to it that an attempt cannot commit any more, unless it has; return what is there."""
        work = self._work(attempt)
        facts = (attempt.identity, secrets.token_hex(16), work.digest, work.row_count)
        connection.execute(self._sql(schema).bar, facts)
        entry = self.look_up(connection, schema, attempt)
        assert entry is not None
        return entry

    def _sql(self, schema: str) -> Statements:
        known = self._known.get(schema)
        if known is None:
            known = self._known[schema] = statements("sqlite", self._options.ledger_table, schema=schema)
        return known

    def _work(self, attempt: Attempt) -> Work:
        plan, options = attempt.plan, self._options
        digest = digest_of(options.table, plan.operation, plan.columns, options.on_conflict)
        return Work(digest, len(attempt.rows))

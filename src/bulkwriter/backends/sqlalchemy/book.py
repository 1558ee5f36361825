"""The ledger, in the target's own database and schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy.errors import LedgerMovedError, is_duplicate
from bulkwriter.backends.sqlalchemy.families import STYLES
from bulkwriter.backends.sqlalchemy.options import BACKEND
from bulkwriter.ledger import PRUNED_AT_ONCE, Entry, statements
from bulkwriter.sql import BookKeeping

if TYPE_CHECKING:
    from bulkwriter.backends.sqlalchemy.options import Options
    from bulkwriter.contract import Attempt, Reply


class Book(BookKeeping):
    """Reads and writes the ledger, within whatever transaction is open.

    Args:
        options: What the caller asked for.
        dialect: The dialect.
        schema: Where the target is.
    """

    def __init__(self, options: Options, dialect: sa.Dialect, schema: str | None) -> None:
        super().__init__(BACKEND, options)
        self._language = options.family.language
        self._sql = statements(self._language, options.ledger_table, schema=schema, style=STYLES[dialect.paramstyle])

    def create(self, connection: sa.Connection) -> None:
        """Make the ledger, if it is not there, and see that it can be read."""
        try:
            connection.exec_driver_sql(self._sql.look_up, ("",))
        except sa.exc.DBAPIError:
            connection.rollback()
            for sql in self._sql.create:
                connection.exec_driver_sql(sql)
            connection.exec_driver_sql(self._sql.look_up, ("",))
        connection.commit()

    def look_up(self, connection: sa.Connection, attempt: Attempt) -> Entry | None:
        """Return what is known of an attempt's identity."""
        row = connection.exec_driver_sql(self._sql.look_up, (attempt.identity,)).first()
        return None if row is None else Entry(*row)

    def record(self, connection: sa.Connection, attempt: Attempt, reply: Reply, tombstone: Entry | None) -> None:
        """Write what the callers will hear, in the batch's transaction.

        Raises:
            LedgerMovedError: Somebody else has written the entry meanwhile.
            MisconfigurationError: A returned value cannot be kept.
        """
        try:
            if tombstone is None:
                connection.exec_driver_sql(self._sql.record, self.recorded(attempt, reply))
                return
            replaced = connection.exec_driver_sql(self._sql.replace, self.replacing(attempt, reply, tombstone))
        except sa.exc.DBAPIError as error:
            if is_duplicate(error, self._language):
                raise LedgerMovedError from error
            raise
        if replaced.rowcount != 1:
            raise LedgerMovedError

    def prune(self, connection: sa.Connection) -> None:
        """Delete old entries, if it is time to, in a transaction of their own."""
        if self._prune.is_due():
            connection.exec_driver_sql(self._sql.prune, (int(self._retention), PRUNED_AT_ONCE))
            connection.commit()

    def bar(self, connection: sa.Connection, attempt: Attempt) -> Entry:
        """See to it that an attempt cannot commit any more, unless it has; return what is there."""
        connection.exec_driver_sql(self._sql.bar, self.barred(attempt))
        entry = self.look_up(connection, attempt)
        assert entry is not None
        connection.commit()
        return entry

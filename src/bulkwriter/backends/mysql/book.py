"""The ledger, in the target's own database: the first that a transaction writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkwriter.backends.mysql import driver
from bulkwriter.backends.mysql.errors import BACKEND, number_of
from bulkwriter.ledger import PRUNED_AT_ONCE, Entry, encode_answers, statements
from bulkwriter.sql import BookKeeping

if TYPE_CHECKING:
    from bulkwriter.backends.mysql.options import Options
    from bulkwriter.backends.mysql.session import Session
    from bulkwriter.contract import Attempt, Reply

_NO_SUCH_TABLE = 1146


class Book(BookKeeping):
    """Reads and writes the ledger, within whatever transaction is open.

    Args:
        options: What the caller asked for.
        schema: Where the target is, and the ledger too.
    """

    def __init__(self, options: Options, schema: str) -> None:
        super().__init__(BACKEND, options)
        self._sql = statements("mysql", options.ledger_table, schema=schema, style="format")

    async def create(self, session: Session) -> None:
        """Make the ledger, if it is not there, and see that it can be read and written.

        Raises:
            Error: It cannot.
        """
        look_up = self._sql.look_up % session.literals(("",))
        try:
            await session.run(look_up)
        except driver.Error as error:
            if number_of(error) != _NO_SUCH_TABLE:
                raise
            for sql in self._sql.create:
                await session.run(sql)
            await session.run(look_up)
        # They ask for the privileges, and change nothing: no entry has an identity without characters.
        await session.run(self._sql.amend % session.literals(("", "", "")))
        await session.run(self._sql.prune % session.literals((2**40, 0)))
        await session.rollback()

    async def look_up(self, session: Session, attempt: Attempt) -> Entry | None:
        """Return what is known of an attempt's identity."""
        rows = (await session.run(self._sql.look_up % session.literals((attempt.identity,)))).rows
        return Entry(*rows[0]) if rows else None

    def record(self, session: Session, attempt: Attempt, reply: Reply, tombstone: Entry | None) -> Record:
        """Return the statement that writes what the callers will hear, before it is known to be so.

        Raises:
            MisconfigurationError: A returned value cannot be kept.
        """
        values = self.recorded(attempt, reply)
        if tombstone is None:
            return Record(self._sql.record % session.literals(values), attempt.identity, values[1])
        replacing = self.replacing(attempt, reply, tombstone)
        return Record(self._sql.replace % session.literals(replacing), attempt.identity, replacing[0])

    def amend(self, session: Session, record: Record, reply: Reply) -> str:
        """Return the statement that puts right what was written first.

        Raises:
            MisconfigurationError: A returned value cannot be kept.
        """
        return self._sql.amend % session.literals((encode_answers(reply), record.identity, record.token))

    async def prune(self, session: Session) -> None:
        """Delete old entries, if it is time to, in a transaction of their own."""
        if self._prune.is_due():
            await session.run(self._sql.prune % session.literals((int(self._retention), PRUNED_AT_ONCE)))
            await session.commit()

    async def bar(self, session: Session, attempt: Attempt) -> Entry:
        """See to it that an attempt cannot commit any more, unless it has; return what is there."""
        await session.run(self._sql.bar % session.literals(self.barred(attempt)))
        entry = await self.look_up(session, attempt)
        assert entry is not None
        await session.commit()
        return entry


class Record:
    """The ledger's entry of a batch that is under way.

    Args:
        sql: The statement that writes it.
        identity: The batch's identity.
        token: What was drawn for the entry.
    """

    def __init__(self, sql: str, identity: str, token: str) -> None:
        self.sql: str = sql
        self.identity: str = identity
        self.token: str = token

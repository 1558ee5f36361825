"""What is to be written, how, and over which connection: handed from one way of writing to the next."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bulkwriter.backends.postgres import catalogue
from bulkwriter.backends.postgres.errors import StaleTableError
from bulkwriter.backends.postgres.sql import literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bulkwriter.backends.postgres.parts import Parts
    from bulkwriter.backends.postgres.progress import Progress
    from bulkwriter.backends.postgres.session import Session
    from bulkwriter.backends.postgres.statements import Statements
    from bulkwriter.contract import Attempt
    from bulkwriter.ledger import Entry


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One try at one batch.

    Attributes:
        session: The connection.
        parts: What the backend is made of.
        statements: How the rows are written.
        attempt: The batch.
        progress: Where it is noted what is certain.
        tombstone: The ledger's entry whose place this batch takes; ``None`` if there is none.
    """

    session: Session
    parts: Parts
    statements: Statements
    attempt: Attempt
    progress: Progress
    tombstone: Entry | None

    async def commit(self, *, check_table: bool) -> None:
        """Commit what the progress expects, with the ledger's entry if there is one.

        Args:
            check_table: Whether to see first that the table is still what the rows were encoded for. By now the rows
                themselves hold a lock against any change, so that it stays so.

        Raises:
            StaleTableError: It is not; nothing is committed.
            LedgerMovedError: Somebody else has taken the tombstone's place; nothing is committed.
            RolledBackError: Nothing is committed.
            ServerError: Nothing is committed, unless the progress says that it is doubtful.
        """
        transaction, table = self.progress.transaction, self.statements.table
        assert transaction is not None
        if check_table:
            now = catalogue.FINGERPRINT_OF_THE_NAMED.format(name=literal(table.sql_name), oid=table.oid)
            if await self.session.identify(transaction, now) != table.fingerprint:
                raise StaleTableError
        elif transaction.number is None:
            await self.session.identify(transaction)
        await self.session.commit(transaction, await self._record())
        self.progress.commit()

    @property
    def can_commit_at_once(self) -> bool:
        """Whether all can go in one round trip: then its fate must be provable although nobody knows its number."""
        is_new_entry = self.parts.book is not None and self.tombstone is None
        # Settings of a transaction need a BEGIN, and that a COMMIT.
        return is_new_entry and self.session.is_at_rest and self.session.sends_ahead and not self.statements.settings

    async def commit_at_once(self, sql: str, values: Sequence[Any]) -> None:
        """Run a statement, and commit it and the ledger's entry, which says what the progress expects.

        Raises:
            ServerError: Nothing is committed, unless the progress says that it is doubtful.
        """
        transaction, book = self.progress.transaction, self.parts.book
        assert transaction is not None
        assert book is not None
        await book.prune(self.session.connection)
        entry = book.entry(self.attempt, self.progress.reply())
        await self.session.commit_at_once(transaction, entry, sql, values)
        self.progress.commit()

    async def _record(self) -> str:
        """Return the command that writes the ledger's entry, if there is one to be written along with COMMIT."""
        book, connection = self.parts.book, self.session.connection
        if book is None:
            return ""
        reply = self.progress.reply()
        await book.prune(connection)
        if self.tombstone is None:
            return book.record(self.attempt, reply)
        await book.replace(connection, self.attempt, reply, self.tombstone)
        return ""

"""What is to be written, how, and over which connection: handed from one way of writing to the next."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bulkwriter.backends.postgres import catalogue
from bulkwriter.backends.postgres.errors import StaleTableError

if TYPE_CHECKING:
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

    def beginning(self, *, is_copy: bool) -> str:
        """Return the commands that begin a transaction."""
        return self.parts.beginning(self.attempt, self.statements.table, self.tombstone, is_copy=is_copy)

    async def check_table(self) -> None:
        """See that the table is still what the rows were converted for, before one is told that it is bad.

        Raises:
            StaleTableError: It is not.
        """
        now = catalogue.FINGERPRINT.format(oid=self.statements.table.oid)
        if await self.session.connection.fetchval(f"SELECT {now}") != self.statements.table.fingerprint:
            raise StaleTableError

    async def commit(self) -> None:
        """Commit what the progress expects, with the ledger's entry if there is one.

        Raises:
            LedgerMovedError: Somebody else has taken the tombstone's place; nothing is committed.
            RolledBackError: Nothing is committed.
            ServerError: Nothing is committed, unless the progress says that it is doubtful.
        """
        record, book, connection = "", self.parts.book, self.session.connection
        if book is not None:
            reply = self.progress.reply()
            if self.tombstone is None:
                record = book.record(self.attempt, reply)
            else:
                await book.replace(connection, self.attempt, reply, self.tombstone)
            await book.prune(connection)
        await self.session.commit(record)
        self.progress.commit()

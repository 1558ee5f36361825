"""One try at one batch: what is to be written, over which connection, and what its callers will hear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.mysql import errors
from bulkwriter.backends.mysql.builder import Builder, Unfit
from bulkwriter.backends.mysql.errors import LedgerMovedError
from bulkwriter.contract import Doubtful, Uniform
from bulkwriter.errors import RowRejectedError
from bulkwriter.results import DELETED, INSERTED, SKIPPED, Outcome, WriteResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bulkwriter.backends.mysql.book import Record
    from bulkwriter.backends.mysql.builder import Shape
    from bulkwriter.backends.mysql.parts import Parts
    from bulkwriter.backends.mysql.session import Session
    from bulkwriter.backends.mysql.statements import Statements
    from bulkwriter.backends.mysql.wire import Answer
    from bulkwriter.contract import Attempt, Reply, Verdict
    from bulkwriter.ledger import Entry


class Task:
    """A batch on its way through one transaction.

    Args:
        session: The connection.
        parts: What the backend is made of.
        statements: How the rows are written.
        attempt: The batch.
        tombstone: The ledger's entry whose place this batch takes; ``None`` if there is none.

    Attributes:
        rows: The rows.
        usual: What a row hears of which nothing else is said.
        verdicts: What the others hear, by their place, once the transaction is committed.
        unfit: What the callers of rows hear that could not be sent.
    """

    def __init__(
        self, session: Session, parts: Parts, statements: Statements, attempt: Attempt, tombstone: Entry | None
    ) -> None:
        self.session = session
        self.parts = parts
        self.statements = statements
        self.rows: Sequence[Any] = attempt.rows
        self.usual: WriteResult = DELETED if statements.mode == "delete" else INSERTED
        self.verdicts: dict[int, Verdict] = {}
        self.unfit: Unfit = {}
        self._attempt = attempt
        self._tombstone = tombstone
        self._record: Record | None = None

    @property
    def table(self) -> str:
        """The target's name, for messages."""
        return self.statements.table.label

    def builder_for(self, shape: Shape) -> Builder:
        """Return what builds statements of a shape for this session."""
        session = self.session
        return Builder(shape, session.server.most_bytes, has_backslashes=session.has_backslashes, table=self.table)

    # -- what rows will hear

    def tell(self, places: Iterable[int], result: WriteResult) -> None:
        """Note what rows will hear."""
        if result is not self.usual:
            self.verdicts.update(dict.fromkeys(places, result))

    def give_back(self, place: int, values: Mapping[str, Any]) -> None:
        """Note what a row will be given back, whatever becomes of it."""
        known = self.verdicts.get(place, self.usual)
        outcome = known.outcome if isinstance(known, WriteResult) else Outcome.INSERTED
        self.verdicts[place] = WriteResult(outcome, dict(values))

    def written(self, places: Iterable[int]) -> list[int]:
        """Return those of the rows that have been inserted or updated, or could have been."""
        told = {place: self.verdicts.get(place, self.usual) for place in places if place not in self.unfit}
        return [place for place, verdict in told.items() if isinstance(verdict, WriteResult) and verdict is not SKIPPED]

    def reply(self) -> Reply:
        """Return the verdicts, should the transaction be committed."""
        verdicts: dict[int, Verdict] = {**self.verdicts, **self.unfit}
        if not verdicts:
            return Uniform(self.usual, len(self.rows))
        return [verdicts.get(place, self.usual) for place in range(len(self.rows))]

    def doubtful(self, cause: BaseException, *, can_settle: bool) -> Reply:
        """Return the verdicts while it is not known whether it was: a row that was refused is not stored either way."""
        doubt = Doubtful(cause, can_settle=can_settle)
        reply = self.reply()
        if isinstance(reply, Uniform):
            return Uniform(doubt, reply.rows)
        return [verdict if isinstance(verdict, RowRejectedError) else doubt for verdict in reply]

    # -- the ledger's entry, first and last

    def begin(self) -> int:
        """Send the ledger's entry, if there is a ledger; return how many answers are to come.

        It says that every row has heard the usual, and is put right before COMMIT where that is not so.
        """
        book = self.parts.book
        if book is None:
            return 0
        usual = Uniform(self.usual, len(self.rows))
        self._record = book.record(self.session, self._attempt, usual, self._tombstone)
        self.session.send(self._record.sql)
        return 1

    def check_begun(self, answers: Iterable[Answer | Exception]) -> None:
        """See that the entry has been written.

        Raises:
            LedgerMovedError: The ledger has this identity, or no longer the tombstone whose place was to be taken.
            Error: Something else is wrong.
        """
        for answer in answers:
            if isinstance(answer, Exception):
                if errors.number_of(answer) == errors.DUPLICATE:
                    raise LedgerMovedError from answer
                raise answer
            if answer.affected != 1:
                raise LedgerMovedError

    async def commit(self) -> Reply:
        """Commit, and return the verdicts.

        Raises:
            Error: Nothing is committed, unless the session is ending: then it is not known.
        """
        reply, book = self.reply(), self.parts.book
        before = ""
        if book is not None and self._record is not None and (self.verdicts or self.unfit):
            before = book.amend(self.session, self._record, reply)
        await self.session.commit(before)
        return reply

"""How far an attempt has come: what is certain of each row, and which transaction the rest depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkwriter.backends.postgres import errors
from bulkwriter.backends.postgres.errors import RolledBackError
from bulkwriter.backends.postgres.session import Transaction
from bulkwriter.contract import Doubtful, NotApplied, Reply, Uniform, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping


class Progress:
    """What an attempt leaves behind when it is given up, so that it can be settled.

    A row is *certain* (its verdict stands), *pending* (its verdict stands if the transaction is committed) or *open*
    (nothing that is or may be committed holds it).

    Args:
        rows: How many rows the attempt has.
        table: The target's name.

    Attributes:
        transaction: The one that pending rows depend on; ``None`` between two.
        asked: How many times it was asked what became of it.
    """

    def __init__(self, rows: int, table: str) -> None:
        self._rows = rows
        self._table = table
        self._certain: dict[int, Verdict] = {}
        self._pending: Mapping[int, Verdict] = {}
        self._usual: Verdict | None = None
        # What every row hears, certainly.
        self._uniform: Verdict | None = None
        self.transaction: Transaction | None = None
        self.asked: int = 0

    def enter(self) -> Transaction:
        """Note that a new transaction begins."""
        self.transaction = Transaction()
        return self.transaction

    def expect(self, verdicts: Mapping[int, Verdict], usual: Verdict | None = None) -> None:
        """Note what rows will hear once the transaction is committed.

        Args:
            verdicts: By the index of the row.
            usual: What all others will hear; ``None`` leaves them open.
        """
        self._pending = verdicts
        self._usual = usual

    def commit(self) -> None:
        """Note that the transaction is committed: what was pending is certain."""
        self._certain.update(self._pending)
        if self._usual is not None and self._certain:
            self._certain = {index: self._certain.get(index, self._usual) for index in range(self._rows)}
        elif self._usual is not None:
            self._uniform = self._usual
        self.undo()

    def undo(self) -> None:
        """Note that nothing depends on the transaction any more: what was pending is open again."""
        self._pending = {}
        self._usual = None
        self.transaction = None

    def is_doubtful(self, error: BaseException) -> bool:
        """Whether the transaction may be committed in spite of an error."""
        if self.transaction is None or not self.transaction.is_ending or isinstance(error, RolledBackError):
            return False
        return not errors.is_undoing(error)

    def reply(self) -> Reply:
        """Return the verdicts, of which those that are pending count as if they were certain."""
        alike = self._uniform or (None if self._certain or self._pending else self._usual)
        if alike is not None:
            return Uniform(alike, self._rows)
        found = {**self._certain, **self._pending} if self._pending else self._certain
        if len(found) == self._rows:
            return list(map(found.__getitem__, range(self._rows)))
        verdicts = [found.get(index, self._usual) for index in range(self._rows)]
        told = [verdict for verdict in verdicts if verdict is not None]
        assert len(told) == self._rows, "every row has a verdict"
        return told

    def reply_after(self, error: BaseException) -> Reply:
        """Return the verdicts of an attempt that ended with an error."""
        if self.is_doubtful(error):
            return self._filled(Doubtful(error.with_traceback(None)), NotApplied(errors.lost(self._table)))
        self.undo()
        undone = errors.not_applied(error, self._table)
        return self._filled(undone, undone)

    def settled(self, *, is_committed: bool) -> Reply:
        """Return the verdicts now that it is known what became of the transaction."""
        if is_committed:
            self.commit()
        else:
            self.undo()
        undone = NotApplied(errors.lost(self._table))
        return self._filled(undone, undone)

    def unsettled(self, *, can_settle: bool) -> Reply:
        """Return the verdicts while, or because, it cannot be known what became of the transaction."""
        return self._filled(Doubtful(can_settle=can_settle), NotApplied(errors.lost(self._table)))

    def _filled(self, pending: Verdict, still_open: Verdict) -> Reply:
        if self._uniform is not None:
            return Uniform(self._uniform, self._rows)
        if not self._certain and not self._pending:
            return Uniform(still_open if self._usual is None else pending, self._rows)
        return [
            self._certain.get(index) or (pending if self._is_pending(index) else still_open)
            for index in range(self._rows)
        ]

    def _is_pending(self, index: int) -> bool:
        return index in self._pending or self._usual is not None

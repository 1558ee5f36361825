"""The rows of one batch all at once: a few statements, and counts that tell what became of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.mysql import errors
from bulkwriter.backends.mysql.giving_back import GivingBack
from bulkwriter.backends.mysql.keys import in_turns
from bulkwriter.results import SKIPPED, UNCHANGED, UPDATED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backends.mysql.builder import Piece
    from bulkwriter.backends.mysql.task import Task
    from bulkwriter.backends.mysql.wire import Answer


class NeedsCareError(Exception):
    """What the server said does not tell what became of every row: they are to be written one by one."""


class Writing:
    """Writes a batch all at once.

    Args:
        task: What is to be written.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._session = task.session
        self._statements = task.statements
        self._giving_back = GivingBack(task)

    async def write(self) -> bool:
        """Write the rows; return whether it is certain what becomes of each. Else it must be undone.

        Raises:
            LedgerMovedError: The ledger has this identity, or no longer the tombstone whose place was to be taken.
            Error: Something is wrong that is no row's fault.
        """
        try:
            await self._write()
        except NeedsCareError:
            return False
        except Exception as error:
            if errors.is_row_fault(error):
                return False
            raise
        return True

    async def _write(self) -> None:
        task, session = self._task, self._session
        if not self._tells_keys():
            raise NeedsCareError
        places = await self._in_order()
        begun = task.begin()
        looked = await self._ask_for_existing(places)
        pieces: list[Piece] = []
        async for piece in task.builder_for(self._statements).pieces(task.rows, places, task.unfit):
            session.send(piece.sql)
            # The server begins with them, and with their mistakes, before the others are encoded.
            session.flush()
            pieces.append(piece)
        answers = await session.answers(begun + looked + len(pieces))
        task.check_begun(answers[:begun])
        existing = await self._existing(good(answers[begun : begun + looked])) if looked else None
        self._statements.expects_conflicts = False
        for piece, answer in zip(pieces, good(answers[begun + looked :]), strict=True):
            self._tell(piece, answer, existing)
        await self._giving_back.read([place for piece in pieces for place in piece.places])

    def _tells_keys(self) -> bool:
        """Whether it will be known which keys the server makes, if they are to be given back.

        A key that a row of the same statement brings may move those that are made behind it.
        """
        statements, rows = self._statements, self._task.rows
        if not statements.returning or statements.gives_back or not statements.makes_keys:
            return True
        without = sum(map(statements.lacks_generated_key, rows))
        return not without or (statements.mode == "error" and without == len(rows))

    async def _in_order(self) -> Sequence[int]:
        """Return the rows in the order of their keys, so that concurrent writers lock them in the same order."""
        rows = self._task.rows
        places = range(len(rows))
        read = self._task.parts.key_reader_for(self._statements)
        if self._statements.mode == "error" or read is None:
            return places
        try:
            return sorted(places, key=(await in_turns(read, rows)).__getitem__)  # type: ignore[arg-type]
        except TypeError:
            return places  # a None among them, or values of different types

    # -- what became of each row

    def _tell(self, piece: Piece, answer: Answer, existing: set[int] | None) -> None:
        """Note what became of the rows of a statement.

        Raises:
            NeedsCareError: That is not certain.
        """
        size, mode = len(piece.places), self._statements.mode
        if answer.warnings and mode != "delete":
            raise NeedsCareError
        if mode == "error":
            if answer.affected != size:
                raise NeedsCareError
            self._giving_back.note(piece, answer)
        elif mode != "delete":
            self._tell_conflicts(piece.places, answer, existing)

    def _tell_conflicts(self, places: Sequence[int], answer: Answer, existing: set[int] | None) -> None:
        changed = changed_of(answer, len(places))
        old = len(places) - (answer.affected - 2 * changed)
        if 0 < old < len(places):
            self._statements.expects_conflicts = True
        if old == 0:
            return
        there = set(places) if old == len(places) else (existing or set()).intersection(places)
        # Of those that were there, all have changed, or none has: else it is not certain which.
        if len(there) != old or changed not in {0, old}:
            raise NeedsCareError
        stood = UNCHANGED if self._statements.mode == "update" else SKIPPED
        self._task.tell(there, UPDATED if changed else stood)

    # -- which keys are there

    async def _ask_for_existing(self, places: Sequence[int]) -> int:
        """Ask, in the same round trip, which keys are there already, if that was of use for the last batch.

        They are locked, so that they are still there when the rows come.

        Returns:
            How many answers are to come.
        """
        statements = self._statements
        if not statements.expects_conflicts:
            return 0
        builder, asked = self._task.builder_for(statements.existing), 0
        async for piece in builder.pieces(self._keys(), places, {}):
            self._session.send(piece.sql)
            asked += 1
        return asked

    def _keys(self) -> list[tuple[Any, ...]]:
        places = self._statements.key_places
        return [tuple([row[place] for place in places]) for row in self._task.rows]

    async def _existing(self, answers: Sequence[Answer]) -> set[int]:
        """Return the places of the rows whose key was there; fewer than there are, if it is not certain which."""
        lookup = self._statements.existing
        by_key = {key: place for place, key in enumerate(await lookup.folded(self._keys()))}
        if len(by_key) < len(self._task.rows):
            return set()
        there = [key for answer in answers for key in await lookup.by_key(answer.rows or ())]
        return {by_key[key] for key in there if key in by_key}


def good(answers: Sequence[Answer | Exception]) -> list[Answer]:
    """Return the answers.

    Raises:
        Error: The first that is one; but one that is no row's fault before all others.
    """
    wrong = [answer for answer in answers if isinstance(answer, Exception)]
    for error in sorted(wrong, key=errors.is_row_fault):
        raise error
    return [answer for answer in answers if not isinstance(answer, Exception)]


def changed_of(answer: Answer, rows: int) -> int:
    """Return how many rows were there, and have been changed by a statement."""
    return answer.duplicates if rows > 1 else int(answer.affected == 2)  # noqa: PLR2004 - MySQL counts an update so

"""The rows of one batch among which there are bad ones: few at a time, those that failed fewer, and then one by one.

A statement that fails leaves nothing behind, and the others of its transaction stand. So statements for a few rows
each are sent at once, without waiting for an answer, and then, at once again, the rows of those that failed: the cost
is a handful of round trips, however many rows are bad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.mysql import errors
from bulkwriter.backends.mysql.giving_back import GivingBack
from bulkwriter.backends.mysql.keys import KeyReader, in_turns
from bulkwriter.backends.mysql.session import check_undone
from bulkwriter.backends.mysql.writing import changed_of
from bulkwriter.results import INSERTED, SKIPPED, UNCHANGED, UPDATED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backends.mysql.builder import Piece
    from bulkwriter.backends.mysql.task import Task
    from bulkwriter.backends.mysql.wire import Answer
    from bulkwriter.contract import Verdict
    from bulkwriter.errors import RowRejectedError

_GROUPS: Final = (32, 6, 1)
"""Rows a statement in each flight: small groups cost more of their own, and large ones more once they have failed."""

_WARNINGS: Final = "SHOW WARNINGS"


class AnotherPassError(Exception):
    """All must be undone and written anew, with what is known by now."""


class CarefulWriting:
    """Writes a batch row by row where that must be.

    Args:
        task: What is to be written.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._session = task.session
        self._statements = task.statements
        # What rows hear that the server would have stored as something else.
        self._mangled: dict[int, RowRejectedError] = {}
        self._has_warnings = False

    async def write(self) -> None:
        """Undo what is open, write the rows, and note what becomes of each.

        Raises:
            LedgerMovedError: The ledger has this identity, or no longer the tombstone whose place was to be taken.
            NotUndoneError: What is open could not be undone.
            Error: Something is wrong that is no row's fault.
        """
        while True:
            try:
                await self._pass()
            except AnotherPassError:
                continue
            return

    async def _pass(self) -> None:
        """Write all rows that are not known to be mangled.

        Raises:
            AnotherPassError: Others are: there is one more pass without them, after which there are fewer to be found.
        """
        task, session = self._task, self._session
        task.verdicts.clear()
        task.verdicts.update(self._mangled)
        self._giving_back = GivingBack(task)
        places = [place for place in range(len(task.rows)) if place not in self._mangled and place not in task.unfit]
        sizes = _GROUPS if await self._can_be_grouped(places) else (1,)
        left: Sequence[int] = places
        # Asked at once: the rows that follow may be refused for those that were not undone, and give no warning.
        session.send("ROLLBACK")
        session.send(_WARNINGS)
        before = 2 + task.begin()
        for size in sizes:
            pieces = await task.builder_for(self._statements).groups(task.rows, left, size, task.unfit)
            answers, warnings = await self._flight(pieces, before)
            if before:
                self._check_undone(answers[:2])
            task.check_begun(answers[2:before])
            left = self._judge(pieces, answers[before:], warnings)
            before = 0
            if not left:
                break
        await self._giving_back.read(places)

    def _check_undone(self, answers: Sequence[Answer | Exception]) -> None:
        """See that the ROLLBACK before this pass has undone what was open, by the answers to it and to its warnings.

        Raises:
            NotUndoneError: What was open could not be undone.
            Error: It failed: what was tried before may still be open.
        """
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            check_undone(answer.rows or ())

    async def _flight(
        self, pieces: Sequence[Piece], before: int
    ) -> tuple[list[Answer | Exception], list[list[tuple[Any, ...]]]]:
        """Send statements at once, and read the answers, those to what was sent before among them.

        Returns:
            The answers, and the warnings of each statement, if they are asked for.
        """
        for piece in pieces:
            self._session.send(piece.sql)
            if self._has_warnings:
                self._session.send(_WARNINGS)
        answers = await self._session.answers(before)
        if not self._has_warnings:
            return answers + await self._session.answers(len(pieces)), [[] for _ in pieces]
        both = await self._session.answers(2 * len(pieces))
        told: list[list[tuple[Any, ...]]] = []
        for answer in both[1::2]:
            if isinstance(answer, Exception):
                # What was to be known of a row is not: a cluster may have undone all of it.
                raise answer
            told.append(answer.rows or [])
        return answers + both[::2], told

    def _judge(
        self,
        pieces: Sequence[Piece],
        answers: Sequence[Answer | Exception],
        warnings: Sequence[Sequence[tuple[Any, ...]]],
    ) -> list[int]:
        """Note what became of the rows of statements; return those of groups that failed.

        Raises:
            Error: Something is wrong that is no row's fault.
            AnotherPassError: Rows have been stored as something else than they were.
        """
        for answer in answers:
            if isinstance(answer, Exception) and not errors.is_row_fault(answer):
                # A deadlock among them has undone all that came before it, and nothing that came behind.
                raise answer
        known, failed = len(self._mangled), list[int]()
        for piece, answer, told in zip(pieces, answers, warnings, strict=True):
            if isinstance(answer, Exception) and len(piece.places) > 1:
                failed += piece.places
            elif isinstance(answer, Exception):
                self._task.verdicts[piece.places[0]] = self._rejected(answer)
            else:
                self._note(piece, answer, told)
        if len(self._mangled) > known:
            raise AnotherPassError
        return sorted(failed)

    def _note(self, piece: Piece, answer: Answer, warnings: Sequence[tuple[Any, ...]]) -> None:
        if answer.warnings and self._statements.mode != "delete":
            self._note_warnings(piece, warnings)
        if self._statements.mode == "error":
            self._giving_back.note(piece, answer)
        elif self._statements.mode != "delete":
            if answer.affected == 1 and self._statements.makes_keys:
                self._giving_back.note(piece, answer)
            self._task.tell(piece.places, self._result(answer))

    def _result(self, answer: Answer) -> Any:
        if changed_of(answer, 1):
            return UPDATED
        stood = SKIPPED if self._statements.mode == "skip" else UNCHANGED
        return INSERTED if answer.affected else stood

    def _note_warnings(self, piece: Piece, warnings: Sequence[tuple[Any, ...]]) -> None:
        """Find the row that a warning is about, and whether it has been stored as something else.

        Raises:
            AnotherPassError: Rows must be looked at one by one to know.
        """
        if not self._has_warnings:
            self._has_warnings = True
            raise AnotherPassError
        # A server with max_error_count = 0 keeps to itself what its warnings were.
        told = warnings or [("Warning", 0, "the server does not say what its warning is")]
        changing = [(code, said) for _, code, said in told if code not in errors.HARMLESS_WARNINGS]
        if changing:
            code, said = changing[0]
            self._mangled[piece.places[0]] = errors.mangled(int(code), str(said), self._task.table)

    def _rejected(self, error: Exception) -> Verdict:
        if errors.number_of(error) == errors.SEVERAL_ROWS and self._statements.is_guarded:
            return errors.hits_another(error, self._task.table)
        return errors.rejected(error, self._task.table, self._statements.table.json_columns)

    async def _can_be_grouped(self, places: Sequence[int]) -> bool:
        """Whether rows may be judged in another order than theirs, since none of them stands in another one's way."""
        statements = self._statements
        if self._has_warnings or statements.mode not in {"error", "delete"}:
            return False
        if statements.mode == "delete":
            return True
        if statements.table.has_triggers or statements.table.is_view or statements.returning:
            return False
        rows = [self._task.rows[place] for place in places]
        for key in statements.table.unique_keys.values():
            if await self._repeats(key, rows):
                return False
        return True

    async def _repeats(self, key: tuple[str, ...] | None, rows: Sequence[Any]) -> bool:
        """Whether two of the rows may have the same values in a unique key."""
        if key is None:
            return True
        statements = self._statements
        missing = [statements.table.column(name) for name in key if name not in statements.names]
        if missing:
            return any(column.default is not None or column.is_generated for column in missing)
        places = [statements.names.index(name) for name in key]
        reader = KeyReader([statements.columns[place] for place in places], places)
        keys = [found for found in await in_turns(reader.read, rows) if found is not None]
        return len(set(keys)) < len(keys)

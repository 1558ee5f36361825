"""The careful way to write a batch: by a loop on the server, in as many transactions as that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.postgres import careful, errors, parameters
from bulkwriter.backends.postgres.writing import OUTCOMES, RESULTS
from bulkwriter.results import WriteResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backends.postgres.task import Task
    from bulkwriter.contract import Reply, Verdict
    from bulkwriter.errors import RowRejectedError


class CarefulWriting:
    """Writes a batch so that each bad row hears of itself, and each good one is stored.

    Args:
        task: What is to be written.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._session = task.session
        self._parts = task.parts
        self._statements = task.statements
        self._rows = task.attempt.rows
        self._progress = task.progress
        self._loop = task.parts.loop_for(task.statements)
        self._verdicts: dict[int, Verdict] = {}
        self._bad_rows = 0
        # Before a row is told that its value is unfit, it must be certain that the table is what it is taken for.
        self._has_unfit = False

    async def write(self) -> Reply:
        """Write, and return a verdict for every row.

        Raises:
            ServerError: What is not certain by now is not committed, unless the progress says otherwise.
        """
        self._parts.count("careful")
        left: Sequence[int] = range(len(self._rows))
        is_first = True
        while left:
            if is_first or self._parts.book is None:
                await self._begin()
                is_first = False
            left = left[await self._some(left) :]
            if self._parts.book is None or not left:
                await self._commit()
        self._parts.note_bad_rows(self._statements, self._bad_rows)
        return self._progress.reply()

    async def _begin(self) -> None:
        self._progress.enter()
        await self._session.begin(self._loop.settings)

    async def _some(self, left: Sequence[int]) -> int:
        """Write the first of these rows; return how many have their verdict now."""
        taken = left[: self._loop.most_rows]
        unfit: parameters.Unfit = {}
        rows = [self._rows[index] for index in taken]
        arrays, sent = parameters.array_texts(self._statements, rows, taken, unfit)
        self._has_unfit = self._has_unfit or bool(unfit)
        for index, (column, why) in unfit.items():
            self._verdicts[index] = errors.refused(why, self._statements.table.label, column)
        if not sent:
            return len(taken)
        connection = self._session.connection
        await connection.fetchrow(self._loop.send, *arrays)
        await connection.execute(self._loop.block)
        assert self._progress.transaction is not None
        letters, told = await self._session.identify(self._progress.transaction, careful.TOLD)
        given: dict[int, Any] = {}
        if self._statements.returning:
            given = {row[0] - 1: tuple(row)[1:] for row in await connection.fetch(self._loop.read)}
        self._note(sent, letters, careful.errors_of(told, self._statements.table.label), given)
        done = len(letters)
        return len(taken) if done == len(sent) else taken.index(sent[done])

    def _note(self, sent: Sequence[int], letters: str, bad: dict[int, RowRejectedError], given: dict[int, Any]) -> None:
        table, asked = self._statements.table.label, self._statements.returning
        for place, letter in enumerate(letters):
            self._bad_rows += letter in "rw"
            if letter == "r":
                verdict: Verdict = bad[place]
            elif letter == "w":
                verdict = errors.swallowed(table, "deleting" if self._statements.operation == "delete" else "writing")
            elif place in given:
                verdict = WriteResult(OUTCOMES[letter], dict(zip(asked, given[place], strict=True)))
            else:
                verdict = RESULTS[letter]
            self._verdicts[sent[place]] = verdict

    async def _commit(self) -> None:
        verdicts, self._verdicts = self._verdicts, {}
        self._progress.expect(verdicts)
        await self._task.commit(check_table=self._has_unfit)

"""The quick ways to write a batch: COPY, or statements with an array for each column."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.postgres import binary, errors, parameters
from bulkwriter.backends.postgres.driver import ServerError
from bulkwriter.backends.postgres.lookahead import Lookahead
from bulkwriter.backends.postgres.session import ARRAYS_WITH_NULL
from bulkwriter.backends.postgres.turn import Turn
from bulkwriter.results import DELETED, INSERTED, SKIPPED, STORED, UNCHANGED, UPDATED, Outcome, WriteResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Sequence

    from bulkwriter.backends.postgres.encoder import Encoder
    from bulkwriter.backends.postgres.task import Task
    from bulkwriter.contract import Reply, Verdict

RESULTS: Final[dict[str, WriteResult]] = {
    "i": INSERTED, "u": UPDATED, "s": STORED, "k": SKIPPED, "n": UNCHANGED, "d": DELETED,
}  # fmt: skip
"""What a row hears, by the letter that the server says."""

OUTCOMES: Final[dict[str, Outcome]] = {letter: result.outcome for letter, result in RESULTS.items()}

# Values that are encoded in one turn of the loop: about 1 ms of work, also with two batches at once.
_VALUES_A_STRETCH: Final = 3000
_BYTES_A_STRETCH: Final = 256 * 1024
# A row in the first of so many parts of a batch is early.
_EARLY: Final = 20
# Values that are made arrays of at once: a quarter of a microsecond each.
_VALUES_A_STATEMENT: Final = 5000


class NeedsCareError(Exception):
    """What the server said does not tell what became of every row: they are to be written one by one."""


class Writing:
    """Writes a batch in a single transaction.

    Args:
        task: What is to be written.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._session = task.session
        self._parts = task.parts
        self._statements = task.statements
        self._progress = task.progress
        self._table = task.statements.table
        self._path = task.parts.path_for(task.statements, len(task.attempt.rows))
        self._rows: Sequence[Any] = task.attempt.rows
        self._indexes: Sequence[int] = range(len(task.attempt.rows))
        self._index_of: dict[Hashable, int] = {}
        # By place while rows are copied, else by index.
        self._unfit: parameters.Unfit = {}
        self._bad: dict[int, Verdict] = {}

    async def write(self) -> Reply:
        """Write, and return a verdict for every row.

        Raises:
            NeedsCareError: Nothing is committed, and the rows are to be written one by one.
            ServerError: Nothing is committed, unless the progress says that it is doubtful.
        """
        if self._path == "copy":
            await self._copy()
        elif self._path == "executemany":
            await self._execute_many()
        elif self._statements.operation == "delete":
            await self._delete()
        else:
            await self._unnest()
        self._parts.count(self._path)
        return self._progress.reply()

    # -- COPY

    async def _copy(self) -> None:
        """COPY the rows; once more without the row that the server names, if it names one."""
        try:
            await self._copy_once()
        except ServerError as error:
            index = self._named_row(error)
            # A bad row so early is hardly the only one: then the search for all of them begins at once.
            is_one_of_many = index is not None and index < len(self._rows) // _EARLY
            if index is None or is_one_of_many or self._progress.is_doubtful(error):
                raise
            await self._session.rollback()
            self._progress.undo()
            # Its verdict is certain once all the others are committed: a duplicate's twin is among them, or was there.
            self._bad[index] = errors.rejected(error, self._table.label)
            self._leave_out(index)
            await self._copy_once()

    async def _copy_once(self) -> None:
        self._unfit.clear()
        self._progress.enter()
        names = (self._table.schema, self._table.name)
        encoder = self._parts.encoder_for(self._statements)
        copied = await self._session.begin_with_copy(names, encoder.columns, self._encoded(encoder))
        if copied != len(self._rows) - len(self._unfit):
            raise NeedsCareError
        await self._finish({}, INSERTED)

    async def _encoded(self, encoder: Encoder) -> AsyncIterator[bytes]:
        """Encode the rows in stretches, and let others run in between."""
        step = most = max(1, _VALUES_A_STRETCH // len(self._statements.names))
        turn = Turn(self._parts.encoding)
        data = binary.HEADER
        start = 0
        while start < len(self._rows):
            stop = min(start + step, len(self._rows))
            async with turn:
                data += encoder.encode(self._rows[start:stop], start, self._unfit)
                await asyncio.sleep(0)
            yield data
            # Rows that turn out to be large are taken fewer at a time.
            each = max(1, len(data) // (stop - start))
            step = max(1, min(most, _BYTES_A_STRETCH // each))
            data, start = b"", stop
        yield data + binary.TRAILER

    def _named_row(self, error: Exception) -> int | None:
        """Return the index, among the rows that were sent, of the one that an error of COPY names, if it is bad.

        Its line is language-neutral only in its shape: the table's name comes first, and then the number.
        """
        if not errors.is_row_fault(error) or self._bad:
            return None
        lines = (getattr(error, "context", None) or "").splitlines()
        last = lines[-1] if lines else ""
        head = f"COPY {self._table.name}"
        found = re.match(r"\D*(\d+)", last[len(head) :]) if last.startswith(head) else None
        if found is None:
            return None
        sent = [place for place in range(len(self._rows)) if place not in self._unfit]
        number = int(found[1]) - 1
        return sent[number] if 0 <= number < len(sent) else None

    def _leave_out(self, place: int) -> None:
        index = self._indexes[place]
        if place != index:
            self._bad[index] = self._bad.pop(place)
        self._rows = [row for number, row in enumerate(self._rows) if number != place]
        self._indexes = [number for number in self._indexes if number != index]

    # -- arrays

    async def _unnest(self) -> None:
        statements = self._statements
        is_told = statements.on_conflict != "error" or bool(statements.returning)
        verdicts: dict[int, Verdict] = {}
        if is_told:
            await self._insert_told(verdicts)
        elif len(self._rows) == 1:
            if await self._insert_one():
                return
        else:
            await self._insert()
        await self._begin()
        await self._finish(verdicts, None if is_told else INSERTED)

    async def _insert_told(self, verdicts: dict[int, Verdict]) -> None:
        """Insert rows, and note what each was told."""
        statements = self._statements
        is_sorted = self._sort()
        self._progress.enter()
        by_key = is_sorted and statements.on_conflict != "error" and statements.is_told_by_key
        sql = statements.insert_by_key if by_key else statements.insert(is_sorted=is_sorted)
        stretches = self._stretches()
        for arrays, indexes in stretches:
            if indexes:
                stretches.look()
                rows = await self._session.fetch(sql, arrays, ARRAYS_WITH_NULL)
                (self._note_by_key if by_key else self._note)(rows, indexes, verdicts)

    async def _insert(self) -> None:
        """Insert rows that all hear the same."""
        self._progress.enter()
        sql = self._statements.insert(is_sorted=True)
        stretches = self._stretches()
        for arrays, indexes in stretches:
            if indexes:
                stretches.look()
                if await self._inserted(sql, arrays, ARRAYS_WITH_NULL) != len(indexes):
                    raise NeedsCareError

    async def _insert_one(self) -> bool:
        """Insert a row that is alone, without arrays: the server is through with it in two thirds of the time.

        Returns:
            Whether it is committed already.
        """
        self._progress.enter()
        statements = self._statements
        values = parameters.single(statements, self._rows[0], self._indexes[0], self._unfit)
        if values is None:
            return False
        # Where a trigger may drop the row, the answer has to be seen before it is committed.
        if self._task.can_commit_at_once and not self._table.may_swallow_inserts:
            self._progress.expect({}, INSERTED)
            await self._task.commit_at_once(statements.insert_one_or_fail, values)
            return True
        if await self._inserted(statements.insert_one, values, statements.settings) != 1:
            raise NeedsCareError
        return False

    async def _inserted(self, sql: str, values: Sequence[Any], settings: str) -> int:
        """Insert rows, learn the number of the transaction with it, and return how many there are."""
        transaction = self._progress.transaction
        assert transaction is not None
        rows = await self._session.fetch(sql, values, settings)
        if not rows:
            return 0
        transaction.number, transaction.incarnation, count = rows[0]
        return int(count)

    def _note(self, rows: list[Any], indexes: Sequence[int], verdicts: dict[int, Verdict]) -> None:
        """Note what each row was told, if it is certain which is which.

        Raises:
            NeedsCareError: It is not: a trigger changed a key, or rows of the batch are equal for the database.
        """
        written = rows[0][2] if rows else 0
        asked = self._statements.returning
        for number, letter, _, *given in rows:
            if number is None:
                raise NeedsCareError
            result = WriteResult(OUTCOMES[letter], dict(zip(asked, given, strict=True))) if asked else RESULTS[letter]
            verdicts[indexes[number - 1]] = result
        told = sum(index in verdicts for index in indexes)
        if told != written or len(rows) != written:
            raise NeedsCareError
        if told < len(indexes):
            self._note_missing(indexes, verdicts)

    def _note_by_key(self, rows: list[Any], indexes: Sequence[int], verdicts: dict[int, Verdict]) -> None:
        """Note what each row was told, which says its key.

        Raises:
            NeedsCareError: It is the key of none of them, since a trigger changed it.
        """
        asked = self._statements.returning
        first = 1 + len(self._statements.key)
        given_keys = self._parts.told_key_reader_for(self._statements).read_all(rows)
        try:
            found = [self._index_of[key] for key in given_keys]
        except KeyError:
            raise NeedsCareError from None
        if asked:
            told = [WriteResult(OUTCOMES[row[0]], dict(zip(asked, row[first:], strict=True))) for row in rows]
        else:
            told = [RESULTS[row[0]] for row in rows]
        before = len(verdicts)
        verdicts.update(zip(found, told, strict=True))
        if len(verdicts) - before != len(rows):
            raise NeedsCareError
        if len(rows) < len(indexes):
            self._note_missing(indexes, verdicts)

    def _note_missing(self, indexes: Sequence[int], verdicts: dict[int, Verdict]) -> None:
        statements, table = self._statements, self._table
        is_declined = statements.on_conflict == "update" and statements.may_decline
        may_be_swallowed = table.may_swallow_inserts or (is_declined and table.may_swallow_updates)
        if may_be_swallowed or not (statements.on_conflict == "skip" or is_declined):
            raise NeedsCareError
        usual = SKIPPED if statements.on_conflict == "skip" else UNCHANGED
        for index in indexes:
            verdicts.setdefault(index, usual)

    async def _delete(self) -> None:
        self._sort()
        self._progress.enter()
        table = self._table
        for arrays, indexes in self._stretches():
            if not indexes:
                continue
            await self._session.fetch(self._statements.delete(), arrays, ARRAYS_WITH_NULL)
            if table.may_swallow_deletes and await self._session.connection.fetchval(
                self._statements.still_there(), *arrays
            ):
                raise NeedsCareError
        await self._begin()
        await self._finish({}, DELETED)

    async def _execute_many(self) -> None:
        self._progress.enter()
        await self._begin()
        sql = self._statements.execute_many()
        for columns, indexes in self._stretches(parameters.columns):
            if indexes:
                await self._session.connection.executemany(sql, list(zip(*columns, strict=True)))
        await self._finish({}, INSERTED)

    def _sort(self) -> bool:
        """Bring the rows into the order of their keys, so that concurrent writers lock them in the same order."""
        statements = self._statements
        if statements.on_conflict == "error" and statements.operation == "insert":
            return True
        reader = self._parts.key_reader_for(statements)
        if reader is None:
            return False
        keys: list[Any] = reader.read_all(self._rows)
        try:
            order = sorted(range(len(keys)), key=keys.__getitem__)
        except TypeError:
            return False  # a None among them, or values of different types: then by the database's own order
        self._rows, self._indexes = [self._rows[index] for index in order], order
        self._index_of = dict(zip(keys, range(len(keys)), strict=True))
        # Of two rows with one key, the database says which is which.
        return len(self._index_of) == len(keys)

    async def _begin(self) -> None:
        """Begin the transaction, if no statement has."""
        if self._session.is_at_rest:
            await self._session.begin(self._statements.settings)

    def _stretches(
        self, make: Callable[..., tuple[list[Any], Sequence[int]]] = parameters.arrays
    ) -> Lookahead[tuple[list[Any], Sequence[int]]]:
        """Return what to send with each statement, and the indexes of the rows in it."""
        step = max(1, _VALUES_A_STATEMENT // len(self._statements.names))
        return Lookahead(
            make(self._statements, self._rows[start : start + step], self._indexes[start : start + step], self._unfit)
            for start in range(0, len(self._rows), step)
        )

    # -- COMMIT

    async def _finish(self, verdicts: dict[int, Verdict], usual: Verdict | None) -> None:
        """Write the ledger's entry, if there is one, and commit."""
        for place, (column, why) in self._unfit.items():
            index = self._indexes[place] if self._path == "copy" else place
            verdicts[index] = errors.refused(why, self._table.label, column)
        verdicts.update(self._bad)
        self._progress.expect(verdicts, usual)
        await self._task.commit(check_table=self._path == "copy" or bool(self._unfit))

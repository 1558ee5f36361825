"""``MemoryBackend``: a database for the tests of code that writes with bulkwriter."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from bulkwriter import results
from bulkwriter.backend import Backend
from bulkwriter.contract import Capabilities, Doubtful, Limits, NotApplied, Plan, Uniform
from bulkwriter.errors import (
    BackendUnavailableError,
    MisconfigurationError,
    RowRejectedError,
    RowTooLargeError,
)
from bulkwriter.results import WriteResult
from bulkwriter.testing.table import MemoryTable
from bulkwriter.testing.updates import Updates

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable, Iterable, Mapping
    from typing import TypeAlias

    from bulkwriter.contract import Attempt, OnConflict, Operation, Reply, Verdict
    from bulkwriter.testing.faults import FaultScript
    from bulkwriter.testing.table import Row

    Stored: TypeAlias = Mapping[str, Any]
    New: TypeAlias = Mapping[str, Any]


class MemoryPlan(Plan):
    """One operation on one set of columns, with the places of the key's values."""

    __slots__ = ("key_positions",)

    def __init__(self, operation: Operation, columns: tuple[str, ...], key_columns: tuple[str, ...]) -> None:
        super().__init__(operation, columns)
        is_whole = bool(key_columns) and all(column in columns for column in key_columns)
        self.key_positions: tuple[int, ...] = tuple(columns.index(column) for column in key_columns) if is_whole else ()


class _Try:
    """What a try needs to be settled: whether it may still commit."""

    __slots__ = ("is_fenced",)

    def __init__(self) -> None:
        self.is_fenced = False


class MemoryBackend(Backend):
    """A backend over rows in memory: give it to a ``BulkWriter`` in your own tests and look at ``rows`` afterwards.

    It answers as a real database does. A batch is a transaction: a bad row undoes it as a whole, and the delivery
    engine then finds the bad row and stores the others. Errors are the typed ones, with a constraint's name and an
    SQLSTATE, and with a driver's error as their cause. Rows with the same key in one batch are applied in order.
    With ``ledger=True`` a lost acknowledgement is settled, without it the rows are unknown.

    What it does not imitate: isolation between concurrent transactions (each is applied at once, as a whole), locks
    and deadlocks (``FaultScript.deadlock`` does), SQL (expressions are Python functions), the conversion of values
    (they are kept as they are; ``types=`` refuses), collations (keys are equal where Python says so), deferred
    constraints, triggers, and ``on_conflict="skip"`` on any constraint at once (it is about ``conflict_columns``, by
    default the primary key). Nothing survives the process.

    Attributes:
        rows: A copy of the table's rows, in the order in which they were inserted.
        store: The ``MemoryTable``, which other backends may share.
    """

    name: ClassVar[str] = "memory"
    capabilities: ClassVar[Capabilities] = Capabilities(isolates=True, processes=False)
    limits: ClassVar[Limits] = Limits()

    table: str
    columns: tuple[str, ...] | None
    on_conflict: OnConflict
    allows_coalescing: bool
    ledger: bool
    key_columns: tuple[str, ...] = ()
    is_open: bool = False
    store: MemoryTable
    returning: tuple[str, ...]
    faults: FaultScript | None

    def __init__(
        self,
        table: str | MemoryTable = "memory",
        *,
        columns: Iterable[str] | None = None,
        key: Iterable[str] | None = None,
        not_null: Iterable[str] = (),
        unique: Iterable[str | tuple[str, ...]] = (),
        checks: Mapping[str, Callable[[Mapping[str, Any]], object]] | None = None,
        defaults: Mapping[str, Any] | None = None,
        foreign_keys: Mapping[str, Container[Any] | None] | None = None,
        types: Mapping[str, type | tuple[type, ...]] | None = None,
        on_conflict: OnConflict = "error",
        conflict_columns: Iterable[str] | None = None,
        update_columns: Iterable[str] | Mapping[str, Callable[[Stored, New], Any]] | None = None,
        update_where: Callable[[Stored, New], bool] | None = None,
        returning: Iterable[str] = (),
        ledger: bool = False,
        faults: FaultScript | None = None,
    ) -> None:
        """Make a backend over a new table of this name, or over a ``MemoryTable`` that others use too.

        Args:
            table: The new table's name, or a table, which then brings its own key and constraints.
            columns: The columns that a plain tuple stands for; for a new table, all it has. ``None``: any column.
            key: The new table's primary key, by default ``("id",)``; ``()`` for none.
            not_null: As for ``MemoryTable``, like the following.
            unique: Columns, or tuples of columns, whose values may be there once.
            checks: By constraint name, a predicate over the whole row.
            defaults: By column, what a row gets that leaves it out: a value, or a function without arguments.
            foreign_keys: By column, a container of the values it may have.
            types: By column, the type or types its values must be an instance of.
            on_conflict: What happens to a row whose key is already there: ``"error"``, ``"skip"`` or ``"update"``.
            conflict_columns: The columns whose conflict is meant, which must be the key or unique; by default the key.
            update_columns: What an update sets: names, by default all that the row has; or by column a function of
                the stored and the new row.
            update_where: A function of the stored and the new row that says whether to update at all; a row it
                declines is ``Outcome.UNCHANGED``.
            returning: The columns given back in ``WriteResult.returned``.
            ledger: Whether batches leave a mark by which a lost acknowledgement is settled.
            faults: A script of failures to go through.

        Raises:
            MisconfigurationError: An option that does not fit the table or the others.
        """
        super().__init__()
        constraints = (key, not_null, unique, checks, defaults, foreign_keys, types)
        self.columns: tuple[str, ...] | None = None if columns is None else tuple(columns)
        if isinstance(table, str):
            self.store = MemoryTable(
                table, columns=self.columns, key=("id",) if key is None else key, not_null=not_null, unique=unique,
                checks=checks, defaults=defaults, foreign_keys=foreign_keys, types=types,
            )  # fmt: skip
        elif any(constraints):
            self._refuse("a MemoryTable brings its own key and constraints: give them to the table")
        else:
            self.store = table
        self.table: str = self.store.name
        self.on_conflict: OnConflict = on_conflict
        self.returning = tuple(returning)
        self.ledger: bool = ledger
        self.faults = faults
        self._conflict_columns = None if conflict_columns is None else tuple(conflict_columns)
        self._updates = Updates(update_columns, update_where)
        # A row that is replaced before it is stored must leave no trace: true only if an update sets every column.
        self.allows_coalescing: bool = self._updates.is_whole
        self._check_options()

    @property
    def rows(self) -> list[Row]:
        """A copy of the table's rows, in the order in which they were inserted."""
        return self.store.rows

    async def open(self) -> None:
        """See that the table is there.

        Raises:
            MisconfigurationError: It has been dropped.
            Exception: Whatever the fault script says.
        """
        if self.faults is not None:
            await self.faults.during_open(self, self._open)
        else:
            await self._open()

    async def close(self, *, force: bool = False) -> None:  # noqa: ARG002 - nothing runs on by itself
        """Be closed; the rows stay."""
        self.is_open: bool = False

    def plan(self, operation: Operation, columns: tuple[str, ...]) -> Plan:
        """Return how rows of these columns are written.

        Raises:
            MisconfigurationError: The table has no such column, or nothing can be deleted for want of a key.
        """
        if operation == "delete" and not self.key_columns:
            self._refuse("rows can only be deleted by key, and the table has none")
        for column in columns:
            if not self.store.knows(column):
                kind = "is generated" if column in self.store.generated else "does not exist"
                self._refuse(f"column {column} {kind}")
        return MemoryPlan(operation, columns, self.key_columns)

    def prepare(self, plan: Plan, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Check types and size.

        Raises:
            InvalidValueError: A value is not of its column's type, or part of a key cannot be hashed.
            RowTooLargeError: The row is larger than ``max_row_bytes``.
        """
        for column, value in zip(plan.columns, values, strict=True):
            self.store.check_value(column, value)
        size = self.row_size(plan, values)
        if 0 <= self.store.max_row_bytes < size:
            message = f"table {self.table}: a row of {size} bytes is larger than {self.store.max_row_bytes} bytes"
            raise RowTooLargeError(message)
        return values

    def row_key(self, plan: Plan, row: tuple[Any, ...]) -> Hashable | None:
        """Return the values of the key columns; ``None`` if the row leaves one out."""
        key = tuple(row[position] for position in cast("MemoryPlan", plan).key_positions)
        return None if not key or None in key else key

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write one batch as one transaction.

        Returns:
            A verdict for every row; good rows beside bad ones only if the attempt is careful.

        Raises:
            RowRejectedError: A row is bad, so nothing is written.
            MisconfigurationError: The table has been dropped.
            Exception: Whatever the fault script says.
        """
        if self.faults is not None:
            return await self.faults.during_attempt(self, attempt, self._attempt)
        return await self._attempt(attempt)

    async def settle(self, attempt: Attempt) -> Reply:
        """Look the attempt up in the ledger.

        Returns:
            Its verdicts if it was applied, ``NotApplied`` if not, and ``Doubtful(can_settle=False)`` without a ledger.

        Raises:
            Exception: Whatever the fault script says.
        """
        if self.faults is not None:
            return await self.faults.during_settle(self, attempt, self._settle)
        return await self._settle(attempt)

    # -- what the script of faults is put around

    async def _open(self) -> None:
        self._check_exists()
        self.key_columns: tuple[str, ...] = self._conflict_columns or self.store.key
        self.is_open = True

    async def _attempt(self, attempt: Attempt) -> Reply:
        if not self.is_open:
            message = "attempt() before open()"
            raise RuntimeError(message)
        this_try = attempt.token = _Try()
        # A database takes its time: others must have their turn between the sending and the commit.
        await asyncio.sleep(0)
        self._check_exists()
        if this_try.is_fenced:
            # settle() has promised that this try does not commit any more.
            raise _not_applied(self)
        return self._transact(attempt)

    async def _settle(self, attempt: Attempt) -> Reply:
        rows = len(attempt.rows)
        if isinstance(attempt.token, _Try):
            attempt.token.is_fenced = True
        elif attempt.token is None:
            # Nothing that could commit was ever sent.
            return Uniform(NotApplied(_not_applied(self)), rows)
        if not self.ledger:
            return Uniform(Doubtful(can_settle=False), rows)
        verdicts = self.store.ledger.get(attempt.identity)
        return Uniform(NotApplied(_not_applied(self)), rows) if verdicts is None else list(verdicts)

    # -- the transaction: no await from its beginning to its end

    def _transact(self, attempt: Attempt) -> Reply:
        if self.ledger and attempt.identity in self.store.ledger:
            return list(self.store.ledger[attempt.identity])
        path = "careful" if attempt.careful else "bulk"
        self.paths[path] = self.paths.get(path, 0) + 1
        apply = self._apply_delete if attempt.plan.operation == "delete" else self._apply_insert
        try:
            verdicts = [self._apply_one(apply, attempt, row) for row in attempt.rows]
        except BaseException:
            self.store.rollback()
            raise
        if self.ledger:
            self.store.ledger[attempt.identity] = verdicts
        self.store.commit()
        return list(verdicts)

    def _apply_one(self, apply: Callable[[Row], WriteResult], attempt: Attempt, row: Any) -> Verdict:
        savepoint = self.store.savepoint()
        try:
            return apply(dict(zip(attempt.plan.columns, row, strict=True)))
        except RowRejectedError as error:
            if not attempt.careful:
                raise
            self.store.rollback(savepoint)
            return error

    def _apply_insert(self, given: Row) -> WriteResult:
        row = self.store.complete(given)
        found = None if self.on_conflict == "error" else self.store.find(self.key_columns, row)
        if found is None:
            self.store.insert(row)
            return self._result(results.INSERTED, row)
        return results.SKIPPED if self.on_conflict == "skip" else self._apply_update(found, row, given)

    def _apply_update(self, row_id: int, row: Row, given: Row) -> WriteResult:
        before = self.store.get(row_id)
        updated = self._updates.applied(before, row, given, self.key_columns)
        if updated is None:
            return results.UNCHANGED
        after = self.store.checked(updated)
        self.store.update(row_id, after)
        return self._result(results.UNCHANGED if after == before else results.UPDATED, after)

    def _apply_delete(self, key: Row) -> WriteResult:
        self.store.delete(self.key_columns, key)
        return results.DELETED

    def _result(self, result: WriteResult, row: Row) -> WriteResult:
        if not self.returning:
            return result
        return WriteResult(result.outcome, copy.deepcopy({column: row.get(column) for column in self.returning}))

    # -- checks

    def _check_options(self) -> None:
        if self.on_conflict not in ("error", "skip", "update"):
            self._refuse(f'on_conflict must be "error", "skip" or "update", not {self.on_conflict!r}')
        if self._conflict_columns is not None and not self.store.has_unique(self._conflict_columns):
            self._refuse(f"conflict_columns ({', '.join(self._conflict_columns)}) must be the key or unique")
        if self.on_conflict != "error" and not (self._conflict_columns or self.store.key):
            self._refuse(f'on_conflict="{self.on_conflict}" needs a key or conflict_columns')
        if self.on_conflict != "update" and not self._updates.is_whole:
            self._refuse('update_columns and update_where need on_conflict="update"')
        self._check_columns()
        if not self._updates.is_python:
            self._refuse("expressions are functions of the stored and the new row here, not SQL")

    def _check_columns(self) -> None:
        for column in (*(self.columns or ()), *self._updates.columns):
            if not self.store.knows(column):
                self._refuse(f"column {column} does not exist or is generated")
        for column in self.returning:
            if not (self.store.knows(column) or column in self.store.generated):
                self._refuse(f"column {column} of returning does not exist")

    def _check_exists(self) -> None:
        if self.store.is_dropped:
            self._refuse("the table does not exist")

    def _refuse(self, why: str) -> NoReturn:
        table = getattr(self, "table", None)
        prefix = f"table {table}: " if table else ""
        raise MisconfigurationError(prefix + why, backend=self.name, table=table)


def _not_applied(backend: Backend) -> BackendUnavailableError:
    message = f"table {backend.table}: the attempt was not applied"
    return BackendUnavailableError(message, backend=backend.name, table=backend.table)

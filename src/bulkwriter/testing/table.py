"""The table behind a ``MemoryBackend``: rows in a dict, with the constraints of a real one."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, NoReturn

from bulkwriter.errors import (
    CheckViolationError,
    ForeignKeyViolationError,
    InvalidValueError,
    NotNullViolationError,
    RowRejectedError,
    UniqueViolationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping
    from typing import TypeAlias

    from bulkwriter.contract import Verdict

    Row: TypeAlias = dict[str, Any]


class MemoryDatabaseError(Exception):
    """What a driver would have raised: the ``__cause__`` of every error that a ``MemoryTable`` is the reason for."""


class MemoryTable:
    """A table in memory, which several ``MemoryBackend`` objects may share as several connections would.

    Constraints are checked row by row and at once, in the order of PostgreSQL: NOT NULL, CHECK, then conflicts, then
    foreign keys. Keys are equal where Python says so (``1 == 1.0 == True``), and ``None`` in a unique column equals
    nothing.

    Attributes:
        name: The table's name, in errors and statistics.
        columns: All columns but the generated ones; ``None`` if any column is welcome.
        key: The primary key's columns; empty for a table without one.
        is_dropped: Whether ``drop`` has been called.
        ledger: The verdicts of each batch that was written with ``ledger=True``, by the batch's identity.
    """

    def __init__(
        self,
        name: str = "memory",
        *,
        columns: Iterable[str] | None = None,
        key: Iterable[str] = ("id",),
        not_null: Iterable[str] = (),
        unique: Iterable[str | tuple[str, ...]] = (),
        checks: Mapping[str, Callable[[Mapping[str, Any]], object]] | None = None,
        defaults: Mapping[str, Any] | None = None,
        foreign_keys: Mapping[str, Container[Any] | None] | None = None,
        types: Mapping[str, type | tuple[type, ...]] | None = None,
        generated: Mapping[str, Callable[[Mapping[str, Any]], Any]] | None = None,
        max_row_bytes: int = -1,
    ) -> None:
        """Make an empty table.

        Args:
            name: The table's name, in errors and statistics.
            columns: Its columns, without the generated ones; ``None`` welcomes any column.
            key: The primary key's columns, which are NOT NULL; empty for a table without one.
            not_null: Columns that must have a value.
            unique: Columns, or tuples of columns, whose values may be there once.
            checks: By constraint name, a predicate over the whole row. ``False`` and an exception refuse the row;
                ``None`` passes, as NULL does in SQL.
            defaults: By column, what a row gets that leaves the column out: a value, or a function without arguments
                that is called for each row, such as ``itertools.count(1).__next__`` for generated keys.
            foreign_keys: By column, a container of the values it may have (a set, another ``MemoryTable``); ``None``
                means this table itself, whose rows then cannot be deleted while others refer to them.
            types: By column, the type or types its values must be an instance of; ``None`` always passes.
            generated: By column, a function of the whole row that computes it. Nobody can write such a column.
            max_row_bytes: The largest row, as ``Backend.row_size`` measures it; -1 = no limit.
        """
        self.name: str = name
        self.columns: tuple[str, ...] | None = None if columns is None else tuple(columns)
        self.key: tuple[str, ...] = tuple(key)
        self.not_null: tuple[str, ...] = tuple(dict.fromkeys((*self.key, *not_null)))
        self.unique: tuple[tuple[str, ...], ...] = tuple(
            (one,) if isinstance(one, str) else tuple(one) for one in unique
        )
        self.checks: dict[str, Callable[[Mapping[str, Any]], object]] = dict(checks or {})
        self.defaults: dict[str, Any] = dict(defaults or {})
        self.foreign_keys: dict[str, Container[Any] | None] = dict(foreign_keys or {})
        self.types: dict[str, type | tuple[type, ...]] = dict(types or {})
        self.generated: dict[str, Callable[[Mapping[str, Any]], Any]] = dict(generated or {})
        self.max_row_bytes: int = max_row_bytes
        self.is_dropped: bool = False
        self.ledger: dict[str, list[Verdict]] = {}
        self._rows: dict[int, Row] = {}
        self._row_ids = itertools.count()
        self._undo: list[tuple[int, Row | None]] = []
        self._indexes: dict[tuple[str, ...], dict[tuple[Any, ...], int]] = {
            columns: {} for columns in ((self.key,) if self.key else ()) + self.unique
        }

    def __contains__(self, key: object) -> bool:
        """Whether a row has this primary key: a scalar for a single column, else a tuple."""
        return bool(self.key) and (key if isinstance(key, tuple) else (key,)) in self._indexes[self.key]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<MemoryTable {self.name}: {len(self)} rows>"

    @property
    def rows(self) -> list[Row]:
        """A copy of all rows, in the order in which they were inserted."""
        return [copy.deepcopy(self._rows[row_id]) for row_id in sorted(self._rows)]

    def drop(self) -> None:
        """Let the table be gone, as far as backends can tell."""
        self.is_dropped = True

    def knows(self, column: str) -> bool:
        """Whether there is such a column to write to."""
        return column not in self.generated and (self.columns is None or column in self.columns)

    def has_unique(self, columns: tuple[str, ...]) -> bool:
        """Whether the primary key or a unique constraint covers exactly these columns, in any order."""
        return any(sorted(columns) == sorted(index) for index in self._indexes)

    # -- transactions: what was done since the last commit can be undone as a whole, or back to a savepoint

    def savepoint(self) -> int:
        """Return a mark to roll back to."""
        return len(self._undo)

    def commit(self) -> None:
        """Make what was done stay."""
        self._undo.clear()

    def rollback(self, savepoint: int = 0) -> None:
        """Undo what was done since the savepoint, by default since the last commit."""
        while len(self._undo) > savepoint:
            row_id, before = self._undo.pop()
            self._put(row_id, before)

    # -- one row

    def check_value(self, column: str, value: Any) -> None:
        """Check that a column can hold a value.

        Raises:
            InvalidValueError: It is not of the column's type, or part of a key and cannot be hashed.
        """
        types = self.types.get(column)
        if types is not None and value is not None and not isinstance(value, types):
            message = f"table {self.name}: column {column} cannot hold a {type(value).__name__}"
            raise InvalidValueError(message, column_name=column)
        if any(column in columns for columns in self._indexes):
            try:
                hash(value)
            except TypeError as error:
                message = f"table {self.name}: column {column} cannot hold a {type(value).__name__}, being a key"
                raise InvalidValueError(message, column_name=column) from error

    def complete(self, given: Mapping[str, Any]) -> Row:
        """Return the row to store: what was given, the defaults of what was not, and the generated columns.

        Raises:
            RowRejectedError: The row breaks NOT NULL or a CHECK, or a generated column cannot be computed.
        """
        row = dict(given)
        for column, default in self.defaults.items():
            if column not in row:
                row[column] = self._evaluate(f"{self.name}_{column}_default", default) if callable(default) else default
        for column in self.columns or ():
            row.setdefault(column, None)
        return self.checked(row)

    def checked(self, row: Row) -> Row:
        """Compute the generated columns, and let NOT NULL and the CHECKs judge the row.

        Raises:
            RowRejectedError: The row breaks one of them.
        """
        for column in self.not_null:
            if row.get(column) is None:
                self._refuse(NotNullViolationError, "23502", f"column {column} must not be null", column_name=column)
        for column, compute in self.generated.items():
            row[column] = self._evaluate(f"{self.name}_{column}_generated", compute, row)
        for name, predicate in self.checks.items():
            if self._evaluate(name, predicate, row) is False:
                self._refuse(CheckViolationError, "23514", f"check constraint {name} is violated", constraint_name=name)
        return row

    def find(self, columns: tuple[str, ...], row: Mapping[str, Any]) -> int | None:
        """Return the id of the stored row that has this row's values in these columns; ``None`` if there is none."""
        values = _values(columns, row)
        for index, entries in self._indexes.items():
            if values is not None and sorted(index) == sorted(columns):
                return entries.get(tuple(row[column] for column in index))
        return None

    def get(self, row_id: int) -> Row:
        """Return the stored row itself."""
        return self._rows[row_id]

    def insert(self, row: Row) -> None:
        """Store a completed row.

        Raises:
            RowRejectedError: Its key or a unique value is there already, or what it refers to is not.
        """
        self._store(next(self._row_ids), row)

    def update(self, row_id: int, row: Row) -> None:
        """Put a checked row in the place of a stored one.

        Raises:
            RowRejectedError: Its key or a unique value is there already, or what it refers to is not.
        """
        self._store(row_id, row)

    def delete(self, columns: tuple[str, ...], key: Mapping[str, Any]) -> None:
        """Let the row with this key be absent.

        Raises:
            ForeignKeyViolationError: Another row refers to it.
        """
        row_id = self.find(columns, key)
        if row_id is None:
            return
        for column in (column for column, allowed in self.foreign_keys.items() if allowed is None):
            value = self._rows[row_id][self.key[0]]
            if any(row.get(column) == value for other, row in self._rows.items() if other != row_id):
                self._refuse_reference(column, "other rows refer to it")
        self._change(row_id, None)

    def _store(self, row_id: int, row: Row) -> None:
        for columns, entries in self._indexes.items():
            values = _values(columns, row)
            if values is not None and entries.get(values, row_id) != row_id:
                name = f"{self.name}_pkey" if columns == self.key else f"{self.name}_{'_'.join(columns)}_key"
                message = f"unique constraint {name} is violated"
                column = columns[0] if len(columns) == 1 else None
                self._refuse(UniqueViolationError, "23505", message, constraint_name=name, column_name=column)
        for column, allowed in self.foreign_keys.items():
            value = row.get(column)
            found = self if allowed is None else allowed
            is_itself = allowed is None and value == row.get(self.key[0])
            if value is not None and not is_itself and value not in found:
                self._refuse_reference(column, "what it refers to is not there")
        self._change(row_id, row)

    def _change(self, row_id: int, row: Row | None) -> None:
        self._undo.append((row_id, self._rows.get(row_id)))
        self._put(row_id, row)

    def _put(self, row_id: int, row: Row | None) -> None:
        before = self._rows.pop(row_id, None)
        for columns, entries in self._indexes.items():
            if before is not None and (values := _values(columns, before)) is not None:
                entries.pop(values, None)
            if row is not None and (values := _values(columns, row)) is not None:
                entries[values] = row_id
        if row is not None:
            self._rows[row_id] = row

    def _evaluate(self, name: str, function: Callable[..., Any], *row: Row) -> Any:
        try:
            return function(*row)
        except Exception as error:
            # An exception that escaped here would leave the whole batch in doubt for one row's sake.
            message = f"table {self.name}: {name} raised {type(error).__name__}"
            raise CheckViolationError(message, sqlstate="23514", constraint_name=name, table=self.name) from error

    def _refuse_reference(self, column: str, why: str) -> NoReturn:
        name = f"{self.name}_{column}_fkey"
        message = f"foreign key {name} is violated: {why}"
        self._refuse(ForeignKeyViolationError, "23503", message, constraint_name=name, column_name=column)

    def _refuse(
        self,
        kind: type[RowRejectedError],
        sqlstate: str,
        message: str,
        *,
        constraint_name: str | None = None,
        column_name: str | None = None,
    ) -> NoReturn:
        full = f"table {self.name}: {message} ({sqlstate})"
        raise kind(
            full,
            sqlstate=sqlstate,
            constraint_name=constraint_name,
            column_name=column_name,
            table=self.name,
        ) from MemoryDatabaseError(message, sqlstate)


def _values(columns: tuple[str, ...], row: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Return the row's entry in an index; ``None`` if it has none there, for NULL equals nothing."""
    values = tuple(row.get(column) for column in columns)
    return None if None in values else values

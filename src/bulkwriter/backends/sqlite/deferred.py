"""Foreign keys that are checked at COMMIT: which rows of the batch refer to what is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.sqlite.errors import BACKEND
from bulkwriter.backends.sqlite.target import ForeignKey, Table, quoted
from bulkwriter.errors import ForeignKeyViolationError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping


def traced_columns(table: Table) -> tuple[str, ...]:
    """Return the columns that refer to other rows: what must be known of each row to find the one that is wrong."""
    return tuple(dict.fromkeys(table.column_named(name) for key in table.foreign_keys for name in key.columns))


def orphans(connection: sqlite3.Connection, table: Table, left: Mapping[int, tuple[Any, ...]]) -> dict[int, ForeignKey]:
    """Return which rows refer to what is not there, now that all rows of the batch are.

    Args:
        connection: The connection, with the transaction still open.
        table: The target.
        left: For each row, the values of ``traced_columns`` that it left in the table.
    """
    columns = traced_columns(table)
    found: dict[int, ForeignKey] = {}
    for key in table.foreign_keys:
        places = [columns.index(table.column_named(name)) for name in key.columns]
        # The parent's column on the left: its affinity and its collation are what the constraint compares by.
        same = " AND ".join(f"{quoted(name)} = ?" for name in key.parent_columns)
        sql = f"SELECT 1 FROM {quoted(table.schema)}.{quoted(key.parent)} WHERE {same}"  # noqa: S608
        for place, values in left.items():
            sought = [values[at] for at in places]
            if None not in sought and place not in found and connection.execute(sql, sought).fetchone() is None:
                found[place] = key
    return found


def violation(table: Table, key: ForeignKey, cause: BaseException) -> ForeignKeyViolationError:
    """Return what the caller of an orphan hears."""
    columns = ", ".join(key.columns)
    error = ForeignKeyViolationError(
        f"table {table.label}: foreign key ({columns}) refers to no row of {key.parent} (SQLITE_CONSTRAINT_FOREIGNKEY)",
        sqlstate="SQLITE_CONSTRAINT_FOREIGNKEY",
        column_name=key.columns[0] if len(key.columns) == 1 else None,
        backend=BACKEND,
        table=table.label,
    )
    error.__cause__ = cause.with_traceback(None)
    return error

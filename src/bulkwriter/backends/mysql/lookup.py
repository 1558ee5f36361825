"""Which of a batch's keys are in the table, and what their rows hold."""

# ruff: noqa: S608 - SQL is what is made here, of names that are quoted

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.mysql import errors
from bulkwriter.backends.mysql.keys import KeyReader, in_turns
from bulkwriter.backends.mysql.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from bulkwriter.backends.mysql.kinds import Kind
    from bulkwriter.backends.mysql.target import Table
    from bulkwriter.errors import InvalidValueError


class Lookup:
    """A query for rows by their key, of the same shape as the statements that write rows.

    Args:
        table: The target.
        key: The columns of the key.
        wanted: The columns to give back beside it.
        locks: Whether what is found is locked until the transaction ends.

    Attributes:
        names: The columns of the key.
        kinds: Their kinds.
        head: What comes before the keys.
        template: A key, with ``%s`` for each value.
        between: What comes between two keys.
        tail: What comes behind them.
    """

    def __init__(self, table: Table, key: tuple[str, ...], wanted: tuple[str, ...], *, locks: bool) -> None:
        columns = [table.column(name) for name in key]
        self._table = table
        self._wanted = wanted
        self._reader = KeyReader(columns, range(len(key)))
        self.names: tuple[str, ...] = key
        self.kinds: tuple[Kind, ...] = tuple(column.kind for column in columns)
        self.head: str = f"SELECT {', '.join(map(quoted, (*key, *wanted)))} FROM {table.sql_name} WHERE "
        self.template: str = f"({matching(key)})"
        self.between: str = " OR "
        self.tail: str = ""
        if len(key) == 1:
            self.head += f"{quoted(key[0])} IN ("
            self.template, self.between, self.tail = "%s", ", ", ")"
        if locks:
            self.tail += " FOR UPDATE"

    def refused(self, message: str, column: str | None) -> InvalidValueError:
        """Return what is said of a value that its column cannot hold."""
        return errors.refused(message, self._table.label, column)

    async def folded(self, keys: Sequence[Sequence[Any]]) -> list[Hashable | None]:
        """Return keys as MySQL compares them."""
        return await in_turns(self._reader.read, keys)

    async def by_key(self, rows: Sequence[tuple[Any, ...]]) -> dict[Hashable | None, dict[str, Any]]:
        """Return what was found, column by column, by its key."""
        width = len(self.names)
        # The key's columns are the first: the reader looks at no others.
        found = [dict(zip(self._wanted, row[width:], strict=True)) for row in rows]
        return dict(zip(await in_turns(self._reader.read, rows), found, strict=True))


def matching(key: Iterable[str]) -> str:
    """Return the template of a condition that holds for one key."""
    return " AND ".join(f"{quoted(name).replace('%', '%%%%')} = %s" for name in key)

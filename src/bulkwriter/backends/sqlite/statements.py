"""The SQL for one plan on one table, made once for each size of statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkwriter.backends.sqlite.errors import refuse
from bulkwriter.backends.sqlite.keys import KeyReader, is_exact
from bulkwriter.backends.sqlite.target import Table, UniqueKey, quoted

if TYPE_CHECKING:
    from bulkwriter.backends.sqlite.options import Options
    from bulkwriter.contract import Operation

LARGEST: Final = 1024
"""Rows of the largest statement. Some hundreds are at the plateau of rows a second. But while SQLite works on one,
Python's lock is free, and after it the thread may wait for a busy event loop to get the lock back: a statement is to be
long enough for the loop to prepare the next batch meanwhile."""


class Statements:
    """How rows of one plan are written.

    Attributes:
        operation: ``"insert"`` or ``"delete"``.
        columns: The columns of a row's values, as the table names them.
        key: What identifies a row: ``conflict_columns``, else the primary key; ``None`` if there is neither.
        key_places: Where the key's columns are among ``columns``; empty if a row does not have them all.
        keys: Reads rows' keys; ``None`` if they do not have them whole, or nobody here can compare them.
        given_key_places: Where those of the key's columns are that a row has.
        may_conflict: Whether a row can meet another with its key: not if it leaves the key to the database.
        wanted: The columns that the caller wants back from each row.
        asked: Their names as the caller wrote them.
        returning: What each written row gives back: what the caller wants, then what proves whose it is.
        proof_places: Where the columns that prove it are among ``columns``.
        largest: Rows of the largest statement whose number of rows is a power of two.
    """

    def __init__(self, table: Table, options: Options, operation: Operation, columns: tuple[str, ...], *,
                 variables: int, trace: tuple[str, ...] = ()) -> None:  # fmt: skip
        """Work out the parts.

        Args:
            table: The target.
            options: What the caller asked for.
            operation: What to do with the rows.
            columns: The columns of a row's values, as the caller names them.
            variables: How many values SQLite takes in one statement.
            trace: Columns to give back after each single row, instead of the proof.

        Raises:
            MisconfigurationError: The table has no such column, or the operation is not possible on it.
        """
        self.operation = operation
        self.table = table
        self.columns: tuple[str, ...] = tuple(table.writable_column(name) for name in columns)
        if len(set(self.columns)) < len(self.columns):
            refuse(f"table {table.label}: a row names one column twice: {', '.join(columns)}", table.label)
        if not self.columns:
            refuse(f"table {table.label}: a row must have at least one column", table.label)
        if len(self.columns) > variables:
            refuse(f"table {table.label}: SQLite takes at most {variables} columns a row", table.label)
        self.width: int = len(self.columns)
        self._most: int = min(LARGEST, variables // self.width)
        self.largest: int = power_of_two_in(self._most)
        if table.is_view:
            self._most = self.largest = 1  # changes on a view are not counted: each row must be looked at by itself
        self._sql: dict[int, str] = {}
        self._usual = 0
        self._existing: dict[int, str] = {}
        self.on_conflict = options.on_conflict
        self.key: UniqueKey | None = identifying_key(table, options)
        absent = [name for name in self.key.columns if name not in self.columns] if self.key else []
        self.key_places: tuple[int, ...] = (
            () if self.key is None or absent else tuple(map(self.columns.index, self.key.columns))
        )
        self.keys: KeyReader | None = None
        if self.key is not None and self.key_places and is_exact(self.key):
            self.keys = KeyReader(table, self.key, self.key_places)
        self.given_key_places: tuple[int, ...] = tuple(map(self.columns.index, self.key_columns_given))
        self.may_conflict: bool = self.key is not None and all(table.default_of(name) is not None for name in absent)
        self.wanted: tuple[str, ...] = ()
        self.asked: tuple[str, ...] = options.returning
        self.returning: tuple[str, ...] = ()
        self.proof_places: tuple[int, ...] = ()
        if operation == "delete":
            self._check_delete()
            return
        self.wanted = tuple(table.column_named(name) for name in options.returning)
        if self.wanted and not trace:
            self.proof_places = self._proof()
        self.returning = self.wanted + tuple(self.columns[place] for place in self.proof_places) + trace
        self._head, self._tail = self._insert_parts(options)

    def is_usual(self, rows: int) -> bool:
        """Whether as many rows are worth a statement of their own: the batch before had as many."""
        is_usual = rows == self._usual and rows <= self._most
        if not is_usual:
            # The one for the old number is not made again.
            self._sql.pop(self._usual, None)
            self._existing.pop(self._usual, None)
            self._usual = rows
        return is_usual

    def sql(self, rows: int) -> str:
        """Return the statement that writes this many rows."""
        known = self._sql.get(rows)
        if known is None:
            made = self._delete_sql(rows) if self.operation == "delete" else self._insert_sql(rows)
            known = self._sql[rows] = made
        return known

    def existing(self, rows: int) -> str:
        """Return the query that tells which of this many keys are there: their numbers, joined by commas, or NULL."""
        known = self._existing.get(rows)
        if known is None:
            known = self._existing[rows] = self._existing_sql(rows)
        return known

    # -- inserts

    def _insert_parts(self, options: Options) -> tuple[str, str]:
        table = self.table
        # A constraint declared with ON CONFLICT would make a plain INSERT replace or drop rows. OR ABORT wins over it;
        # but it would win over the clauses in triggers as well, so it is said only where it is needed.
        verb = "INSERT OR ABORT INTO" if table.resolves_conflicts else "INSERT INTO"
        head = f"{verb} {table.sql_name} AS t ({', '.join(map(quoted, self.columns))})"
        tail = (
            "" if options.on_conflict == "error" else f" ON CONFLICT{self._conflict_target()} {self._action(options)}"
        )
        if self.returning:
            tail += f" RETURNING {', '.join(map(quoted, self.returning))}"
        return head, tail

    def _insert_sql(self, rows: int) -> str:
        row = f"({','.join('?' * self.width)})"
        return f"{self._head} VALUES {','.join([row] * rows)}{self._tail}"

    def _conflict_target(self) -> str:
        return f" ({', '.join(_collated(name, by) for name, by in self._key_parts())})"

    def _action(self, options: Options) -> str:
        if options.on_conflict == "skip":
            return "DO NOTHING"
        # The line ends here, for the caller's expression may end with a comment.
        where = "" if options.update_where is None else f" WHERE {options.update_where}\n"
        return f"DO UPDATE SET {', '.join(self._assignments(options))}{where}"

    def _assignments(self, options: Options) -> list[str]:
        assert self.key is not None
        updates = options.update_columns
        if isinstance(updates, dict):
            return [f"{quoted(self.table.writable_column(name))} = ({sql}\n)" for name, sql in updates.items()]
        if updates is None:
            names = [name for name in self.columns if name not in self.key.columns]
        else:
            wanted = {self.table.writable_column(name) for name in updates}
            names = [name for name in self.columns if name in wanted]
        # A row of nothing but its key still replaces the one that is there, with all that it has.
        return [f"{quoted(name)} = excluded.{quoted(name)}" for name in names or self.key.columns]

    def _proof(self) -> tuple[int, ...]:
        """Return the places of the columns that tell the rows of a statement apart.

        The order in which RETURNING gives rows back is not documented. If what comes back in these columns is, row by
        row, what was sent, then the rows are in order: either no two rows are equal in them, or such rows are equal in
        all they have.
        """
        key = self.table.primary_key
        if key is not None and all(name in self.columns for name in key.columns):
            return tuple(map(self.columns.index, key.columns))
        return tuple(range(self.width))

    # -- keys

    def _check_delete(self) -> None:
        if self.table.is_view:
            refuse(f"{self.table.label} is a view: rows cannot be deleted by key", self.table.label)
        if self.key is None or set(self.key.columns) != set(self.columns):
            message = f"table {self.table.label}: rows are deleted by a primary key, or by conflict_columns"
            refuse(message, self.table.label)

    def _delete_sql(self, rows: int) -> str:
        assert self.key is not None
        names = [_collated(name, self._collation(name)) for name in self.columns]
        if self.width == 1:
            return f"DELETE FROM {self.table.sql_name} WHERE {names[0]} IN ({','.join('?' * rows)})"  # noqa: S608
        row = f"({','.join('?' * self.width)})"
        return f"DELETE FROM {self.table.sql_name} WHERE ({', '.join(names)}) IN (VALUES {','.join([row] * rows)})"  # noqa: S608

    def _existing_sql(self, rows: int) -> str:
        assert self.key is not None
        given = [f"k{number}" for number in range(len(self.key_columns_given))]
        values = ",".join(f"({number}{',?' * len(given)})" for number in range(rows))
        same = " AND ".join(f"t.{_collated(column, by)} = {self._sought(column)}" for column, by in self._key_parts())
        # CROSS JOIN keeps the keys on the outside, each one looked up in the index.
        return (
            f"WITH v({', '.join(['o', *given])}) AS (VALUES {values}) "  # noqa: S608
            f"SELECT group_concat(v.o) FROM v CROSS JOIN {self.table.sql_name} AS t ON {same}"
        )

    @property
    def key_columns_given(self) -> tuple[str, ...]:
        """The columns of the key that rows have, in the key's order: what ``existing`` is asked with."""
        return () if self.key is None else tuple(name for name in self.key.columns if name in self.columns)

    def _sought(self, column: str) -> str:
        """Return what a key column is compared with: the row's value, or the default that the row will get."""
        given = self.key_columns_given
        return f"v.k{given.index(column)}" if column in given else f"({self.table.default_of(column)})"

    def _key_parts(self) -> list[tuple[str, str | None]]:
        assert self.key is not None
        return list(zip(self.key.columns, self.key.collations, strict=True))

    def _collation(self, column: str) -> str | None:
        assert self.key is not None
        return self.key.collations[self.key.columns.index(column)]


def identifying_key(table: Table, options: Options) -> UniqueKey | None:
    """Return what identifies a row: ``conflict_columns``, else the primary key; ``None`` if there is neither."""
    if options.conflict_columns is not None:
        return table.unique_key(options.conflict_columns)
    return table.primary_key


def _collated(name: str, collation: str | None) -> str:
    return quoted(name) if collation is None else f"{quoted(name)} COLLATE {quoted(collation)}"


def power_of_two_in(number: int) -> int:
    """Return the largest power of two that is no more than this number; 1 for 0."""
    return 1 << (max(1, number).bit_length() - 1)

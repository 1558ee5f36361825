"""The SQL for one plan on one table, made once."""

# ruff: noqa: S608 - SQL is what is made here, of names that are quoted and of the caller's own expressions

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres.errors import refuse
from bulkwriter.backends.postgres.keys import are_told
from bulkwriter.backends.postgres.kinds import Array, Composite, Interval, Kind, Moment, Numeric, Time, Timestamp
from bulkwriter.backends.postgres.session import ARRAYS_WITH_NULL, IDENTITY
from bulkwriter.backends.postgres.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkwriter.backends.postgres.options import Options
    from bulkwriter.backends.postgres.target import Column, Table
    from bulkwriter.contract import Operation

_WITH_MERGE_RETURNING: Final = 170000
_WITH_OLD: Final = 180000

# Kinds of which a column with a precision rounds what it is given.
_ROUNDED: Final = (Numeric, Moment, Timestamp, Time, Interval)

INSERTED, UPDATED, STORED = "i", "u", "s"


class Statements:
    """How rows of one plan are written.

    Attributes:
        table: The target.
        operation: ``"insert"`` or ``"delete"``.
        columns: The columns of a row's values.
        names: Their names.
        kinds: Their kinds.
        on_conflict: The policy; ``"error"`` for a delete.
        key: What identifies a row: ``conflict_columns``, else the primary key; empty if there is neither.
        has_key: Whether a row has all of it.
        returning: The columns to give back.
        may_decline: Whether an update may be declined by ``update_where``.
        outcome: SQL that says, in RETURNING, what became of a row.
        settings: SQL for the settings that the transaction needs in which rows go one by one.
    """

    def __init__(self, table: Table, options: Options, operation: Operation, columns: tuple[str, ...]) -> None:
        """Work out the parts.

        Raises:
            MisconfigurationError: The table has no such column, or the operation is not possible on it.
        """
        self.table = table
        self.operation = operation
        self._options = options
        if not columns:
            refuse(f"table {table.label}: a row must have at least one column", table.label)
        find = table.column if operation == "delete" else table.writable_column
        self.columns: tuple[Column, ...] = tuple(find(name) for name in columns)
        self.names: tuple[str, ...] = tuple(column.name for column in self.columns)
        self.kinds: tuple[Kind, ...] = tuple(column.kind for column in self.columns)
        self.key: tuple[str, ...] = identifying_key(table, options)
        self.has_key: bool = bool(self.key) and set(self.key) <= set(self.names)
        self.on_conflict = options.on_conflict if operation == "insert" else "error"
        self.returning: tuple[str, ...] = options.returning if operation == "insert" else ()
        self.may_decline: bool = options.update_where is not None
        if operation == "delete" and set(self.names) != set(self.key):
            refuse(f"table {table.label}: rows are deleted by a primary key, or by conflict_columns", table.label)
        self.key_places: list[int] = [self.names.index(name) for name in self.key] if self.has_key else []
        # Whether rows are found again by the key that the database gives back, without its help.
        self.is_told_by_key: bool = self.has_key and are_told([self.columns[place] for place in self.key_places])
        self._names = ", ".join(map(quoted, self.names))
        self.outcome: str = self._outcome()
        has_arrays = any(isinstance(kind, Array | Composite) for kind in self.kinds)
        self.settings: str = ARRAYS_WITH_NULL if has_arrays else ""
        self._inserts: dict[bool, str] = {}

    # -- many rows

    def insert(self, *, is_sorted: bool) -> str:
        """Return the statement that writes many rows, given what ``parameters.arrays`` makes of them.

        Its answer has the number of each row that was written, counted from 1; what became of it; how many were
        written altogether; and the columns to give back. Without conflicts and without columns to give back, its answer
        is the number of the transaction, the run of the server, and how many rows it wrote.

        Args:
            is_sorted: Whether the rows come in the order in which their keys are to be locked.
        """
        made = self._inserts.get(is_sorted)
        if made is None:
            made = self._inserts[is_sorted] = self._insert(is_sorted=is_sorted)
        return made

    def _insert(self, *, is_sorted: bool) -> str:
        if self.on_conflict != "error":
            return self._insert_told(is_sorted=is_sorted)
        if not self.returning:
            insert = f"INSERT INTO {self.table.sql_name} ({self._names}) {self._overriding}{self._rows('u.o')}"
            return f"WITH w AS ({insert} RETURNING 1) SELECT {IDENTITY}, (SELECT count(*) FROM w)"
        # Not into foreign tables, which MERGE does not know; a view counts as one that may swallow rows.
        if self.table.version >= _WITH_MERGE_RETURNING and (self.table.is_table or self.table.may_swallow_inserts):
            return self._merge()
        insert = f"INSERT INTO {self.table.sql_name} AS t ({self._names}) {self._overriding}{self._rows('u.o')}"
        return (
            f"WITH w AS ({insert} RETURNING {self._given_back}) "
            f"SELECT row_number() OVER () AS o, '{INSERTED}', count(*) OVER (), w.* FROM w"
        )

    @functools.cached_property
    def insert_one(self) -> str:
        """The statement that writes one row of a plain insert, given its values; it answers as ``insert`` does."""
        return f"{self.execute_many()} RETURNING {IDENTITY}, 1"

    @functools.cached_property
    def insert_one_or_fail(self) -> str:
        """The same, but it fails if the row is not written: by a division, as there is no other way in plain SQL."""
        return f"WITH w AS ({self.execute_many()} RETURNING 1) SELECT 1 / count(*) FROM w"

    @functools.cached_property
    def insert_by_key(self) -> str:
        """The statement that writes many rows which come in the order of their keys, given as for ``insert``.

        Its answer has, for each row that was written, what became of it; its key; and the columns to give back.
        """
        told = [self.outcome, *(f"t.{quoted(name)}" for name in self.key)]
        told += [f"t.{quoted(name)}" for name in self.returning]
        return (
            f"INSERT INTO {self.table.sql_name} AS t ({self._names}) {self._overriding}{self._rows_as_given} "
            f"{self._conflict_clause()} RETURNING {', '.join(told)}"
        )

    def delete(self) -> str:
        """Return the statement that deletes many rows, given their keys as ``parameters.arrays`` makes them."""
        return f"DELETE FROM {self.table.sql_name} AS t USING {self._arrays} WHERE {self._same_as_given}"

    def still_there(self) -> str:
        """Return the query that tells how many of the keys are in the table."""
        return f"SELECT count(*) FROM {self.table.sql_name} AS t, {self._arrays} WHERE {self._same_as_given}"

    def execute_many(self) -> str:
        """Return the statement that writes one row, given its values."""
        values = ", ".join(
            f"CAST(${number}::{column.kind.parameter} AS {column.type_name})"
            for number, column in enumerate(self.columns, 1)
        )
        return f"INSERT INTO {self.table.sql_name} ({self._names}) {self._overriding}VALUES ({values})"

    @property
    def _overriding(self) -> str:
        # COPY stores what it is given into such a column, and so does every other way here.
        return "OVERRIDING SYSTEM VALUE " if any(column.is_always_identity for column in self.columns) else ""

    @property
    def _arrays(self) -> str:
        return self._unnested(self._elements())

    def _elements(self) -> list[str]:
        return [
            f"pg_catalog.unnest(${number}{'::text' if kind.has_array_text else ''}::{kind.parameter}[])"
            for number, kind in enumerate(self.kinds, 1)
        ]

    @property
    def _rows_as_given(self) -> str:
        """Rows in the order in which they come, not sorted by it once more: a tenth less for the server to do."""
        fields = ", ".join(f"{elements} AS c{number}" for number, elements in enumerate(self._elements()))
        return f"SELECT {self._values} FROM (SELECT {fields}) AS u"

    @property
    def _values(self) -> str:
        return ", ".join(f"CAST(u.c{number} AS {column.type_name})" for number, column in enumerate(self.columns))

    def _unnested(self, arrays: Iterable[str]) -> str:
        fields = ", ".join(f"c{number}" for number in range(len(self.kinds)))
        return f"ROWS FROM ({', '.join(arrays)}) WITH ORDINALITY AS u ({fields}, o)"

    def _rows(self, order: str) -> str:
        return self._selected(self._arrays, order)

    def _selected(self, source: str, order: str) -> str:
        return f"SELECT {self._values} FROM {source} ORDER BY {order}"

    def _source(self) -> str:
        values = ", ".join(
            f"CAST(u.c{number} AS {column.type_name}) AS c{number}" for number, column in enumerate(self.columns)
        )
        return f"SELECT {values}, u.o FROM {self._arrays} ORDER BY u.o"

    def _merge(self) -> str:
        values = ", ".join(f"s.c{number}" for number in range(len(self.columns)))
        return (
            f"WITH w AS (MERGE INTO {self.table.sql_name} AS t USING ({self._source()}) AS s ON false "
            f"WHEN NOT MATCHED THEN INSERT ({self._names}) {self._overriding}VALUES ({values}) "
            f"RETURNING s.o, {self._given_back}) "
            f"SELECT w.o, '{INSERTED}', count(*) OVER (), {self._numbered('w.r', self.returning)} FROM w"
        )

    def _insert_told(self, *, is_sorted: bool) -> str:
        values = ", ".join(f"s.c{number}" for number in range(len(self.columns)))
        order = "s.o" if is_sorted else ", ".join([*(f"s.c{place}" for place in self.key_places), "s.o"])
        keys = ", ".join(f"t.{quoted(name)} AS k{number}" for number, name in enumerate(self.key))
        given_back = f", {self._given_back}" if self.returning else ""
        wanted = f", {self._numbered('w.r', self.returning)}" if self.returning else ""
        same = " AND ".join(f"{self._rounded(place)} = w.k{number}" for number, place in enumerate(self.key_places))
        return (
            f"WITH s AS MATERIALIZED ({self._source()}), "
            f"w AS (INSERT INTO {self.table.sql_name} AS t ({self._names}) {self._overriding}"
            f"SELECT {values} FROM s ORDER BY {order} {self._conflict_clause()} "
            f"RETURNING {self.outcome} AS outcome, {keys}{given_back}) "
            f"SELECT s.o, w.outcome, (SELECT count(*) FROM w){wanted} FROM w LEFT JOIN s ON {same}"
        )

    @property
    def _given_back(self) -> str:
        return ", ".join(f"t.{quoted(name)} AS r{number}" for number, name in enumerate(self.returning))

    def _numbered(self, prefix: str, names: tuple[str, ...]) -> str:
        return ", ".join(f"{prefix}{number}" for number in range(len(names)))

    def _rounded(self, place: int) -> str:
        """Return a value of the key as the column holds it, to be found again by it."""
        column = self.columns[place]
        is_rounded = isinstance(column.kind, _ROUNDED) and column.full_type != column.type_name
        return f"CAST(s.c{place} AS {column.full_type})" if is_rounded else f"s.c{place}"

    @property
    def _same_as_given(self) -> str:
        return " AND ".join(
            f"t.{quoted(column.name)} = CAST(u.c{number} AS {column.type_name})"
            for number, column in enumerate(self.columns)
        )

    # -- conflicts

    def _outcome(self) -> str:
        if self.on_conflict != "update":
            return f"'{INSERTED}'"
        if self.table.version >= _WITH_OLD:
            was_there = f"old.{quoted(self.key[0])} IS NOT NULL"
        elif self.table.is_table and not self.table.is_partitioned:
            # What an upsert updates it has locked before, and the lock's mark is on the new version too.
            was_there = "t.xmax <> 0"
        else:
            return f"'{STORED}'"
        return f"CASE WHEN {was_there} THEN '{UPDATED}' ELSE '{INSERTED}' END"

    def _conflict_clause(self) -> str:
        target = ", ".join(map(quoted, self.key))
        if self.on_conflict == "skip":
            return f"ON CONFLICT ({target}) DO NOTHING"
        # The line ends here, for the caller's expression may end with a comment.
        where = "" if self._options.update_where is None else f" WHERE ({self._options.update_where}\n)"
        return f"ON CONFLICT ({target}) DO UPDATE SET {', '.join(self._assignments())}{where}"

    def _assignments(self) -> list[str]:
        updates = self._options.update_columns
        if isinstance(updates, dict):
            return [f"{quoted(self.table.writable_column(name).name)} = ({sql}\n)" for name, sql in updates.items()]
        if updates is None:
            names = [name for name in self.names if name not in self.key]
        else:
            names = [name for name in self.names if name in updates]
        # A row of nothing but its key still replaces the one that is there.
        return [f"{quoted(name)} = excluded.{quoted(name)}" for name in names or self.key]

    # -- one row after the other, in PL/pgSQL: column number n is in the array a<n>, the row's number in i

    def single(self) -> str:
        """Return the commands that write row ``i``, and set ``told`` and, where columns are given back, ``given``."""
        if self.operation == "delete":
            return self._single_delete()
        values = ", ".join(self._value(number) for number in range(len(self.columns)))
        insert = f"INSERT INTO {self.table.sql_name} AS t ({self._names}) {self._overriding}VALUES ({values})"
        if self.on_conflict != "error":
            insert += f" {self._conflict_clause()}"
        if not self.returning and self.on_conflict != "update":
            written = f"{insert}; GET DIAGNOSTICS n = ROW_COUNT; told := '{INSERTED}';"
        else:
            given = ", ".join(f"t.{quoted(name)}::text" for name in self.returning)
            array = f"ARRAY[{given}]" if given else "'{}'::text[]"
            written = f"{insert} RETURNING {self.outcome}, {array} INTO told, given; GET DIAGNOSTICS n = ROW_COUNT;"
        return f"{written} IF n = 0 THEN {self._single_nothing()} END IF;"

    def several(self) -> str:
        """Return the command that writes rows ``i`` to ``j`` of a plain insert."""
        # Not by number, one after the other: to look up each value takes longer than to insert it.
        part = (f"bulkwriter.a{number}[bulkwriter.i:bulkwriter.j]" for number in range(len(self.columns)))
        arrays = self._unnested(f"pg_catalog.unnest({values})" for values in part)
        return f"INSERT INTO {self.table.sql_name} ({self._names}) {self._overriding}{self._selected(arrays, 'u.o')};"

    @property
    def can_be_several(self) -> bool:
        """Whether rows may be written several at a time, since all of them hear the same."""
        return self.operation == "insert" and self.on_conflict == "error" and not self.returning

    def _value(self, number: int) -> str:
        return f"CAST(bulkwriter.a{number}[bulkwriter.i] AS {self.columns[number].type_name})"

    def _single_delete(self) -> str:
        same = self._same_as_row
        left = f"IF EXISTS (SELECT FROM {self.table.sql_name} AS t WHERE {same}) THEN told := 'w'; END IF;"
        check = left if self.table.may_swallow_deletes else ""
        return f"DELETE FROM {self.table.sql_name} AS t WHERE {same}; told := 'd'; {check}"

    @property
    def _same_as_row(self) -> str:
        return " AND ".join(
            f"t.{quoted(name)} = {self._value(self.names.index(name))}" for name in self.key if name in self.names
        )

    def _single_nothing(self) -> str:
        """Return what tells a row that met another from one that a trigger dropped."""
        may_stand = self.on_conflict == "skip" or (self.on_conflict == "update" and self.may_decline)
        if not may_stand:
            return "told := 'w';"
        stands = "'k'" if self.on_conflict == "skip" else "'n'"
        if not (self.table.may_swallow_inserts or self.table.may_swallow_updates) or not self.has_key:
            return f"told := {stands};"
        is_there = f"EXISTS (SELECT FROM {self.table.sql_name} AS t WHERE {self._same_as_row})"
        return f"told := CASE WHEN {is_there} THEN {stands} ELSE 'w' END;"


def identifying_key(table: Table, options: Options) -> tuple[str, ...]:
    """Return what identifies a row: ``conflict_columns``, else the primary key; empty if there is neither.

    Raises:
        MisconfigurationError: There is no unique key of ``conflict_columns``.
    """
    if options.conflict_columns is not None:
        return table.unique_key(options.conflict_columns)
    return table.primary_key

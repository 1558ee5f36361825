"""What is known of the table that is written to: looked up at ``open``, and again when it has changed."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.postgres import catalogue
from bulkwriter.backends.postgres.errors import misconfigured, refuse
from bulkwriter.backends.postgres.kinds import Array, Composite, Kind, kind_for
from bulkwriter.backends.postgres.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkwriter.backends.postgres.driver import Connection, Row

OLDEST: Final = 130000
"""PostgreSQL 13 was the first with ``pg_current_xact_id``."""

_NAME = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of the target.

    Attributes:
        name: Its name.
        kind: How its values travel.
        type_name: Its type in SQL, of a domain the one it is made from, and without what is in brackets: a cast to
            ``varchar(3)`` would cut off the rest in silence, where the assignment to the column is an error.
        full_type: Its type in SQL, with what is in brackets.
        receive: The name of the type's receive function; of a domain, its base type's.
        is_deterministic: Whether its collation takes only equal texts for equal.
        is_generated: Whether the database computes it.
        is_always_identity: Whether an INSERT must say ``OVERRIDING SYSTEM VALUE`` to give it a value.
        is_not_null: Whether it must have a value.
        has_default: Whether the database makes a value for a row that leaves it out.
        may_insert: Whether this role may give it a value in a new row.
        may_update: Whether this role may change it.
        may_select: Whether this role may read it.
    """

    name: str
    kind: Kind = dataclasses.field(compare=False)
    type_name: str
    full_type: str
    receive: str
    is_deterministic: bool
    is_generated: bool
    is_always_identity: bool
    is_not_null: bool
    has_default: bool
    may_insert: bool
    may_update: bool
    may_select: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """The target: a table, a partitioned or foreign one, or a view.

    Attributes:
        label: As the caller names it.
        oid: Its number in the catalogue.
        schema: Where it is.
        name: Its own name.
        columns: By name, in order.
        fingerprint: A digest of the columns' names and types, as ``catalogue.FINGERPRINT`` computes it.
        primary_key: The columns of the primary key; empty if there is none.
        unique_keys: The columns of each key that ON CONFLICT may name.
        is_table: Whether rows can be copied into it, and whether it can be locked: no view, no foreign table.
        is_partitioned: Whether its rows are in partitions.
        has_row_security: Whether row security policies apply to this role.
        may_swallow_inserts: Whether a trigger may drop, or change, a row before it is inserted.
        may_swallow_updates: Whether a trigger may drop an update.
        may_swallow_deletes: Whether a trigger may drop a delete.
        version: The server's version, as a number: 180001.
    """

    label: str
    oid: int
    schema: str
    name: str
    columns: Mapping[str, Column]
    fingerprint: str
    primary_key: tuple[str, ...]
    unique_keys: tuple[tuple[str, ...], ...]
    is_table: bool
    is_partitioned: bool
    has_row_security: bool
    may_swallow_inserts: bool
    may_swallow_updates: bool
    may_swallow_deletes: bool
    version: int

    @property
    def sql_name(self) -> str:
        """The full name for SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def column(self, name: str) -> Column:
        """Return a column by its name.

        Raises:
            MisconfigurationError: There is no such column.
        """
        known = self.columns.get(name)
        if known is None:
            message = f"table {self.label} has no column {name!r}; it has {', '.join(self.columns)}"
            raise misconfigured(message, self.label)
        return known

    def writable_column(self, name: str) -> Column:
        """Return a column that can be given a value.

        Raises:
            MisconfigurationError: There is no such column, it is generated, or this role may not write to it.
        """
        column = self.column(name)
        if column.is_generated:
            refuse(f"table {self.label}: column {name!r} is generated and takes no value", self.label)
        if not column.may_insert:
            refuse(f"table {self.label}: no permission to insert into column {name!r} (42501)", self.label)
        return column

    def unique_key(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the unique key over exactly these columns, in whatever order they are named.

        Raises:
            MisconfigurationError: There is none; the message says which there are.
        """
        wanted = {self.column(column).name for column in columns}
        for key in self.unique_keys:
            if set(key) == wanted:
                return key
        known = "; ".join(f"({', '.join(key)})" for key in self.unique_keys) or "none"
        message = (
            f"table {self.label}: conflict_columns ({', '.join(sorted(wanted))}) must be the columns of a primary key, "
            "or of a unique index without WHERE and expressions that is not deferrable; "
            f"there are: {known}"
        )
        raise misconfigured(message, self.label)


async def find_table(connection: Connection, label: str) -> Table:
    """Look up a table or view, and all that matters of it.

    Args:
        connection: Where to look.
        label: ``table`` or ``schema.table``, each quoted or not. Names are taken as they are written: ``Events`` is no
            ``events``. A table whose very name has a dot in it wins.

    Raises:
        MisconfigurationError: There is none, or nothing can be written to it.
    """
    for schema, name in _meanings(label):
        row = await connection.fetchrow(catalogue.TABLE, schema, name)
        if row is not None:
            _check_kind(row, label)
            return await _described(connection, label, row)
    message = f"there is no table or view {label!r} in the database, or its schema is not in the search path"
    raise misconfigured(message, label)


def _meanings(label: str) -> list[tuple[str | None, str]]:
    """Return what a name may stand for, as schema and table, the likeliest first."""
    parts = [match[1].replace('""', '"') if match[1] is not None else match[2] for match in _NAME.finditer(label)]
    meanings: list[tuple[str | None, str]] = [(None, label)]
    if len(parts) == 1:
        meanings.append((None, parts[0]))
    elif len(parts) == 2:  # noqa: PLR2004
        meanings.append((parts[0], parts[1]))
    return meanings


def _check_kind(row: Row, label: str) -> None:
    if row["version"] < OLDEST:
        refuse(f"PostgreSQL must be at least version {OLDEST // 10000}, not {row['version'] // 10000}", label)
    if row["kind"] not in {"r", "p", "v", "f"}:
        refuse(f"{label!r} is neither a table nor a view: nothing can be inserted into it", label)
    if not row["may_enter"]:
        refuse(f"table {label}: no permission on its schema {row['schema']} (42501)", label)
    if not row["may_insert"]:
        refuse(f"table {label}: no permission to insert (42501)", label)
    if row["kind"] in {"v", "f"} and not row["takes_inserts"]:
        refuse(f"{label!r} takes no inserts: a view needs an INSTEAD OF trigger unless it is a simple one", label)
    if row["has_rules"]:
        refuse(f"table {label} has rules for writing, which may turn a row into anything: use a trigger", label)


async def _described(connection: Connection, label: str, row: Row) -> Table:
    oid = row["oid"]
    columns = {
        found["name"]: await _column(connection, found) for found in await connection.fetch(catalogue.COLUMNS, oid)
    }
    keys = await connection.fetch(catalogue.KEYS, oid)
    triggers = await connection.fetchrow(catalogue.TRIGGERS, oid)
    assert triggers is not None
    return Table(
        label=label,
        oid=oid,
        schema=row["schema"],
        name=row["name"],
        columns=columns,
        fingerprint=row["fingerprint"] or "",
        primary_key=next((tuple(key["columns"]) for key in keys if key["is_primary"]), ()),
        unique_keys=tuple(tuple(key["columns"]) for key in keys if key["is_immediate"]),
        is_table=row["kind"] in {"r", "p"},
        is_partitioned=row["kind"] == "p",
        has_row_security=row["has_row_security"],
        may_swallow_inserts=triggers["inserts"] or row["kind"] == "v",
        may_swallow_updates=triggers["updates"] or row["kind"] == "v",
        may_swallow_deletes=triggers["deletes"] or row["kind"] == "v",
        version=row["version"],
    )


async def _column(connection: Connection, row: Row) -> Column:
    facts: dict[str, Any] = {
        field.name: row[field.name] for field in dataclasses.fields(Column) if field.name != "kind"
    }
    return Column(kind=await _kind(connection, row), **facts)


async def _kind(connection: Connection, row: Row) -> Kind:
    receive, element = row["receive"] or "", row["element_receive"] or ""
    if "record_recv" not in {receive, element}:
        return kind_for(receive, element, row["element_oid"] or 0)
    fields = await connection.fetch(catalogue.COLUMNS, row["relation"])
    composite = Composite([field["name"] for field in fields], [await _kind(connection, field) for field in fields])
    return composite if receive == "record_recv" else Array(composite, row["element_oid"])

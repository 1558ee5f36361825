"""What is known of the table that is written to: looked up at ``open``, and again when it has changed."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.mysql.errors import misconfigured, refuse
from bulkwriter.backends.mysql.kinds import JSON, Kind, kind_for
from bulkwriter.backends.mysql.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkwriter.backends.mysql.session import Session

_NAME: Final = re.compile(r"`((?:[^`]|``)+)`|([^`.]+)")

_TABLE: Final = (
    "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES AS t "
    "LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE "
    "WHERE t.TABLE_SCHEMA = {schema} AND t.TABLE_NAME = {table}"
)
_VIEW: Final = (
    "SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table}"
)
_COLUMNS: Final = (
    "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE = 'YES', COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION, "
    "COLLATION_NAME, CHARACTER_MAXIMUM_LENGTH, NUMERIC_SCALE, DATETIME_PRECISION, PRIVILEGES "
    "FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table} ORDER BY ORDINAL_POSITION"
)
_INDEXES: Final = (
    "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS "
    "WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table} AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX"
)
_TRIGGERS: Final = (
    "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {schema} "
    "AND EVENT_OBJECT_TABLE = {table} AND ACTION_TIMING = 'BEFORE' AND EVENT_MANIPULATION IN ('INSERT', 'UPDATE')"
)
_JSON_CHECKS: Final = (
    "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS "
    "WHERE CONSTRAINT_SCHEMA = {schema} AND TABLE_NAME = {table}"
)
# Both servers keep a view's query in their own words, with each table's whole name.
_UNDERLYING: Final = re.compile(r"(?:\bfrom|join) \(*`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`")
_JSON_CHECK: Final = re.compile(r"json_valid\(`((?:[^`]|``)+)`\)")


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of the target.

    Attributes:
        name: Its name.
        kind: How its values are written.
        type_name: Its type, as ``decimal`` or ``varchar``.
        full_type: Its type with what is in brackets.
        is_nullable: Whether it may be NULL.
        default: Its default, as the catalogue has it; ``None`` if it has none, or NULL.
        is_auto_increment: Whether the server makes a value for a row that leaves it out.
        is_generated: Whether the server computes it.
        collation: How text in it is compared; ``None`` if it is no text.
        scale: The digits behind its point.
        precision: The digits of its fractions of seconds.
        rounds: Whether the server rounds to these, and does not cut off the others.
        privileges: What this user may do with it.
    """

    name: str
    kind: Kind
    type_name: str
    full_type: str
    is_nullable: bool
    default: str | None
    is_auto_increment: bool
    is_generated: bool
    collation: str | None
    scale: int | None
    precision: int | None
    rounds: bool
    privileges: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """The target: a table, or a view through which rows can be inserted.

    Attributes:
        label: As the caller names it.
        schema: Where it is.
        name: Its own name.
        columns: By name, in order.
        primary_key: The columns of the primary key; empty if there is none.
        unique_keys: The columns of each unique index, by its name; ``None`` for one of prefixes or expressions.
        engine: What keeps it; ``None`` for a view.
        has_triggers: Whether a trigger may change a row before it is written.
    """

    label: str
    schema: str
    name: str
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...]
    unique_keys: Mapping[str, tuple[str, ...] | None]
    engine: str | None
    has_triggers: bool

    @property
    def is_view(self) -> bool:
        """Whether it is a view."""
        return self.engine is None

    @property
    def numbers_in_order(self) -> bool:
        """Whether its engine is known to give the rows of one statement consecutive keys."""
        return self.engine == "InnoDB"

    @property
    def sql_name(self) -> str:
        """The full name for SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def json_columns(self) -> frozenset[str]:
        """The columns that hold JSON."""
        return frozenset(column.name for column in self.columns.values() if column.kind is JSON)

    def column(self, name: str) -> Column:
        """Return a column by its name, of which the case does not matter, as for MySQL itself.

        Raises:
            MisconfigurationError: There is no such column.
        """
        known = self.columns.get(name)
        if known is None:
            known = next((column for column in self.columns.values() if column.name.lower() == name.lower()), None)
        if known is None:
            message = f"table {self.label} has no column {name!r}; it has {', '.join(self.columns)}"
            raise misconfigured(message, self.label)
        return known

    def writable_column(self, name: str) -> Column:
        """Return a column that can be given a value.

        Raises:
            MisconfigurationError: There is no such column, it is generated, or this user may not write to it.
        """
        column = self.column(name)
        if column.is_generated:
            refuse(f"table {self.label}: column {name!r} is generated and takes no value", self.label)
        if column.privileges and "insert" not in column.privileges:
            refuse(f"table {self.label}: no permission to insert into column {name!r} (1143)", self.label)
        return column

    def unique_key(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the unique key over exactly these columns, in whatever order they are named.

        Raises:
            MisconfigurationError: There is none; the message says which there are.
        """
        wanted = {self.column(column).name for column in columns}
        keys = [key for key in self.unique_keys.values() if key is not None]
        for key in keys:
            if set(key) == wanted:
                return key
        known = "; ".join(f"({', '.join(key)})" for key in keys) or "none"
        message = (
            f"table {self.label}: conflict_columns ({', '.join(sorted(wanted))}) must be the columns of a primary key, "
            f"or of a unique index of whole columns; there are: {known}"
        )
        raise misconfigured(message, self.label)


async def find_table(session: Session, label: str) -> Table:
    """Look up a table or view, and all that matters of it.

    Args:
        session: Where to look.
        label: ``table`` or ``database.table``, each in backticks or not.

    Raises:
        MisconfigurationError: There is none, or nothing can be written to it.
    """
    for schema, name in _meanings(label):
        names = _names(session, schema, name)
        rows = await _rows(session, _TABLE, names)
        # Names that differ in case are found too, on a server for which they are the same.
        found = [row for row in rows if row[1] == name] or rows
        if found:
            return await _described(session, label, found[0])
    message = f"there is no table or view {label!r} in the database, or this user may not see it"
    raise misconfigured(message, label)


def _names(session: Session, schema: str | None, name: str) -> dict[str, str]:
    (table,) = session.literals((name,))
    return {"schema": "DATABASE()" if schema is None else session.literals((schema,))[0], "table": table}


async def _rows(session: Session, sql: str, names: Mapping[str, str]) -> list[tuple[Any, ...]]:
    return (await session.run(sql.format(**names))).rows or []


def _meanings(label: str) -> list[tuple[str | None, str]]:
    """Return what a name may stand for, as database and table, the likeliest first."""
    parts = [match[1].replace("``", "`") if match[1] is not None else match[2] for match in _NAME.finditer(label)]
    meanings: list[tuple[str | None, str]] = [(None, label)]
    if len(parts) == 1:
        meanings.append((None, parts[0]))
    elif len(parts) == 2:  # noqa: PLR2004
        meanings.append((parts[0], parts[1]))
    return meanings


async def _described(session: Session, label: str, row: tuple[Any, ...]) -> Table:
    schema, name, kind, engine, _ = row
    if kind not in {"BASE TABLE", "VIEW"}:
        refuse(f"{label!r} is neither a table nor a view: nothing can be inserted into it", label)
    await _check_transactions(session, label, [row])
    names = _names(session, schema, name)
    json_columns = await _json_columns(session, names)
    rounds = session.server.rounds
    columns = {found[0]: _column(found, json_columns, rounds) for found in await _rows(session, _COLUMNS, names)}
    indexes = await _rows(session, _INDEXES, names)
    ((triggers,),) = await _rows(session, _TRIGGERS, names)
    keys = _unique_keys(indexes)
    return Table(
        label=label,
        schema=schema,
        name=name,
        columns=columns,
        primary_key=keys.get("PRIMARY") or (),
        unique_keys=keys,
        engine=engine if kind == "BASE TABLE" else None,
        has_triggers=bool(triggers),
    )


async def _check_transactions(session: Session, label: str, rows: list[tuple[Any, ...]]) -> None:
    """See that all that is written to can be undone: a table, or those that a view is made of.

    Raises:
        MisconfigurationError: It cannot, or this user may not see whether it can.
    """
    known: set[tuple[str, str]] = set()
    while rows:
        schema, name, kind, engine, transactions = rows.pop()
        if kind != "VIEW" and transactions != "YES":
            message = (
                f"table {label}: the engine {engine} of {name!r} has no transactions, so that nothing could be undone"
            )
            refuse(message, label)
        if kind != "VIEW" or (schema, name) in known:
            continue
        known.add((schema, name))
        underlying = await _underlying(session, schema, name)
        found = [await _rows(session, _TABLE, _names(session, *each)) for each in underlying]
        if not all(found):
            message = "and needs SHOW VIEW and a privilege on its tables for that"
            refuse(
                f"table {label}: this user cannot see whether what is behind the view can be undone, {message}", label
            )
        rows += [row for (row, *_) in found]


async def _underlying(session: Session, schema: str, name: str) -> list[tuple[str, str]]:
    """Return the databases and names of what a view is made of; a name that is nobody's if that must not be seen."""
    ((definition,),) = await _rows(session, _VIEW, _names(session, schema, name)) or [("",)]
    found = _UNDERLYING.findall(definition or "")
    unquoted = [(schema.replace("``", "`"), table.replace("``", "`")) for schema, table in found]
    return unquoted or [("", "")]


async def _json_columns(session: Session, names: Mapping[str, str]) -> set[str]:
    """Return the columns that MariaDB checks to be JSON: its JSON columns are text."""
    if not session.server.is_mariadb:
        return set()
    clauses = await _rows(session, _JSON_CHECKS, names)
    found = [_JSON_CHECK.fullmatch(str(clause).strip()) for (clause,) in clauses]
    return {match[1].replace("``", "`") for match in found if match}


def _unique_keys(indexes: list[tuple[Any, ...]]) -> dict[str, tuple[str, ...] | None]:
    keys: dict[str, tuple[str, ...] | None] = {}
    for index, column, prefix in indexes:
        before = keys.get(index, ())
        keys[index] = None if before is None or column is None or prefix is not None else (*before, column)
    return keys


def _column(row: tuple[Any, ...], json_columns: set[str], rounds: bool) -> Column:  # noqa: FBT001 - the server's
    name, data_type, full_type, nullable, default, extra, generated, collation, _, scale, precision, privileges = row
    flags = str(extra or "").lower()
    return Column(
        name=name,
        kind=kind_for(data_type, is_json=name in json_columns),
        type_name=str(data_type).lower(),
        full_type=str(full_type).lower(),
        is_nullable=bool(nullable),
        # MariaDB writes it as an expression: NULL is none.
        default=None if default is None or str(default) == "NULL" else str(default),
        is_auto_increment="auto_increment" in flags,
        is_generated=bool(generated) or "generated" in flags.replace("default_generated", ""),
        collation=collation,
        scale=scale,
        precision=precision,
        rounds=rounds,
        privileges=frozenset(str(privileges or "").lower().split(",")) - {""},
    )

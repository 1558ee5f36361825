"""What is known of the table that is written to: read once at ``open``, and again when the schema has changed."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.sqlite.errors import misconfigured, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

ROWID_NAMES: Final = ("rowid", "oid", "_rowid_")

_NAME = re.compile(r'"((?:[^"]|"")+)"|\[([^\]]+)\]|`((?:[^`]|``)+)`|([^.]+)')
_CONFLICT_CLAUSE = re.compile(r"\bon\s+conflict\b", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of the target.

    Attributes:
        name: As the table declares it.
        affinity: ``"INTEGER"``, ``"TEXT"``, ``"BLOB"``, ``"REAL"`` or ``"NUMERIC"``, by the rules of
            https://www.sqlite.org/datatype3.html#determination_of_column_affinity.
        default: The SQL text of its default; ``None`` if there is none.
        is_writable: Whether a value can be given; not for a generated or hidden column.
    """

    name: str
    affinity: str
    default: str | None
    is_writable: bool


@dataclasses.dataclass(frozen=True, slots=True)
class UniqueKey:
    """Columns whose values identify a row: the primary key, or a unique index over whole columns and all rows.

    Attributes:
        columns: Their names.
        collations: For each, the name of the collation by which the index compares; ``None`` for the rowid.
    """

    columns: tuple[str, ...]
    collations: tuple[str | None, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference to another table, or to the same one.

    Attributes:
        columns: The referring columns.
        parent: The table referred to.
        parent_columns: Its columns, in the same order.
    """

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """The target, as it was when ``version`` was the version of its schema.

    Attributes:
        label: The name that the caller gave, for messages.
        schema: ``"main"``, ``"temp"`` or the name under which a database is attached.
        name: The table's own name.
        version: SQLite's counter of schema changes.
        columns: By lower-case name, since SQLite ignores the case of names.
        primary_key: ``None`` if there is none.
        unique_keys: The primary key first, then the others.
        foreign_keys: What rows of the table refer to.
        has_rowid: Whether it has one; not a view, nor a table ``WITHOUT ROWID``.
        rowid_column: The ``INTEGER PRIMARY KEY``, which is the rowid by another name; ``None`` if there is none.
        has_triggers: Whether any trigger is on it, so that a row may be changed or swallowed on its way.
        is_view: Whether it is a view, which only its own triggers make writable.
        resolves_conflicts: Whether a constraint is declared with ``ON CONFLICT``, which would change what a plain
            INSERT means.
    """

    label: str
    schema: str
    name: str
    version: int
    columns: dict[str, Column]
    primary_key: UniqueKey | None
    unique_keys: tuple[UniqueKey, ...]
    foreign_keys: tuple[ForeignKey, ...]
    has_rowid: bool
    rowid_column: str | None
    has_triggers: bool
    is_view: bool
    resolves_conflicts: bool

    @property
    def sql_name(self) -> str:
        """The table's full name, quoted."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def writable(self) -> tuple[str, ...]:
        """The names of the columns that can be given a value."""
        return tuple(column.name for column in self.columns.values() if column.is_writable)

    def default_of(self, column: str) -> str | None:
        """Return the SQL text of what a row gets that leaves a column out; ``None`` for NULL or a new rowid."""
        known = self.columns.get(column.lower())
        return None if known is None or known.default is None or known.default.upper() == "NULL" else known.default

    def column_named(self, name: str) -> str:
        """Return a column's name as the table declares it.

        Raises:
            MisconfigurationError: There is no such column.
        """
        known = self.columns.get(name.lower())
        if known is not None:
            return known.name
        if self.has_rowid and name.lower() in ROWID_NAMES:
            return name.lower()
        message = (
            f"table {self.label} has no column {name!r}; it has {', '.join(c.name for c in self.columns.values())}"
        )
        raise misconfigured(message, self.label)

    def writable_column(self, name: str) -> str:
        """Return the name of a column that can be given a value.

        Raises:
            MisconfigurationError: There is no such column, or it is generated.
        """
        name = self.column_named(name)
        column = self.columns.get(name.lower())
        if column is not None and not column.is_writable:
            refuse(f"table {self.label}: column {name!r} is generated and takes no value", self.label)
        return name

    def unique_key(self, columns: Iterable[str]) -> UniqueKey:
        """Return the unique key over exactly these columns, in whatever order they are named.

        Raises:
            MisconfigurationError: There is none; the message says which there are.
        """
        wanted = {self.column_named(column) for column in columns}
        for key in self.unique_keys:
            if set(key.columns) == wanted:
                return key
        known = "; ".join(f"({', '.join(key.columns)})" for key in self.unique_keys) or "none"
        message = (
            f"table {self.label}: conflict_columns ({', '.join(sorted(wanted))}) must be the columns of a primary key "
            f"or unique index without WHERE; there are: {known}"
        )
        raise misconfigured(message, self.label)


def quoted(name: str) -> str:
    """Return an identifier for SQL, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def find_table(connection: sqlite3.Connection, label: str) -> Table:
    """Look up a table or view, and all that matters of it.

    Args:
        connection: Where to look.
        label: ``table`` or ``schema.table``, each quoted or not; a table whose very name has a dot in it wins.

    Raises:
        MisconfigurationError: There is none.
    """
    for schema, name in _meanings(connection, label):
        found = connection.execute(
            f"SELECT name, type, sql FROM {quoted(schema)}.sqlite_master "  # noqa: S608
            "WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE",
            (name,),
        ).fetchone()
        if found is not None:
            return _described(connection, label, schema, found)
    message = f"there is no table or view {label!r} in the database"
    raise misconfigured(message, label)


def schema_version(connection: sqlite3.Connection, schema: str) -> int:
    """Return the counter that SQLite raises with every change of a schema."""
    return int(connection.execute(f"PRAGMA {quoted(schema)}.schema_version").fetchone()[0])


# -- how it is looked up


def _meanings(connection: sqlite3.Connection, label: str) -> list[tuple[str, str]]:
    """Return what a name may stand for, as schema and table, the likeliest first."""
    schemas = [row[1] for row in connection.execute("PRAGMA database_list")]
    # SQLite's own order of search: https://www.sqlite.org/lang_naming.html
    schemas.sort(key=lambda name: name != "temp")
    parts = [_unquoted(match) for match in _NAME.finditer(label)]
    meanings = [(schema, label) for schema in schemas]
    if len(parts) == 1:
        meanings += [(schema, parts[0]) for schema in schemas]
    elif len(parts) == 2:  # noqa: PLR2004
        meanings += [(schema, parts[1]) for schema in schemas if schema.lower() == parts[0].lower()]
    return meanings


def _unquoted(match: re.Match[str]) -> str:
    double, bracket, back, plain = match.groups()
    if double is not None:
        return str(double).replace('""', '"')
    return str(back).replace("``", "`") if back is not None else str(bracket or plain)


def _described(connection: sqlite3.Connection, label: str, schema: str, found: tuple[str, str, str]) -> Table:
    name, kind, sql = found

    def pragma(what: str, of: str) -> list[Any]:
        return connection.execute(f"PRAGMA {quoted(schema)}.{what}({quoted(of)})").fetchall()

    described = pragma("table_xinfo", name)
    is_strict = _is_strict(pragma("table_list", name))
    columns = {row[1].lower(): Column(row[1], affinity_of(row[2], is_strict=is_strict), row[4], row[6] == 0)
               for row in described}  # fmt: skip
    has_rowid = kind == "table" and _has_rowid(connection, f"{quoted(schema)}.{quoted(name)}", columns)
    primary, indexes = _unique_keys(described, pragma, name)
    rowid_column = None
    if primary is not None and primary.collations == (None,):
        rowid_column = primary.columns[0]
    return Table(
        label=label,
        schema=schema,
        name=name,
        version=schema_version(connection, schema),
        columns=columns,
        primary_key=primary,
        unique_keys=(() if primary is None else (primary,)) + indexes,
        foreign_keys=_foreign_keys(pragma, name),
        has_rowid=has_rowid,
        rowid_column=rowid_column,
        has_triggers=_has_triggers(connection, schema, name),
        is_view=kind == "view",
        resolves_conflicts=bool(_CONFLICT_CLAUSE.search(sql or "")),
    )


def affinity_of(declared: str | None, *, is_strict: bool = False) -> str:
    """Return the affinity of a column that was declared with this type."""
    upper = (declared or "").upper()
    if is_strict and upper == "ANY":
        return "BLOB"
    if "INT" in upper:
        return "INTEGER"
    if any(word in upper for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if not upper or "BLOB" in upper:
        return "BLOB"
    return "REAL" if any(word in upper for word in ("REAL", "FLOA", "DOUB")) else "NUMERIC"


def _is_strict(listed: list[Any]) -> bool:
    # schema, name, type, ncol, wr, strict. The pragma is as old as STRICT itself: before 3.37 it says nothing.
    return any(row[5] for row in listed)


def _has_rowid(connection: sqlite3.Connection, table: str, columns: dict[str, Column]) -> bool:
    free = next((name for name in ROWID_NAMES if name not in columns), None)
    if free is None:
        return False
    try:
        connection.execute(f"SELECT {free} FROM {table} LIMIT 0")  # noqa: S608
    except sqlite3.OperationalError:
        return False
    return True


def _unique_keys(described: list[Any], pragma: Any, table: str) -> tuple[UniqueKey | None, tuple[UniqueKey, ...]]:
    primary_columns = tuple(row[1] for row in sorted(described, key=lambda row: row[5]) if row[5])
    primary, others = None, []
    for _, index, is_unique, origin, is_partial in pragma("index_list", table):
        if not is_unique or is_partial:
            continue
        parts = [row for row in pragma("index_xinfo", index) if row[5]]
        if any(row[2] is None for row in parts):  # an expression
            continue
        key = UniqueKey(tuple(row[2] for row in parts), tuple(row[4] for row in parts))
        if origin == "pk":
            primary = key
        else:
            others.append(key)
    if primary is None and primary_columns:
        # An INTEGER PRIMARY KEY has no index of its own: it is the rowid.
        primary = UniqueKey(primary_columns, (None,) * len(primary_columns))
    return primary, tuple(others)


def _foreign_keys(pragma: Any, table: str) -> tuple[ForeignKey, ...]:
    by_id: dict[int, list[Any]] = {}
    for row in pragma("foreign_key_list", table):
        by_id.setdefault(row[0], []).append(row)
    keys = []
    for rows in by_id.values():
        rows.sort(key=lambda row: row[1])
        parent = rows[0][2]
        to = tuple(row[4] for row in rows)
        if None in to:
            described = sorted(pragma("table_xinfo", parent), key=lambda row: row[5])
            to = tuple(row[1] for row in described if row[5])
        keys.append(ForeignKey(tuple(row[3] for row in rows), parent, to))
    return tuple(keys)


def _has_triggers(connection: sqlite3.Connection, schema: str, table: str) -> bool:
    for place in {schema, "temp"}:
        sql = f"SELECT 1 FROM {quoted(place)}.sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"  # noqa: S608
        if connection.execute(sql, (table,)).fetchone() is not None:
            return True
    return False

"""What is known of the table that is written to: looked up at ``open``."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy.errors import refuse
from bulkwriter.backends.sqlalchemy.sessions import session_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkwriter.backends.sqlalchemy.options import Options

_SQLITE_OWN: Final = {"BINARY", "NOCASE", "RTRIM"}
_COLLATE: Final = re.compile(r"\bCOLLATE\s+[\"'`\[]?(\w+)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The table.

    Attributes:
        table: As the caller, or the database, has defined it.
        label: As the caller names it.
        stored: By column, its type in the database.
        read_only: Columns that the database computes.
        defaults: By column that has one, its default in the database.
        primary_key: The columns of the primary key; empty if there is none.
        unique_keys: The columns of each unique constraint or index over whole columns and all rows.
        strange_texts: Columns of text whose collation compares in a way that is not known here.
        collations: By column of text, the name of its collation, where it decides what is equal.
        numbers_zero: The column in which the database would store another number for 0; ``None`` if there is none.
        counts_by_itself: Whether there would be such a column in another session.
    """

    table: sa.Table
    label: str
    stored: Mapping[str, sa.types.TypeEngine[Any]]
    read_only: frozenset[str]
    defaults: Mapping[str, str]
    primary_key: tuple[str, ...]
    unique_keys: tuple[tuple[str, ...], ...]
    strange_texts: frozenset[str]
    collations: Mapping[str, str]
    numbers_zero: str | None = None
    counts_by_itself: bool = False

    def column(self, name: str) -> sa.Column[Any]:
        """Return a column.

        Raises:
            MisconfigurationError: There is none of this name.
        """
        for column in self.table.columns:
            if column.name == name:
                return column
        return refuse(f"table {self.label} has no column {name!r}", self.label)

    def writable_column(self, name: str) -> sa.Column[Any]:
        """Return a column that rows may have.

        Raises:
            MisconfigurationError: There is none of this name, or the database computes it.
        """
        column = self.column(name)
        if name in self.read_only:
            refuse(f"table {self.label}: column {name!r} is computed by the database: leave it out", self.label)
        return column

    def key(self, conflict_columns: Iterable[str] | None) -> tuple[str, ...]:
        """Return the columns that identify a row: those asked for, else the primary key; empty if there is neither.

        Raises:
            MisconfigurationError: No unique constraint is about the columns asked for.
        """
        if conflict_columns is None:
            return self.primary_key
        wanted = {self.column(name).name for name in conflict_columns}
        for key in (self.primary_key, *self.unique_keys):
            if set(key) == wanted:
                return key
        names = ", ".join(sorted(wanted))
        return refuse(
            f"table {self.label}: conflict_columns ({names}) are neither its primary key nor a unique constraint",
            self.label,
        )


def look_up(connection: sa.Connection, options: Options) -> Target:
    """Read the table from the database.

    Raises:
        MisconfigurationError: It is not there, is no table, or is not what the caller's definition says.
    """
    inspector: sa.Inspector = sa.inspect(connection)
    name, schema = _name(options)
    try:
        columns = inspector.get_columns(name, schema=schema)
    except sa.exc.NoSuchTableError as error:
        refuse(f"table {options.table} does not exist", options.table, error)
    if name in inspector.get_view_names(schema=schema):
        refuse(f"{options.table} is a view: this backend writes to tables", options.table)
    known = {column["name"] for column in columns}
    table = options.given
    if table is None:
        table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
    missing = [column.name for column in table.columns if column.name not in known]
    if missing:
        refuse(f"table {options.table} in the database has no column {missing[0]!r}", options.table)
    return Target(
        table=table,
        label=options.table,
        stored={column["name"]: column["type"] for column in columns},
        read_only=frozenset(column["name"] for column in columns if _is_computed(column)),
        defaults={column["name"]: str(column["default"]) for column in columns if column.get("default") is not None},
        primary_key=tuple(inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]),
        unique_keys=tuple(_unique_keys(inspector, name, schema)),
        **_details(connection, name, schema),
    )


def _name(options: Options) -> tuple[str, str | None]:
    if options.given is not None:
        return options.given.name, options.given.schema
    schema, _, name = options.table.rpartition(".")
    return name, schema or None


def _is_computed(column: Any) -> bool:
    return "computed" in column or bool(column.get("identity", {}).get("always", False))


def _unique_keys(inspector: sa.Inspector, name: str, schema: str | None) -> Iterable[tuple[str, ...]]:
    for constraint in inspector.get_unique_constraints(name, schema=schema):
        yield tuple(constraint["column_names"])
    for index in inspector.get_indexes(name, schema=schema):
        # Of some rows, of expressions or of the beginnings of texts: no such index says that a row is there already.
        is_partial = any(option.endswith(("_where", "_length")) for option in index.get("dialect_options", {}))
        columns = index["column_names"]
        if index["unique"] and not is_partial and "expressions" not in index:
            yield tuple(column for column in columns if column is not None)


def _details(connection: sa.Connection, name: str, schema: str | None) -> dict[str, Any]:
    """Return what SQLAlchemy's inspector does not tell."""
    return _READERS[connection.dialect.name](connection, name, schema)


def _of_sqlite(connection: sa.Connection, name: str, schema: str | None) -> dict[str, Any]:
    catalogue = _catalogue(connection, schema)
    found = connection.exec_driver_sql(
        f"SELECT sql FROM {catalogue} WHERE lower(tbl_name) = lower(?)",  # noqa: S608 - a name, quoted
        (name,),
    ).scalars()
    collations = {by.upper() for sql in found for by in _COLLATE.findall(sql or "")}
    columns = sa.inspect(connection).get_columns(name, schema=schema)
    return {
        "strange_texts": frozenset(column["name"] for column in columns if collations - _SQLITE_OWN),
        "collations": {},
    }


def counts_rows(connection: sa.Connection, table: sa.Table) -> bool:
    """Whether, on SQLite, the count of changes is that of the rows which an INSERT has got through.

    A trigger changes other rows as well, and a conflict clause of a constraint passes over a row without a word.
    """
    catalogues = " UNION ALL ".join(
        f"SELECT type, tbl_name, sql FROM {catalogue}"  # noqa: S608 - a name, quoted
        for catalogue in (_catalogue(connection, table.schema), "sqlite_temp_master")
    )
    sql = (
        f"SELECT 1 FROM ({catalogues}) WHERE lower(tbl_name) = lower(?) "  # noqa: S608 - ours
        "AND (type = 'trigger' OR sql LIKE '%conflict%') LIMIT 1"
    )
    return connection.exec_driver_sql(sql, (table.name,)).first() is None


def _catalogue(connection: sa.Connection, schema: str | None) -> str:
    return f"{connection.dialect.identifier_preparer.quote_identifier(schema or 'main')}.sqlite_master"


def _of_postgresql(connection: sa.Connection, name: str, schema: str | None) -> dict[str, Any]:
    prepare = connection.dialect.identifier_preparer.quote_identifier
    full_name = ".".join(map(prepare, [schema, name] if schema else [name]))
    query = sa.text(
        "SELECT a.attname FROM pg_catalog.pg_attribute AS a "
        "JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation "
        "WHERE a.attrelid = to_regclass(:name) AND NOT c.collisdeterministic"
    )
    strange = connection.execute(query, {"name": full_name}).scalars().all()
    return {"strange_texts": frozenset(strange), "collations": {}}


def _of_mysql(connection: sa.Connection, name: str, schema: str | None) -> dict[str, Any]:
    session = session_of(connection, name)
    where = {"schema": schema or connection.exec_driver_sql("SELECT DATABASE()").scalar(), "name": name}
    engine = connection.execute(_ENGINE, where).first()
    if engine is None or engine[1] != "YES":
        refuse(f"table {name} is of the engine {engine and engine[0]}, which has no transactions: InnoDB has", name)
    columns = connection.execute(_COLUMNS, where).all()
    numbered = [column for column, _, extra in columns if "auto_increment" in extra]
    return {
        "strange_texts": frozenset(),
        "collations": {column: collation for column, collation, _ in columns if collation},
        "numbers_zero": numbered[0] if numbered and session.numbers_zero else None,
        "counts_by_itself": bool(numbered),
    }


_ENGINE: Final = sa.text(
    "SELECT t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES AS t JOIN information_schema.ENGINES AS e "
    "ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA = :schema AND t.TABLE_NAME = :name"
)
_COLUMNS: Final = sa.text(
    "SELECT COLUMN_NAME, COLLATION_NAME, EXTRA FROM information_schema.COLUMNS "
    "WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = :name"
)
_READERS: Final = {"sqlite": _of_sqlite, "postgresql": _of_postgresql, "mysql": _of_mysql, "mariadb": _of_mysql}

"""The ledger's table and statements, in each dialect."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Dialect: TypeAlias = Literal["sqlite", "postgresql", "mysql"]
"""``"mysql"`` is MariaDB too."""

ParameterStyle: TypeAlias = Literal["qmark", "format", "numeric_dollar"]
"""``?``, ``%s``, or ``$1`` and so on."""

DEFAULT_TABLE: Final = "bulkwriter_ledger"
LONGEST_IDENTITY: Final = 255


@dataclasses.dataclass(frozen=True, slots=True)
class Statements:
    """The SQL of a ledger in one dialect.

    A *token* is drawn at random for every write of a row: ``secrets.token_hex(16)``.

    Attributes:
        create: Makes the table and its index where they are missing; to be executed one after the other.
        look_up: ``(identity)`` gives ``(token, work, row_count, answers)``, or no row.
        record: ``(identity, token, work, row_count, answers)`` writes the batch's row, in its transaction. It fails
            on the primary key if the identity is there already.
        amend: ``(answers, identity, token)`` replaces the answers, for a backend that records first.
        replace: ``(token, work, row_count, answers, identity, tombstone)`` puts the batch's row in the place of the
            tombstone whose token that is; it changes no row if that tombstone is not there any more.
        bar: ``(identity, token, work, row_count)`` writes a tombstone. A row with answers is left as it is: look up
            afterwards what is there.
        prune: ``(seconds, rows)`` deletes at most so many rows that are older than so many seconds.
    """

    create: tuple[str, ...]
    look_up: str
    record: str
    amend: str
    replace: str
    bar: str
    prune: str


def statements(
    dialect: Dialect, table: str = DEFAULT_TABLE, *, schema: str | None = None, style: ParameterStyle = "qmark"
) -> Statements:
    """Return the SQL of a ledger.

    Args:
        dialect: The database's language.
        table: The name of the ledger's table.
        schema: Its schema; ``None`` for the connection's own.
        style: How the driver marks parameters.
    """
    now, mark, name = _NOW[dialect], _MARKS[style], _full_name(dialect, table, schema)
    columns = "identity, token, work, row_count, answers, written_at"
    return Statements(
        create=_create(dialect, table, schema),
        look_up=mark(f"SELECT token, work, row_count, answers FROM {name} WHERE identity = ?"),  # noqa: S608
        record=mark(f"INSERT INTO {name} ({columns}) VALUES (?, ?, ?, ?, ?, {now})"),  # noqa: S608
        amend=mark(f"UPDATE {name} SET answers = ? WHERE identity = ? AND token = ?"),  # noqa: S608
        replace=mark(
            f"UPDATE {name} SET token = ?, work = ?, row_count = ?, answers = ?, written_at = {now} "  # noqa: S608
            "WHERE identity = ? AND token = ? AND answers IS NULL"
        ),
        bar=mark(
            f"INSERT INTO {name} ({columns}) VALUES (?, ?, ?, ?, NULL, {now}) {_bar(dialect, table)}"  # noqa: S608
        ),
        prune=mark(_prune(dialect, name)),
    )


def ddl(dialect: Dialect, table: str = DEFAULT_TABLE, *, schema: str | None = None) -> str:
    """Return the SQL script that makes a ledger, for a user whose backend may not create tables."""
    return "".join(f"{statement};\n" for statement in _create(dialect, table, schema))


_NOW: Final[dict[Dialect, str]] = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM now()) AS bigint)",
    "mysql": "UNIX_TIMESTAMP()",
}


def _quoted(dialect: Dialect, name: str) -> str:
    mark = "`" if dialect == "mysql" else '"'
    return mark + name.replace(mark, 2 * mark) + mark


def _full_name(dialect: Dialect, table: str, schema: str | None) -> str:
    prefix = "" if schema is None else f"{_quoted(dialect, schema)}."
    return prefix + _quoted(dialect, table)


def _create(dialect: Dialect, table: str, schema: str | None) -> tuple[str, ...]:
    name, index = _full_name(dialect, table, schema), f"{table}_written_at"
    # Compared byte by byte: where the database's own collation ignores case, two identities could pass for one.
    text = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if dialect == "mysql" else ""
    columns = (
        f"identity VARCHAR({LONGEST_IDENTITY}){text} NOT NULL PRIMARY KEY, token VARCHAR(64){text} NOT NULL, "
        f"work VARCHAR(64){text} NOT NULL, row_count BIGINT NOT NULL, written_at BIGINT NOT NULL, "
        f"answers {'LONGTEXT' if dialect == 'mysql' else 'TEXT'}{text}"
    )
    make = f"CREATE TABLE IF NOT EXISTS {name} ({columns}"
    if dialect == "mysql":
        return (f"{make}, INDEX {_quoted(dialect, index)} (written_at)) ENGINE=InnoDB",)
    if dialect == "postgresql":
        # The index of a table is always in the table's schema.
        return (f"{make})", f"CREATE INDEX IF NOT EXISTS {_quoted(dialect, index)} ON {name} (written_at)")
    # SQLite wants the schema before the index's name, and not before the table's.
    index_name, bare = _full_name(dialect, index, schema), _quoted(dialect, table)
    return (f"{make}) WITHOUT ROWID", f"CREATE INDEX IF NOT EXISTS {index_name} ON {bare} (written_at)")


def _bar(dialect: Dialect, table: str) -> str:
    # A tombstone overwrites only a tombstone, with a new token: a try that meant to take the earlier one's place, and
    # is being settled now, finds it gone.
    if dialect == "mysql":
        return "ON DUPLICATE KEY UPDATE token = IF(answers IS NULL, VALUES(token), token)"
    return (
        "ON CONFLICT (identity) DO UPDATE SET token = excluded.token, work = excluded.work, "
        f"row_count = excluded.row_count WHERE {_quoted(dialect, table)}.answers IS NULL"
    )


def _prune(dialect: Dialect, name: str) -> str:
    old = f"written_at < {_NOW[dialect]} - ? ORDER BY written_at LIMIT ?"
    if dialect == "mysql":
        return f"DELETE FROM {name} WHERE {old}"  # noqa: S608
    # Two writers that prune at once must not wait for each other in the middle of their batches.
    lock = " FOR UPDATE SKIP LOCKED" if dialect == "postgresql" else ""
    return f"DELETE FROM {name} WHERE identity IN (SELECT identity FROM {name} WHERE {old}{lock})"  # noqa: S608


def _numbered(sql: str) -> str:
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


_MARKS: Final[dict[ParameterStyle, Callable[[str], str]]] = {
    "qmark": lambda sql: sql,
    "format": lambda sql: sql.replace("%", "%%").replace("?", "%s"),
    "numeric_dollar": _numbered,
}

"""Columns, tables and servers of MySQL as tests need them, without one."""

from __future__ import annotations

from typing import Any

from bulkwriter.backends.mysql import options
from bulkwriter.backends.mysql.kinds import kind_for
from bulkwriter.backends.mysql.session import Server
from bulkwriter.backends.mysql.statements import Statements
from bulkwriter.backends.mysql.target import Column, Table

MYSQL = Server("MySQL", (8, 4, 0), is_genuine=True, most_bytes=2**20, is_read_only=False, place="db:3306:1")
MARIADB = Server("MariaDB", (10, 11, 0), is_genuine=True, most_bytes=2**20, is_read_only=False, place="db:3306:1")


def column(name: str, data_type: str = "int", **facts: Any) -> Column:
    """Return a column of a type."""
    known: dict[str, Any] = {
        "name": name,
        "kind": kind_for(data_type, is_json=False),
        "type_name": data_type,
        "full_type": data_type,
        "is_nullable": True,
        "default": None,
        "is_auto_increment": False,
        "is_generated": False,
        "collation": "utf8mb4_general_ci" if data_type in {"varchar", "text"} else None,
        "scale": None,
        "precision": None,
        "rounds": True,
        "privileges": frozenset(),
    }
    return Column(**{**known, **facts})


def table(*columns: Column, keys: dict[str, tuple[str, ...] | None] | None = None) -> Table:
    """Return a table whose first column is its primary key."""
    keys = {"PRIMARY": (columns[0].name,)} if keys is None else keys
    return Table(
        label="t",
        schema="s",
        name="t",
        columns={found.name: found for found in columns},
        primary_key=keys.get("PRIMARY") or (),
        unique_keys=keys,
        engine="InnoDB",
        has_triggers=False,
    )


def statements(target: Table, *columns: str, server: Server = MYSQL, delete: bool = False, **asked: Any) -> Statements:
    """Return how rows of some columns are written."""
    defaults: dict[str, Any] = {
        "url_or_connect_function": "mysql://localhost/s",
        "table": "t",
        "columns": None,
        "on_conflict": "error",
        "conflict_columns": None,
        "update_columns": None,
        "update_where": None,
        "returning": (),
        "ledger": False,
        "ledger_table": "ledger",
        "ledger_retention": 1.0,
        "ssl": None,
        "connect_timeout": 1.0,
        "read_timeout": 1.0,
        "sql_mode": options.STRICT,
        "isolation": "READ COMMITTED",
        "time_zone": options.UTC,
        "session": None,
    }
    checked = options.checked(**{**defaults, **asked})
    return Statements(target, checked, server, "delete" if delete else "insert", columns)

"""The conformance suite, run against SQLite in a file."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bulkwriter.backend import Backend
from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.testing.conformance import ConformanceSuite, Target

CREATE_TABLE = """
CREATE TABLE items (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    amount  INTEGER CONSTRAINT amount_not_negative CHECK (amount >= 0),
    note    TEXT DEFAULT 'none',
    code    TEXT UNIQUE,
    parent  INTEGER REFERENCES items (id),
    doubled INTEGER GENERATED ALWAYS AS (amount * 2) STORED
) STRICT
"""


class SQLiteTarget(Target):
    """A table of the suite's shape in a database file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(CREATE_TABLE)

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the table."""
        return SQLiteBackend(self._path, "items", **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that nobody has made."""
        return SQLiteBackend(self._path, "nonesuch")

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is in the table, read on another connection."""
        with closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM items ORDER BY rowid")]


class TestSQLiteBackend(ConformanceSuite):
    """In a file of its own, in WAL mode."""

    @pytest.fixture
    def target(self, tmp_path: Path) -> Target:
        """Return a fresh table in a fresh file."""
        return SQLiteTarget(tmp_path / "items.db")

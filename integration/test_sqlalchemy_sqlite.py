"""The conformance suite by way of SQLAlchemy and aiosqlite: here, and so only twice, since each call is a thread's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.testing.conformance import ConformanceSuite, Target
from tests.test_sqlite_conformance import CREATE_TABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from bulkwriter.backend import Backend


class SQLAlchemyTarget(Target):
    """A table of the suite's shape in a database file.

    Args:
        path: The file.
        database: What backends are given to write to it: a URL or an engine.
        table: What they are given as the table.
    """

    def __init__(self, path: Path, database: Any, table: Any = "items") -> None:
        self._path = path
        self._database = database
        self._table = table
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(CREATE_TABLE)

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the table."""
        return SQLAlchemyBackend(self._database, self._table, **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that nobody has made."""
        return SQLAlchemyBackend(self._database, "nonesuch")

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is in the table, read on another connection."""
        with closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM items ORDER BY rowid")]


ITEMS = sa.Table(
    "items",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("amount", sa.Integer),
    sa.Column("note", sa.Text, server_default="none"),
    sa.Column("code", sa.Text, unique=True),
    sa.Column("parent", sa.Integer, sa.ForeignKey("items.id")),
    sa.Column("doubled", sa.Integer, sa.Computed("amount * 2")),
)


class TestByURL(ConformanceSuite):
    """On an engine of the backend's own, with a table that is read from the database."""

    @pytest.fixture
    def target(self, tmp_path: Path) -> Target:
        """Return a fresh table in a fresh file."""
        path = tmp_path / "items.db"
        return SQLAlchemyTarget(path, f"sqlite+aiosqlite:///{path}")


class TestEngine(ConformanceSuite):
    """On a user's engine, with the user's own definition of the table."""

    @pytest.fixture
    async def target(self, tmp_path: Path) -> AsyncIterator[Target]:
        """Return a fresh table in a fresh file."""
        path = tmp_path / "items.db"
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

        @sa.event.listens_for(engine.sync_engine, "connect")
        def enforce(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.close()

        yield SQLAlchemyTarget(path, engine, ITEMS)
        await engine.dispose()

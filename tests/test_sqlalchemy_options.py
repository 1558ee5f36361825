"""What is wrong with the options of ``SQLAlchemyBackend`` is said when it is made or opened."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.errors import BackendUnavailableError, MisconfigurationError
from tests.sqlalchemy_tables import opened
from tests.sqlite_tables import Database

if TYPE_CHECKING:
    import pathlib

MEMORY = "sqlite+aiosqlite://"
PASSWORD = "s3cret"  # noqa: S105 - what no message may show


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a database with a table and a view."""
    return Database(
        tmp_path / "options.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT, c INT, twice INT AS (a * 2));"
        "CREATE UNIQUE INDEX ab ON t (b, a); CREATE UNIQUE INDEX c ON t (c) WHERE a > 1;"
        "CREATE VIEW v AS SELECT * FROM t; CREATE TABLE keyless (a INT)",
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (AsyncSession(), "AsyncSession"),
        (async_sessionmaker(), "a transaction of its own, which the backend commits"),
        (sa.create_engine("sqlite://"), "create_async_engine"),
        (7, "AsyncEngine or a URL"),
        ("sqlite://", "not async"),
        (f"sqlite+nonesuch://u:{PASSWORD}@h/d", "no such dialect"),
        (f"::{PASSWORD}", "malformed"),
    ],
)
def test_what_is_no_engine_is_refused(given: Any, said: str) -> None:
    """With words, and without a password."""
    with pytest.raises(MisconfigurationError, match=said) as refused:
        SQLAlchemyBackend(given, "t")
    assert PASSWORD not in str(refused.value)


def test_a_dialect_that_was_never_tried_is_refused() -> None:
    """Nothing can be promised for it; the message says what can be had."""
    engine = create_async_engine(MEMORY)
    engine.dialect.name = "mssql"
    with pytest.raises(MisconfigurationError, match=r"dialect mssql was never tried.*sqlite\+aiosqlite"):
        SQLAlchemyBackend(engine, "t")


def test_a_driver_that_was_never_tried_is_refused() -> None:
    """The same dialect may behave otherwise with it."""
    engine = create_async_engine(MEMORY)
    engine.dialect.driver = "other"
    with pytest.raises(MisconfigurationError, match="driver other was never tried"):
        SQLAlchemyBackend(engine, "t")


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        ("v", {}, "is a view"),
        ("nonesuch", {}, "does not exist"),
        ("t", {"columns": ("twice",)}, "computed by the database"),
        ("t", {"on_conflict": "skip", "conflict_columns": ("c",)}, "neither its primary key nor a unique"),
        ("keyless", {"on_conflict": "skip"}, "no primary key"),
        ("t", {"on_conflict": "update", "update_columns": {"a": "t.nonesuch"}}, "no such column"),
        ("t", {"on_conflict": "update", "update_where": "t.a >"}, "syntax error|incomplete input"),
        (sa.Table("t", sa.MetaData(), sa.Column("z", sa.Integer)), {}, "has no column 'z'"),
    ],
)
async def test_what_does_not_fit_the_table_is_refused_when_it_is_opened(
    database: Database, table: Any, options: dict[str, Any], said: str
) -> None:
    """Before any row is taken."""
    with pytest.raises(MisconfigurationError, match=said):
        async with opened(database, table, **options):
            pass


async def test_a_unique_index_over_several_columns_is_a_key(database: Database) -> None:
    """In whichever order it is named."""
    async with opened(database, on_conflict="update", conflict_columns=("a", "b")) as backend:
        assert set(backend.key_columns) == {"a", "b"}


async def test_a_file_that_cannot_be_opened_is_told(tmp_path: pathlib.Path) -> None:
    """As what it is, and with the table's name."""
    backend = SQLAlchemyBackend(f"sqlite+aiosqlite:///{tmp_path}/absent/x.db", "t")
    before = set(threading.enumerate())
    with pytest.raises((MisconfigurationError, BackendUnavailableError), match="table t: opening it failed"):
        await backend.open()
    # aiosqlite does not wait for its thread when it could not connect, and that speaks to the loop as it ends.
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join)


async def test_an_engine_of_the_users_stays_open(database: Database) -> None:
    """Who opens it closes it."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database.path}")
    async with opened(engine) as backend:
        assert backend.is_open
    async with engine.connect() as connection:
        assert (await connection.execute(sa.text("SELECT 1"))).scalar() == 1
    await engine.dispose()


def test_connections_side_by_side_are_used_where_they_help() -> None:
    """SQLite has one writer at a time."""
    assert SQLAlchemyBackend(MEMORY, "t").limits.concurrency == 1

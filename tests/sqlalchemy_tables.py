"""A database file for a test, reached by SQLAlchemy, and a backend that is called as the engine would call it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.contract import Attempt
from tests.sqlite_tables import Database, verdicts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bulkwriter.contract import Operation


@contextlib.asynccontextmanager
async def engine_on(database: Database) -> AsyncIterator[AsyncEngine]:
    """Make an engine of a user's, and let go of it afterwards."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database.path}")
    try:
        yield engine
    finally:
        await engine.dispose()


@contextlib.asynccontextmanager
async def opened(
    database: Database | AsyncEngine, table: Any = "t", **options: Any
) -> AsyncIterator[SQLAlchemyBackend]:
    """Open a backend, and close it afterwards."""
    where = f"sqlite+aiosqlite:///{database.path}" if isinstance(database, Database) else database
    backend = SQLAlchemyBackend(where, table, **options)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def write(
    backend: SQLAlchemyBackend, columns: str, rows: Sequence[tuple[Any, ...]], operation: Operation = "insert"
) -> list[Any]:
    """Make one attempt, and return each row's verdict."""
    plan = backend.plan(operation, tuple(columns.split()))
    return verdicts(await backend.attempt(Attempt(plan, list(rows))))


def statements_of(engine: AsyncEngine) -> list[str]:
    """Return a list that grows by each statement that the engine's events tell of."""
    seen: list[str] = []

    @sa.event.listens_for(engine.sync_engine, "before_cursor_execute")
    def see(*arguments: Any) -> None:
        seen.append(arguments[2])

    return seen

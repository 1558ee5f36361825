"""A database file for a test, and a backend that is called as the engine would call it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.contract import Attempt, Uniform
from bulkwriter.errors import BulkWriterError
from bulkwriter.results import WriteResult

if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator, Sequence

    from bulkwriter.contract import Operation, Reply


class Database:
    """A file with tables, looked at on connections of its own."""

    def __init__(self, path: pathlib.Path, schema: str = "") -> None:
        self.path = path
        self.run(schema)

    def run(self, script: str) -> None:
        """Run some SQL."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(script)

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql).fetchall()

    @contextlib.asynccontextmanager
    async def backend(self, table: str = "t", **options: Any) -> AsyncIterator[SQLiteBackend]:
        """Open a backend, and close it afterwards."""
        backend = SQLiteBackend(self.path, table, **options)
        await backend.open()
        try:
            yield backend
        finally:
            await backend.close()

    async def write(
        self,
        columns: str,
        rows: Sequence[tuple[Any, ...]],
        *,
        table: str = "t",
        operation: Operation = "insert",
        **options: Any,
    ) -> list[Any]:
        """Make one attempt on a backend of its own, and return each row's verdict."""
        async with self.backend(table, **options) as backend:
            return await write(backend, columns, rows, operation)


async def write(
    backend: SQLiteBackend, columns: str, rows: Sequence[tuple[Any, ...]], operation: Operation = "insert"
) -> list[Any]:
    """Make one attempt, and return each row's verdict."""
    plan = backend.plan(operation, tuple(columns.split()))
    return verdicts(await backend.attempt(Attempt(plan, list(rows))))


def verdicts(reply: Reply) -> list[Any]:
    """Return a verdict for each row."""
    return [reply.verdict] * reply.rows if isinstance(reply, Uniform) else list(reply)


def told(answers: Sequence[Any]) -> list[str]:
    """Return what each row was told, in a word."""
    return [answer.outcome.value if isinstance(answer, WriteResult) else word(answer) for answer in answers]


def word(answer: Any) -> str:
    """Return the name of an error, also of one inside ``NotApplied``."""
    error = answer if isinstance(answer, BulkWriterError) else answer.error
    return type(error).__name__.removesuffix("Error")

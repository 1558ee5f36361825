"""Backends over tables of one test's own, called as the engine would call them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bulkwriter.backends.postgres import PostgresBackend
from bulkwriter.contract import Attempt, NotApplied, Uniform
from bulkwriter.errors import BulkWriterError
from bulkwriter.results import WriteResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bulkwriter.contract import Operation, Reply
    from integration.servers.scratch import Scratch


@contextlib.asynccontextmanager
async def opened(
    scratch: Scratch, table: str = "t", *, database: Any = None, **options: Any
) -> AsyncIterator[PostgresBackend]:
    """Open a backend over a table of the test's schema, and close it afterwards."""
    backend = PostgresBackend(scratch.url if database is None else database, scratch.name(table), **options)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def write(
    backend: PostgresBackend,
    columns: str,
    rows: Sequence[tuple[Any, ...]],
    operation: Operation = "insert",
    *,
    careful: bool = False,
) -> list[Any]:
    """Make one attempt, and return each row's verdict."""
    plan = backend.plan(operation, tuple(columns.split()))
    return verdicts(await backend.attempt(Attempt(plan, list(rows), careful=careful)))


def verdicts(reply: Reply) -> list[Any]:
    """Return a verdict for each row."""
    return [reply.verdict] * reply.rows if isinstance(reply, Uniform) else list(reply)


def told(answers: Sequence[Any]) -> list[str]:
    """Return what each row was told, in a word."""
    return [answer.outcome.value if isinstance(answer, WriteResult) else word(answer) for answer in answers]


def word(answer: Any) -> str:
    """Return the name of an error, also of one inside ``NotApplied``."""
    error = answer.error if isinstance(answer, NotApplied) else answer
    return type(error).__name__.removesuffix("Error") if isinstance(error, BulkWriterError) else type(error).__name__

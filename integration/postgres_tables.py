"""PostgreSQL backends over tables of one test's own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bulkwriter.backends.postgres import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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

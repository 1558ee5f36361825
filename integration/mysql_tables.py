"""MySQL backends over tables of one test's own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bulkwriter.backends.mysql import MySQLBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.mysql_scratch import MySQLScratch


@contextlib.asynccontextmanager
async def opened(
    scratch: MySQLScratch, table: str = "t", *, database: Any = None, **options: Any
) -> AsyncIterator[MySQLBackend]:
    """Open a backend over a table of the test's database, and close it afterwards."""
    backend = MySQLBackend(scratch.url if database is None else database, table, **options)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()

"""A process that writes rows to a SQLite file until it is killed, and says of each row what it was told.

Each line is ``+`` and the row's number, before the row is handed in; or ``=``, the number, and the answer.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from typing import Any

from bulkwriter import BulkWriter, RetryPolicy
from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.errors import BulkWriterError
from integration.attempts import told

_CALLERS = 20


def backend_on(path: str, way: str, **options: Any) -> Any:
    """Return a backend over the table in a file: the library's own for SQLite, or by way of SQLAlchemy."""
    if way == "sqlalchemy":
        return SQLAlchemyBackend(f"sqlite+aiosqlite:///{path}", "items", **options)
    return SQLiteBackend(path, "items", journal_mode=None, **options)


async def main(path: str, way: str, first: int) -> None:
    """Write rows for as long as it lasts."""
    numbers = itertools.count(first)
    async with BulkWriter[Any](backend_on(path, way), retry=RetryPolicy(max_time=5, attempt_timeout=1)) as writer:
        await asyncio.gather(*(_call(writer, numbers) for _ in range(_CALLERS)))


async def _call(writer: BulkWriter[Any], numbers: Any) -> None:
    for number in numbers:
        _say(f"+ {number}")
        try:
            answer: Any = await writer.insert({"id": number, "name": f"row {number}", "amount": number})
        except BulkWriterError as error:
            answer = error
        _say(f"= {number} {told([answer])[0]}")


def _say(line: str) -> None:
    # At once, in one piece: what was said before the end must be read.
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

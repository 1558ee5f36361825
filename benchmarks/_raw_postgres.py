"""PostgreSQL by hand: the server, the tables, and what one writes with asyncpg alone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import decimal
import uuid
from typing import TYPE_CHECKING, Any

import asyncpg

from integration.servers.addresses import external_url
from integration.servers.postgres_binaries import installations
from integration.servers.postgres_process import PostgresProcess
from integration.servers.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

# As servers are that people run: what is committed is on the disk.
SETTINGS = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB", "max_wal_size": "4GB"}

NARROW = {
    "id": "bigint PRIMARY KEY",
    "at": "timestamptz NOT NULL",
    "name": "text NOT NULL",
    "amount": "double precision NOT NULL",
    "count": "integer NOT NULL",
}
WIDE = {
    "id": "bigint PRIMARY KEY",
    **{f"number{place}": "bigint" for place in range(5)},
    **{f"text{place}": "text" for place in range(5)},
    **{f"float{place}": "double precision" for place in range(3)},
    "at": "timestamptz",
    "until": "timestamptz",
    "day": "date",
    "uid": "uuid",
    "price": "numeric",
    "is_good": "boolean",
}
_MOMENT = dt.datetime(2026, 1, 31, 12, 30, tzinfo=dt.UTC)


def narrow_row(number: int) -> dict[str, Any]:
    """Return a row of five columns."""
    moment = _MOMENT + dt.timedelta(seconds=number)
    return {"id": number, "at": moment, "name": f"row {number}", "amount": number / 4, "count": number % 1000}


def wide_row(number: int) -> dict[str, Any]:
    """Return a row of twenty columns."""
    return {
        "id": number,
        **{f"number{place}": number * place for place in range(5)},
        **{f"text{place}": f"text {place} of {number}" for place in range(5)},
        **{f"float{place}": number / (place + 2) for place in range(3)},
        "at": _MOMENT + dt.timedelta(seconds=number),
        "until": None if number % 3 else _MOMENT,
        "day": _MOMENT.date(),
        "uid": uuid.UUID(int=number),
        "price": decimal.Decimal(number) / 100,
        "is_good": number % 2 == 0,
    }


@contextlib.contextmanager
def server_url() -> Iterator[str]:
    """Give the address of a server: one that is named, or one that is started for as long as it takes.

    Raises:
        SystemExit: There is none.
    """
    named = external_url("postgres")
    if named:
        yield named
        return
    found = installations()
    if not found:
        message = "no PostgreSQL here: name one in BULKWRITER_TEST_POSTGRES_URL"
        raise SystemExit(message)
    site = Site.make()
    try:
        server = PostgresProcess(found[0], site, SETTINGS)
        server.revive()
        try:
            yield server.url()
        finally:
            server.close()
    finally:
        site.close()


async def make_table(url: str, columns: dict[str, str], table: str = "events") -> None:
    """Make the table anew, empty."""
    async with connected(url) as connection:
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        await connection.execute(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({listed})")


async def count(url: str, table: str = "events") -> int:
    """Count what is stored."""
    async with connected(url) as connection:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - ours


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """Connect, and close what is connected."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def copy_tuples(connection: Any, rows: Sequence[Any], columns: Sequence[str]) -> None:
    """Copy tuples that are ready."""
    await connection.copy_records_to_table("events", records=rows, columns=columns)


async def copy_dicts(connection: Any, rows: Sequence[Any], columns: Sequence[str]) -> None:
    """Make tuples of dicts, and copy them."""
    records = [tuple([row[name] for name in columns]) for row in rows]
    await connection.copy_records_to_table("events", records=records, columns=columns)


async def in_batches(
    connections: Sequence[Any],
    write: Callable[[Any, Sequence[Any], Sequence[str]], Awaitable[None]],
    rows: Sequence[Any],
    columns: Sequence[str],
    batch: int,
) -> None:
    """Write all rows, a batch at a time on each connection."""
    parts = iter([rows[start : start + batch] for start in range(0, len(rows), batch)])

    async def work(connection: Any) -> None:
        for part in parts:
            await write(connection, part, columns)

    await asyncio.gather(*map(work, connections))

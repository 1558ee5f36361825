"""MariaDB and MySQL by hand: the servers, the tables, and what one writes with aiomysql alone."""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import decimal
import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aiomysql

from integration.servers.addresses import external_url
from integration.servers.mysql import ROLES
from integration.servers.mysql_binaries import NAMES, installations
from integration.servers.mysql_process import MySQLProcess
from integration.servers.site import Site
from tools.servers import install_servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

# As servers are that people run: what is committed is on the disk.
SETTINGS = {
    "innodb-flush-log-at-trx-commit": "1",
    "innodb-flush-method": "fsync",
    "innodb-doublewrite": "ON",
    "innodb-buffer-pool-size": "512M",
}
DATABASE = "bench"

NARROW = {
    "id": "bigint PRIMARY KEY",
    "name": "varchar(50) NOT NULL",
    "amount": "double NOT NULL",
}
WIDE = {
    "id": "bigint PRIMARY KEY",
    **{f"number{place}": "bigint" for place in range(5)},
    **{f"text{place}": "varchar(50)" for place in range(5)},
    **{f"float{place}": "double" for place in range(4)},
    "at": "datetime(6)",
    "until": "datetime(6)",
    "day": "date",
    "price": "decimal(12,2)",
    "is_good": "boolean",
}
_MOMENT = dt.datetime(2026, 1, 31, 12, 30)  # noqa: DTZ001 - a DATETIME has no time zone


def narrow_row(number: int) -> dict[str, Any]:
    """Return a row of three columns."""
    return {"id": number, "name": f"row {number}", "amount": number / 4}


def wide_row(number: int) -> dict[str, Any]:
    """Return a row of twenty columns."""
    return {
        "id": number,
        **{f"number{place}": number * place for place in range(5)},
        **{f"text{place}": f"text {place} of {number}" for place in range(5)},
        **{f"float{place}": number / (place + 2) for place in range(4)},
        "at": _MOMENT + dt.timedelta(seconds=number),
        "until": None if number % 3 else _MOMENT,
        "day": _MOMENT.date(),
        "price": decimal.Decimal(number) / 100,
        "is_good": number % 2 == 0,
    }


@functools.cache
def server_urls() -> Mapping[str, str]:
    """Return the address of a server of each product, by its name: one that is named, or one started until the end.

    Raises:
        SystemExit: One of them is missing.
    """
    named = {product: external_url(product) for product in NAMES}
    if not all(named.values()) and len(installations()) < len(NAMES):
        install_servers()
    found = installations()
    missing = [name for product, name in NAMES.items() if not named[product] and product not in found]
    if missing:
        message = (
            f"no {' and no '.join(missing)} here: name one in BULKWRITER_TEST_MARIADB_URL, BULKWRITER_TEST_MYSQL_URL"
        )
        raise SystemExit(message)
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    site = Site.make()
    stack.callback(site.close)
    urls = {}
    for product, name in NAMES.items():
        address = named[product]
        if address is None:
            server = MySQLProcess(found[product], site, SETTINGS)
            server.revive()
            stack.callback(server.close)
            server.run(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
            server.run(f"GRANT ALL ON {DATABASE}.* TO {ROLES['writer'][0]}")
            address = server.url(database=DATABASE)
        urls[name] = address
    return urls


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """Connect, and close what is connected."""
    parts = urlsplit(url)
    connection = await aiomysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        db=parts.path.lstrip("/"),
        charset="utf8mb4",
        autocommit=True,
    )
    try:
        yield connection
    finally:
        connection.close()


async def make_table(url: str, columns: dict[str, str]) -> None:
    """Make the table anew, empty."""
    listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    async with connected(url) as connection:
        await connection.query("DROP TABLE IF EXISTS events")
        await connection.query(f"CREATE TABLE events ({listed})")


async def count(url: str) -> int:
    """Count what is stored."""
    async with connected(url) as connection, connection.cursor() as cursor:
        await cursor.execute("SELECT count(*) FROM events")
        return int((await cursor.fetchone())[0])


def insert_for(columns: Sequence[str]) -> str:
    """Return the statement before its rows."""
    return f"INSERT INTO events ({', '.join(columns)}) VALUES "  # noqa: S608 - ours


def batches(rows: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Return the rows in batches."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


async def executemany(connection: Any, part: Sequence[Any], columns: Sequence[str]) -> None:
    """Insert tuples as aiomysql does it."""
    async with connection.cursor() as cursor:
        await cursor.executemany(f"{insert_for(columns)}({', '.join(['%s'] * len(columns))})", part)


async def multi_row(connection: Any, part: Sequence[Any], columns: Sequence[str]) -> None:
    """Insert tuples by one statement that is put together by hand, each value escaped by the driver."""
    literal = connection.literal
    values = ",".join([f"({','.join([literal(value) for value in row])})" for row in part])
    await connection.query(insert_for(columns) + values)


async def replay(connection: Any, sql: bytes, _: Sequence[str]) -> None:
    """Send a statement that is ready: what the server and the wire alone take."""
    await connection.query(sql)


def prepared(url: str, parts: Sequence[Sequence[Any]], columns: Sequence[str]) -> Callable[[Any], list[bytes]]:
    """Return what makes ready statements of batches, once, by the escaping of a connection."""
    kept: dict[str, list[bytes]] = {}

    def made(connection: Any) -> list[bytes]:
        if url not in kept:
            rows = [[f"({','.join([connection.literal(value) for value in row])})" for row in part] for part in parts]
            kept[url] = [(insert_for(columns) + ",".join(texts)).encode() for texts in rows]
        return kept[url]

    return made

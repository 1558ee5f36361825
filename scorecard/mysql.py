"""MariaDB: ours, async-batcher's adapter, and two loops over aiomysql by hand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiomysql
import pymysql

from bulkwriter.backends.mysql import MySQLBackend
from integration.mysql.scenarios.others import is_blocked, server_setting
from integration.servers.mysql_providers import provide_mysql
from integration.servers.mysql_scratch import mysql_scratch, run
from integration.wire import MySQLDialect, Wire
from scorecard import sql
from scorecard.adapters import SQLAlchemyAdapter
from scorecard.division import Division
from scorecard.loops import CarefulLoop, Loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from integration.servers.registry import Servers
    from scorecard.calls import Row
    from scorecard.ways import Way

_INSERT = "INSERT INTO items (id, name, amount) VALUES (%s, %s, %s)"


class OursOnMySQL(sql.OursOnSQL):
    """A ``BulkWriter`` over a ``MySQLBackend``."""

    def backend(self) -> MySQLBackend:
        """Return the backend."""
        place = self.place
        url = place.scratch.server.url(port=place.wire.port, database=place.scratch.database)
        return MySQLBackend(url, "items", ledger=self.ledger)


class OursWithLedger(sql.WithLedger, OursOnMySQL):
    """The same with a ledger."""


class Adapter(SQLAlchemyAdapter):
    """async-batcher's adapter."""

    configured = f"{SQLAlchemyAdapter.configured}; `mysql+aiomysql`"

    def address(self) -> tuple[str, dict[str, Any]]:
        """Return the URL, and what the driver is told."""
        place = self.place
        url = place.scratch.server.url(port=place.wire.port, database=place.scratch.database)
        return url.replace("mysql://", "mysql+aiomysql://"), {}


class ManyLoop(Loop):
    """A queue, and aiomysql's executemany."""

    name = "a loop: executemany"
    configured = "`asyncio.Queue`, an aiomysql pool, `executemany`, `commit()`, and `rollback()` after an error"

    async def open(self) -> None:
        """Make the pool, and start."""
        place = self.place
        address = {**place.scratch.address(), "port": place.wire.port, "db": place.scratch.database}
        self._pool = await aiomysql.create_pool(minsize=1, maxsize=2, charset="utf8mb4", **address)
        await super().open()

    async def close(self) -> None:
        """Close the pool."""
        self._pool.terminate()
        await self._pool.wait_closed()

    async def write(self, rows: list[Row]) -> Sequence[Exception | None]:
        """Insert them."""
        values = [tuple(row[column] for column in sql.COLUMNS) for row in rows]
        async with self._pool.acquire() as connection:
            try:
                async with connection.cursor() as cursor:
                    await cursor.executemany(_INSERT, values)
                await connection.commit()
            except Exception:
                with contextlib.suppress(Exception):
                    await connection.rollback()
                raise
        return [None] * len(rows)


class CarefulManyLoop(CarefulLoop, ManyLoop):
    """The same, with care."""

    name = "a loop: executemany, with retries"
    configured = (
        f"the same; {CarefulLoop.tries} after an `OperationalError` (a lost connection, a deadlock); row by row after "
        "an error of the data"
    )
    # A lost connection, a server that is not there, a deadlock and a lock that took too long are OperationalErrors.
    passing = (OSError, pymysql.OperationalError, pymysql.InterfaceError)
    of_a_row = (pymysql.IntegrityError, pymysql.DataError)

    async def insert_many(self, rows: list[Row]) -> None:
        """Insert them."""
        await ManyLoop.write(self, rows)


async def deadlock(stage: sql.SQLStage) -> None:
    """The batch and somebody else wait for each other's rows; the server sends the batch away."""
    await stage.open()
    await stage.scratch.execute("CREATE TABLE heavy (x int)")
    refused = stage.wire.errors
    async with stage.scratch.connect("superuser") as rival:
        await run(rival, "BEGIN")
        # The server sends away who has changed less, and that is to be the batch.
        await run(rival, f"INSERT INTO heavy VALUES {', '.join(['(1)'] * 500)}")  # noqa: S608 - ours
        await run(rival, "INSERT INTO items VALUES (10, 'rival', 0)")
        stage.begin()
        blocked: Any = stage
        await is_blocked(blocked)
        await run(rival, "INSERT INTO items VALUES (5, 'rival', 0)")
        await run(rival, "ROLLBACK")
        await stage.finish()
    if stage.wire.errors == refused:
        message = "nobody was sent away: this proves nothing"
        raise RuntimeError(message)


async def altered(stage: sql.SQLStage) -> None:
    """The server's `sql_mode` is not strict, and one name is longer than its column."""
    lenient: Any = stage
    async with server_setting(lenient, "sql_mode", "''"):
        await stage.open()
        await stage.write(sql.altered_rows(name="n" * 101))


@contextlib.asynccontextmanager
async def stage(servers: Servers, way: type[Way]) -> AsyncIterator[sql.SQLStage]:
    """Make a database and a wire for one scenario."""
    server = provide_mysql(servers, "mariadb")
    async with mysql_scratch(server) as made, Wire(server.host, server.port, MySQLDialect) as wire:
        yield sql.SQLStage(way(sql.Place(made, wire)))


MYSQL = Division(
    "MariaDB",
    "The same table, on InnoDB.",
    (OursOnMySQL, OursWithLedger, Adapter, ManyLoop, CarefulManyLoop),
    (*sql.SCENARIOS, deadlock, altered),
    stage,
    ("aiomysql", "SQLAlchemy", "async-batcher", "tenacity"),
)

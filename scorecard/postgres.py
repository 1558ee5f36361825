"""PostgreSQL: ours, async-batcher's adapter, and two loops over asyncpg by hand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg

from bulkwriter.backends.postgres import PostgresBackend
from integration.eventually import eventually
from integration.postgres.scenarios.others import is_blocked
from integration.servers.postgres_providers import postgres_names, provide_postgres
from integration.servers.scratch import scratch
from integration.wire import Wire
from scorecard import sql
from scorecard.adapters import SQLAlchemyAdapter
from scorecard.division import Division
from scorecard.loops import CarefulLoop, Loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from integration.servers.registry import Servers
    from scorecard.calls import Row
    from scorecard.ways import Way


class OursOnPostgres(sql.OursOnSQL):
    """A ``BulkWriter`` over a ``PostgresBackend``."""

    def backend(self) -> PostgresBackend:
        """Return the backend."""
        return PostgresBackend(_url(self.place), self.place.scratch.name("items"), ledger=self.ledger)


class OursWithLedger(sql.WithLedger, OursOnPostgres):
    """The same with a ledger."""


class Adapter(SQLAlchemyAdapter):
    """async-batcher's adapter."""

    configured = f"{SQLAlchemyAdapter.configured}; `postgresql+asyncpg`"

    def address(self) -> tuple[str, dict[str, Any]]:
        """Return the URL, and what the driver is told."""
        url = _url(self.place).replace("postgresql://", "postgresql+asyncpg://")
        return url, {"server_settings": {"search_path": self.place.scratch.schema}}


class CopyLoop(Loop):
    """A queue, and COPY within a transaction."""

    name = "a loop: COPY"
    configured = "`asyncio.Queue`, an asyncpg pool, `copy_records_to_table` within `transaction()`"

    async def open(self) -> None:
        """Make the pool, and start."""
        settings = {"search_path": self.place.scratch.schema}
        self._pool = await asyncpg.create_pool(_url(self.place), min_size=1, max_size=2, server_settings=settings)
        await super().open()

    async def close(self) -> None:
        """Close the pool."""
        self._pool.terminate()

    async def write(self, rows: list[Row]) -> Sequence[Exception | None]:
        """Copy them."""
        records = [tuple(row[column] for column in sql.COLUMNS) for row in rows]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.copy_records_to_table("items", records=records, columns=sql.COLUMNS)
        return [None] * len(rows)


class CarefulManyLoop(CarefulLoop, CopyLoop):
    """The same with executemany, and with care."""

    name = "a loop: executemany, with retries"
    configured = (
        "`asyncio.Queue`, an asyncpg pool, `executemany` within `transaction()`; "
        f"{CarefulLoop.tries} when the connection is lost or there is a deadlock; row by row after an error of the data"
    )
    passing = (
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.InterfaceError,
        asyncpg.exceptions.OperatorInterventionError,
        asyncpg.DeadlockDetectedError,
        asyncpg.SerializationError,
    )
    of_a_row = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)

    async def insert_many(self, rows: list[Row]) -> None:
        """Insert them."""
        values = [tuple(row[column] for column in sql.COLUMNS) for row in rows]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.executemany("INSERT INTO items (id, name, amount) VALUES ($1, $2, $3)", values)


async def deadlock(stage: sql.SQLStage) -> None:
    """The batch and somebody else wait for each other's rows; the server sends the batch away."""
    await stage.open()
    before = await _deadlocks(stage)
    async with stage.scratch.connect("superuser") as rival:
        # The batch is to be the one who is sent away.
        await rival.execute("BEGIN; SET LOCAL deadlock_timeout = '1h'; INSERT INTO items VALUES (10, 'rival', 0)")
        stage.begin()
        blocked: Any = stage
        await is_blocked(blocked)
        await rival.execute("INSERT INTO items VALUES (5, 'rival', 0)")
        await rival.execute("ROLLBACK")
        await stage.finish()

    async def is_counted() -> bool:
        return await _deadlocks(stage) > before

    await eventually(is_counted)


async def swallowed(stage: sql.SQLStage) -> None:
    """A trigger of the table's swallows one row (it returns NULL, which is no error)."""
    await stage.open()
    await stage.scratch.execute(_SWALLOWING)
    await stage.write()


async def altered(stage: sql.SQLStage) -> None:
    """One row has 1.5 for a column of integers."""
    await stage.open()
    await stage.write(sql.altered_rows(amount=1.5))


_SWALLOWING = """
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 57 THEN RETURN NULL; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER swallow BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION swallow();
"""


@contextlib.asynccontextmanager
async def stage(servers: Servers, way: type[Way]) -> AsyncIterator[sql.SQLStage]:
    """Make a schema and a wire for one scenario."""
    server = provide_postgres(servers, postgres_names()[0])
    async with scratch(server) as made, Wire(server.host, server.port) as wire:
        yield sql.SQLStage(way(sql.Place(made, wire)))


def _url(place: sql.Place) -> str:
    url: str = place.scratch.server.url(port=place.wire.port)
    return url


async def _deadlocks(stage: sql.SQLStage) -> int:
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(await stage.scratch.value(query, role="superuser"))


POSTGRES = Division(
    "PostgreSQL",
    "A table `items (id bigint PRIMARY KEY, name varchar(100) NOT NULL, amount bigint)`, plain inserts.",
    (OursOnPostgres, OursWithLedger, Adapter, CopyLoop, CarefulManyLoop),
    (*sql.SCENARIOS, deadlock, swallowed, altered),
    stage,
    ("asyncpg", "SQLAlchemy", "async-batcher", "tenacity"),
)

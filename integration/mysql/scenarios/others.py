"""What others do to the writer's rows, table and connections, and how it is known that they have."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pymysql

from bulkwriter import RetryPolicy
from integration.eventually import eventually
from integration.faults.stage import PATIENT
from integration.servers.mysql_scratch import WRITERS, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.faults.stage import Stage


def patience(stage: Stage) -> RetryPolicy:
    """Return how long to try where an answer is lost and no connection is.

    Without a ledger the writer waits for the answer as long as it may, for nobody else could tell.
    """
    return PATIENT if stage.ledger else RESIGNED


RESIGNED = RetryPolicy(max_time=1, attempt_timeout=2)
"""Waits neither long for an answer nor for its fate."""


@contextlib.asynccontextmanager
async def server_setting(stage: Stage, name: str, value: object) -> AsyncIterator[None]:
    """Give the server a setting, which new connections begin with if it is one of theirs."""
    before = await stage.scratch.value(f"SELECT @@GLOBAL.{name}", role="superuser")
    await stage.scratch.execute(f"SET GLOBAL {name} = {value}", role="superuser")
    try:
        yield
    finally:
        # It may be down: what is set so is forgotten then.
        with contextlib.suppress(pymysql.MySQLError):
            await stage.scratch.execute(f"SET GLOBAL {name} = {before}", role="superuser")


@contextlib.asynccontextmanager
async def rival(stage: Stage, *statements: str) -> AsyncIterator[Any]:
    """Let somebody else begin a transaction, and give the connection on which it is open."""
    async with stage.scratch.connect("superuser") as connection:
        for sql in ("BEGIN", *statements):
            await run(connection, sql)
        yield connection


@contextlib.asynccontextmanager
async def table_locked(stage: Stage) -> AsyncIterator[Any]:
    """Let somebody else lock the table, and give the connection that holds the lock."""
    async with stage.scratch.connect("superuser") as connection:
        await run(connection, "LOCK TABLES items WRITE")
        yield connection


async def writing_connections(stage: Stage) -> list[int]:
    """Return the numbers of the writer's connections."""
    return [row["id"] for row in await stage.scratch.fetch(f"SELECT id AS id FROM {WRITERS}", role="superuser")]  # noqa: S608 - ours


async def kill_writers(stage: Stage, what: str = "CONNECTION") -> None:
    """End the writer's connections, or what they are doing (``"QUERY"``)."""
    for number in await writing_connections(stage):
        # It may have ended by itself since.
        with contextlib.suppress(pymysql.MySQLError):
            await stage.scratch.execute(f"KILL {what} {number}", role="superuser")


async def is_gone(stage: Stage) -> None:
    """Wait until the server has no connection of a writer."""

    async def is_nobody() -> bool:
        return not await writing_connections(stage)

    await eventually(is_nobody)


async def is_blocked(stage: Stage) -> None:
    """Wait until a writer waits for a row or a table that somebody else has."""

    async def waits() -> bool:
        for query in (_WAITS_FOR_A_ROW, _WAITS_FOR_A_TABLE):
            if await stage.scratch.value(query, role="superuser"):
                return True
        # InnoDB looks again only if nobody has asked for a tenth of a second: who asks more often sees nothing new.
        await asyncio.sleep(0.15)
        return False

    await eventually(waits)


async def has_been_refused(stage: Stage, times: int = 2) -> None:
    """Wait until the server has told the writer so many errors more."""
    enough = stage.wire.errors + times

    async def is_enough() -> bool:
        return stage.wire.errors >= enough

    await eventually(is_enough)


_WAITS_FOR_A_ROW = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
_WAITS_FOR_A_TABLE = f"SELECT count(*) FROM {WRITERS} AND state LIKE 'Waiting for table%'"  # noqa: S608 - ours

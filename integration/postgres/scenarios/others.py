"""What others do to the writer's rows, table and role, and how it is known that they have."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from integration.eventually import eventually
from integration.servers.scratch import WRITERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.faults.stage import Stage


@contextlib.asynccontextmanager
async def role_setting(stage: Stage, name: str, value: str) -> AsyncIterator[None]:
    """Let new connections of writers begin with a setting."""
    await stage.scratch.execute(f"ALTER ROLE writer SET {name} = '{value}'", role="superuser")
    try:
        yield
    finally:
        await stage.scratch.execute(f"ALTER ROLE writer RESET {name}", role="superuser")


@contextlib.asynccontextmanager
async def rival(stage: Stage, sql: str) -> AsyncIterator[Any]:
    """Let somebody else begin a transaction, and give the connection on which it is open."""
    async with stage.scratch.connect("superuser") as connection:
        await connection.execute(f"BEGIN; {sql}")
        yield connection


async def is_blocked(stage: Stage) -> None:
    """Wait until a writer waits for a lock."""
    await eventually(lambda: stage.scratch.value(_BLOCKED, role="superuser"))


async def cancel_who_is_blocked(stage: Stage) -> None:
    """Cancel the statements of writers that wait for a lock."""
    await stage.scratch.fetch(_CANCEL_BLOCKED, role="superuser")


async def is_gone(stage: Stage) -> None:
    """Wait until the server has no connection of a writer."""
    await eventually(lambda: stage.scratch.value(_NOBODY_WRITES, role="superuser"))


async def has_given_up(stage: Stage) -> None:
    """Wait until two transactions more have been undone by the server."""
    enough = await rollbacks(stage) + 2

    async def is_enough() -> bool:
        return await rollbacks(stage) >= enough

    await eventually(is_enough)


async def rollbacks(stage: Stage) -> int:
    """Return how many transactions the server has undone so far."""
    return int(await stage.scratch.value(_ROLLBACKS, role="superuser"))


async def deadlocks(stage: Stage) -> int:
    """Return how many deadlocks the server has found so far."""
    return int(await stage.scratch.value(_DEADLOCKS, role="superuser"))


async def writing_process(stage: Stage) -> int:
    """Return the number of the server's process that serves the writer."""
    [row] = await stage.scratch.fetch(f"SELECT pid FROM {WRITERS}", role="superuser")  # noqa: S608 - ours
    pid: int = row["pid"]
    return pid


_BLOCKED = f"SELECT count(*) > 0 FROM {WRITERS} AND wait_event_type = 'Lock'"  # noqa: S608 - ours
_CANCEL_BLOCKED = f"SELECT pg_cancel_backend(pid) FROM {WRITERS} AND wait_event_type = 'Lock'"  # noqa: S608 - ours
_NOBODY_WRITES = f"SELECT count(*) = 0 FROM {WRITERS}"  # noqa: S608 - ours
_ROLLBACKS = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

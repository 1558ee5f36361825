"""There is no room, or for now nothing may be written."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import asyncpg

from integration.faults.stage import HASTY, PATIENT
from integration.postgres.faults import fault
from integration.postgres.scenarios.others import has_given_up, role_setting
from integration.servers.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter import RetryPolicy
    from integration.faults.stage import Stage

GROUP = "Room and permission"

# More than fits into what is free on the pages that a table has already.
ROWS = 2000


@fault(GROUP)
async def disk_full(stage: Stage) -> None:
    """The disk is full (53100), and has room again later."""
    async with _table_on_a_full_disk(stage):
        writing = stage.begin(ROWS)
        await has_given_up(stage)
        await stage.scratch.execute("DROP TABLE ballast")
        await writing


@fault(GROUP)
async def disk_stays_full(stage: Stage) -> None:
    """The disk is full for longer than `max_time`."""
    async with _table_on_a_full_disk(stage, HASTY):
        await stage.write(ROWS)


@fault(GROUP)
async def read_only_for_a_while(stage: Stage) -> None:
    """The server takes no writes (25006), as a standby before it is promoted, and takes them again later."""
    await stage.open()
    async with role_setting(stage, "default_transaction_read_only", "on"):
        stage.wire.cut()
        writing = stage.begin()
        await has_given_up(stage)
    await writing


@fault(GROUP)
async def read_only_for_good(stage: Stage) -> None:
    """The server takes no writes for longer than `max_time`."""
    await stage.open(HASTY)
    async with role_setting(stage, "default_transaction_read_only", "on"):
        stage.wire.cut()
        await stage.write()
    stage.wire.cut()


@fault(GROUP)
async def too_many_connections(stage: Stage) -> None:
    """The connection is lost, and there is no place for another (53300) for a while."""
    await stage.open()
    await stage.scratch.execute("ALTER ROLE writer CONNECTION LIMIT 0", role="superuser")
    try:
        stage.wire.cut()
        writing = stage.begin()
        await stage.connected(3)
    finally:
        await stage.scratch.execute("ALTER ROLE writer CONNECTION LIMIT -1", role="superuser")
    await writing


@fault(GROUP)
async def too_many_connections_for_good(stage: Stage) -> None:
    """The connection is lost, and there is no place for another for longer than `max_time`."""
    await stage.open(HASTY)
    await stage.scratch.execute("ALTER ROLE writer CONNECTION LIMIT 0", role="superuser")
    try:
        stage.wire.cut()
        await stage.write()
    finally:
        await stage.scratch.execute("ALTER ROLE writer CONNECTION LIMIT -1", role="superuser")


@fault(GROUP, passes=False)
async def permission_revoked(stage: Stage) -> None:
    """The role loses its permission to insert (42501)."""
    await stage.open()
    await stage.scratch.execute("REVOKE INSERT ON items FROM writer")
    await stage.write()


@contextlib.asynccontextmanager
async def _table_on_a_full_disk(stage: Stage, retry: RetryPolicy = PATIENT) -> AsyncIterator[None]:
    """Put the table on a disk of a few megabytes, open the writer, and fill the disk."""
    space = stage.scratch.schema
    with small_disk(stage.servers.site, stage.server.elsewhere) as folder:
        await stage.scratch.execute(f"CREATE TABLESPACE {space} LOCATION '{folder}'", role="superuser")
        await stage.scratch.execute(f"GRANT CREATE ON TABLESPACE {space} TO writer", role="superuser")
        try:
            await stage.scratch.execute(f"ALTER TABLE items SET TABLESPACE {space}")
            await stage.open(retry)
            await _fill(stage, space)
            yield
        finally:
            await stage.scratch.execute("DROP TABLE IF EXISTS ballast; ALTER TABLE items SET TABLESPACE pg_default")
            await stage.scratch.execute(f"DROP TABLESPACE {space}", role="superuser")


async def _fill(stage: Stage, space: str) -> None:
    # Without vacuum: it would make room again.
    await stage.scratch.execute(f"CREATE TABLE ballast (x text) WITH (autovacuum_enabled = off) TABLESPACE {space}")
    for rows in (10_000, 1000, 100, 10, 1):
        with contextlib.suppress(asyncpg.DiskFullError):
            async with stage.scratch.connect() as connection:
                while True:
                    await connection.execute(
                        "INSERT INTO ballast SELECT repeat('x', 500) FROM generate_series(1, $1)", rows
                    )

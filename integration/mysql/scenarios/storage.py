"""There is no room, or for now nothing may be written."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pymysql

from integration.faults.stage import HASTY, PATIENT
from integration.mysql.faults import fault
from integration.mysql.scenarios.others import has_been_refused, is_gone, server_setting
from integration.servers.mysql import ROLES
from integration.servers.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bulkwriter import RetryPolicy
    from integration.faults.stage import Stage

GROUP = "Room and permission"

# One batch, and more than fits into what is free on the pages that a table has already: it is refused as a whole.
ROWS = 5000
WRITER = ROLES["writer"][0]


@fault(GROUP)
async def disk_full(stage: Stage) -> None:
    """The disk is full (1114), and has room again later."""
    async with _table_on_a_full_disk(stage) as ballast:
        writing = stage.begin(ROWS)
        await has_been_refused(stage)
        ballast.unlink()
        await writing


@fault(GROUP)
async def disk_stays_full(stage: Stage) -> None:
    """The disk is full for longer than `max_time`."""
    async with _table_on_a_full_disk(stage, HASTY):
        await stage.write(ROWS)


@fault(GROUP)
async def read_only_for_a_while(stage: Stage) -> None:
    """The server takes no writes (1290), as a replica before it is promoted, and takes them again later."""
    await stage.open()
    async with server_setting(stage, "read_only", 1):
        writing = stage.begin()
        await has_been_refused(stage)
    await writing


@fault(GROUP)
async def read_only_for_good(stage: Stage) -> None:
    """The server takes no writes for longer than `max_time`."""
    await stage.open(HASTY)
    async with server_setting(stage, "read_only", 1):
        await stage.write()


@fault(GROUP)
async def too_many_connections(stage: Stage) -> None:
    """The connection is lost, and there is no place for another (1040) for a while."""
    await stage.open()
    async with _no_place(stage):
        writing = stage.begin()
        await stage.connected(3)
    await writing


@fault(GROUP)
async def too_many_connections_for_good(stage: Stage) -> None:
    """The connection is lost, and there is no place for another for longer than `max_time`."""
    await stage.open(HASTY)
    async with _no_place(stage):
        await stage.write()


@fault(GROUP, passes=False)
async def permission_revoked(stage: Stage) -> None:
    """The user loses the permission to insert (1142)."""
    await stage.open()
    await stage.scratch.execute(f"REVOKE INSERT ON {stage.scratch.database}.* FROM {WRITER}", role="superuser")
    # What a connection may do in its database is looked up when it comes there.
    stage.wire.cut()
    await stage.write()


@contextlib.asynccontextmanager
async def _no_place(stage: Stage) -> AsyncIterator[None]:
    """Cut the writer's connection, and take every one that the server has, its own reserve included."""
    stage.wire.is_down = True
    stage.wire.cut()
    await is_gone(stage)
    async with contextlib.AsyncExitStack() as stack:
        with contextlib.suppress(pymysql.OperationalError):
            while True:
                await stack.enter_async_context(stage.scratch.connect("superuser"))
        stage.wire.is_down = False
        yield


@contextlib.asynccontextmanager
async def _table_on_a_full_disk(stage: Stage, retry: RetryPolicy = PATIENT) -> AsyncIterator[Path]:
    """Put the table on a disk of a few megabytes, open the writer, fill the disk, and give the file that fills it."""
    with small_disk(stage.servers.site, stage.server.elsewhere) as folder:
        await stage.scratch.execute("DROP TABLE items")
        await stage.create_table(f"DATA DIRECTORY = '{folder}'", role="superuser")
        ballast = folder / "ballast"
        try:
            await stage.open(retry, max_batch_size=ROWS)
            await asyncio.to_thread(_fill, ballast)
            yield ballast
        finally:
            # A server that finds a table gone with its disk does not start again.
            ballast.unlink(missing_ok=True)
            await stage.scratch.execute("RENAME TABLE items TO on_small_disk")
            await stage.create_table()
            await stage.scratch.execute("INSERT INTO items SELECT * FROM on_small_disk", "DROP TABLE on_small_disk")


def _fill(file: Path) -> None:
    """Write until there is no room: a table would leave as much as it may not grow by."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))

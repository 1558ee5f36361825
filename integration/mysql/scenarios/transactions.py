"""Others are at the same rows, or the server's patience ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkwriter.testing.conformance.scene import make_row
from integration.eventually import eventually
from integration.faults.stage import HASTY
from integration.mysql.faults import fault
from integration.mysql.scenarios.others import (
    has_been_refused,
    is_blocked,
    kill_writers,
    rival,
    server_setting,
    table_locked,
    writing_connections,
)
from integration.servers.mysql_scratch import run
from integration.wire import commit

if TYPE_CHECKING:
    from integration.faults.stage import Stage

GROUP = "Transactions"

# At the rival's REPEATABLE READ it locks the gaps between rows as well, so that nobody can insert.
_LOCK_ROWS = "SELECT * FROM items FOR UPDATE"

# What it waits for: MySQL calls it the commit lock, MariaDB the backup lock.
_STUCK = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for %% lock'"


@fault(GROUP, ways=("upsert",))
async def deadlock(stage: Stage) -> None:
    """The batch and somebody else wait for each other's rows (1213)."""
    await stage.open()
    await stage.scratch.execute("CREATE TABLE heavy (x int)")
    await stage.scene.seed(make_row(5), make_row(10))
    refused = stage.wire.errors
    # The server sends away who has changed less, and that is to be the writer.
    weight = f"INSERT INTO heavy VALUES {', '.join(['(1)'] * 500)}"  # noqa: S608 - ours
    async with rival(stage, weight, "UPDATE items SET note = 'rival' WHERE id = 10") as other:
        writing = stage.begin()
        await is_blocked(stage)
        await run(other, "UPDATE items SET note = 'rival' WHERE id = 5")
        await run(other, "ROLLBACK")
        await writing
    assert stage.wire.errors > refused, "nobody was sent away: this proves nothing"


@fault(GROUP)
async def lock_wait_timeout(stage: Stage) -> None:
    """Rows are locked for longer than `innodb_lock_wait_timeout` (1205), and free again later."""
    async with server_setting(stage, "innodb_lock_wait_timeout", 1):
        await stage.open()
        async with rival(stage, _LOCK_ROWS) as other:
            writing = stage.begin()
            await has_been_refused(stage, 1)
            await run(other, "ROLLBACK")
            await writing


@fault(GROUP)
async def lock_wait_timeout_for_good(stage: Stage) -> None:
    """Rows are locked for longer than `innodb_lock_wait_timeout`, and than `max_time`."""
    async with server_setting(stage, "innodb_lock_wait_timeout", 1):
        await stage.open(HASTY)
        async with rival(stage, _LOCK_ROWS):
            await stage.write()


@fault(GROUP)
async def table_lock_timeout(stage: Stage) -> None:
    """The table is locked for longer than `lock_wait_timeout` (1205), and free again later."""
    async with server_setting(stage, "lock_wait_timeout", 1):
        await stage.open()
        async with table_locked(stage) as other:
            writing = stage.begin()
            await has_been_refused(stage, 1)
            await run(other, "UNLOCK TABLES")
            await writing


@fault(GROUP)
async def query_killed(stage: Stage) -> None:
    """An administrator ends what the connection is doing (`KILL QUERY`, 1317)."""
    await stage.open()
    refused = stage.wire.errors
    async with rival(stage, _LOCK_ROWS) as other:
        writing = stage.begin()
        await is_blocked(stage)
        await kill_writers(stage, "QUERY")

        async def is_refused() -> bool:
            return stage.wire.errors > refused

        await eventually(is_refused)
        await run(other, "ROLLBACK")
        await writing


@fault(GROUP)
async def commit_stuck(stage: Stage) -> None:
    """COMMIT waits on the server for a lock on all of it (`FLUSH TABLES WITH READ LOCK`), and the wire is cut."""
    await stage.open()

    async def is_alone() -> bool:
        return len(await writing_connections(stage)) == 1

    # That of who made the table may still be there.
    await eventually(is_alone)
    (number,) = await writing_connections(stage)
    held = stage.wire.freeze_at(commit())
    writing = stage.begin()
    await held.happened()
    async with stage.scratch.connect("superuser") as other:
        await run(other, "FLUSH TABLES WITH READ LOCK")
        stage.wire.thaw()

        async def is_stuck() -> bool:
            return bool(await stage.scratch.value(f"{_STUCK} AND id = {number}", role="superuser"))

        await eventually(is_stuck)
        stage.wire.cut()

        async def is_ended() -> bool:
            return number not in await writing_connections(stage)

        if stage.ledger:
            # Without one there is nobody to be asked, and nothing to be gained by it.
            await eventually(is_ended)
        await run(other, "UNLOCK TABLES")
    await writing

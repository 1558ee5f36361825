"""Somebody changes the table while rows are being written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.faults.scenarios import schema
from integration.mysql.faults import fault
from integration.mysql.scenarios.others import is_blocked, table_locked
from integration.servers.mysql_scratch import run

if TYPE_CHECKING:
    from integration.faults.stage import Stage

GROUP = "The table"


fault(GROUP)(schema.column_added)


@fault(GROUP)
async def column_added_meanwhile(stage: Stage) -> None:
    """A column is added while the batch waits for the table."""
    await stage.open()
    await _meanwhile(stage, "ALTER TABLE items ADD COLUMN extra integer DEFAULT 5")


@fault(GROUP)
async def type_changed(stage: Stage) -> None:
    """A column of another type takes a column's place between two batches: what was an integer is a float now."""
    await stage.open()
    await stage.scratch.execute("ALTER TABLE items MODIFY amount double")
    await stage.write()


@fault(GROUP, passes=False)
async def column_dropped(stage: Stage) -> None:
    """A column that the rows have is dropped (1054)."""
    await stage.open()
    stage.forget()
    await stage.scratch.execute("DELETE FROM items", "ALTER TABLE items DROP COLUMN amount")
    await stage.write()


@fault(GROUP, passes=False)
async def table_dropped(stage: Stage) -> None:
    """The table is dropped between two batches (1146)."""
    await stage.open()
    stage.forget()
    await stage.scratch.execute("DROP TABLE items")
    await stage.write()


@fault(GROUP, passes=False)
async def table_dropped_meanwhile(stage: Stage) -> None:
    """The table is dropped while the batch waits for it."""
    await stage.open()
    stage.forget()
    await _meanwhile(stage, "DROP TABLE items")


fault(GROUP)(schema.table_made_anew)


async def _meanwhile(stage: Stage, sql: str) -> None:
    """Let somebody else change the table while a batch waits for the lock on it."""
    async with table_locked(stage) as other:
        writing = stage.begin()
        await is_blocked(stage)
        await run(other, sql)
        await run(other, "UNLOCK TABLES")
        await writing

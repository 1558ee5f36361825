"""Somebody changes the table while rows are being written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.faults.scenarios import schema
from integration.postgres.faults import fault
from integration.postgres.scenarios.others import is_blocked, rival

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
    await stage.scratch.execute("ALTER TABLE items ALTER COLUMN amount TYPE double precision")
    await stage.write()


@fault(GROUP)
async def type_changed_meanwhile(stage: Stage) -> None:
    """A column's type is changed while the batch waits for the table."""
    await stage.open()
    await _meanwhile(stage, "ALTER TABLE items ALTER COLUMN amount TYPE double precision")


@fault(GROUP, passes=False)
async def column_dropped(stage: Stage) -> None:
    """A column that the rows have is dropped (42703)."""
    await stage.open()
    stage.forget()
    await stage.scratch.execute("DELETE FROM items; ALTER TABLE items DROP COLUMN amount")
    await stage.write()


@fault(GROUP, passes=False)
async def table_dropped(stage: Stage) -> None:
    """The table is dropped between two batches (42P01)."""
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


@fault(GROUP)
async def table_truncated_meanwhile(stage: Stage) -> None:
    """The table is emptied while the batch waits for it."""
    await stage.open()
    stage.forget()
    await _meanwhile(stage, "TRUNCATE items")


async def _meanwhile(stage: Stage, sql: str) -> None:
    """Let somebody else change the table while a batch waits for the lock on it."""
    async with rival(stage, sql) as other:
        writing = stage.begin()
        await is_blocked(stage)
        await other.execute("COMMIT")
        await writing

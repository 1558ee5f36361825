"""Somebody changes the table between two batches, by SQL that every server takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.faults.stage import Stage


async def column_added(stage: Stage) -> None:
    """A column is added between two batches."""
    await stage.open()
    await stage.scratch.execute("ALTER TABLE items ADD COLUMN extra integer DEFAULT 5")
    await stage.write()


async def table_made_anew(stage: Stage) -> None:
    """The table is dropped and made anew between two batches."""
    await stage.open()
    stage.forget()
    await stage.scratch.execute("DROP TABLE items")
    await stage.create_table()
    await stage.write()

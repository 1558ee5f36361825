"""What can be wrong with the target when a writer is opened, on every server alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.backend import Backend
    from integration.faults.stage import Stage


async def unknown_table(stage: Stage) -> AsyncIterator[Backend]:
    """There is no such table."""
    yield stage.backend(table="nonesuch")


async def unknown_column(stage: Stage) -> AsyncIterator[Backend]:
    """`columns=` names a column that is not there."""
    yield stage.backend(columns=("id", "nonesuch"))


async def unknown_conflict_column(stage: Stage) -> AsyncIterator[Backend]:
    """`conflict_columns=` names a column that is not there."""
    yield stage.backend(on_conflict="skip", conflict_columns=("nonesuch",))


async def unknown_returned_column(stage: Stage) -> AsyncIterator[Backend]:
    """`returning=` names a column that is not there."""
    yield stage.backend(returning=("nonesuch",))


async def paused(stage: Stage) -> AsyncIterator[Backend]:
    """The server does not answer within `connect_timeout`."""
    stage.server.pause()
    try:
        yield stage.backend(connect_timeout=1.0)
    finally:
        stage.server.resume()

"""The wire breaks, hangs or is not there, and the server knows nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.faults.stage import HASTY
from integration.wire import commit

if TYPE_CHECKING:
    from integration.faults.stage import Stage


async def cut_while_idle(stage: Stage) -> None:
    """The connection is cut between two batches."""
    await stage.open()
    assert stage.wire.cut()
    await stage.has_noticed()
    await stage.write()


async def cut_before_commit(stage: Stage) -> None:
    """The connection is cut before COMMIT reaches the server."""
    await stage.open()
    stage.wire.cut_before(commit())
    await stage.write()


async def cut_after_commit(stage: Stage) -> None:
    """The connection is cut after COMMIT, before its answer arrives."""
    await stage.open()
    stage.wire.cut_after(commit())
    await stage.write()


async def cut_with_commit_on_its_way(stage: Stage) -> None:
    """The connection is cut while COMMIT is on its way, and the server still gets it."""
    await stage.open()
    stage.wire.cut_at_once(commit())
    await stage.write()


async def answer_never_comes(stage: Stage) -> None:
    """COMMIT is done, its answer never arrives, and nothing is cut: `attempt_timeout` ends the waiting."""
    await stage.open()
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    stage.overrun()
    await writing


async def commit_arrives_late(stage: Stage) -> None:
    """COMMIT is held up for longer than `attempt_timeout`, and arrives when the rows have been given up."""
    await stage.open()
    held = stage.wire.hold_at(commit())
    writing = stage.begin()
    await held.happened()
    stage.overrun()
    await writing
    stage.wire.released.set()


async def network_comes_back(stage: Stage) -> None:
    """The server cannot be reached for a while."""
    await stage.open()
    stage.wire.is_down = True
    stage.wire.cut()
    writing = stage.begin()
    await stage.refused(3)
    stage.wire.is_down = False
    await writing


async def network_stays_away(stage: Stage) -> None:
    """The server cannot be reached for longer than `max_time`."""
    await stage.open(HASTY)
    stage.wire.is_down = True
    stage.wire.cut()
    await stage.write()
    stage.wire.is_down = False


async def cut_after_commit_and_gone(stage: Stage) -> None:
    """The connection is cut after COMMIT, and the server cannot be asked within the time for settling."""
    await stage.open(HASTY)
    lost = stage.wire.swallow(commit())
    writing = stage.begin()
    await lost.happened()
    stage.wire.is_down = True
    stage.wire.cut()
    await writing
    stage.wire.is_down = False

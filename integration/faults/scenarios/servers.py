"""The server ends or stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.faults.stage import HASTY
from integration.wire import commit

if TYPE_CHECKING:
    from integration.faults.stage import Stage


async def restarted_while_idle(stage: Stage) -> None:
    """The server is restarted between two batches."""
    await stage.open()
    stage.server.restart()
    await stage.write()


async def restarted_before_commit(stage: Stage) -> None:
    """The server is shut down before COMMIT arrives, and started again."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    writing = stage.begin()
    await held.happened()
    stage.server.stop()
    stage.wire.thaw()
    await stage.refused(1)
    stage.server.start()
    await writing


async def restarted_after_commit(stage: Stage) -> None:
    """The server is shut down after COMMIT, before its answer arrives, and started again."""
    await stage.open()
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    stage.server.restart()
    stage.wire.cut()
    await writing


async def killed_before_commit(stage: Stage) -> None:
    """The server is killed before COMMIT arrives, and started again."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    writing = stage.begin()
    await held.happened()
    stage.server.kill()
    stage.server.start()
    stage.wire.thaw()
    await writing


async def killed_after_commit(stage: Stage) -> None:
    """The server is killed after COMMIT, before its answer arrives, and started again."""
    await stage.open()
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    stage.server.kill()
    stage.server.start()
    stage.wire.cut()
    await writing


async def paused(stage: Stage) -> None:
    """The server stands still for longer than `attempt_timeout`, and goes on."""
    await stage.open()
    stage.server.pause()
    writing = stage.begin()
    await stage.has_begun()
    stage.overrun()
    # Somebody asks already what became of it.
    await stage.connected(1)
    stage.server.resume()
    await writing


async def paused_after_commit(stage: Stage) -> None:
    """The server stands still after COMMIT, before its answer arrives, for longer than `attempt_timeout`."""
    await stage.open()
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    stage.server.pause()
    stage.overrun()
    await stage.connected(1)
    stage.server.resume()
    await writing


async def down_for_a_while(stage: Stage) -> None:
    """The server is down for a while."""
    await stage.open()
    stage.server.stop()
    writing = stage.begin()
    await stage.refused(3)
    stage.server.start()
    await writing


async def down_for_good(stage: Stage) -> None:
    """The server is down for longer than `max_time`."""
    await stage.open(HASTY)
    stage.server.stop()
    await stage.write()
    stage.server.start()

"""The server, or one connection of it, ends or stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.faults.scenarios import servers
from integration.mysql.faults import fault
from integration.mysql.scenarios.others import is_gone, kill_writers, patience
from integration.wire import commit

if TYPE_CHECKING:
    from integration.faults.stage import Stage

GROUP = "The server"


@fault(GROUP)
async def killed_while_idle(stage: Stage) -> None:
    """An administrator ends the connection (`KILL`) between two batches."""
    await stage.open()
    await _kill_connections(stage)
    await stage.has_noticed()
    await stage.write()


@fault(GROUP)
async def connection_killed_before_commit(stage: Stage) -> None:
    """An administrator ends the connection before COMMIT arrives."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    writing = stage.begin()
    await held.happened()
    await _kill_connections(stage)
    stage.wire.thaw()
    await writing


@fault(GROUP)
async def connection_killed_after_commit(stage: Stage) -> None:
    """An administrator ends the connection after COMMIT, before its answer arrives."""
    await stage.open()
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    await _kill_connections(stage)
    stage.wire.cut()
    await writing


fault(GROUP)(servers.restarted_while_idle)


@fault(GROUP)
async def restarted_before_commit(stage: Stage) -> None:
    """The server is shut down before COMMIT arrives, and started again."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    writing = stage.begin()
    await held.happened()
    stage.server.restart()
    stage.wire.thaw()
    await writing


for happen in (
    servers.restarted_after_commit,
    servers.killed_before_commit,
    servers.killed_after_commit,
    servers.paused,
):
    fault(GROUP)(happen)


@fault(GROUP)
async def paused_after_commit(stage: Stage) -> None:
    """The server stands still after COMMIT, before its answer arrives, for longer than `attempt_timeout`."""
    await stage.open(patience(stage))
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    stage.server.pause()
    stage.overrun()
    if stage.ledger:
        # Somebody asks already what became of it; without a ledger nobody could tell.
        await stage.connected(1)
    stage.server.resume()
    await writing


for happen in (servers.down_for_a_while, servers.down_for_good):
    fault(GROUP)(happen)


async def _kill_connections(stage: Stage) -> None:
    """End the writer's connections, and wait until they have ended."""
    await kill_writers(stage)
    await is_gone(stage)

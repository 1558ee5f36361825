"""The wire breaks, hangs or is not there, and the server knows nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.faults.scenarios import connections
from integration.faults.stage import PATIENT
from integration.mysql.faults import fault
from integration.mysql.scenarios.others import RESIGNED, is_gone, patience, server_setting
from integration.wire import commit, statement

if TYPE_CHECKING:
    from integration.faults.stage import Stage

GROUP = "The connection"

fault(GROUP)(connections.cut_while_idle)


@fault(GROUP)
async def gone_away_after_idle(stage: Stage) -> None:
    """The server ends a connection that was idle for longer than `wait_timeout` (2006, 4031)."""
    async with server_setting(stage, "wait_timeout", 1):
        await stage.open(PATIENT)
        await is_gone(stage)
    await stage.has_noticed()
    await stage.write()


@fault(GROUP)
async def cut_amid_data(stage: Stage) -> None:
    """The connection is cut in the middle of the rows."""
    await stage.open()
    stage.wire.cut_amid(statement("INSERT INTO .*items"))
    await stage.write(2000)


for happen in (connections.cut_before_commit, connections.cut_after_commit, connections.cut_with_commit_on_its_way):
    fault(GROUP)(happen)


@fault(GROUP)
async def answer_never_comes(stage: Stage) -> None:
    """COMMIT is done, its answer never arrives, and nothing is cut: `attempt_timeout` ends the waiting."""
    await stage.open(patience(stage))
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    stage.overrun()
    await writing


@fault(GROUP)
async def commit_arrives_late(stage: Stage) -> None:
    """COMMIT is held up for longer than `attempt_timeout`, and arrives when the rows have been given up."""
    # While the connection is held up, its transaction holds on to the ledger's entry: nobody can tell.
    await stage.open(RESIGNED)
    held = stage.wire.hold_at(commit())
    writing = stage.begin()
    await held.happened()
    stage.overrun()
    await writing
    stage.wire.released.set()


for happen in (
    connections.network_comes_back,
    connections.network_stays_away,
    connections.cut_after_commit_and_gone,
):
    fault(GROUP)(happen)

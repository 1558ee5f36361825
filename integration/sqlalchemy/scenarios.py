"""The wire breaks, hangs or is not there, a session is ended, or the server ends or stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import integration.mysql.scenarios.others as on_mysql
import integration.postgres.scenarios.others as on_postgres
from integration.faults.scenarios import connections, servers
from integration.faults.stage import PATIENT
from integration.servers.scratch import Scratch
from integration.sqlalchemy.faults import fault
from integration.wire import commit, statement

if TYPE_CHECKING:
    from bulkwriter import RetryPolicy
    from integration.faults.listing import Way
    from integration.faults.stage import Stage

CONNECTION, SERVER = "The connection", "The server"

# Into a table without a key: what is stored twice can be seen.
WAYS: tuple[Way, ...] = ("insert",)

fault(CONNECTION, ways=WAYS)(connections.cut_while_idle)


@fault(CONNECTION)
async def cut_amid_data(stage: Stage) -> None:
    """The connection is cut in the middle of the rows."""
    await stage.open()
    stage.wire.cut_amid(statement("INSERT INTO .*items"))
    await stage.write(2000)


for happen in (connections.cut_before_commit, connections.cut_after_commit, connections.cut_with_commit_on_its_way):
    fault(CONNECTION, ways=WAYS)(happen)


@fault(CONNECTION, ways=WAYS)
async def answer_never_comes(stage: Stage) -> None:
    """COMMIT is done, its answer never arrives, and nothing is cut: `attempt_timeout` ends the waiting."""
    await stage.open(_patience(stage))
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    stage.overrun()
    await writing


@fault(CONNECTION, ways=WAYS)
async def commit_arrives_late(stage: Stage) -> None:
    """COMMIT is held up for longer than `attempt_timeout`, and arrives when the rows have been given up."""
    await stage.open(on_mysql.RESIGNED)
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
    fault(CONNECTION, ways=WAYS)(happen)


@fault(SERVER, ways=WAYS)
async def session_ended_before_commit(stage: Stage) -> None:
    """An administrator ends the session before COMMIT arrives."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    writing = stage.begin()
    await held.happened()
    await _end_sessions(stage)
    stage.wire.thaw()
    await writing


@fault(SERVER, ways=WAYS)
async def session_ended_after_commit(stage: Stage) -> None:
    """An administrator ends the session after COMMIT, before its answer arrives."""
    await stage.open()
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    await _end_sessions(stage)
    stage.wire.cut()
    await writing


for happen in (
    servers.restarted_while_idle,
    servers.killed_before_commit,
    servers.killed_after_commit,
    servers.paused,
):
    fault(SERVER, ways=WAYS)(happen)


@fault(SERVER, ways=WAYS)
async def paused_after_commit(stage: Stage) -> None:
    """The server stands still after COMMIT, before its answer arrives, for longer than `attempt_timeout`."""
    await stage.open(_patience(stage))
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
    fault(SERVER, ways=WAYS)(happen)


def _patience(stage: Stage) -> RetryPolicy:
    """Return how long to try where an answer is lost and no connection is: without a ledger, nobody else can tell."""
    return PATIENT if stage.ledger else on_mysql.RESIGNED


async def _end_sessions(stage: Stage) -> None:
    """End the writer's sessions, and wait until they have ended."""
    if isinstance(stage.scratch, Scratch):
        await stage.scratch.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'", role="superuser"
        )
        await on_postgres.is_gone(stage)
        return
    await on_mysql.kill_writers(stage)
    await on_mysql.is_gone(stage)

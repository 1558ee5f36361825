"""The server is lost for good and its standby takes over, with or without the last transactions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bulkwriter import Outcome, OutcomeUnknownError
from integration.eventually import eventually
from integration.faults.stage import PATIENT
from integration.postgres.target import FaultTarget
from integration.servers.standby import make_standby
from integration.wire import commit

if TYPE_CHECKING:
    from integration.faults.stage import Stage
    from integration.servers.postgres import PostgresServer


@pytest.mark.parametrize("is_lost", [False, True], ids=["followed", "lagging"])
@pytest.mark.parametrize("ledger", [False, True], ids=["plain", "ledger"])
async def test_what_is_told_after_a_failover_is_what_the_new_server_has(stage: Stage, *, is_lost: bool) -> None:
    """A commit that the old server answered may be gone; the ledger goes with it, a transaction's number tells lies."""
    await stage.open(PATIENT)
    standby = make_standby(stage.server, stage.servers.site)
    standby.start()
    try:
        await _has_followed(stage, standby)
        swallowed = stage.wire.swallow(commit())
        if is_lost:
            # It hears of nothing from here on.
            standby.pause()
        writing = stage.begin()
        await swallowed.happened()
        if not is_lost:
            await _has_followed(stage, standby)
        stage.server.kill()
        standby.resume()
        await _take_over(stage, standby)
        await writing
        stage.scene.target = FaultTarget(stage.scratch.on(standby), stage.scene.target.url)  # type: ignore[attr-defined] # ours
        await stage.scene.close()
        await stage.check()
    finally:
        standby.close()
    told = {getattr(answer, "outcome", type(answer)) for answer in stage.heard()}
    assert told == ({Outcome.INSERTED} if stage.ledger else {OutcomeUnknownError})


async def _has_followed(stage: Stage, standby: PostgresServer) -> None:
    """Wait until the standby has all that the server has."""
    position = await stage.scratch.value("SELECT pg_current_wal_flush_lsn()::text", role="superuser")
    reached = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
    await eventually(lambda: stage.scratch.on(standby).value(reached))


async def _take_over(stage: Stage, standby: PostgresServer) -> None:
    """Promote the standby, give others the numbers of lost transactions, and lead the wire to it."""
    stage.wire.is_down = True
    await asyncio.to_thread(standby.run, "SELECT pg_promote()")
    await asyncio.to_thread(standby.run, "SELECT pg_current_xact_id();" * 50)
    stage.wire.lead_to(standby.host, standby.port)
    stage.wire.is_down = False
    stage.wire.cut()

"""The server, or one process of it, ends or stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.faults.scenarios import servers
from integration.postgres.faults import fault
from integration.postgres.scenarios.others import is_gone, writing_process
from integration.servers.scratch import WRITERS
from integration.wire import commit

if TYPE_CHECKING:
    from integration.faults.stage import Stage

GROUP = "The server"


@fault(GROUP)
async def terminated_while_idle(stage: Stage) -> None:
    """An administrator ends the connection (`pg_terminate_backend`) between two batches."""
    await stage.open()
    await _terminate(stage)
    await stage.has_noticed()
    await stage.write()


@fault(GROUP)
async def terminated_before_commit(stage: Stage) -> None:
    """An administrator ends the connection before COMMIT arrives."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    writing = stage.begin()
    await held.happened()
    await _terminate(stage)
    stage.wire.thaw()
    await writing


fault(GROUP)(servers.restarted_while_idle)
fault(GROUP)(servers.restarted_before_commit)
fault(GROUP)(servers.restarted_after_commit)


@fault(GROUP)
async def process_killed_before_commit(stage: Stage) -> None:
    """The connection's process is killed (SIGKILL) before COMMIT arrives; the server recovers."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    writing = stage.begin()
    await held.happened()
    await _kill_process(stage)
    stage.wire.thaw()
    await writing


@fault(GROUP)
async def process_killed_after_commit(stage: Stage) -> None:
    """The connection's process is killed after COMMIT, before its answer arrives; the server recovers."""
    await stage.open()
    swallowed = stage.wire.swallow(commit())
    writing = stage.begin()
    await swallowed.happened()
    await _kill_process(stage)
    stage.wire.cut()
    await writing


fault(GROUP)(servers.killed_before_commit)
fault(GROUP)(servers.killed_after_commit)


@fault(GROUP)
async def number_given_again(stage: Stage) -> None:
    """The server is killed before COMMIT arrives; afterwards others get the lost transaction's number, and commit.

    What has the number is committed, and it is not ours.
    """
    await stage.open()
    # It must not have written down meanwhile that the number is taken; it may still happen to.
    await _configure(stage, "SET wal_writer_delay = '10s'")
    try:
        await _kill_until_given_again(stage)
    finally:
        await _configure(stage, "RESET wal_writer_delay")


async def _configure(stage: Stage, change: str) -> None:
    for sql in (f"ALTER SYSTEM {change}", "SELECT pg_reload_conf()"):
        await stage.scratch.execute(sql, role="superuser")


async def _kill_until_given_again(stage: Stage) -> None:
    for _ in range(10):
        held = stage.wire.freeze_at(commit())
        writing = stage.begin()
        await held.happened()
        lost = int(await stage.scratch.value(_NUMBER_OF_OPEN_TRANSACTION, role="superuser"))
        stage.server.kill()
        stage.server.start()
        is_given_again = await _commit_with_number(stage, lost)
        stage.wire.thaw()
        await writing
        if is_given_again:
            return
    message = "the lost number is never given again: this proves nothing"
    raise AssertionError(message)


fault(GROUP)(servers.paused)
fault(GROUP)(servers.paused_after_commit)
fault(GROUP)(servers.down_for_a_while)
fault(GROUP)(servers.down_for_good)


_NUMBER_OF_OPEN_TRANSACTION = f"SELECT backend_xid::text FROM {WRITERS} AND backend_xid IS NOT NULL"  # noqa: S608 - ours


async def _commit_with_number(stage: Stage, lost: int) -> bool:
    """Commit transactions until one had the number; return whether one could have it."""
    async with stage.scratch.connect() as others:
        given = first = int(await others.fetchval("SELECT pg_current_xact_id()::text"))
        while given < lost:
            given = int(await others.fetchval("SELECT pg_current_xact_id()::text"))
        status = await others.fetchval("SELECT pg_xact_status($1::text::xid8)", str(lost))
    return first <= lost and status == "committed"


async def _terminate(stage: Stage) -> None:
    """End the writer's connection, and wait until it has ended."""
    await stage.scratch.value("SELECT pg_terminate_backend($1)", await writing_process(stage), role="superuser")
    await is_gone(stage)


async def _kill_process(stage: Stage) -> None:
    stage.server.kill_backend(await writing_process(stage))

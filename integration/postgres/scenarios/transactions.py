"""Others are at the same rows, or the server's patience ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkwriter.testing.conformance.scene import make_row
from integration.eventually import eventually
from integration.faults.stage import HASTY
from integration.postgres.faults import fault
from integration.postgres.scenarios.others import (
    cancel_who_is_blocked,
    deadlocks,
    has_given_up,
    is_blocked,
    is_gone,
    rival,
    role_setting,
    rollbacks,
)
from integration.wire import commit

if TYPE_CHECKING:
    from integration.faults.stage import Stage

GROUP = "Transactions"

_LOCK = "LOCK TABLE items IN ACCESS EXCLUSIVE MODE"


@fault(GROUP, ways=("upsert",))
async def serialization_failure(stage: Stage) -> None:
    """At REPEATABLE READ, somebody else changes one of the rows meanwhile (40001)."""
    async with role_setting(stage, "default_transaction_isolation", "repeatable read"):
        await stage.open()
        await stage.scene.seed(make_row(10))
        before = await rollbacks(stage)
        async with rival(stage, "UPDATE items SET note = 'rival' WHERE id = 10") as other:
            writing = stage.begin()
            await is_blocked(stage)
            await other.execute("COMMIT")
            await writing

        async def has_failed() -> bool:
            return await rollbacks(stage) > before

        await eventually(has_failed)


@fault(GROUP, ways=("upsert",))
async def deadlock(stage: Stage) -> None:
    """The batch and somebody else wait for each other's rows (40P01)."""
    await stage.open()
    await stage.scene.seed(make_row(5), make_row(10))
    before = await deadlocks(stage)
    # The writer is to be the one who is sent away.
    async with rival(stage, "SET LOCAL deadlock_timeout = '1h'; UPDATE items SET note = 'r' WHERE id = 10") as other:
        writing = stage.begin()
        await is_blocked(stage)
        await other.execute("UPDATE items SET note = 'r' WHERE id = 5")
        await other.execute("ROLLBACK")
        await writing

    async def is_counted() -> bool:
        return await deadlocks(stage) > before

    await eventually(is_counted)


@fault(GROUP)
async def lock_timeout(stage: Stage) -> None:
    """The table is locked for longer than `lock_timeout` (55P03), and free again later."""
    async with role_setting(stage, "lock_timeout", "50ms"):
        await stage.open()
        async with rival(stage, _LOCK) as other:
            writing = stage.begin()
            await has_given_up(stage)
            await other.execute("ROLLBACK")
            await writing


@fault(GROUP)
async def lock_timeout_for_good(stage: Stage) -> None:
    """The table is locked for longer than `lock_timeout`, and than `max_time`."""
    async with role_setting(stage, "lock_timeout", "50ms"):
        await stage.open(HASTY)
        async with rival(stage, _LOCK):
            await stage.write()


@fault(GROUP)
async def statement_timeout(stage: Stage) -> None:
    """A statement takes longer than `statement_timeout` (57014), and less later."""
    async with role_setting(stage, "statement_timeout", "500ms"):
        await stage.open()
        async with rival(stage, _LOCK) as other:
            writing = stage.begin()
            await has_given_up(stage)
            await other.execute("ROLLBACK")
            await writing


@fault(GROUP)
async def idle_in_transaction(stage: Stage) -> None:
    """The server ends the connection for `idle_in_transaction_session_timeout` (25P03), before COMMIT arrives."""
    async with role_setting(stage, "idle_in_transaction_session_timeout", "500ms"):
        await stage.open()
        held = stage.wire.freeze_at(commit())
        writing = stage.begin()
        await held.happened()
        await is_gone(stage)
        stage.wire.thaw()
        await writing


@fault(GROUP)
async def cancelled_by_an_administrator(stage: Stage) -> None:
    """An administrator cancels the statement (`pg_cancel_backend`, 57014)."""
    await stage.open()
    async with rival(stage, _LOCK) as other:
        writing = stage.begin()
        await is_blocked(stage)
        await cancel_who_is_blocked(stage)
        await other.execute("ROLLBACK")
        await writing

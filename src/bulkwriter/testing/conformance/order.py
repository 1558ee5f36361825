"""Order per key: what was accepted first is applied first, whatever is batched, retried or written side by side."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.results import Outcome, WriteResult
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

KEYS = 5
ROUNDS = 12

TROUBLES: dict[str, Callable[[], FaultScript]] = {
    "no trouble": FaultScript,
    "throttling": lambda: FaultScript().throttle(wait=0.01).passing(2).throttle(),
    "deadlocks": lambda: FaultScript().deadlock(times=2).passing(1).deadlock(),
    "unprocessed rows": lambda: FaultScript().leave_unprocessed(2).leave_unprocessed(1).passing(1).leave_unprocessed(3),
    "lost connections": lambda: FaultScript().fail_before_commit().passing(2).fail_before_commit(times=2),
    "slow batches": lambda: FaultScript().delay(0.02).passing(1).delay(0.01),
}


class OrderPromises:
    """For update, skip and delete; plain inserts keep it within a batch."""

    @pytest.mark.parametrize("batch_size", [1, 3, 100])
    @pytest.mark.parametrize("trouble", TROUBLES)
    async def test_the_last_update_of_a_key_wins(self, scene: Scene, trouble: str, batch_size: int) -> None:
        """Many updates of few keys end with each key's last one, in batches of any size, several in flight."""
        scene.need_policy("update")
        options = {"max_batch_size": batch_size, "concurrency": 4}
        writer = await scene.writer(TROUBLES[trouble](), on_conflict="update", **options)
        rows = [make_row(key, note=f"round {turn}") for turn in range(ROUNDS) for key in range(KEYS)]
        answers = await scene.submit(writer, rows)
        assert all(isinstance(answer, WriteResult) for answer in answers), answers
        assert {row["note"] for row in await scene.target.rows()} == {f"round {ROUNDS - 1}"}

    @pytest.mark.parametrize("batch_size", [1, 100])
    @pytest.mark.parametrize("trouble", TROUBLES)
    async def test_the_first_of_a_key_is_the_one_that_is_not_skipped(
        self, scene: Scene, trouble: str, batch_size: int
    ) -> None:
        """With ``on_conflict="skip"`` the row that was accepted first is the one that is stored."""
        scene.need_policy("skip")
        options = {"max_batch_size": batch_size, "concurrency": 4}
        writer = await scene.writer(TROUBLES[trouble](), on_conflict="skip", **options)
        rows = [make_row(key, note=f"round {turn}") for turn in range(ROUNDS) for key in range(KEYS)]
        answers = await scene.submit(writer, rows)
        outcomes = [answer.outcome for answer in answers if isinstance(answer, WriteResult)]
        assert outcomes == [Outcome.INSERTED] * KEYS + [Outcome.SKIPPED] * (KEYS * (ROUNDS - 1))
        assert {row["note"] for row in await scene.target.rows()} == {"round 0"}

    @pytest.mark.parametrize("policy", ["plain", "skip", "update"])
    @pytest.mark.parametrize("trouble", TROUBLES)
    async def test_deletes_keep_their_place_among_inserts(self, scene: Scene, trouble: str, policy: Any) -> None:
        """Insert, delete, insert, delete, insert of one key leaves the last insert, and so for every key."""
        scene.need("delete")
        policy = scene.plain if policy == "plain" else policy
        scene.need_policy(policy)
        writer = await scene.writer(TROUBLES[trouble](), on_conflict=policy, max_batch_size=3, concurrency=4)
        calls: list[asyncio.Task[Any]] = []
        for turn in range(3):
            calls += [scene.start(writer, make_row(key, note=f"round {turn}")) for key in range(KEYS)]
            if turn < 2:
                calls += [scene.start_delete(writer, key) for key in range(KEYS)]
        answers = [await scene.answer(call) for call in calls]
        outcomes = [getattr(answer, "outcome", answer) for answer in answers]
        inserted, deleted = [scene.new(policy)] * KEYS, [Outcome.DELETED] * KEYS
        assert outcomes == inserted + deleted + inserted + deleted + inserted
        assert {row["note"] for row in await scene.target.rows()} == {"round 2"}

    async def test_a_delete_follows_plain_inserts_that_are_still_under_way(self, scene: Scene) -> None:
        """The first delete finds inserts of its key in flight, and waits for them."""
        scene.need("delete")
        faults = FaultScript().hang()
        writer = await scene.writer(faults, concurrency=4)
        insert = scene.start(writer, make_row(1))
        await faults.wait_for("hang")
        delete = scene.start_delete(writer, 1)
        other = scene.start_delete(writer, 2)
        assert await scene.answer(other) == WriteResult(Outcome.DELETED)
        assert not delete.done()
        faults.release()
        assert await scene.answer(insert) == WriteResult(scene.new())
        assert await scene.answer(delete) == WriteResult(Outcome.DELETED)

    async def test_a_row_awaiting_a_retry_holds_back_its_key_and_no_other(self, scene: Scene) -> None:
        """What comes later with the same key waits behind it; other keys are written meanwhile."""
        scene.need_policy("update")
        faults = FaultScript().throttle(wait=0.05)
        writer = await scene.writer(faults, on_conflict="update", concurrency=4)
        first = scene.start(writer, make_row(1, note="first"))
        await faults.wait_for("throttle")
        second = scene.start(writer, make_row(1, note="second"))
        other = scene.start(writer, make_row(2))
        assert await scene.answer(other) == WriteResult(scene.new("update"))
        assert await scene.answer(first) == WriteResult(scene.new("update"), attempts=2)
        assert await scene.answer(second) == WriteResult(scene.changed)

    async def test_writers_side_by_side_do_not_undo_each_other(self, scene: Scene) -> None:
        """Two writers update the same keys in opposite order: no deadlock, and each row is one of those told."""
        scene.need_policy("update")
        writers = [await scene.writer(on_conflict="update", max_batch_size=20) for _ in range(2)]
        keys = list(range(40))
        calls = []
        for turn in range(3):
            for number, writer in enumerate(writers):
                rows = [make_row(key, note=f"writer {number}, turn {turn}") for key in keys[:: 1 if number else -1]]
                calls += [scene.start(writer, row) for row in rows]
        for call in calls:
            assert isinstance(await scene.answer(call), WriteResult)
        assert {row["note"] for row in await scene.target.rows()} <= {"writer 0, turn 2", "writer 1, turn 2"}
        # Between two writers there is no order that the table could be compared by.
        scene.told_in_order = False

"""What the caller of a good row hears: inserted, updated, skipped, unchanged, superseded, deleted."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bulkwriter.errors import MisconfigurationError, RowRejectedError, UniqueViolationError
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript


class OutcomePromises:
    """Every row of the table of outcomes."""

    async def test_a_new_row_is_inserted_as_it_was_given(self, scene: Scene) -> None:
        """A caller that hears ``INSERTED`` finds its row in the table, column by column, after one attempt."""
        writer = await scene.writer()
        answer = await scene.insert(writer, make_row(1, note="mine", code="a"))
        assert isinstance(answer, WriteResult)
        assert (answer.outcome, answer.attempts, answer.returned) == (scene.new(), 1, None)
        stored = await scene.stored(1)
        assert stored is not None
        assert {**stored, **make_row(1, note="mine", code="a")} == dict(stored)

    async def test_a_hundred_callers_each_hear_of_their_own_row(self, scene: Scene) -> None:
        """Rows that arrive together share batches, and nobody notices."""
        writer = await scene.writer()
        answers = await scene.submit(writer, [make_row(number) for number in range(100)])
        assert answers == [WriteResult(scene.new())] * 100
        assert len(await scene.target.rows()) == 100

    async def test_a_key_that_is_there_is_a_unique_violation(self, scene: Scene) -> None:
        """With ``on_conflict="error"`` the row that is there stands, and the new one's caller hears why."""
        scene.need_policy("error")
        await scene.seed(make_row(1, note="first"))
        writer = await scene.writer(on_conflict="error")
        answers = await scene.submit(writer, [make_row(1, note="second"), make_row(2, note="third")])
        assert isinstance(answers[0], UniqueViolationError)
        assert isinstance(answers[1], WriteResult)
        assert answers[1].outcome is Outcome.INSERTED

    async def test_skip_leaves_the_row_that_is_there(self, scene: Scene) -> None:
        """With ``on_conflict="skip"`` a key that is there is no error: ``SKIPPED``."""
        scene.need_policy("skip")
        await scene.seed(make_row(1, note="first"))
        writer = await scene.writer(on_conflict="skip")
        answers = await scene.submit(writer, [make_row(1, note="second"), make_row(2, note="third")])
        assert answers == [WriteResult(Outcome.SKIPPED), WriteResult(Outcome.INSERTED)]

    async def test_update_replaces_what_is_there(self, scene: Scene) -> None:
        """With ``on_conflict="update"`` the stored row takes the new values, and new keys are inserted."""
        scene.need_policy("update")
        await scene.seed(make_row(1, note="first"))
        writer = await scene.writer(on_conflict="update")
        answers = await scene.submit(writer, [make_row(1, note="second"), make_row(2, note="third")])
        assert answers == [WriteResult(scene.changed), WriteResult(scene.new("update"))]

    async def test_an_update_sets_only_the_columns_that_the_row_has(self, scene: Scene) -> None:
        """What the new row leaves out keeps its stored value, except where an update replaces the whole row."""
        scene.need_policy("update")
        await scene.seed(make_row(1, note="first", code="a"))
        writer = await scene.writer(on_conflict="update")
        answer = await scene.insert(writer, make_row(1, note="second"))
        assert answer == WriteResult(scene.changed)
        stored = await scene.stored(1)
        assert stored is not None
        assert stored.get("code") == (None if scene.target.replaces else "a")

    async def test_an_update_that_changes_nothing_is_unchanged_where_the_database_tells(self, scene: Scene) -> None:
        """The same values again are ``UNCHANGED`` or, where nobody can tell, ``UPDATED`` or ``STORED``."""
        scene.need_policy("update")
        await scene.seed(make_row(1, note="same"))
        writer = await scene.writer(on_conflict="update")
        answer = await scene.insert(writer, make_row(1, note="same"))
        assert isinstance(answer, WriteResult)
        assert answer.outcome in (Outcome.UNCHANGED, scene.changed)

    @pytest.mark.parametrize("form", ["scalar", "tuple", "mapping"])
    async def test_a_deleted_key_is_absent(self, scene: Scene, form: str) -> None:
        """A key is a scalar, a tuple or a mapping; deleting says that it is absent now, whether or not it was there."""
        scene.need("delete")
        await scene.seed(make_row(1), make_row(2))
        writer = await scene.writer()
        key = {"scalar": 1, "tuple": (1,), "mapping": {"id": 1}}[form]
        assert await scene.delete(writer, key) == WriteResult(Outcome.DELETED)
        assert await scene.delete(writer, key) == WriteResult(Outcome.DELETED)
        assert [row["id"] for row in await scene.target.rows()] == [2]

    async def test_conflict_columns_name_another_key(self, scene: Scene) -> None:
        """With ``conflict_columns`` a conflict on those columns updates, and one on another key is an error."""
        scene.need_policy("update")
        if not scene.target.has_unique:
            scene.decline("unique column")
        await scene.seed(make_row(1, code="a", note="first"), make_row(2, code="b"))
        scene.key_column = "code"
        try:
            writer = await scene.writer(on_conflict="update", conflict_columns=("code",))
        except MisconfigurationError:
            # MySQL's ON DUPLICATE KEY fires on any unique key: refusing is honest.
            scene.decline("conflict_columns beside another key")
        updated = await scene.insert(writer, make_row(1, code="a", note="second"))
        assert updated == WriteResult(scene.changed)
        refused = await scene.insert(writer, make_row(2, code="c"))
        assert isinstance(refused, UniqueViolationError)

    async def test_update_columns_name_what_an_update_sets(self, scene: Scene) -> None:
        """With names in ``update_columns`` only those change; a new row is stored whole."""
        scene.need("expressions")
        scene.merge = lambda stored, new: {**stored, "note": new["note"]}
        await scene.seed(make_row(1, note="first"))
        writer = await scene.writer(on_conflict="update", update_columns=("note",))
        answers = await scene.submit(writer, [make_row(1, note="second", amount=50), make_row(2, note="third")])
        assert answers == [WriteResult(scene.changed), WriteResult(scene.new("update"))]

    async def test_update_columns_may_compute_from_both_rows(self, scene: Scene) -> None:
        """An expression sees the stored and the new row; each caller's row counts once, in order."""
        scene.need("expressions")
        scene.merge = lambda stored, new: {**stored, "amount": stored["amount"] + new["amount"]}
        await scene.seed(make_row(1, amount=10))
        expression = {"amount": scene.target.sum_expression}
        writer = await scene.writer(on_conflict="update", update_columns=expression)
        answers = await scene.submit(writer, [make_row(1, amount=5), make_row(2, amount=7), make_row(1, amount=3)])
        assert answers == [WriteResult(scene.changed), WriteResult(scene.new("update")), WriteResult(scene.changed)]
        stored = await scene.stored(1)
        assert stored is not None
        assert stored["amount"] == 18

    async def test_update_where_leaves_a_row_unchanged(self, scene: Scene) -> None:
        """A stored row that ``update_where`` declines stands, and its caller hears ``UNCHANGED``."""
        scene.need("expressions")
        await scene.seed(make_row(1, amount=10), make_row(2, amount=10))
        writer = await scene.writer(on_conflict="update", update_where=scene.target.larger_expression)
        answers = await scene.submit(writer, [make_row(1, amount=5), make_row(2, amount=20), make_row(3)])
        assert answers == [
            WriteResult(Outcome.UNCHANGED),
            WriteResult(scene.changed),
            WriteResult(scene.new("update")),
        ]


class CoalescingPromises:
    """With ``coalesce=True`` the last of several rows with one key stands for all, where nobody can tell."""

    async def test_earlier_rows_of_a_key_are_superseded(self, scene: Scene) -> None:
        """The earlier rows' callers hear ``SUPERSEDED``, and the last row is what is stored."""
        writer = await self.open_writer(scene)
        answers = await scene.submit(writer, [make_row(1, note="a"), make_row(1, note="b"), make_row(1, note="c")])
        assert answers == [WriteResult(Outcome.SUPERSEDED)] * 2 + [WriteResult(scene.new("update"))]

    async def test_nothing_is_superseded_unless_asked_for(self, scene: Scene) -> None:
        """Without ``coalesce`` each row of a key is applied, in order."""
        scene.need_policy("update")
        writer = await scene.writer(on_conflict="update")
        answers = await scene.submit(writer, [make_row(1, note="a"), make_row(1, note="b")])
        assert answers == [WriteResult(scene.new("update")), WriteResult(scene.changed)]

    async def test_rows_of_other_columns_are_not_superseded(self, scene: Scene) -> None:
        """A row that leaves a column out does not stand for one that has it."""
        writer = await self.open_writer(scene)
        answers = await scene.submit(writer, [make_row(1, note="a"), make_row(1)])
        assert Outcome.SUPERSEDED not in [answer.outcome for answer in answers if isinstance(answer, WriteResult)]

    async def test_nothing_is_superseded_across_a_delete(self, scene: Scene) -> None:
        """Insert, delete, insert of one key are three things that happened."""
        scene.need("delete")
        writer = await self.open_writer(scene)
        first = scene.start(writer, make_row(1, note="a"))
        delete = scene.start_delete(writer, 1)
        second = scene.start(writer, make_row(1, note="b"))
        assert await first == WriteResult(scene.new("update"))
        assert await delete == WriteResult(Outcome.DELETED)
        assert await second == WriteResult(scene.new("update"))

    async def test_deletes_are_not_coalesced(self, scene: Scene) -> None:
        """Each caller of a delete hears that the key is absent now."""
        scene.need("delete")
        faults = FaultScript().hang()
        writer = await self.open_writer(scene, faults=faults)
        first = scene.start(writer, make_row(1))
        await faults.wait_for("hang")
        deletes = [scene.start_delete(writer, 1) for _ in range(3)]
        await asyncio.sleep(0)
        faults.release()
        await first
        assert [await delete for delete in deletes] == [WriteResult(Outcome.DELETED)] * 3

    @pytest.mark.parametrize("ending", ["stopped", "stopped by force"])
    async def test_a_superseded_caller_that_was_cancelled_counts_once(self, scene: Scene, ending: str) -> None:
        """Whatever becomes of the row that stands for it."""
        faults = FaultScript().hang(times=2)
        writer = await self.open_writer(scene, faults=faults, concurrency=1)
        calls = [scene.start(writer, make_row(1, note="a"))]
        await faults.wait_for("hang")
        calls += [scene.start(writer, make_row(1, note=note)) for note in "bcd"]
        await asyncio.sleep(0)
        # The first is answered, and the last one goes for the two others.
        faults.release()
        await faults.wait_for("hang", 2)
        calls[1].cancel()
        await asyncio.wait(calls[:2])
        if ending == "stopped":
            faults.release()
        await writer.stop(force=ending == "stopped by force")
        assert all(call.done() for call in calls)
        assert writer.statistics().withdrawn == 1

    async def test_nothing_is_superseded_with_expressions(self, scene: Scene) -> None:
        """Where an update adds up, leaving rows out would be wrong: all are applied, or the option is refused."""
        scene.need("expressions")
        scene.merge = lambda stored, new: {**stored, "amount": stored["amount"] + new["amount"]}
        try:
            writer = await self.open_writer(scene, update_columns={"amount": scene.target.sum_expression})
        except MisconfigurationError:
            return
        answers = await scene.submit(writer, [make_row(1, amount=1), make_row(1, amount=2)])
        assert answers == [WriteResult(scene.new("update")), WriteResult(scene.changed)]

    async def test_nothing_is_superseded_where_an_update_sets_only_some_columns(self, scene: Scene) -> None:
        """A first row's other columns would be lost with it."""
        scene.need("expressions")
        scene.merge = lambda stored, new: {**stored, "note": new["note"]}
        try:
            writer = await self.open_writer(scene, update_columns=("note",))
        except MisconfigurationError:
            return
        answers = await scene.submit(writer, [make_row(1, note="a", amount=1), make_row(1, note="b", amount=2)])
        assert answers == [WriteResult(scene.new("update")), WriteResult(scene.changed)]

    async def test_a_rejected_row_replaces_nothing(self, scene: Scene) -> None:
        """If the last row is bad, the one before it is stored and its caller hears so."""
        scene.need("constraints")
        writer = await self.open_writer(scene)
        answers = await scene.submit(writer, [make_row(1), make_row(1, amount=-1), make_row(2)])
        assert isinstance(answers[1], RowRejectedError)
        outcomes = [answers[place].outcome for place in (0, 2)]  # type: ignore[union-attr]
        assert outcomes == [scene.new("update")] * 2

    async def open_writer(self, scene: Scene, **options: Any) -> Any:
        """Return an open writer that coalesces."""
        scene.need_policy("update")
        return await scene.writer(on_conflict="update", coalesce=True, **options)

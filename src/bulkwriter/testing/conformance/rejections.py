"""Bad rows: each costs its own caller an error and nobody else anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.errors import (
    CheckViolationError,
    ForeignKeyViolationError,
    InvalidValueError,
    NotNullViolationError,
    RowRejectedError,
    UniqueViolationError,
)
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bulkwriter.contract import OnConflict

ROWS = 20
KINDS = ("check", "null", "missing", "foreign key", "key", "unique", "type")
PLACES: dict[str, tuple[int, ...]] = {
    "the first": (0,),
    "one in the middle": (9,),
    "the last": (19,),
    "several": (0, 3, 4, 11, 19),
}


class RejectionPromises:
    """One bad row, several, all of them; of every kind and at every place."""

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_bad_row_is_rejected_alone(self, scene: Scene, kind: str, place: str) -> None:
        """Its caller hears the error of its kind; all its neighbours are stored."""
        error = self.bad(scene, kind)[1]
        await scene.seed(make_row(0, code="taken"))
        rows = self.rows(scene, dict.fromkeys(PLACES[place], kind))
        writer = await scene.writer()
        answers = await scene.submit(writer, rows)
        self.assert_rejected(scene, answers, PLACES[place], error)

    @pytest.mark.parametrize("policy", ["skip", "update"])
    @pytest.mark.parametrize("kind", ["check", "null", "foreign key", "unique", "type"])
    async def test_a_bad_row_is_rejected_alone_among_conflicts(
        self, scene: Scene, kind: str, policy: OnConflict
    ) -> None:
        """Bad rows are no conflicts: they are rejected under every policy, and the others have their verdicts."""
        scene.need_policy(policy)
        error = self.bad(scene, kind)[1]
        await scene.seed(make_row(0, code="taken"), make_row(1), make_row(5))
        rows = self.rows(scene, dict.fromkeys((3, 8), kind))
        for row in rows:
            row["note"] = "new"
        writer = await scene.writer(on_conflict=policy)
        answers = await scene.submit(writer, rows)
        for place, answer in enumerate(answers):
            if place in (3, 8):
                assert isinstance(answer, error), answer
            else:
                assert isinstance(answer, WriteResult), answer
        known = Outcome.SKIPPED if policy == "skip" else scene.changed
        assert [answers[place].outcome for place in (0, 4)] == [known, known]  # type: ignore[union-attr]

    async def test_bad_rows_of_every_kind_are_told_apart(self, scene: Scene) -> None:
        """In one batch each bad row hears its own error."""
        kinds = scene.target.bad_rows()
        if not kinds:
            scene.decline("constraints")
        await scene.seed(make_row(0, code="taken"))
        places = {2 * index + 1: kind for index, kind in enumerate(kinds)}
        writer = await scene.writer()
        answers = await scene.submit(writer, self.rows(scene, places))
        for place, answer in enumerate(answers):
            expected = kinds[places[place]][1] if place in places else WriteResult
            assert isinstance(answer, expected), (place, answer)

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_batch_of_bad_rows_only_stores_nothing(self, scene: Scene, kind: str) -> None:
        """Every caller hears of its own row."""
        error = self.bad(scene, kind)[1]
        await scene.seed(make_row(0, code="taken"))
        writer = await scene.writer()
        answers = await scene.submit(writer, self.rows(scene, dict.fromkeys(range(ROWS), kind)))
        self.assert_rejected(scene, answers, range(ROWS), error)
        assert len(await scene.target.rows()) == 1

    async def test_every_other_row_may_be_bad(self, scene: Scene) -> None:
        """A batch with half its rows bad is no worse than one with a single bad row."""
        kind = next(iter(scene.target.bad_rows()), "")
        error = self.bad(scene, kind)[1]
        await scene.seed(make_row(0, code="taken"))
        writer = await scene.writer()
        places = range(0, ROWS, 2)
        answers = await scene.submit(writer, self.rows(scene, dict.fromkeys(places, kind)))
        self.assert_rejected(scene, answers, places, error)

    async def test_of_two_rows_with_one_unique_value_the_first_stands(self, scene: Scene) -> None:
        """Within a batch, rows are judged in order."""
        if not scene.target.has_unique:
            scene.decline("unique column")
        writer = await scene.writer()
        rows = [make_row(1, code="a"), make_row(2, code="b"), make_row(3, code="a"), make_row(4, code="c")]
        answers = await scene.submit(writer, rows)
        assert [isinstance(answer, WriteResult) for answer in answers] == [True, True, False, True]
        assert isinstance(answers[2], UniqueViolationError)

    async def test_of_two_new_rows_with_one_key_the_first_stands(self, scene: Scene) -> None:
        """Within a batch of plain inserts, the later row is the duplicate."""
        scene.need_policy("error")
        writer = await scene.writer(on_conflict="error")
        answers = await scene.submit(writer, [make_row(1, note="a"), make_row(2, note="b"), make_row(1, note="c")])
        assert isinstance(answers[2], UniqueViolationError)
        assert [answer.outcome for answer in answers[:2] if isinstance(answer, WriteResult)] == [Outcome.INSERTED] * 2

    async def test_an_error_names_table_constraint_and_column(self, scene: Scene) -> None:
        """A rejected row's error says what was violated, with the database's code and the driver's error behind it."""
        scene.need("constraints")
        writer = await scene.writer()
        check, null = await scene.submit(writer, [make_row(1, amount=-1), make_row(2, name=None)])
        assert isinstance(check, CheckViolationError)
        assert isinstance(null, NotNullViolationError)
        for error in (check, null):
            assert error.sqlstate is not None
            assert error.__cause__ is not None
            assert not type(error.__cause__).__module__.startswith("bulkwriter.errors")
            assert error.attempts >= 1
            assert error.table is not None
            assert error.safe_to_retry is False
        assert null.column_name == "name"

    async def test_a_delete_can_be_rejected_too(self, scene: Scene) -> None:
        """A row that others refer to stays, and the caller of the delete hears why; other deletes are done."""
        scene.need("delete")
        if not scene.target.has_foreign_key:
            scene.decline("foreign key")
        await scene.seed(make_row(1), make_row(2, parent=1), make_row(3))
        writer = await scene.writer()
        calls = [scene.start_delete(writer, key) for key in (1, 3)]
        refused, deleted = [await scene.answer(call) for call in calls]
        assert isinstance(refused, ForeignKeyViolationError)
        assert isinstance(deleted, WriteResult)
        assert deleted.outcome is Outcome.DELETED

    @pytest.mark.parametrize("place", PLACES)
    async def test_whatever_the_database_refuses_is_found(self, scene: Scene, place: str) -> None:
        """Also a database without constraints refuses rows: for one such row its batch is undone, and then mended."""
        bad = {number + 1 for number in PLACES[place]}
        faults = FaultScript().poison(lambda row: row["id"] in bad, InvalidValueError)
        writer = await scene.writer(faults)
        answers = await scene.submit(writer, [make_row(number + 1) for number in range(ROWS)])
        self.assert_rejected(scene, answers, PLACES[place], InvalidValueError)

    def bad(self, scene: Scene, kind: str) -> tuple[dict[str, Any], type[RowRejectedError]]:
        """Return what makes a row bad in this way, and its error."""
        kinds = scene.target.bad_rows()
        if kind not in kinds:
            scene.decline(f"{kind} constraint" if kind else "constraints")
        return kinds[kind]

    def rows(self, scene: Scene, bad: dict[int, str]) -> list[dict[str, Any]]:
        """Return ``ROWS`` rows, with ids from 1, of which some are bad; all have the same columns, to share a batch."""
        kinds = scene.target.bad_rows()
        touched = {column for kind in bad.values() for column in kinds[kind][0]}
        rows = []
        for place in range(ROWS):
            good: dict[str, Any] = {"id": place + 1, "code": f"code-{place}", "parent": None}
            columns = {column: value for column, value in good.items() if column in touched or column == "id"}
            columns.update(kinds[bad[place]][0] if place in bad else {})
            rows.append(make_row(columns.pop("id"), **columns))
        return rows

    def assert_rejected(
        self, scene: Scene, answers: Sequence[object], places: Iterable[int], error: type[RowRejectedError]
    ) -> None:
        """Check that the rows at these places were rejected, and the others stored."""
        bad = set(places)
        for place, answer in enumerate(answers):
            if place in bad:
                assert isinstance(answer, error), (place, answer)
            else:
                assert isinstance(answer, WriteResult), (place, answer)
                assert answer.outcome is scene.new(), (place, answer)

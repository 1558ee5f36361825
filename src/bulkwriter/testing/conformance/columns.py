"""Columns that rows leave out, columns that the database computes, and what comes back of them."""

# ruff: noqa: PLR2004, RUF001 - the numbers and letters of a test are its example

from __future__ import annotations

from typing import Any

from bulkwriter.errors import RowRejectedError
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.conformance.target import DEFAULT_NOTE


class ColumnPromises:
    """A left-out column gets the database's default, and rows of different columns keep out of each other's way."""

    async def test_a_column_left_out_gets_the_databases_default(self, scene: Scene) -> None:
        """Not NULL: leaving a column out is not the same as giving ``None``."""
        scene.need("defaults")
        writer = await scene.writer()
        await scene.submit(writer, [make_row(1), make_row(2, note=None), make_row(3, note="given")])
        notes = {row["id"]: row["note"] for row in await scene.target.rows()}
        assert notes == {1: DEFAULT_NOTE, 2: None, 3: "given"}

    async def test_rows_of_many_column_sets_arrive_together(self, scene: Scene) -> None:
        """Each row is stored with its own columns, in whatever order it names them, whoever its neighbours are."""
        writer = await scene.writer()
        sets: list[dict[str, Any]] = [
            {},
            {"note": "a"},
            {"code": "b"},
            {"note": "c", "code": "d"},
            {"amount": ...},
            {"note": None},
        ]
        rows = [make_row(number, **sets[number % len(sets)]) for number in range(1, 31)]
        for row in rows:
            if "code" in row:
                row["code"] = f"{row['code']}-{row['id']}"
        rows = [dict(reversed(row.items())) if row["id"] % 2 else row for row in rows]
        answers = await scene.submit(writer, rows)
        assert answers == [WriteResult(scene.new())] * 30

    async def test_a_generated_column_is_computed(self, scene: Scene) -> None:
        """Nobody gives it, and it is there."""
        column = scene.target.generated_column
        if column is None:
            scene.decline("generated column")
        writer = await scene.writer()
        await scene.submit(writer, [make_row(1, amount=21), make_row(2, amount=4)])
        computed = {row["id"]: row[column] for row in await scene.target.rows()}
        assert computed == {1: 42, 2: 8}

    async def test_text_and_numbers_survive_unharmed(self, scene: Scene) -> None:
        """What is stored is what was given, also at the edges."""
        texts = ["", "ünïcödé €", "𝒜stral 🚲", 'it\'s "quoted" \\ %s :x ?', "a\tb\nc\r\nd", "x" * 100, "NULL", "\\N"]
        writer = await scene.writer()
        rows = [make_row(number, note=text, amount=2**31 - 1) for number, text in enumerate(texts, start=1)]
        assert await scene.submit(writer, rows) == [WriteResult(scene.new())] * len(rows)


class ReturningPromises:
    """``returning=`` gives generated keys and defaults back to the very row."""

    async def test_each_row_gets_back_its_own(self, scene: Scene) -> None:
        """However the database orders what it returns."""
        scene.need("returning")
        writer = await scene.writer(returning=("id", "name", "note"))
        rows = [make_row(number, note=... if number % 3 else f"note-{number}") for number in range(60, 0, -1)]
        answers = await scene.submit(writer, rows)
        for row, answer in zip(rows, answers, strict=True):
            assert isinstance(answer, WriteResult)
            assert answer.returned == {"id": row["id"], "name": row["name"], "note": row.get("note", DEFAULT_NOTE)}

    async def test_generated_keys_go_to_the_very_row(self, scene: Scene) -> None:
        """A row without a key learns the key it got."""
        scene.need("returning")
        if not scene.target.generates_ids:
            scene.decline("generated keys")
        writer = await scene.writer(returning=("id",))
        rows = [make_row(number, id=...) for number in range(1, 41)]
        answers = await scene.submit(writer, rows)
        names = {row["id"]: row["name"] for row in await scene.target.rows()}
        for row, answer in zip(rows, answers, strict=True):
            assert isinstance(answer, WriteResult)
            assert answer.returned is not None
            assert names[answer.returned["id"]] == row["name"]
        assert len(names) == 40

    async def test_what_comes_back_of_conflicts(self, scene: Scene) -> None:
        """An updated row returns what it is now, a skipped one returns ``None``."""
        scene.need("returning")
        await scene.seed(make_row(1, note="first"), make_row(2, note="first"))
        update = await scene.writer(on_conflict="update", returning=("id", "note", "amount"))
        updated, inserted = await scene.submit(
            update, [make_row(1, note="second", amount=7), make_row(3, note="third")]
        )
        assert updated == WriteResult(scene.changed, {"id": 1, "note": "second", "amount": 7})
        assert inserted == WriteResult(scene.new("update"), {"id": 3, "note": "third", "amount": 3})
        skip = await scene.writer(on_conflict="skip", returning=("id", "note"))
        new, skipped = await scene.submit(skip, [make_row(4, note="fourth"), make_row(2, note="second")])
        assert new == WriteResult(Outcome.INSERTED, {"id": 4, "note": "fourth"})
        assert skipped == WriteResult(Outcome.SKIPPED)

    async def test_bad_rows_do_not_shift_what_comes_back(self, scene: Scene) -> None:
        """The neighbours of a rejected row get back their own."""
        scene.need("returning", "constraints")
        writer = await scene.writer(returning=("id", "name"))
        rows = [make_row(number, amount=-1 if number % 4 == 0 else number) for number in range(1, 25)]
        answers = await scene.submit(writer, rows)
        for row, answer in zip(rows, answers, strict=True):
            if row["amount"] < 0:
                assert isinstance(answer, RowRejectedError)
            else:
                assert answer == WriteResult(scene.new(), {"id": row["id"], "name": row["name"]}, answer.attempts)

    async def test_generated_columns_come_back(self, scene: Scene) -> None:
        """What the database computes can be asked for."""
        scene.need("returning")
        column = scene.target.generated_column
        if column is None:
            scene.decline("generated column")
        writer = await scene.writer(returning=(column,))
        answers = await scene.submit(writer, [make_row(1, amount=21), make_row(2, amount=4)])
        assert answers == [WriteResult(scene.new(), {column: 42}), WriteResult(scene.new(), {column: 8})]

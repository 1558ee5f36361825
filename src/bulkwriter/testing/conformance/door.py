"""Rows that are refused before they are sent: their callers hear at once, and nobody else notices."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pytest

from bulkwriter.errors import (
    BulkWriterError,
    InvalidValueError,
    MisconfigurationError,
    NotNullViolationError,
    OutcomeUnknownError,
    RowRejectedError,
    RowTooLargeError,
)
from bulkwriter.results import WriteResult
from bulkwriter.testing.conformance.scene import SENTINEL, Scene, make_row


@dataclasses.dataclass
class Item:
    """A row as a dataclass."""

    id: int
    name: str
    amount: int


class ItemTuple(NamedTuple):
    """A row as a named tuple."""

    id: int
    name: str
    amount: int


class Stranger:
    """An object that is no row."""


class DoorPromises:
    """What may come in, what may not, and that what came in is what is stored."""

    @pytest.mark.parametrize(
        "row", [{}, None, 7, f"{SENTINEL}", [("id", 1)], (1, "x"), Stranger()], ids=lambda row: type(row).__name__
    )
    async def test_what_is_no_row_is_refused_alone(self, scene: Scene, row: object) -> None:
        """An empty row, a scalar, a list of pairs, a tuple without ``columns=``: ``InvalidValueError``."""
        await self.assert_refused_alone(scene, row, InvalidValueError)

    async def test_an_unknown_column_is_refused_alone(self, scene: Scene) -> None:
        """A column that the table does not have is a ``MisconfigurationError`` for the row that names it."""
        scene.need("constraints")
        answer = await self.assert_refused_alone(scene, make_row(1, nonesuch=1), MisconfigurationError)
        assert "nonesuch" in str(answer)

    async def test_a_generated_column_cannot_be_written(self, scene: Scene) -> None:
        """A row that names it is refused, in whichever way the database says so."""
        if scene.target.generated_column is None:
            scene.decline("generated column")
        row = {**make_row(1), scene.target.generated_column: 5}
        answer = await self.assert_refused_alone(scene, row, BulkWriterError)
        assert not isinstance(answer, OutcomeUnknownError)

    async def test_an_unstorable_object_is_refused_alone(self, scene: Scene) -> None:
        """A value that no column can hold is an ``InvalidValueError``."""
        await self.assert_refused_alone(scene, make_row(1, note=scene.target.unstorable), InvalidValueError)

    async def test_a_value_of_the_wrong_type_is_refused_alone(self, scene: Scene) -> None:
        """A value that its column cannot hold is an ``InvalidValueError``."""
        if scene.target.wrong_type is None:
            scene.decline("column types")
        row = make_row(1, amount=scene.target.wrong_type)
        await self.assert_refused_alone(scene, row, InvalidValueError)

    async def test_a_missing_value_is_refused_alone(self, scene: Scene) -> None:
        """A NOT NULL column without a default that is left out is a ``NotNullViolationError``."""
        scene.need("constraints")
        await self.assert_refused_alone(scene, make_row(1, name=...), NotNullViolationError)

    async def test_a_row_beyond_the_databases_limit_is_refused_alone(self, scene: Scene) -> None:
        """What is larger than the database takes is a ``RowTooLargeError``."""
        if scene.target.too_large is None:
            scene.decline("limit to the size of a row that a test could reach")
        await self.assert_refused_alone(scene, make_row(1, name=scene.target.too_large), RowTooLargeError)

    async def test_a_row_beyond_the_queues_limit_is_refused_alone(self, scene: Scene) -> None:
        """What is larger than ``max_queue_bytes`` could never be queued: a ``RowTooLargeError`` at once."""
        row = make_row(1, name="x" * 20_000)
        await self.assert_refused_alone(scene, row, RowTooLargeError, max_queue_bytes=10_000, max_batch_bytes=5_000)

    async def test_rows_may_be_objects_of_many_kinds(self, scene: Scene) -> None:
        """A dataclass or a named tuple is as good as a mapping; a named tuple needs no ``columns=``."""
        writer = await scene.writer()
        for number, kind in enumerate((Item, ItemTuple), start=1):
            row = make_row(number)
            scene.note(writer, [row], [await writer.insert(kind(**row))])

    async def test_a_tuple_stands_for_the_columns_given(self, scene: Scene) -> None:
        """With ``columns=`` a plain tuple is a row, and one of another length is refused."""
        backend = scene.backend(columns=("id", "name", "amount"))
        rows = [(1, f"{SENTINEL}-1", 1), (2, f"{SENTINEL}-2"), (3, f"{SENTINEL}-3", 3)]
        answers = await backend.process_batch(rows)
        assert [type(answer) for answer in answers] == [WriteResult, InvalidValueError, WriteResult]
        stored = [make_row(1), make_row(2), make_row(3)]
        scene.note(backend, stored, answers)

    async def test_what_a_row_holds_is_taken_at_the_call(self, scene: Scene) -> None:
        """Changing the object afterwards changes nothing."""
        writer = await scene.writer()
        row = make_row(1, note="before")
        future = writer.submit(row)
        row.update(note="after", name="after")
        scene.note(writer, [make_row(1, note="before")], [await future])

    async def assert_refused_alone(
        self, scene: Scene, row: Any, error: type[BulkWriterError], **options: Any
    ) -> BulkWriterError:
        """Check that the row in the middle is refused with this error, and that the others are stored."""
        writer = await scene.writer(**options)
        answers = await scene.submit(writer, [make_row(11), row, make_row(12)])
        assert isinstance(answers[1], error), answers[1]
        assert [answers[0], answers[2]] == [WriteResult(scene.new())] * 2
        await scene.insert(writer, make_row(13))
        figures = writer.statistics()
        if isinstance(answers[1], RowRejectedError):
            assert (figures.accepted, figures.rejected) == (4, 1)
        return answers[1]

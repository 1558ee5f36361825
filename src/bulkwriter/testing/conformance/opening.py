"""Opening: wrong targets and options are found up front, and what is declined is declared."""

# ruff: noqa: PLR2004 - the numbers of a test are its example

from __future__ import annotations

from typing import Any

import pytest

from bulkwriter.errors import BackendUnavailableError, MisconfigurationError, NotWrittenError
from bulkwriter.results import WriteResult
from bulkwriter.retry import RetryPolicy
from bulkwriter.testing.conformance.scene import Scene, make_row
from bulkwriter.testing.faults import FaultScript
from bulkwriter.writer import BulkWriter


class OpeningPromises:
    """``open`` connects and checks; an insert before that opens by itself."""

    async def test_an_insert_opens_by_itself(self, scene: Scene) -> None:
        """Many first rows at once open the backend once."""
        writer = scene.make_writer()
        answers = await scene.submit(writer, [make_row(number) for number in range(10)])
        assert answers == [WriteResult(scene.new())] * 10

    async def test_opening_twice_is_opening_once(self, scene: Scene) -> None:
        """Neither the writer nor the backend mind."""
        writer = await scene.writer()
        await writer.open()
        backend = scene.backend()
        await backend.open()
        await backend.open()
        assert backend.is_open
        assert tuple(backend.key_columns) == ("id",)
        await backend.close()
        await backend.close()

    async def test_a_missing_table_is_found_when_opening(self, scene: Scene) -> None:
        """A ``MisconfigurationError`` that names the table."""
        backend = scene.target.backend_without_table()
        writer: BulkWriter[object] = BulkWriter(backend)
        with pytest.raises(MisconfigurationError) as caught:
            await writer.open()
        assert backend.table in str(caught.value)
        await writer.stop()

    async def test_a_missing_table_is_no_bad_row(self, scene: Scene) -> None:
        """A row that comes without opening hears ``MisconfigurationError`` too, and is not tried again."""
        writer: BulkWriter[object] = BulkWriter(scene.target.backend_without_table())
        with pytest.raises(MisconfigurationError) as caught:
            await writer.insert(make_row(1))
        assert caught.value.safe_to_retry is False
        assert writer.statistics().is_balanced
        await writer.stop()

    async def test_process_batch_says_what_is_wrong_with_the_table(self, scene: Scene) -> None:
        """Without a writer, too."""
        backend = scene.target.backend_without_table()
        try:
            answers = await backend.process_batch([make_row(1), make_row(2)])
        except MisconfigurationError:
            return
        assert all(isinstance(answer, MisconfigurationError) for answer in answers)

    async def test_a_server_out_of_reach_is_said_to_be(self, scene: Scene) -> None:
        """Opening ends with ``BackendUnavailableError`` and may be tried again."""
        faults = FaultScript().disconnect(3, during="open")
        writer = scene.make_writer(faults, retry=RetryPolicy(max_attempts=1))
        while faults.hits.get("disconnect", 0) < 3:
            with pytest.raises(BackendUnavailableError):
                await writer.open()
        await writer.open()
        assert await scene.insert(writer, make_row(1)) == WriteResult(scene.new())

    @pytest.mark.parametrize(
        "options",
        [
            {"returning": ("nonesuch",)},
            {"on_conflict": "update", "conflict_columns": ("amount",)},
            {"on_conflict": "update", "conflict_columns": ("nonesuch",)},
            {"on_conflict": "update", "update_columns": ("nonesuch",)},
            {"on_conflict": "whatever"},
        ],
        ids=lambda options: ", ".join(f"{name}={value}" for name, value in options.items()),
    )
    async def test_an_option_that_does_not_fit_is_refused_up_front(self, scene: Scene, options: dict[str, Any]) -> None:
        """A column that is not there, or a conflict that cannot be, is a ``MisconfigurationError``, not an accident."""
        with pytest.raises(MisconfigurationError):
            await scene.writer(**options)

    async def test_what_is_declined_is_refused_and_never_approximated(self, scene: Scene) -> None:
        """Every option that the ``Capabilities`` rule out is a ``MisconfigurationError``."""
        refused: list[dict[str, object]] = [
            {"on_conflict": policy}
            for policy in ("error", "skip", "update")
            if policy not in scene.capabilities.on_conflict
        ]
        if not scene.capabilities.returning:
            refused.append({"returning": ("id",)})
        if not scene.capabilities.ledger:
            refused.append({"ledger": True})
        if not scene.capabilities.expressions:
            expression = {"amount": scene.target.sum_expression}
            refused.append({"on_conflict": "update", "update_columns": expression})
            refused.append({"on_conflict": "update", "update_where": scene.target.larger_expression})
        for options in refused:
            with pytest.raises(MisconfigurationError):
                await scene.target.backend(**options).open()

    async def test_a_delete_that_is_declined_is_refused(self, scene: Scene) -> None:
        """A backend that cannot delete says so."""
        if scene.capabilities.delete:
            return
        writer = await scene.writer()
        assert isinstance(await scene.delete(writer, 1), NotWrittenError)

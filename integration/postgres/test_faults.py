"""Each fault on a real server: what callers hear is what is stored, and what the documentation says that they hear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import integration.postgres.scenarios.connections
import integration.postgres.scenarios.schema
import integration.postgres.scenarios.servers
import integration.postgres.scenarios.storage
import integration.postgres.scenarios.transactions  # noqa: F401 - they put themselves on the list
from bulkwriter import BulkWriter, Outcome, WriteResult
from bulkwriter.errors import BulkWriterError
from bulkwriter.testing.conformance.scene import make_row
from integration.postgres.fault_table import IS_WRITTEN, FaultTable, heard
from integration.postgres.faults import FAULTS, Fault
from integration.postgres.opening import PROBLEMS, Problem
from integration.postgres.stage import HASTY

if TYPE_CHECKING:
    from integration.postgres.stage import Stage

EACH_WAY = [
    pytest.param(fault, way, ledger, id=f"{name}-{way}-{'ledger' if ledger else 'plain'}")
    for name, fault in FAULTS.items()
    for way in fault.ways
    for ledger in (False, True)
]


@pytest.mark.parametrize(("fault", "way", "ledger"), EACH_WAY)
async def test_what_callers_hear_of_a_fault_is_true_and_documented(
    stage: Stage, fault: Fault, fault_table: FaultTable
) -> None:
    """Nobody is told a lie, figures balance, and the writer goes on when the fault has passed."""
    await fault.happen(stage)
    answers = list(stage.heard())
    if fault.passes:
        await _goes_on(stage)
    await stage.scene.close()
    await stage.check()
    if IS_WRITTEN:
        fault_table.note(fault, stage.way, answers, ledger=stage.ledger)
    assert heard(answers) == fault_table.says(fault, stage.way, ledger=stage.ledger) or IS_WRITTEN


async def _goes_on(stage: Stage) -> None:
    stage.heard().clear()
    await stage.write(1)
    [answer] = stage.heard()
    assert isinstance(answer, WriteResult), answer
    assert answer.outcome is Outcome.INSERTED


@pytest.mark.parametrize("way", ["upsert"])
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
async def test_what_is_wrong_is_told_at_opening_by_name(
    stage: Stage, problem: Problem, fault_table: FaultTable
) -> None:
    """Not at the first row; and who did not open first hears the same with the first row, and waits for nothing."""
    async with problem.arrange(stage) as backend:
        writer: BulkWriter[object] = BulkWriter(backend, retry=HASTY)
        with pytest.raises(BulkWriterError, match=problem.names) as opening:
            await writer.open()
        with pytest.raises(type(opening.value)) as inserting:
            await writer.insert(make_row(1))
        assert type(inserting.value) is type(opening.value)
        await writer.stop()
    assert writer.statistics().not_written == 1
    if IS_WRITTEN:
        fault_table.note_at_opening(problem, opening.value)
    assert f"`{type(opening.value).__name__}`" == fault_table.says_at_opening(problem)


def test_the_document_has_a_line_for_each_fault_and_for_nothing_else(fault_table: FaultTable) -> None:
    """A fault that is no longer tested is no longer documented."""
    if not IS_WRITTEN:
        says = [*(fault.says for fault in FAULTS.values()), *(problem.says for problem in PROBLEMS.values())]
        assert sorted(fault_table.lines()) == sorted(set(says))

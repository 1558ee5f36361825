"""What must hold of every fault and of every problem at opening, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkwriter import BulkWriter, Outcome, WriteResult
from bulkwriter.errors import BulkWriterError
from bulkwriter.testing.conformance.scene import make_row
from integration.faults.fault_table import IS_WRITTEN, FaultTable, heard
from integration.faults.stage import HASTY

if TYPE_CHECKING:
    from integration.faults.listing import Fault, FaultList, Problem
    from integration.faults.stage import Stage


async def check_fault(stage: Stage, fault: Fault, table: FaultTable, product: str = "") -> None:
    """Bring a fault about, and check that callers hear what is stored, and what the documentation says."""
    await fault.happen(stage)
    answers = list(stage.heard())
    if fault.passes:
        await _goes_on(stage)
    await stage.scene.close()
    await stage.check()
    if IS_WRITTEN:
        table.note(fault, stage.way, answers, product, ledger=stage.ledger)
    assert heard(answers) == table.says(fault, stage.way, product, ledger=stage.ledger) or IS_WRITTEN


async def check_problem(stage: Stage, problem: Problem, table: FaultTable, product: str = "") -> None:
    """Arrange a problem, and check that who opens is told of it by name, and who does not hears the same of a row."""
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
        table.note_at_opening(problem, opening.value, product)
    assert f"`{type(opening.value).__name__}`" == table.says_at_opening(problem, product) or IS_WRITTEN


def check_document(table: FaultTable, faults: FaultList) -> None:
    """Check that the page has a line for each fault and for nothing else."""
    if not IS_WRITTEN:
        says = {fault.says for fault in faults.faults.values()} | {each.says for each in faults.problems.values()}
        assert sorted(table.lines()) == sorted(says)


async def _goes_on(stage: Stage) -> None:
    stage.heard().clear()
    await stage.write(1)
    [answer] = stage.heard()
    assert isinstance(answer, WriteResult), answer
    assert answer.outcome is Outcome.INSERTED

"""Each fault on both servers: what callers hear is what is stored, and what the documentation says that they hear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import integration.mysql.opening
import integration.mysql.scenarios.connections
import integration.mysql.scenarios.schema
import integration.mysql.scenarios.servers
import integration.mysql.scenarios.storage
import integration.mysql.scenarios.transactions  # noqa: F401 - they put themselves on the list
from integration.faults.checking import check_document, check_fault, check_problem
from integration.mysql.faults import FAULTS

if TYPE_CHECKING:
    from integration.faults.fault_table import FaultTable
    from integration.faults.listing import Fault, Problem
    from integration.faults.stage import Stage

EACH_WAY = [pytest.param(*case, id=name) for name, *case in FAULTS.each_way()]


@pytest.mark.parametrize(("fault", "way", "ledger"), EACH_WAY)
async def test_what_callers_hear_of_a_fault_is_true_and_documented(
    stage: Stage, fault: Fault, fault_table: FaultTable, product: str
) -> None:
    """Nobody is told a lie, figures balance, and the writer goes on when the fault has passed."""
    await check_fault(stage, fault, fault_table, product)


@pytest.mark.parametrize("way", ["upsert"])
@pytest.mark.parametrize("problem", FAULTS.problems.values(), ids=FAULTS.problems)
async def test_what_is_wrong_is_told_at_opening_by_name(
    stage: Stage, problem: Problem, fault_table: FaultTable, product: str
) -> None:
    """Not at the first row; and who did not open first hears the same with the first row, and waits for nothing."""
    await check_problem(stage, problem, fault_table, product)


def test_the_document_has_a_line_for_each_fault_and_for_nothing_else(fault_table: FaultTable) -> None:
    """A fault that is no longer tested is no longer documented."""
    check_document(fault_table, FAULTS)

"""Each fault with each driver: what callers hear is what is stored, and what the documentation says that they hear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

import integration.sqlalchemy.scenarios  # noqa: F401 - they put themselves on the list
from bulkwriter import BulkWriter, OutcomeUnknownError, RetryPolicy
from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.testing.conformance.scene import make_row
from integration.faults.checking import check_document, check_fault
from integration.faults.fault_table import IS_WRITTEN
from integration.sqlalchemy.faults import FAULTS
from integration.sqlalchemy.target import DRIVERS
from integration.wire import commit

if TYPE_CHECKING:
    from integration.faults.fault_table import FaultTable
    from integration.faults.listing import Fault
    from integration.faults.stage import Stage

# All of them are run with every driver when the page is written, and each with one of them, in turn, else: they differ
# in nothing that is told.
EACH_WAY = [
    pytest.param(*case, dialect, id=f"{dialect}-{name}")
    for number, (name, *case) in enumerate(FAULTS.each_way())
    for place, dialect in enumerate(DRIVERS)
    if IS_WRITTEN or place == (number // 2 + number) % len(DRIVERS)
]


@pytest.mark.parametrize(("fault", "way", "ledger", "dialect"), EACH_WAY)
async def test_what_callers_hear_of_a_fault_is_true_and_documented(
    stage: Stage, fault: Fault, fault_table: FaultTable, dialect: str
) -> None:
    """Nobody is told a lie, figures balance, and the writer goes on when the fault has passed."""
    await check_fault(stage, fault, fault_table, DRIVERS[dialect])


async def test_an_answer_that_never_comes_takes_no_connection_from_the_pool(stage: Stage) -> None:
    """Without a ledger it is waited for, in vain; the pool has but one connection, and others write meanwhile."""
    target: Any = stage.scene.target
    engine = create_async_engine(target.url, pool_size=1, max_overflow=0, pool_timeout=20)
    backend = SQLAlchemyBackend(engine, target.table_name)
    hasty = RetryPolicy(max_time=2, attempt_timeout=1, initial_backoff=0.01)
    async with BulkWriter[Any](backend, retry=hasty, concurrency=1) as writer:
        await writer.insert(make_row(0))
        swallowed = stage.wire.swallow(commit())
        with pytest.raises(OutcomeUnknownError):
            await writer.insert(make_row(1))
        assert swallowed.hits == 1
        await writer.insert(make_row(2))
    await engine.dispose()
    assert sorted(row["id"] for row in await target.rows()) == [0, 1, 2]


def test_the_document_has_a_line_for_each_fault_and_for_nothing_else(fault_table: FaultTable) -> None:
    """A fault that is no longer tested is no longer documented."""
    check_document(fault_table, FAULTS)

"""The future that ``submit`` gives belongs to its caller: what is done to it harms nobody and no figure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bulkwriter import BulkWriter, OutcomeUnknownError
from bulkwriter.testing import FaultScript, MemoryBackend


@pytest.mark.parametrize("answer", ["a result", LookupError("mine")], ids=["a result", "an error"])
@pytest.mark.parametrize("answered", [[0], [1, 2], [0, 1, 2, 3]], ids=str)
async def test_whoever_answers_his_own_future_withdraws_the_row(answered: list[int], answer: Any) -> None:
    """While it is queued, like one who cancels it: the others are stored, and nobody waits for ever."""
    backend = MemoryBackend()
    async with BulkWriter[Any](backend) as writer:
        futures = [writer.submit({"id": number}) for number in range(4)]
        for place in answered:
            _answer(futures[place], answer)
        # Not by what flush counts: on Python 3.11 wait_for lets the loop turn before it begins.
        await asyncio.wait_for(writer.flush(), 10)
        figures = writer.statistics()
        assert (figures.inserted, figures.withdrawn) == (4 - len(answered), len(answered))
        assert figures.is_balanced
    assert len(backend.rows) == 4 - len(answered)


def _answer(future: asyncio.Future[Any], answer: Any) -> None:
    if isinstance(answer, Exception):
        future.set_exception(answer)
        future.exception()
    else:
        future.set_result(answer)


async def test_one_that_its_owner_answers_beside_one_whose_deadline_passed() -> None:
    """Each counts once: the one as stored, the other as unknown."""
    faults = FaultScript().hang()
    async with BulkWriter[Any](MemoryBackend(faults=faults)) as writer:
        late = writer.submit({"id": 1}, timeout=0.01)
        mine = writer.submit({"id": 2})
        await faults.wait_for("hang")
        with pytest.raises(OutcomeUnknownError):
            await late
        mine.set_result("mine")  # type: ignore[arg-type]
        faults.release()
        await writer.flush()
        figures = writer.statistics()
        assert figures.is_balanced
        assert (figures.inserted, figures.unknown) == (1, 1)
    await asyncio.sleep(0)

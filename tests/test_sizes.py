"""How much a row counts: an estimate that grows with it, and that nothing makes fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bulkwriter import BulkWriter, RowRejectedError, WriteResult
from bulkwriter.sizes import OF_VALUE, column_size, row_size
from bulkwriter.testing import MemoryBackend, MemoryTable


class Unruly(Mapping[str, int]):
    """A caller's own, which cannot even be read."""

    def __getitem__(self, key: str) -> int:
        raise LookupError(key)

    def __iter__(self) -> Iterator[str]:
        message = "not today"
        raise LookupError(message)

    def __len__(self) -> int:
        return 1


def nested(depth: int) -> Any:
    """Return lists within lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [Unruly(), nested(100_000)], ids=["unruly", "deep"])
def test_what_cannot_be_measured_counts_as_something(value: Any) -> None:
    """Whoever takes it next says what is wrong with it, if anything is."""
    assert OF_VALUE <= row_size((1, value)) < 10_000_000
    assert OF_VALUE <= column_size([1, value], {int, type(value)}) < 10_000_000


@pytest.mark.parametrize("depth", [300, 600, 100_000])
async def test_a_deep_value_is_its_own_rows_affair(depth: int) -> None:
    """Alone, in a run, and in a batch of one caller's own."""
    rows = [{"id": 1, "v": [1]}, {"id": 2, "v": nested(depth)}, {"id": 3, "v": [3]}]
    backend = MemoryBackend(MemoryTable(), on_conflict="update")
    async with BulkWriter[Any](backend) as writer:
        many = (await writer.insert_many(rows)).results
        batch = await backend.process_batch(rows)
        alone = await asyncio.gather(*map(writer.insert, rows), return_exceptions=True)
    for answers in (many, batch, alone):
        assert [isinstance(answer, WriteResult) for answer in answers[::2]] == [True, True]
        assert isinstance(answers[1], WriteResult | RowRejectedError)
    assert writer.statistics().is_balanced

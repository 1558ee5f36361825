"""How long a row waits for its next attempt: drawn at random, within a bound that doubles."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bulkwriter import BulkWriter, RetryPolicy, ThrottledError
from bulkwriter.testing import FaultScript, MemoryBackend
from tests.virtual_time import virtually

DRAWS = 2000


@pytest.mark.parametrize(("attempts", "bound"), [(1, 0.1), (2, 0.2), (5, 1.6), (8, 10.0), (5000, 10.0)])
def test_a_wait_is_anything_up_to_its_bound(attempts: int, bound: float) -> None:
    """Full jitter: the whole range is used, so that writers that failed together do not come back together."""
    policy = RetryPolicy(initial_backoff=0.1, max_backoff=10)
    waits = [policy.backoff(attempts) for _ in range(DRAWS)]
    assert all(0 <= wait <= bound for wait in waits)
    assert min(waits) < 0.1 * bound
    assert max(waits) > 0.9 * bound


@virtually
async def test_a_database_that_is_overloaded_is_left_alone_in_between() -> None:
    """Not asked as fast as it says no."""
    faults = FaultScript().throttle(times=-1)
    policy = RetryPolicy(initial_backoff=1, max_backoff=1, max_attempts=1_000_000, max_time=300)
    async with BulkWriter[Any](MemoryBackend(faults=faults), retry=policy) as writer:
        with pytest.raises(ThrottledError) as caught:
            await writer.insert({"id": 1})
        # Half a second each, on the average.
        assert 300 < caught.value.attempts < 1200
        # The row's own back-off, and then the writer's pace, may be in between when the time is over.
        assert 298 < asyncio.get_running_loop().time() <= 302


@virtually
async def test_the_wait_that_a_database_asks_for_is_kept() -> None:
    """Its own back-off is the least of it."""
    faults = FaultScript().throttle(20, times=3)
    policy = RetryPolicy(initial_backoff=0.001, max_backoff=0.001, max_time=100)
    async with BulkWriter[Any](MemoryBackend(faults=faults), retry=policy) as writer:
        assert (await writer.insert({"id": 1})).attempts == 4
        assert 60 <= asyncio.get_running_loop().time() < 61

"""How fast DynamoDB is written to: no limit until something is throttled, then what the table takes."""

from __future__ import annotations

import asyncio
import math

import pytest

from bulkwriter.backends.dynamodb.limit import CapacityLimit
from tests.virtual_time import virtually

UNITS = 25


class Throttling:
    """A table of so many units a second, with no more than a quarter of a second put by."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.written = self.offered = 0
        self._left = self._most = max(1.0, capacity / 4)
        self._at = 0.0

    def take(self, units: int) -> int:
        """Return how many of these units are written now."""
        now = asyncio.get_running_loop().time()
        self._left = min(self._most, self._left + (now - self._at) * self.capacity)
        self._at = now
        taken = min(units, int(self._left))
        self._left -= taken
        self.offered += units
        self.written += taken
        return taken


async def write(limit: CapacityLimit, table: Throttling, until: float) -> None:
    """Write as fast as the limit allows, a request after the other, and come back where it holds back."""
    while asyncio.get_running_loop().time() < until:
        units = max(1, int(min(UNITS, limit.portion)))
        began_at = await limit.begin(units, asyncio.get_running_loop().time())
        if began_at is None:
            await asyncio.sleep(limit.wait)
            continue
        await asyncio.sleep(0.01)
        written = table.take(units)
        limit.note(written, units - written, began_at)


@virtually
async def test_nothing_waits_until_something_is_throttled() -> None:
    """Whatever is written."""
    limit, loop = CapacityLimit(), asyncio.get_running_loop()
    for _ in range(1000):
        began_at = await limit.begin(UNITS, 0.0)
        assert began_at is not None
        limit.note(UNITS, 0, began_at)
    assert limit.rate == math.inf
    assert loop.time() == 0


@virtually
async def test_a_table_is_used_to_the_full_and_seldom_asked_for_more() -> None:
    """Sixteen writers, that could write fifty times as much."""
    limit, table = CapacityLimit(), Throttling(800)
    await asyncio.gather(*(write(limit, table, until=60) for _ in range(16)))
    assert table.written >= 0.95 * 60 * table.capacity
    assert table.offered <= 1.1 * table.written


@pytest.mark.parametrize("capacity", [5, 20, 100])
@virtually
async def test_a_small_table_is_used_to_the_full_and_not_asked_for_much_more(capacity: int) -> None:
    """Where a batch is more than what it takes in a second."""
    limit, table = CapacityLimit(), Throttling(capacity)
    await asyncio.gather(*(write(limit, table, until=120) for _ in range(16)))
    assert table.written >= 0.85 * 120 * table.capacity
    # Not counted what is asked for before the first is throttled.
    assert table.offered - 16 * UNITS <= 1.3 * table.written


@virtually
async def test_what_becomes_faster_is_found_out() -> None:
    """A table that scales up is used to the full again within half a minute."""
    limit, table = CapacityLimit(), Throttling(400)
    writers = asyncio.gather(*(write(limit, table, until=90) for _ in range(16)))
    await asyncio.sleep(30)
    table.capacity = 1600
    await asyncio.sleep(30)
    before = table.written
    await writers
    assert table.written - before >= 0.9 * 30 * table.capacity


@virtually
async def test_requests_begin_in_the_order_in_which_they_come() -> None:
    """Whatever each of them writes; and who would have to wait for long is not let in."""
    loop, limit, begun, refused = asyncio.get_running_loop(), CapacityLimit(), list[int](), list[int]()
    limit.note(100, 0, 0.0)
    limit.note(0, UNITS, 0.0)

    async def one(number: int) -> None:
        came_at = loop.time()
        is_let_in = await limit.begin(1 + number % 7 * 10, came_at) is not None
        (begun if is_let_in else refused).append(number)
        assert loop.time() - came_at <= 1

    await asyncio.gather(*(one(number) for number in range(100)))
    assert begun == list(range(len(begun)))
    assert len(begun) > 5
    assert refused
    assert not limit.is_off
    await asyncio.sleep(limit.wait)
    assert await limit.begin(1, loop.time()) is not None


@virtually
async def test_who_comes_late_and_need_not_wait_may_begin() -> None:
    """A loop that is busy must not keep everybody out for ever."""
    limit, loop = CapacityLimit(), asyncio.get_running_loop()
    limit.note(100, 0, 0.0)
    limit.note(0, UNITS, 0.0)
    came_at = loop.time()
    await asyncio.sleep(5)
    assert await limit.begin(10_000, came_at) == loop.time()
    assert await limit.begin(1, came_at) is None


@virtually
async def test_one_burst_lowers_the_rate_once() -> None:
    """What began before the rate was lowered tells nothing of the new one."""
    limit = CapacityLimit()
    limit.note(1000, 0, 0.0)
    limit.note(0, UNITS, 0.0)
    began_at = [await limit.begin(0, 0.0) for _ in range(16)]
    await asyncio.sleep(0.2)
    before = limit.rate
    for when in began_at:
        assert when is not None
        limit.note(0, UNITS, when)
        await asyncio.sleep(0.2)
    assert limit.rate == before * 0.7


@virtually
async def test_what_was_throttled_for_a_while_is_made_up_for_soon() -> None:
    """A table that took nothing for a second is used to the full again within ten."""
    limit, table = CapacityLimit(), Throttling(1000)
    writers = asyncio.gather(*(write(limit, table, until=40) for _ in range(16)))
    await asyncio.sleep(20)
    table.capacity = 0
    await asyncio.sleep(1)
    table.capacity = 1000
    await asyncio.sleep(10)
    before = table.written
    await writers
    assert table.written - before >= 0.9 * 9 * table.capacity


@virtually
async def test_a_lone_writer_is_not_slow_for_ever() -> None:
    """After a long time in which nothing could be written, a request at a time finds out that all is well."""
    limit, table = CapacityLimit(), Throttling(1000)
    writer = asyncio.ensure_future(write(limit, table, until=60))
    await asyncio.sleep(5)
    table.capacity = 0
    await asyncio.sleep(20)
    table.capacity = 1000
    await asyncio.sleep(15)
    before = table.written
    await writer
    assert table.written - before >= 0.9 * 20 * table.capacity


@virtually
async def test_a_limit_that_is_not_needed_is_forgotten() -> None:
    """Ten seconds after the last that was throttled."""
    limit, table = CapacityLimit(), Throttling(100)
    writer = asyncio.ensure_future(write(limit, table, until=60))
    await asyncio.sleep(10)
    assert limit.rate < math.inf
    table.capacity = 100_000
    await writer
    assert limit.rate == math.inf


@virtually
async def test_what_fails_tells_nothing_of_the_capacity() -> None:
    """Requests that are refused at once would make it grow without end."""
    limit = CapacityLimit()
    limit.note(100, 0, 0.0)
    limit.note(0, UNITS, 0.0)
    before = limit.rate
    for _ in range(100):
        await asyncio.sleep(0.2)
        limit.note(0, 0, asyncio.get_running_loop().time())
    assert limit.rate == before

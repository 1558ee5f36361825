"""How much is written a second: as much as the table takes, found out from what it throttles."""

from __future__ import annotations

import asyncio
import math
from typing import Final

# Once a step it gives way by so much of what was throttled, or grows by so much. Of a simulated table of 800 units a
# second or more, with a quarter of a second put by, all is used then, at 1.03 to 1.07 attempts a row; where it gave way
# by a tenth, whatever share was throttled, it was 93 % at 1.09.
_STEP: Final = 0.1
_YIELD: Final = 0.3
_GROWTH: Final = 1.01

# Where nothing has been throttled for so many seconds, it grows faster with each further one: what was throttled for a
# reason that has gone, such as a partition that has been split, is made up for within seconds.
_CALM: Final = 2.0
_GROWTH_OF_GROWTH: Final = 0.02
_MOST_GROWTH: Final = 0.14
_FORGOTTEN: Final = 10.0
"""Seconds without anything throttled, after which there is no limit any more."""

# Seconds over which is counted what is written, and within which it is not yet worth counting.
_WINDOW: Final = 0.5
_MOMENT: Final = 0.05

_LEAST: Final = 25.0
"""Units a second, below which nothing is asked to go slower: what a batch of small rows takes."""

_LONGEST: Final = 2.0
"""Seconds that the first in line is made to wait at most: it does so within its attempt, whose time is limited."""

_HEADROOM: Final = 2.0
"""How many times as much as is written may be allowed: who has allowed any more needs long to give way again."""


class CapacityLimit:
    """Lets requests begin in the order in which they come, at a rate that adapts to what is throttled (AIMD).

    Until something is throttled there is no limit. Then what is allowed is what has just been written, and from there
    it falls with whatever is throttled, and rises with whatever is not.

    Attributes:
        rate: Units of write capacity a second.
    """

    def __init__(self) -> None:
        self.rate: float = math.inf
        self._line = asyncio.Lock()
        self._free_at = 0.0
        self._changed_at = 0.0
        self._gave_way_at = 0.0
        self._counted_from = 0.0
        self._written = 0.0
        self._throughput = 0.0

    @property
    def is_off(self) -> bool:
        """Whether there is none: nothing has been throttled for a while."""
        return self.rate == math.inf

    async def wait(self, units: int) -> float:
        """Wait until a request of so many units may begin, and return when it does, for ``note``."""
        clock = asyncio.get_running_loop().time
        if self.is_off:
            return clock()
        # Only the first in line knows when it begins: who comes later has its time from the rate that is then.
        async with self._line:
            now = clock()
            begins_at = min(max(now, self._free_at), now + _LONGEST)
            if begins_at > now:
                await asyncio.sleep(begins_at - now)
            self._free_at = begins_at + units / self.rate
        return begins_at

    def note(self, written: int, throttled: int, began_at: float) -> None:
        """Learn from the answer to a request.

        Args:
            written: Units that were written.
            throttled: Units that were not, for want of capacity.
            began_at: When it began.
        """
        now = asyncio.get_running_loop().time()
        self._count(written, now)
        since = now - self._changed_at
        if throttled and self.is_off:
            # The first to be throttled: what was written meanwhile is the best guess.
            self.rate = max(_LEAST, self._throughput or self._written / max(now - self._counted_from, _MOMENT))
            self._free_at = self._changed_at = self._gave_way_at = now
        elif throttled and began_at >= self._changed_at and since >= _STEP:
            # What began before the rate was lowered tells nothing of the new one.
            self.rate = max(_LEAST, self.rate * (1 - _YIELD * throttled / (written + throttled)))
            self._changed_at = self._gave_way_at = now
        elif written and not throttled and now - self._gave_way_at > _FORGOTTEN:
            self.rate = math.inf
        elif written and not throttled and not self.is_off and since >= _STEP:
            # Nothing measured, nothing to hold it back.
            most = max(self.rate, _HEADROOM * self._throughput) if self._throughput else math.inf
            growth = _GROWTH + min(_MOST_GROWTH, _GROWTH_OF_GROWTH * max(0.0, now - self._gave_way_at - _CALM))
            self.rate = min(self.rate * growth ** (since / _STEP), most)
            self._changed_at = now

    def _count(self, written: int, now: float) -> None:
        """Count what is written, from one window of time to the next."""
        elapsed = now - self._counted_from
        if elapsed > 4 * _WINDOW:
            # Nothing was written for a while, which says nothing of what could be.
            self._counted_from, self._written, self._throughput, elapsed = now, 0.0, 0.0, 0.0
        self._written += written
        if elapsed >= _WINDOW:
            self._throughput = self._written / elapsed
            self._counted_from, self._written = now, 0.0

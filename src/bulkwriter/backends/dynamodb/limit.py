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

_LEAST: Final = 1.0
"""Units a second, below which nothing is asked to go slower."""

_PATIENCE: Final = 0.1
"""Seconds that the line is long at most: who waits there does so in an attempt, and may be in doubt if it ends."""

_PORTION: Final = 0.2
"""Seconds of what may be written that one request takes at most: in small portions, less of it is throttled."""

_LONGEST: Final = 10.0
"""Seconds that one request makes the next one wait at most: large items, on a table that has become slow."""

_MOST_STEPS: Final = 10
"""Steps by which it grows at once, however long ago the last request was."""

_HEADROOM: Final = 2.0
"""How many times as much as is written may be allowed: who has allowed any more needs long to give way again."""


class CapacityLimit:
    """Lets requests begin in the order in which they come, at a rate that adapts to what is throttled (AIMD).

    Until something is throttled there is no limit. Then what is allowed is what has just been written, and from there
    it falls with whatever is throttled, and rises with whatever is not.

    The line is short. Who finds it full is to come back later, and to wait somewhere else until then.

    Attributes:
        rate: Units of write capacity a second.
    """

    def __init__(self) -> None:
        self.rate: float = math.inf
        self._line = asyncio.Lock()
        self._in_line = 0
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

    @property
    def portion(self) -> float:
        """Units that one request should take at most, if it has more than one row."""
        return self.rate * _PORTION

    @property
    def is_full(self) -> bool:
        """Whether the line is so long that ``begin`` would let nobody in."""
        return self._length() > _PATIENCE

    @property
    def wait(self) -> float:
        """Seconds after which to come back, for who was not let in: when the line is at its end."""
        return max(self._length(), _MOMENT)

    async def begin(self, units: int, came_at: float) -> float | None:
        """Wait in line until a request of so many units may begin.

        Args:
            units: What it takes.
            came_at: When its rows came, in the loop's time: rows that need many requests wait no longer than others.

        Returns:
            When it begins, for ``note``; ``None`` if it may not, since that would be too long to wait for.
        """
        clock = asyncio.get_running_loop().time
        if self.is_off:
            return clock()
        length = self._length()
        # Who need not wait may begin, also where the loop is so busy that it was long on its way here.
        if length and clock() + length > came_at + _PATIENCE:
            return None
        # It may go slower from now on.
        latest = came_at + 2 * _PATIENCE
        self._in_line += units
        try:
            # Only the first in line knows when it begins: who comes later has its time from the rate that is then.
            async with self._line:
                now = clock()
                begins_at = max(now, self._free_at)
                if begins_at > max(now, latest):
                    return None
                if begins_at > now:
                    await asyncio.sleep(begins_at - now)
                # Who comes a little too late, since the loop is busy, keeps nobody waiting for it.
                self._free_at = max(self._free_at, now - _PORTION) + min(units / self.rate, _LONGEST)
        finally:
            self._in_line -= units
        return begins_at

    def _length(self) -> float:
        """Return the seconds until all who are in line have begun, as far as can be known."""
        if self.is_off:
            return 0.0
        return max(0.0, self._free_at - asyncio.get_running_loop().time()) + self._in_line / self.rate

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
            self.rate = min(self.rate * growth ** min(since / _STEP, _MOST_STEPS), most)
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

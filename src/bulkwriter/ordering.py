"""Order by key: at most one row of a key is on its way, and the others stand in line behind it.

That is what keeps updates, skips and deletes of one key in the order in which they were accepted, whatever is
retried, throttled or written side by side: a row is on its way from the moment it enters the queue until its fate is
known, retries included.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from bulkwriter.batches import Parcel


class KeyOrder:
    """Who is on its way, and who stands in line."""

    __slots__ = ("_lines", "_on_the_way", "rows_in_line")

    def __init__(self) -> None:
        # More than one only for plain inserts that were under way when the first delete made order matter.
        self._on_the_way: dict[Hashable, int] = {}
        self._lines: dict[Hashable, deque[Parcel]] = {}
        self.rows_in_line: int = 0

    def __iter__(self) -> Iterator[Parcel]:
        for line in self._lines.values():
            yield from line

    def claim(self, key: Hashable) -> bool:
        """Let a row go if no other of its key is on its way. Returns whether it may; else it must stand in line."""
        if key in self._on_the_way:
            return False
        self._on_the_way[key] = 1
        return True

    def claim_all(self, keys: Sequence[Hashable | None]) -> bool:
        """Let many rows go if no other of any of their keys is on its way. Returns whether they may; else none may.

        Rows without a key are not for this.
        """
        if not self.are_free(keys):
            return False
        self._on_the_way.update(dict.fromkeys(keys, 1))
        return True

    def are_free(self, keys: Sequence[Hashable | None]) -> bool:
        """Whether ``claim_all`` would let many rows go."""
        distinct = set(keys)
        # Asked the other way round, a set would look at every key that is on its way.
        is_free = self._on_the_way.keys().isdisjoint(distinct)
        return is_free and len(distinct) == len(keys) and None not in distinct

    def claim_anyway(self, key: Hashable) -> None:
        """Note a row that is on its way already."""
        self._on_the_way[key] = self._on_the_way.get(key, 0) + 1

    def stand_in_line(self, key: Hashable, parcel: Parcel) -> None:
        """Put a row behind the others of its key."""
        self._lines.setdefault(key, deque()).append(parcel)
        self.rows_in_line += 1

    def release(self, key: Hashable) -> bool:
        """Note that the row on its way has met its fate. Returns whether somebody stands in line: claimed for them."""
        others = self._on_the_way[key] - 1
        if others:
            self._on_the_way[key] = others
            return False
        if key in self._lines:
            self._on_the_way[key] = 1
            return True
        del self._on_the_way[key]
        return False

    def release_all(self, keys: Sequence[Hashable | None]) -> list[Hashable]:
        """Note that rows that went together have met their fate.

        Args:
            keys: What ``claim_all`` was given.

        Returns:
            The keys in which somebody stands in line: claimed for them.
        """
        waiting = [key for key in keys if key in self._lines] if self._lines else []
        on_the_way = self._on_the_way
        for key in keys:
            del on_the_way[key]
        on_the_way.update(dict.fromkeys(waiting, 1))
        return waiting

    def has_line(self, key: Hashable) -> bool:
        """Whether somebody stands in line behind this key."""
        return key in self._lines

    @property
    def has_lines(self) -> bool:
        """Whether anybody stands in line at all."""
        return bool(self._lines)

    def first_in_line(self, key: Hashable) -> Parcel | None:
        """Return who stands first behind this key, without taking it out."""
        line = self._lines.get(key)
        return line[0] if line else None

    def take(self, key: Hashable) -> Parcel | None:
        """Take the first one out of this key's line."""
        line = self._lines.get(key)
        if line is None:
            return None
        parcel = line.popleft()
        self.rows_in_line -= 1
        if not line:
            del self._lines[key]
        return parcel

    def take_gone(self) -> list[Parcel]:
        """Take out, of all lines, the rows whose callers have gone."""
        gone: list[Parcel] = []
        for key, line in list(self._lines.items()):
            kept = deque(parcel for parcel in line if not parcel.waiter.done())
            if len(kept) == len(line):
                continue
            gone += [parcel for parcel in line if parcel.waiter.done()]
            if kept:
                self._lines[key] = kept
            else:
                del self._lines[key]
        self.rows_in_line -= len(gone)
        return gone

    def take_any(self) -> Parcel | None:
        """Take one out of any line, to tell it that it will not be sent."""
        key = next(iter(self._lines), None)
        return None if key is None and not self._lines else self.take(key)

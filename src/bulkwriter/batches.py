"""The queue: accepted rows, gathered into batches as they arrive.

A row is appended to the batch being filled in its lane, so a batch that leaves is ready-made: nothing is copied, and
a queue of a million rows costs no more a row than one of ten. Only rows of one lane and one epoch share a batch; a
lane is whatever may not be mixed (a set of columns, a delete), an epoch ends with each flush.
"""

from __future__ import annotations

import contextvars
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from bulkwriter.statistics import Tally


class Batch:
    """Rows that leave together.

    ``items`` and ``waiters`` run side by side: the waiter at a place is settled with the answer to the item there.
    """

    __slots__ = (
        "context",
        "deadlines",
        "early",
        "entered",
        "epoch",
        "has_reply",
        "has_slot",
        "is_due",
        "items",
        "key",
        "keys",
        "lane",
        "may_be_topped_up",
        "opened_at",
        "records",
        "settled",
        "size",
        "sizes",
        "task",
        "waiters",
    )

    def __init__(self, lane: Any, epoch: Tally, opened_at: float, *, key: Any = None, is_due: bool = False) -> None:
        self.lane: Any = lane
        # Where the queue finds it while it is being filled: its lane, with the epoch beside it once that is past.
        self.key: Any = lane if key is None else key
        self.epoch: Tally = epoch
        self.opened_at: float = opened_at
        # Somebody asked for it to leave now: a flush, a stop, or a caller that filled it at once.
        self.is_due: bool = is_due
        # Rows that come back for another attempt leave room: it is filled from the batches behind when they leave.
        self.may_be_topped_up: bool = False
        self.items: list[Any] = []
        self.waiters: Sequence[Any] = []
        self.size: int = 0
        # The bytes of each row, kept where a byte limit makes them matter after the row has entered.
        self.sizes: list[int] | None = None
        # The keys that one caller's whole batch has claimed, for as long as it is whole.
        self.keys: Sequence[Hashable | None] | None = None
        # A deadline for each place, or None as long as no row has one: the common row pays nothing for it.
        self.deadlines: list[float] | None = None
        # What is remembered of rows that were tried before, by place; the common batch has none.
        self.records: dict[int, Any] | None = None
        # The batch runs in the context of its first caller, as a task that caller had started would.
        self.context: contextvars.Context = contextvars.copy_context()
        self.task: asyncio.Task[None] | None = None
        # Set for a caller who waits until its batch has found room in the queue.
        self.entered: asyncio.Future[None] | None = None
        self.has_slot: bool = False
        # What became of its rows is known, and they are being told.
        self.has_reply: bool = False
        # Once in flight: the places before `settled` are answered for good, and `early` rows beyond it have heard that
        # their deadline passed. Whoever settles goes on from there, so that no row is counted twice.
        self.settled: int = 0
        self.early: int = 0

    @property
    def unanswered(self) -> int:
        """Rows in flight that have no answer yet."""
        return len(self.waiters) - self.settled - self.early

    def record_of(self, place: int) -> Any:
        """Return what is remembered of the row at this place; ``None`` if nothing is."""
        return None if self.records is None else self.records.get(place)


class Parcel:
    """A row that waits outside the queue, with all that it takes along when it goes in."""

    __slots__ = ("context", "deadline", "epoch", "item", "lane", "parked_at", "record", "size", "timer", "waiter")

    def __init__(self, item: Any, waiter: Any, lane: Any, size: int, epoch: Tally) -> None:
        self.item: Any = item
        self.waiter: Any = waiter
        self.lane: Any = lane
        self.size: int = size
        self.epoch: Tally = epoch
        self.deadline: float | None = None
        self.record: Any = None
        self.timer: asyncio.TimerHandle | None = None
        # Set while it waits for a place: since when, and whose context the batch is to have that it opens.
        self.parked_at: float | None = None
        self.context: contextvars.Context | None = None


class BatchQueue:
    """Batches in the order in which they were opened: those still being filled, and those that are full."""

    __slots__ = ("_full", "filling")

    def __init__(self) -> None:
        # Public, since the hot path looks into it: the batch being filled under each key.
        self.filling: dict[Any, Batch] = {}
        self._full: deque[Batch] = deque()

    def __iter__(self) -> Iterator[Batch]:
        yield from self._full
        yield from self.filling.values()

    def __len__(self) -> int:
        return len(self._full) + len(self.filling)

    @property
    def rows(self) -> int:
        """Rows in all of its batches."""
        return sum(len(batch.items) for batch in self)

    def open(self, batch: Batch) -> None:
        """Begin to fill this batch under its key, which must have none."""
        self.filling[batch.key] = batch

    def seal(self, batch: Batch) -> None:
        """Close a batch that is full: it may leave as soon as a slot is free."""
        del self.filling[batch.key]
        self.push(batch)

    def push(self, batch: Batch) -> None:
        """Append a batch that is full already."""
        self._full.append(batch)

    def put_back(self, batch: Batch) -> None:
        """Put a batch whose rows come back from an attempt before all that were opened later."""
        later = (place for place, other in enumerate(self._full) if other.opened_at >= batch.opened_at)
        self._full.insert(next(later, len(self._full)), batch)

    def seal_all(self) -> None:
        """Close every batch that is being filled, in the order in which they were opened."""
        for batch in list(self.filling.values()):
            batch.is_due = True
            self.seal(batch)

    def oldest_full(self) -> Batch | None:
        """Return the full batch that was opened first."""
        return self._full[0] if self._full else None

    def oldest_filling(self) -> Batch | None:
        """Return the batch being filled that was opened first."""
        # Dictionaries keep their order, and a batch is entered when it is opened: the first is the oldest.
        return next(iter(self.filling.values()), None)

    def next_filling(self) -> Batch | None:
        """Return the batch being filled that may leave first: one that is due, else the oldest."""
        oldest = self.oldest_filling()
        if oldest is None or oldest.is_due:
            return oldest
        # Rows that a flush waits for may stand behind a lane that still lingers; lanes are few.
        return next((batch for batch in self.filling.values() if batch.is_due), oldest)

    def remove(self, batch: Batch) -> None:
        """Take a batch out."""
        if self.filling.get(batch.key) is batch:
            del self.filling[batch.key]
        elif self._full[0] is batch:
            self._full.popleft()
        else:
            self._full.remove(batch)

    def seal_one(self, batch: Batch) -> None:
        """Close a batch, if it is still being filled."""
        if self.filling.get(batch.key) is batch:
            self.seal(batch)

    def top_up(self, batch: Batch, max_rows: float, max_bytes: float, sizes_of: Callable[[Batch], list[int]]) -> None:
        """Fill a batch that has left the queue with the first rows of the batches behind it, where they may mix."""
        for donor in list(self):
            if donor.lane is not batch.lane or donor.epoch is not batch.epoch:
                continue
            if not isinstance(donor.waiters, list):
                # One caller's whole batch: from here on its rows are answered one by one.
                donor.waiters = donor.waiters[:]
            if donor.size and donor.sizes is None:
                donor.sizes = sizes_of(donor)
            if not _move(donor, batch, max_rows, max_bytes):
                return
            if donor.items:
                # One that is still half full leaves as it is: else every batch behind it would be taken apart in turn.
                donor.may_be_topped_up = 2 * len(donor.items) < max_rows
                return
            self.remove(donor)


def _move(donor: Batch, batch: Batch, max_rows: float, max_bytes: float) -> int:
    """Move the first rows of ``donor`` to the end of ``batch``, as many as fit, and return how many that were."""
    rows, size = 0, 0
    room = max_rows - len(batch.items)
    while rows < min(room, len(donor.items)):
        more = 0 if donor.sizes is None else donor.sizes[rows]
        if batch.size + size + more > max_bytes:
            break
        rows, size = rows + 1, size + more
    start = len(batch.items)
    if donor.deadlines:
        batch.deadlines = batch.deadlines or []
        batch.deadlines.extend([float("inf")] * (start - len(batch.deadlines)))
        batch.deadlines.extend(donor.deadlines[:rows])
        donor.deadlines = donor.deadlines[rows:]
    if donor.records:
        batch.records = batch.records or {}
        batch.records.update({start + place: record for place, record in donor.records.items() if place < rows})
        donor.records = {place - rows: record for place, record in donor.records.items() if place >= rows}
    batch.items.extend(donor.items[:rows])
    batch.waiters = [*batch.waiters, *donor.waiters[:rows]]
    del donor.items[:rows]
    donor.waiters = list(donor.waiters[rows:])
    if donor.sizes is not None and batch.sizes is not None:
        batch.sizes.extend(donor.sizes[:rows])
        del donor.sizes[:rows]
    batch.size += size
    donor.size -= size
    return rows

"""The way in: who is accepted, who waits for a place, and who leaves the queue unsent."""

from __future__ import annotations

import abc
import asyncio
import contextvars
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from bulkwriter.batches import Batch, BatchQueue, Parcel
from bulkwriter.errors import (
    BatcherStoppedError,
    BulkWriterError,
    MisconfigurationError,
    QueueFullError,
    RowTooLargeError,
)
from bulkwriter.limits import UNLIMITED, QueueLimits
from bulkwriter.statistics import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# A queue of so many rows is looked through for each caller that finds it full: that takes no longer than refusing it.
ALWAYS_SWEPT = 100
# Turns of the loop in which the first of a batch that has made room gets to the database. Were the next rows read in
# these, the server would wait for as long as that takes.
TURNS_TO_LEAVE = 2


class Intake(abc.ABC):
    """Takes rows in, within the limits, in order of arrival.

    Every accepted row has exactly one waiter and is in exactly one place: waiting for a place in the queue, queued,
    or where a layer above has put it.
    """

    # What the hot path reads and writes for each row. An instance with more than 30 attributes of its own loses
    # CPython's quick way to them, and all layers together have more.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_counts_bytes",
        "_door",
        "_epoch",
        "_filling",
        "_is_closing",
        "_last_columns",
        "_last_plan",
        "_loop",
        "_max_bytes",
        "_max_queued",
        "_max_queued_bytes",
        "_max_rows",
        "_new_future",
        "_queue",
        "_queued",
        "_queued_bytes",
        "_reader",
        "_ready_plans",
        "_waiting",
    )

    def __init__(self, limits: QueueLimits, name: str | None) -> None:
        self._limits = limits
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closing = False
        self._new_future: Callable[[], asyncio.Future[Any]] = _new_future

        self._max_rows = _or_infinity(limits.max_batch_size)
        self._max_bytes = _or_infinity(limits.max_batch_bytes)
        self._max_queued = _or_infinity(limits.max_queue_size)
        self._max_queued_bytes = _or_infinity(limits.max_queue_bytes)
        # The one number that the hot path asks: how many rows may be queued without a closer look. -1 while the door
        # is shut, and where every row needs that look; so in a batcher whose bytes count.
        self._open_door = -1 if limits.counts_bytes else self._max_queued
        self._door = self._open_door

        self._counts_bytes = limits.counts_bytes

        self._queue = BatchQueue()
        self._filling = self._queue.filling
        self._queued = 0
        self._queued_bytes = 0
        # Parcels, and whole batches of one caller, in order of arrival: nobody overtakes who waits for a place.
        self._waiting: deque[Parcel | Batch] = deque()
        self._epoch = Tally()
        self._next_sweep_at = 0.0

    # What the layers above add.

    @abc.abstractmethod
    def _schedule_pump(self) -> None:
        """Look, before this turn of the loop is over, whether a batch may leave."""

    @abc.abstractmethod
    def _close_epochs(self) -> None:
        """Wake the flushes whose rows have all been answered."""

    @abc.abstractmethod
    def _ring_at(self, when: float) -> None:
        """Look at the deadlines at this time, in the loop's time, if not earlier."""

    def _load(self) -> int:
        """Rows that count for ``max_queue_size``."""
        return self._queued

    def _sizes_of(self, batch: Batch) -> list[int]:
        """Measure the rows of a batch of which only the sum was kept."""
        return [0] * len(batch.items)

    def _drop_parked(self) -> None:  # noqa: B027 - the generic core needs none
        """Take out the rows that wait where a layer above has put them, and whose callers have gone."""

    def _may_join(self, batch: Batch, since: float) -> bool:  # noqa: ARG002
        """Whether a row that has waited since then may share a batch with those in it."""
        return True

    def _on_dropped(self, batch: Batch, place: int) -> None:  # noqa: B027 - the generic core needs none
        """Note that the row at this place of a queued batch will never be sent."""

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make this loop the one that the dispatcher lives on."""
        if self._loop is not None:
            message = f"{self._label()} belongs to another event loop: make a new one for each loop"
            raise MisconfigurationError(message)
        self._loop = loop
        # A future finds the running loop itself in two thirds of the time that it takes to be told which one it is.
        # Other loops may make futures of their own.
        is_plain = type(loop.create_future()) is asyncio.Future
        self._new_future = asyncio.Future if is_plain else _new_future

    def _put(self, item: Any, waiter: Any, lane: Any, size: int, epoch: Tally) -> Batch:
        """Append a row to the batch being filled in its lane, and seal the batch if that filled it."""
        key = lane if epoch is self._epoch else (lane, epoch)
        batch = self._queue.filling.get(key)
        if batch is None:
            batch = self._open_batch(lane, key, epoch)
        elif size and batch.size + size > self._max_bytes:
            self._seal(batch)
            batch = self._open_batch(lane, key, epoch)
        batch.items.append(item)
        batch.waiters.append(waiter)  # type: ignore[attr-defined]
        self._queued += 1
        if self._counts_bytes:
            # Also where the row weighs nothing: the sizes stand side by side with the rows.
            if batch.sizes is None:
                batch.sizes = []
            batch.sizes.append(size)
            batch.size += size
            self._queued_bytes += size
        if len(batch.items) >= self._max_rows or batch.size >= self._max_bytes:
            self._seal(batch)
        return batch

    def _open_batch(self, lane: Any, key: Any, epoch: Tally) -> Batch:
        # A batch of a past epoch holds rows that a flush is waiting for; in a stop nothing lingers at all.
        is_due = self._is_closing or epoch is not self._epoch
        batch = Batch(lane, epoch, self._now(), key=key, is_due=is_due)
        self._queue.open(batch)
        self._schedule_pump()
        return batch

    def _seal(self, batch: Batch) -> None:
        self._queue.seal(batch)
        self._schedule_pump()

    def _may_enter(self, rows: int, size: int) -> bool:
        """Whether the queue has room. One caller's batch that exceeds the limits by itself enters an empty queue."""
        load = self._load()
        if not load:
            return True
        return load + rows <= self._max_queued and self._queued_bytes + size <= self._max_queued_bytes

    def _park(self, parcel: Parcel | Batch) -> None:
        """Let a row, or one caller's whole batch, wait for a place. Nobody is admitted before it."""
        if isinstance(parcel, Parcel):
            parcel.parked_at, parcel.context = self._now(), contextvars.copy_context()
        self._waiting.append(parcel)
        self._door = -1
        self._schedule_pump()

    def _admit(self) -> None:
        """Let in those who wait for a place, in order of arrival, as far as there are places."""
        waiting = self._waiting
        while waiting:
            first = waiting[0]
            if isinstance(first, Batch):
                if first.entered is not None and first.entered.cancelled():
                    # Its caller has gone: it must not stand in the way of those behind it until it would fit.
                    waiting.popleft()
                    first.epoch.add("withdrawn", len(first.items))
                    self._close_epochs()
                    continue
                if not self._may_enter(len(first.items), first.size):
                    return
                waiting.popleft()
                first.context.run(self._enter, first)
            elif first.waiter.done():
                waiting.popleft()
                self._withdraw(first.epoch, first.waiter)
                self._close_epochs()
            elif self._may_enter(1, first.size):
                waiting.popleft()
                if first.context is None:
                    self._enter_parcel(first)
                else:
                    # This may run at the end of somebody else's batch; what it opens has its own caller's context.
                    first.context.run(self._enter_parcel, first)
            else:
                return
        if not self._is_closing:
            self._door = self._open_door

    async def _enter_in_turn(self, *batches: Batch) -> None:
        """Queue one caller's batches, after those who wait already and as soon as there is room."""
        parked = self._enter_or_park(batches)
        if not parked:
            # A long run of rows must not keep the loop from everybody else.
            await asyncio.sleep(0)
            return
        await self._entered(parked)
        for _ in range(TURNS_TO_LEAVE):
            await asyncio.sleep(0)

    def _enter_or_park(self, batches: Iterable[Batch]) -> list[asyncio.Future[None]]:
        """Accept one caller's batches; return what is done when those have entered that must wait for room.

        They are accepted at once, all of them: nobody's rows, no flush and no stop come between.
        """
        assert self._loop is not None
        parked: list[asyncio.Future[None]] = []
        for batch in batches:
            # Since it was made a flush may have ended its epoch, which nobody looks into any more.
            batch.epoch = self._epoch
            batch.epoch.accepted += len(batch.items)
            if not self._waiting and self._may_enter(len(batch.items), batch.size):
                self._enter(batch)
            else:
                batch.entered = self._loop.create_future()
                parked.append(batch.entered)
                self._park(batch)
        return parked

    async def _entered(self, parked: list[asyncio.Future[None]]) -> None:
        """Wait until there was room for everything in this list, which is empty then."""
        try:
            while parked:
                # They enter in this order.
                await parked[0]
                del parked[0]
        except asyncio.CancelledError:
            for entered in parked:
                entered.cancel()
            raise

    def _enter(self, batch: Batch) -> None:
        """Queue one caller's batch: as it is if it is full, else among the rows of others."""
        if batch.entered is not None and not batch.entered.done():
            batch.entered.set_result(None)
        if isinstance(batch.waiters, list):
            sizes = batch.sizes or [0] * len(batch.items)
            for item, waiter, size in zip(batch.items, batch.waiters, sizes, strict=True):
                self._enter_row(item, waiter, size, batch)
        else:
            # Rows that came before it leave before it: a full batch would overtake one that still lingers.
            ahead = self._filling.get(batch.key)
            if ahead is not None:
                self._queue.seal(ahead)
            self._queue.push(batch)
            self._queued += len(batch.items)
            self._queued_bytes += batch.size
            if batch.deadlines:
                self._ring_at(min(batch.deadlines))
            self._schedule_pump()

    def _enter_row(self, item: Any, waiter: Any, size: int, batch: Batch) -> None:
        """Queue one row of one caller's batch."""
        entered = self._put(item, waiter, batch.lane, size, batch.epoch)
        entered.opened_at = min(entered.opened_at, batch.opened_at)

    def _enter_parcel(self, parcel: Parcel) -> None:
        """Queue a parked row."""
        if parcel.timer is not None:
            parcel.timer.cancel()
        if parcel.parked_at is not None:
            ahead = self._filling.get(parcel.lane if parcel.epoch is self._epoch else (parcel.lane, parcel.epoch))
            if ahead is not None and not self._may_join(ahead, parcel.parked_at):
                self._seal(ahead)
        batch = self._put(parcel.item, parcel.waiter, parcel.lane, parcel.size, parcel.epoch)
        place = len(batch.items) - 1
        if parcel.parked_at is not None:
            # Its age counts from the call, not from the moment when it found a place.
            batch.opened_at = min(batch.opened_at, parcel.parked_at)
        if parcel.deadline is not None:
            self._set_deadline(batch, place, parcel.deadline)
        if parcel.record is not None:
            self._set_record(batch, place, parcel.record)

    def _set_record(self, batch: Batch, place: int, record: Any) -> None:
        if batch.records is None:
            batch.records = {}
        batch.records[place] = record

    def _set_deadline(self, batch: Batch, place: int, deadline: float) -> None:
        """Note when the row at this place must have its answer, in the loop's time."""
        if batch.deadlines is None:
            batch.deadlines = []
        missing = place + 1 - len(batch.deadlines)
        batch.deadlines.extend([float("inf")] * missing)
        batch.deadlines[place] = deadline
        self._ring_at(deadline)

    def _refusal(self, size: int) -> BulkWriterError | None:
        """Say why a row cannot enter now; ``None`` if it can after all."""
        if self._is_closing:
            return BatcherStoppedError(f"{self._label()} has been stopped: nothing is accepted any more")
        if size > self._max_queued_bytes:
            return self._too_large(size)
        if self._waiting or not self._may_enter(1, size):
            self._sweep()
        if self._waiting or not self._may_enter(1, size):
            return QueueFullError(f"{self._label()} is full: {self._load():,} rows are queued")
        return None

    def _too_large(self, size: int) -> RowTooLargeError:
        limit = self._limits.max_queue_bytes
        return RowTooLargeError(f"{self._label()}: {size:,} bytes exceed max_queue_bytes, which is {limit:,}")

    def _on_cancel(self) -> None:
        """A caller was cancelled: whoever waits for a place may have it now."""
        if self._waiting:
            self._sweep()
        if self._is_closing:
            self._schedule_pump()

    def _sweep(self) -> None:
        """Free the places of callers that were cancelled; those are found at the latest when their batch leaves."""
        # Not by the loop's clock, which may stand still for as long as a turn takes: uvloop's does.
        began = time.perf_counter()
        if began < self._next_sweep_at:
            return
        is_long = self._load() > ALWAYS_SWEPT
        for batch in list(self._queue):
            self._drop_withdrawn(batch)
            if not batch.items:
                self._queue.remove(batch)
        self._drop_parked()
        if is_long:
            # Looking at every row for each refused caller would make an overload worse: a tenth of the time at most.
            ended = time.perf_counter()
            self._next_sweep_at = ended + 10 * (ended - began)
        self._admit()

    def _drop_withdrawn(self, batch: Batch) -> None:
        """Take out the rows whose callers have gone."""
        waiters = batch.waiters
        if not _may_have_gone(waiters):
            return
        gone = [place for place, waiter in enumerate(waiters) if waiter.done()]
        if not gone:
            return
        for place in gone:
            self._withdraw(batch.epoch, waiters[place])
            self._on_dropped(batch, place)
        freed = self._take_out(batch, gone)
        self._queued -= len(gone)
        self._queued_bytes -= freed
        self._close_epochs()

    def _take_out(self, batch: Batch, places: Sequence[int]) -> int:
        """Take rows out of a queued batch and return how many bytes they were."""
        gone = set(places)
        kept = [place for place in range(len(batch.items)) if place not in gone]
        freed = 0
        if batch.sizes is not None or batch.size:
            sizes = batch.sizes or self._sizes_of(batch)
            freed = sum([sizes[place] for place in places])
            batch.sizes = [sizes[place] for place in kept]
        if batch.deadlines is not None:
            deadlines = batch.deadlines
            batch.deadlines = [deadlines[place] for place in kept if place < len(deadlines)]
        if batch.records is not None:
            records = batch.records
            batch.records = {new: records[old] for new, old in enumerate(kept) if old in records}
        waiters = batch.waiters
        batch.items = [batch.items[place] for place in kept]
        batch.waiters = [waiters[place] for place in kept]
        batch.size -= freed
        return freed

    def _withdraw(self, epoch: Tally, waiter: Any) -> None:
        """Count a row that left the queue because nobody waits for it any more."""
        # Who was told of a passed deadline was counted then.
        if has_gone(waiter):
            epoch.add("withdrawn")

    def _label(self) -> str:
        return f"{type(self).__name__} {self._name}" if self._name else type(self).__name__

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()


def has_gone(waiter: Any) -> bool:
    """Whether the caller of a row that was not sent has gone, for a waiter that is done.

    Who called ``submit`` may have cancelled the future, or answered it himself. From us it can only have an error.
    """
    if waiter.cancelled():
        return True
    return isinstance(waiter, asyncio.Future) and not isinstance(waiter.exception(), BulkWriterError)


def _new_future() -> asyncio.Future[Any]:
    """Return a future of the running loop, made as that loop makes them."""
    return asyncio.get_running_loop().create_future()


def _may_have_gone(waiters: Sequence[Any]) -> bool:
    """Whether a caller can have gone: asked before looking at each."""
    if type(waiters) is not list:
        return not waiters.is_whole or waiters.is_abandoned  # type: ignore[attr-defined]
    try:
        # A batch of a hundred thousand is looked through in C, or it would hold the loop for milliseconds.
        return any(map(asyncio.Future.done, waiters))
    except TypeError:
        return True  # it has others among them, which stand for a row of many


def _or_infinity(limit: int) -> float:
    return sys.maxsize if limit == UNLIMITED else limit

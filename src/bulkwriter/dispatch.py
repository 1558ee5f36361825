"""The heart of batcher and writer: rows in, batches out, and nobody left without an answer.

Every accepted row has exactly one waiter and is in exactly one place: parked (waiting for a place in the queue, or
whatever a subclass makes rows wait for), queued, or in flight. Decisions are made in plain synchronous functions;
between two awaits the figures balance.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bulkwriter.batches import Batch, BatchQueue
from bulkwriter.errors import (
    BatcherStoppedError,
    BulkWriterError,
    DeadlineExceededError,
    MisconfigurationError,
    OutcomeUnknownError,
    QueueFullError,
    RowTooLargeError,
)
from bulkwriter.limits import UNLIMITED, QueueLimits, require_seconds
from bulkwriter.statistics import Counts, Statistics, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Self

logger = logging.getLogger("bulkwriter")

ItemT = TypeVar("ItemT")

# Each settled future wakes a task in the same turn of the loop: more than this many would block it for milliseconds.
SETTLED_A_TURN = 1000
# A batch's usual time before any has been seen, in seconds. It only decides when a second slot opens.
FIRST_GUESS = 0.01
# After a forced stop, seconds to wait for cancelled batches to end before they are left behind.
GRACE = 1.0


class Parcel:
    """A row that waits outside the queue, with all that it takes along when it goes in."""

    __slots__ = ("deadline", "epoch", "item", "lane", "record", "size", "timer", "waiter")

    def __init__(self, item: Any, waiter: Any, lane: Any, size: int, epoch: Tally) -> None:
        self.item = item
        self.waiter = waiter
        self.lane = lane
        self.size = size
        self.epoch = epoch
        self.deadline: float | None = None
        self.record: Any = None
        self.timer: asyncio.TimerHandle | None = None


class Dispatcher(abc.ABC, Generic[ItemT]):
    """Queues rows, sends batches, settles waiters, and stops in good order."""

    def __init__(self, limits: QueueLimits, name: str | None) -> None:
        self._limits = limits
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closing = False
        self._is_stopped = False
        self._is_forced = False
        self._stopped: asyncio.Future[None] | None = None

        self._max_rows = _or_infinity(limits.max_batch_size)
        self._max_bytes = _or_infinity(limits.max_batch_bytes)
        self._max_queued = _or_infinity(limits.max_queue_size)
        self._max_queued_bytes = _or_infinity(limits.max_queue_bytes)
        self._slots = _or_infinity(limits.concurrency)
        # The one number that the hot path asks: how many rows may be queued. -1 while the door is shut.
        self._door = self._max_queued

        self._queue = BatchQueue()
        self._queued = 0
        self._queued_bytes = 0
        # Parcels, and whole batches of one caller, in order of arrival: nobody overtakes who waits for a place.
        self._waiting: deque[Parcel | Batch] = deque()
        self._flights: set[Batch] = set()
        self._taken_slots = 0
        self._usual_time = FIRST_GUESS

        self._epoch = Tally()
        self._past = Tally()
        self._open_epochs: deque[tuple[Tally, asyncio.Future[None]]] = deque()

        self._batches = 0
        self._retries = 0
        self._largest_batch = 0
        self._pump_is_due = False
        self._is_pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._deadline_at = 0.0
        self._next_sweep_at = 0.0

    # --- what a subclass adds -----------------------------------------------------------------------------------

    @abc.abstractmethod
    async def _deliver(self, batch: Batch) -> None:
        """Send one batch and settle every row of it. May raise: the rows not settled by then are told so."""

    async def _close(self, *, force: bool) -> None:  # noqa: B027 - a hook that the generic core does not need
        """Give up what this dispatcher holds; called once, when the last row has been answered."""

    def _parked(self) -> Iterable[Parcel]:
        """Return the rows that wait for something else than a place in the queue."""
        return ()

    def _take_parked(self) -> Parcel | None:
        """Take one of those rows out of whatever it waits in, to tell it that it will not be sent."""
        return None

    def _error_for(self, error: BulkWriterError, lane: Any, item: Any) -> BulkWriterError:
        """Return ``error`` as this row's caller is to hear it."""
        return error.for_row(None, attempts=0)

    def _before_pump(self) -> None:  # noqa: B027 - a hook that the generic core does not need
        """Look after the queue before batches leave it."""

    def _before_flight(self, batch: Batch) -> None:  # noqa: B027 - a hook that the generic core does not need
        """Look after a batch that is about to leave."""

    # --- the way in ---------------------------------------------------------------------------------------------

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make this loop the one that the dispatcher lives on."""
        if self._loop is not None:
            message = f"{self._label()} belongs to another event loop: make a new one for each loop"
            raise MisconfigurationError(message)
        self._loop = loop

    def _put(self, item: Any, waiter: Any, lane: Any, size: int, epoch: Tally) -> Batch:
        """Append a row to the batch being filled in its lane, and seal the batch if that filled it."""
        key = lane if epoch is self._epoch else (lane, epoch)
        batch = self._queue.filling(key)
        if batch is None:
            batch = self._open_batch(lane, key, epoch)
        elif size and batch.size + size > self._max_bytes:
            self._seal(batch)
            batch = self._open_batch(lane, key, epoch)
        batch.items.append(item)
        batch.waiters.append(waiter)  # type: ignore[attr-defined]
        self._queued += 1
        if size:
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

    def _load(self) -> int:
        """Rows that count for ``max_queue_size``."""
        return self._queued

    def _park(self, parcel: Parcel | Batch) -> None:
        """Let a row, or one caller's whole batch, wait for a place. Nobody is admitted before it."""
        self._waiting.append(parcel)
        self._door = -1
        self._schedule_pump()

    def _admit(self) -> None:
        """Let in those who wait for a place, in order of arrival, as far as there are places."""
        waiting = self._waiting
        while waiting:
            first = waiting[0]
            if isinstance(first, Batch):
                if not self._may_enter(len(first.items), first.size):
                    return
                waiting.popleft()
                self._enter(first)
            elif first.waiter.done():
                waiting.popleft()
                self._withdraw(first.epoch, first.waiter)
            elif self._may_enter(1, first.size):
                waiting.popleft()
                self._enter_parcel(first)
            else:
                return
        if not self._is_closing:
            self._door = self._max_queued

    async def _enter_in_turn(self, batch: Batch) -> None:
        """Queue one caller's batch, after those who wait already and as soon as there is room."""
        assert self._loop is not None
        batch.epoch.accepted += len(batch.items)
        if not self._waiting and self._may_enter(len(batch.items), batch.size):
            self._enter(batch)
            # A long run of rows must not keep the loop from everybody else.
            await asyncio.sleep(0)
        else:
            batch.entered = self._loop.create_future()
            self._park(batch)
            await batch.entered

    def _enter(self, batch: Batch) -> None:
        """Queue one caller's batch: as it is if it is full, else among the rows of others."""
        if batch.entered is not None and not batch.entered.done():
            batch.entered.set_result(None)
        if isinstance(batch.waiters, list):
            sizes = batch.sizes or [0] * len(batch.items)
            for item, waiter, size in zip(batch.items, batch.waiters, sizes, strict=True):
                self._enter_row(item, waiter, size, batch)
        else:
            self._queue.push(batch)
            self._queued += len(batch.items)
            self._queued_bytes += batch.size
            if batch.deadlines:
                self._ring_at(min(batch.deadlines))
            self._schedule_pump()

    def _enter_row(self, item: Any, waiter: Any, size: int, batch: Batch) -> None:
        """Queue one row of one caller's batch."""
        self._put(item, waiter, batch.lane, size, batch.epoch)

    def _enter_parcel(self, parcel: Parcel) -> None:
        """Queue a parked row."""
        if parcel.timer is not None:
            parcel.timer.cancel()
        batch = self._put(parcel.item, parcel.waiter, parcel.lane, parcel.size, parcel.epoch)
        place = len(batch.items) - 1
        if parcel.deadline is not None:
            self._set_deadline(batch, place, parcel.deadline)
        if parcel.record is not None:
            self._set_record(batch, place, parcel.record)

    def _set_record(self, batch: Batch, place: int, record: Any) -> None:
        if batch.records is None:
            batch.records = {}
        batch.records[place] = record

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

    def _sweep(self) -> None:
        """Free the places of callers that were cancelled; those are found at the latest when their batch leaves."""
        now = self._now()
        if now < self._next_sweep_at:
            return
        for batch in list(self._queue):
            self._drop_withdrawn(batch)
            if not batch.items:
                self._queue.remove(batch)
        # Looking at every row for each refused caller would make an overload worse: a tenth of the time at most.
        self._next_sweep_at = now + 10 * (self._now() - now)
        self._admit()

    def _on_cancel(self) -> None:
        """A caller was cancelled: whoever waits for a place may have it now."""
        if self._waiting:
            self._sweep()

    # --- which batch leaves -------------------------------------------------------------------------------------

    def _schedule_pump(self) -> None:
        if not self._pump_is_due and self._loop is not None:
            self._pump_is_due = True
            self._loop.call_soon(self._on_pump_call)

    def _pump(self) -> None:
        """Send every batch that may leave now, and look again when the next one may."""
        if self._is_pumping:
            # An eager task can finish before it is even returned; the loop below goes on with what it left.
            return
        self._is_pumping = True
        try:
            self._before_pump()
            self._admit()
            while self._taken_slots < self._slots_open() and (batch := self._next_batch()) is not None:
                self._queue.remove(batch)
                self._launch(batch)
        finally:
            self._is_pumping = False
        self._arm_timer()
        self._check_idle()

    def _on_pump_call(self) -> None:
        self._pump_is_due = False
        self._pump()

    def _slots_open(self) -> float:
        """How many batches may be in flight now."""
        return self._slots

    def _next_batch(self) -> Batch | None:
        """Return the batch that leaves next: the older of the oldest full one and the oldest that is due."""
        if self._is_forced:
            return None
        full = self._queue.oldest_full()
        filling = self._queue.oldest_filling()
        if filling is None or (full is not None and full.opened_at <= filling.opened_at):
            return full
        return filling if self._due_at(filling) <= self._now() else full

    def _due_at(self, batch: Batch) -> float:
        """When a batch that is still being filled may leave, in the loop's time."""
        if batch.is_due:
            return 0.0
        if self._limits.max_queue_time > 0:
            return batch.opened_at + self._limits.max_queue_time
        if not self._taken_slots:
            return 0.0
        # Natural batching: it leaves when the batch in flight is back, or is late: one stuck batch holds nobody.
        return batch.opened_at + self._usual_time

    def _arm_timer(self) -> None:
        filling = self._queue.oldest_filling()
        if filling is None or self._taken_slots >= self._slots_open():
            # The end of a batch in flight will look again.
            return
        self._pump_at(self._due_at(filling))

    def _pump_at(self, when: float) -> None:
        """Look again at this time, in the loop's time, if not earlier."""
        assert self._loop is not None
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    # --- in flight ----------------------------------------------------------------------------------------------

    def _launch(self, batch: Batch) -> None:
        """Hand a batch, which is in no queue any more, to its own task."""
        assert self._loop is not None
        if batch.may_be_topped_up:
            self._queue.top_up(batch, self._max_rows, self._max_bytes)
        self._drop_withdrawn(batch)
        self._before_flight(batch)
        rows = len(batch.items)
        self._queued -= rows
        self._queued_bytes -= batch.size
        if not rows:
            self._close_epochs()
            return
        self._flights.add(batch)
        batch.has_slot = True
        self._taken_slots += 1
        self._batches += 1
        self._largest_batch = max(self._largest_batch, rows)
        batch.task = self._loop.create_task(self._fly(batch), context=batch.context)
        if self._waiting:
            self._admit()

    def _drop_withdrawn(self, batch: Batch) -> None:
        """Take out the rows whose callers have gone."""
        waiters = batch.waiters
        if _is_untouched(waiters):
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

    def _on_dropped(self, batch: Batch, place: int) -> None:  # noqa: B027 - a hook that the generic core does not need
        """Note that the row at this place of a queued batch will never be sent."""

    def _take_out(self, batch: Batch, places: Sequence[int]) -> int:
        """Take rows out of a queued batch and return how many bytes they were."""
        gone = set(places)
        kept = [place for place in range(len(batch.items)) if place not in gone]
        freed = 0
        if batch.sizes is not None:
            freed = sum(batch.sizes[place] for place in places)
            batch.sizes = [batch.sizes[place] for place in kept]
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
        if waiter.cancelled():
            epoch.add("withdrawn")

    async def _fly(self, batch: Batch) -> None:
        """Deliver one batch. Whatever happens in there, every row of it has an answer in the end."""
        started = self._now()
        try:
            await self._deliver(batch)
        except asyncio.CancelledError as error:
            # Not by a forced stop, which has told everybody before: the loop is being shut down, or somebody
            # cancelled process_batch from within. It may have done its work or not.
            self._settle_rest(batch, self._unknown("its batch was cancelled while in flight", error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers hear it
            why = f"delivering its batch failed with {type(error).__name__}"
            self._settle_rest(batch, self._unknown(why, error))
        except BaseException as error:
            self._settle_rest(batch, self._unknown(f"its batch was ended by {type(error).__name__}", error))
            raise
        finally:
            self._land(batch, started)

    def _unknown(self, why: str, cause: BaseException | None) -> OutcomeUnknownError:
        error = OutcomeUnknownError(f"{self._label()}: the row may or may not be stored: {why}", attempts=1)
        error.__cause__ = cause
        return error

    def _settle_rest(self, batch: Batch, error: BulkWriterError) -> None:
        """Give every row that has no answer yet this error."""
        self._settle_with_error(batch, len(batch.waiters), error, "unknown")

    def _settle_with_error(self, batch: Batch, stop: int, error: BulkWriterError, fate: str) -> None:
        """Give the rows from the first unanswered one up to ``stop`` an error each."""
        for place in range(batch.settled, stop):
            self._settle_failed(batch, place, error, fate)
        batch.settled = max(batch.settled, stop)

    def _settle_failed(self, batch: Batch, place: int, error: BulkWriterError, fate: str) -> None:
        """Give one row of a batch that failed as a whole its own error."""
        self._settle_place(batch, place, self._error_for(error, batch.lane, batch.items[place]), fate)

    def _settle_place(self, batch: Batch, place: int, answer: Any, fate: str) -> None:
        """Give one row its final answer and count it. The caller moves ``batch.settled`` past it."""
        waiter = batch.waiters[place]
        if not waiter.done():
            if isinstance(answer, BaseException):
                fail(waiter, answer)
            else:
                waiter.set_result(answer)
        elif not waiter.cancelled():
            # It heard of its deadline, and was counted then.
            batch.early -= 1
            return
        # A cancelled caller hears nothing, but its row met its fate all the same.
        batch.epoch.add(fate)

    def _land(self, batch: Batch, started: float) -> None:
        """Take a batch whose rows are all answered out of flight, and send what waited for it."""
        # The callers are settled before the slot is released: one woken first would find the queue full and wait
        # for itself.
        if batch in self._flights:
            self._flights.discard(batch)
            self._usual_time += 0.2 * (self._now() - started - self._usual_time)
        self._release_slot(batch)
        self._close_epochs()
        self._pump()

    def _release_slot(self, batch: Batch) -> None:
        """Let another batch take off; the first one may still be awaiting its answer."""
        if batch.has_slot:
            batch.has_slot = False
            self._taken_slots -= 1

    # --- deadlines ----------------------------------------------------------------------------------------------

    def _set_deadline(self, batch: Batch, place: int, deadline: float) -> None:
        """Note when the row at this place must have its answer, in the loop's time."""
        if batch.deadlines is None:
            batch.deadlines = []
        missing = place + 1 - len(batch.deadlines)
        batch.deadlines.extend([float("inf")] * missing)
        batch.deadlines[place] = deadline
        self._ring_at(deadline)

    def _ring_at(self, when: float) -> None:
        assert self._loop is not None
        if self._deadline_timer is not None:
            if self._deadline_at <= when:
                return
            self._deadline_timer.cancel()
        self._deadline_at = when
        self._deadline_timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        """Answer every row whose deadline has come, and wait for the next deadline."""
        self._deadline_timer = None
        now = self._now()
        coming = float("inf")
        for batch in list(self._queue):
            coming = min(coming, self._expire_queued(batch, now))
        for batch in list(self._flights):
            coming = min(coming, self._expire_in_flight(batch, now))
        if coming < float("inf"):
            self._ring_at(coming)
        self._pump()

    def _expire_queued(self, batch: Batch, now: float) -> float:
        """Answer the expired rows of a queued batch and return the next deadline in it."""
        late = _places_due(batch, now)
        error = DeadlineExceededError(f"{self._label()}: the row's deadline passed while it was queued")
        told = 0
        for place in late:
            if not batch.waiters[place].done():
                fail(batch.waiters[place], self._error_for(error, batch.lane, batch.items[place]))
                batch.epoch.add("not_written")
                told += 1
        if told:
            self._drop_withdrawn(batch)
            if not batch.items:
                self._queue.remove(batch)
        return min(batch.deadlines, default=float("inf")) if batch.deadlines else float("inf")

    def _expire_in_flight(self, batch: Batch, now: float) -> float:
        """Tell the expired rows of a batch in flight that their outcome is unknown; the batch goes on undisturbed."""
        error = self._unknown("its deadline passed while its batch was in flight", None)
        for place in _places_due(batch, now):
            waiter = batch.waiters[place]
            if place >= batch.settled and not waiter.done():
                fail(waiter, self._error_for(error, batch.lane, batch.items[place]))
                batch.epoch.add("unknown")
                batch.early += 1
        coming = [deadline for deadline in batch.deadlines or () if deadline > now]
        return min(coming, default=float("inf"))

    # --- flush and stop -----------------------------------------------------------------------------------------

    async def flush(self) -> Counts:
        """Send what is queued now, and wait until everything accepted before this call has its answer.

        Rows that are accepted while it waits are neither hurried nor waited for.

        Returns:
            How many of the rows it waited for met each fate. It never raises for a row.

        Raises:
            MisconfigurationError: Called from another event loop than the rows.
            RuntimeError: Called from within a batch, which it would wait for.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            return Counts()
        if loop is not self._loop:
            self._bind(loop)
        self._refuse_from_within("flush")
        waited_for = [epoch for epoch, _ in self._open_epochs] + [self._epoch]
        before = [epoch.as_dict() for epoch in waited_for]
        await self._end_epoch()
        after = [epoch.as_dict() for epoch in waited_for]
        return Counts(**{name: sum(b[name] - a[name] for a, b in zip(before, after, strict=True)) for name in after[0]})

    def _end_epoch(self) -> asyncio.Future[None]:
        """Begin a new epoch and return what is done when every row of the past ones has its answer."""
        assert self._loop is not None
        ended = self._loop.create_future()
        self._open_epochs.append((self._epoch, ended))
        self._queue.seal_all()
        self._epoch = Tally()
        self._close_epochs()
        self._schedule_pump()
        return ended

    def _close_epochs(self) -> None:
        """Wake the flushes whose rows have all been answered."""
        while self._open_epochs:
            epoch, ended = self._open_epochs[0]
            if epoch.settled < epoch.accepted or any(batch.epoch is epoch for batch in self._flights):
                return
            self._open_epochs.popleft()
            self._past.merge(epoch)
            if not ended.done():
                ended.set_result(None)

    async def stop(self, force: bool = False, timeout: float | None = None) -> None:
        """Refuse new rows, finish what was accepted, and return when the last answer has been given.

        Idempotent: a second call waits for the same end, and may hurry it with ``force``.

        Args:
            force: End now instead. What is certainly not stored (queued, or awaiting a retry) hears
                ``BatcherStoppedError``, what is in flight ``OutcomeUnknownError``; nobody is left waiting.
            timeout: Seconds after which the stop is forced; ``None`` waits for as long as it takes.

        Raises:
            ValueError: ``timeout`` is no number of seconds, 0 or more.
            MisconfigurationError: Called from another event loop than the rows.
            RuntimeError: Called from within a batch, which it would wait for.
        """
        if timeout is not None:
            require_seconds("timeout", timeout)
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._bind(loop)
        elif loop is not self._loop:
            self._check_foreign_stop(loop)
            return
        self._refuse_from_within("stop")
        self._shut()
        if force:
            await self._force()
        assert self._stopped is not None
        done, _ = await asyncio.wait([self._stopped], timeout=timeout)
        if not done:
            await self._force()
            await asyncio.wait([self._stopped])

    def _refuse_from_within(self, call: str) -> None:
        """Refuse what would wait for itself for ever."""
        current = asyncio.current_task()
        if any(batch.task is current for batch in self._flights):
            message = f"{call}() was called from within a batch of {self._label()}: it would wait for itself"
            raise RuntimeError(message)

    def _check_foreign_stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Allow a stop on another loop only where nothing is left to be done."""
        if not self._is_stopped:
            self._bind(loop)

    def _shut(self) -> None:
        """Close the door. What is accepted leaves as soon as a slot is free."""
        if self._is_closing:
            return
        assert self._loop is not None
        self._is_closing = True
        self._door = -1
        self._stopped = self._loop.create_future()
        self._end_epoch()

    def _is_idle(self) -> bool:
        return not (self._queued or self._waiting or self._flights or any(True for _ in self._parked()))

    def _check_idle(self) -> None:
        """Finish a stop once nothing is left."""
        if self._is_closing and not self._is_stopped and self._is_idle():
            assert self._loop is not None
            self._is_stopped = True
            for timer in (self._timer, self._deadline_timer):
                if timer is not None:
                    timer.cancel()
            self._closing_task = self._loop.create_task(self._finish())

    async def _finish(self) -> None:
        assert self._stopped is not None
        try:
            await self._close(force=self._is_forced)
        except Exception:
            logger.exception("%s: closing failed", self._label())
        finally:
            if not self._stopped.done():
                self._stopped.set_result(None)

    async def _force(self) -> None:
        """Answer everybody now, then cancel what is in flight."""
        self._is_forced = True
        flights = list(self._flights)
        error = BatcherStoppedError(f"{self._label()} was stopped by force before the row was sent")
        await self._discard_parked(error)
        for batch in list(self._queue):
            await self._discard(batch, error)
        for batch in flights:
            await self._abandon(batch)
        await self._cancel(flights)
        self._close_epochs()
        self._pump()

    async def _discard_parked(self, error: BulkWriterError) -> None:
        """Tell every row that waits outside the queue that it was not written."""
        told = 0
        while (parcel := self._take_waiting() or self._take_parked()) is not None:
            told += 1
            if told % SETTLED_A_TURN == 0:
                await asyncio.sleep(0)
            if parcel.timer is not None:
                parcel.timer.cancel()
            self._settle_parcel(parcel, error)

    def _take_waiting(self) -> Parcel | None:
        while self._waiting:
            first = self._waiting.popleft()
            if isinstance(first, Parcel):
                return first
            # One caller's whole batch is as good as queued, and told with the queue.
            self._enter(first)
        return None

    def _settle_parcel(self, parcel: Parcel, error: BulkWriterError) -> None:
        """Tell a row that waited outside the queue that it was not written."""
        if parcel.waiter.done():
            self._withdraw(parcel.epoch, parcel.waiter)
        else:
            parcel.epoch.add("not_written")
            fail(parcel.waiter, self._error_for(error, parcel.lane, parcel.item))

    async def _discard(self, batch: Batch, error: BulkWriterError) -> None:
        """Tell every row of a queued batch that it was not written."""
        self._queue.remove(batch)
        self._queued_bytes -= batch.size
        for place in range(len(batch.waiters)):
            if place and place % SETTLED_A_TURN == 0:
                await asyncio.sleep(0)
            self._queued -= 1
            waiter = batch.waiters[place]
            if waiter.done():
                self._withdraw(batch.epoch, waiter)
            else:
                batch.epoch.add("not_written")
                fail(waiter, self._error_for(error, batch.lane, batch.items[place]))

    async def _abandon(self, batch: Batch) -> None:
        """Tell every row of a batch in flight that its outcome is unknown."""
        error = self._unknown("the stop was forced while it was in flight", None)
        while batch.settled < len(batch.waiters):
            stop = min(batch.settled + SETTLED_A_TURN, len(batch.waiters))
            self._settle_with_error(batch, stop, error, "unknown")
            await asyncio.sleep(0)

    async def _cancel(self, flights: list[Batch]) -> None:
        """Cancel the tasks of these batches, and leave behind those that will not end."""
        tasks = {batch.task: batch for batch in flights if batch.task is not None and not batch.task.done()}
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, stubborn = await asyncio.wait(tasks, timeout=GRACE)
        if stubborn:
            logger.warning("%s: %d batches did not end when cancelled; left behind", self._label(), len(stubborn))
        for task in stubborn:
            self._flights.discard(tasks[task])
            self._release_slot(tasks[task])

    async def is_running(self) -> bool:
        """Return whether rows are accepted: from construction until ``stop`` is called."""
        return not self._is_closing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish everything that was accepted, also when the body raised."""
        await self.stop()

    # --- figures ------------------------------------------------------------------------------------------------

    def _in_flight(self) -> int:
        return sum(batch.unanswered for batch in self._flights)

    def _waiting_rows(self) -> int:
        waiting = sum(len(entry.items) if isinstance(entry, Batch) else _is_pending(entry) for entry in self._waiting)
        return waiting + sum(_is_pending(parcel) for parcel in self._parked())

    def _paths(self) -> dict[str, int]:
        return {}

    def statistics(self) -> Statistics:
        """Return a snapshot of the figures. They balance at every moment: see ``Statistics``."""
        total = Tally()
        for tally in (self._past, *(epoch for epoch, _ in self._open_epochs), self._epoch):
            total.merge(tally)
        return Statistics(
            **total.as_dict(),
            accepted=total.accepted,
            queued=self._queued + self._waiting_rows(),
            in_flight=self._in_flight(),
            queued_bytes=self._queued_bytes,
            batches_in_flight=len(self._flights),
            batches=self._batches,
            retries=self._retries,
            largest_batch=self._largest_batch,
            paths=self._paths(),
        )

    def _label(self) -> str:
        return f"{type(self).__name__} {self._name}" if self._name else type(self).__name__

    def _state(self) -> str:
        if self._is_stopped:
            return ", stopped"
        return ", stopping" if self._is_closing else ""

    def __repr__(self) -> str:
        figures = self.statistics()
        slots = "unlimited" if self._limits.concurrency == UNLIMITED else self._limits.concurrency
        return (
            f"<{self._label()}: {figures.queued:,} queued, {figures.batches_in_flight} of {slots} batches in flight, "
            f"{self._summary(figures)}{self._state()}>"
        )

    def _summary(self, figures: Statistics) -> str:
        return f"{figures.succeeded:,} succeeded, {figures.failures:,} failed"

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()


def fail(waiter: Any, error: BaseException) -> None:
    """Give a waiting caller its error. A future that nobody reads stays silent: its fate is in the statistics."""
    waiter.set_exception(error)
    waiter.exception()


async def settle_in_turns(batch: Batch, settle: Callable[[int, int], None]) -> None:
    """Call ``settle(start, stop)`` until the whole batch is settled, as many places a turn as the loop can bear.

    A forced stop may settle the rest in between; it moves the same mark.
    """
    rows = len(batch.waiters)
    while batch.settled < rows:
        stop = min(batch.settled + SETTLED_A_TURN, rows)
        settle(batch.settled, stop)
        batch.settled = max(batch.settled, stop)
        if stop < rows:
            await asyncio.sleep(0)


def _is_untouched(waiters: Sequence[Any]) -> bool:
    """Whether no caller can have gone: asked before looking at each."""
    return type(waiters) is not list and waiters.is_whole and not waiters.is_abandoned  # type: ignore[attr-defined, no-any-return]


def _is_pending(parcel: Parcel) -> bool:
    """Whether a parked row is still to be counted: not if it has heard that its deadline passed."""
    return not parcel.waiter.done() or parcel.waiter.cancelled()


def _places_due(batch: Batch, now: float) -> list[int]:
    return [place for place, deadline in enumerate(batch.deadlines or ()) if deadline <= now]


def _or_infinity(limit: int) -> float:
    return sys.maxsize if limit == UNLIMITED else limit

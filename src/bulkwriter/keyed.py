"""Rows of one key: in order, at most one on its way, and perhaps the last one for all of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

from bulkwriter.batches import Batch, Parcel
from bulkwriter.dispatch import Dispatcher
from bulkwriter.errors import BulkWriterError, DeadlineExceededError, NotWrittenError, ThrottledError
from bulkwriter.flights import fail
from bulkwriter.ordering import KeyOrder
from bulkwriter.plans import complete
from bulkwriter.results import SUPERSEDED, WriteResult

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Plan
    from bulkwriter.limits import QueueLimits


class Record:
    """What is remembered of a row that is not at its first attempt, or stands for others."""

    __slots__ = ("accepted_at", "attempts", "chain", "error", "queued_at", "tried_at", "tries")

    def __init__(self, accepted_at: float, chain: list[Parcel] | None = None) -> None:
        self.accepted_at: float = accepted_at
        # Attempts that had this row in them, and rounds of retrying: finding a bad neighbour takes several attempts.
        self.attempts: int = 0
        self.tries: int = 0
        # When it was back from the first of them, and later by all the time for which it has been in the queue since.
        self.tried_at: float | None = None
        # Since when it is in the queue again.
        self.queued_at: float | None = None
        # Why the last attempt was not applied.
        self.error: NotWrittenError | None = None
        # Earlier rows of its key that it stands for (coalesce=True), the oldest first.
        self.chain: list[Parcel] = [] if chain is None else chain

    def retried_for(self, now: float) -> float:
        """Return the seconds of its retry time that are over.

        They count from when it was accepted; where the database throttles, from when it was first tried, without those
        in the queue: a row that has waited in a long queue, which is being worked off, would otherwise be given up for
        the first time it comes back.
        """
        if self.tried_at is not None and isinstance(self.error, ThrottledError):
            return (now if self.queued_at is None else self.queued_at) - self.tried_at
        return now - self.accepted_at

    def tried(self, error: NotWrittenError, now: float) -> None:
        """Note a try, and why it was not applied."""
        self.tries += 1
        self.error = error
        if self.tried_at is None:
            self.tried_at = now
        elif self.queued_at is not None:
            self.tried_at += now - self.queued_at
        self.queued_at = None

    def queued(self, now: float) -> None:
        """Note that it is in the queue again, or still if it was not even tried."""
        if self.queued_at is None:
            self.queued_at = now


class KeyedDispatcher(Dispatcher[Any]):
    """Lets rows of one key go one after the other, where the order of keys matters.

    A key is claimed when its row enters the queue and released when the row's fate is known. With ``coalesces``, a row
    about to leave is replaced by the last of those that stand in line behind it; it hears what became of that one.
    """

    def __init__(
        self, backend: Backend, limits: QueueLimits, name: str, *, timeout: float | None, coalesces: bool
    ) -> None:
        super().__init__(limits, name)
        self._backend = backend
        self._timeout = timeout
        self._coalesces = coalesces
        # None while the order of keys does not matter: plain inserts, until the first delete.
        self._order: KeyOrder | None = None if backend.on_conflict == "error" else KeyOrder()
        # Rows that a later one of their key stands for.
        self._superseded: set[Parcel] = set()

    def _error_for(self, error: BulkWriterError, lane: Any, item: Any, record: Any = None) -> BulkWriterError:
        attempts = error.attempts + (0 if record is None else record.attempts)
        if lane is None:
            mine = error.for_row(None, attempts=attempts)
            mine.backend, mine.table = self._backend.name, self._backend.table
            return mine
        return complete(self._backend, error, lane, item, attempts=attempts)

    def _sizes_of(self, batch: Batch) -> list[int]:
        return [self._backend.row_size(batch.lane, row) for row in batch.items]

    def _load(self) -> int:
        """Rows that count for ``max_queue_size``."""
        return self._queued if self._order is None else self._queued + self._order.rows_in_line

    def _enter_row(self, item: Any, waiter: Any, size: int, batch: Batch) -> None:
        if self._timeout is None and self._order is None:
            self._put(item, waiter, batch.lane, size, batch.epoch)
            return
        parcel = Parcel(item, waiter, batch.lane, size, batch.epoch)
        if self._timeout is not None:
            parcel.deadline = self._now() + self._timeout
        self._enter_parcel(parcel)

    def _enter_parcel(self, parcel: Parcel) -> None:
        """Queue a row, unless another of its key is on its way: then it stands in line."""
        if self._order is not None:
            key = self._backend.row_key(parcel.lane, parcel.item)
            if key is not None and not self._order.claim(key):
                self._stand_in_line(key, parcel)
                return
        super()._enter_parcel(parcel)

    def _claims(self, plan: Plan, row: Any) -> bool:
        """Whether a row may go, since no other of its key is on its way; then the key is claimed for it."""
        assert self._order is not None
        key = self._backend.row_key(plan, row)
        return key is None or self._order.claim(key)

    def _stand_in_line(self, key: Hashable, parcel: Parcel) -> None:
        """Let a row wait for another of its key; its place in the queue is taken all the same."""
        assert self._order is not None
        if parcel.parked_at is None:
            parcel.parked_at = self._now()
        self._order.stand_in_line(key, parcel)
        self._queued_bytes += parcel.size
        self._start_timer(parcel)

    def _call_from_line(self, key: Hashable) -> Parcel | None:
        """Take the first one out of this key's line."""
        assert self._order is not None
        parcel = self._order.take(key)
        if parcel is not None:
            self._queued_bytes -= parcel.size
        return parcel

    # Order.

    def _keep_order(self) -> None:
        """Keep the order of keys from now on: the first delete makes it matter among plain inserts."""
        self._order = KeyOrder()
        for batch in itertools.chain(self._queue, self._flights):
            for place in range(batch.settled, len(batch.items)):
                self._claim_anyway(batch.lane, batch.items[place])

    def _claim_anyway(self, plan: Plan, row: Any) -> None:
        key = self._backend.row_key(plan, row)
        if key is not None:
            cast("KeyOrder", self._order).claim_anyway(key)

    def _release_key(self, plan: Plan, row: Any) -> None:
        """The row that was on its way has met its fate: the next one of its key may go."""
        assert self._order is not None
        key = self._backend.row_key(plan, row)
        if key is not None and self._order.release(key):
            self._let_next_go(key)

    def _release_rows(self, batch: Batch, start: int, stop: int) -> None:
        """The rows of a batch from ``start`` up to ``stop`` have met their fates."""
        if self._order is not None:
            for row in batch.items[start:stop]:
                self._release_key(batch.lane, row)

    def _release_keys(self, keys: Sequence[Hashable | None]) -> None:
        """The rows of a whole batch have met their fates."""
        assert self._order is not None
        for key in self._order.release_all(keys):
            self._let_next_go(key)

    def _let_next_go(self, key: Hashable) -> None:
        """Queue the first one in this key's line, for whom it is claimed."""
        assert self._order is not None
        while (parcel := self._call_from_line(key)) is not None:
            if not parcel.waiter.done():
                super()._enter_parcel(parcel)
                return
            self._withdraw(parcel.epoch, parcel.waiter)
        # Everybody in line had gone.
        self._order.release(key)

    def _on_dropped(self, batch: Batch, place: int) -> None:
        """A row left the queue unsent: whom it stood for may go, else the next one of its key."""
        record = batch.record_of(place)
        if not self._pass_on(record) and self._order is not None:
            self._release_key(batch.lane, batch.items[place])

    # Coalescing.

    def _before_flight(self, batch: Batch) -> None:
        """Let the last row in line stand for the others of its key, as far as they are alike."""
        if not self._coalesces or self._order is None or not self._order.has_lines:
            return
        if batch.lane.operation == "delete":
            # Each delete hears of its own.
            return
        items = batch.items
        for place in range(len(items)):
            key = self._backend.row_key(batch.lane, items[place])
            if key is not None and self._order.has_line(key):
                self._replace(batch, place, key)

    def _replace(self, batch: Batch, place: int, key: Hashable) -> None:
        assert self._order is not None
        record = batch.record_of(place)
        chain = [] if record is None else record.chain
        size = 0 if batch.sizes is None else batch.sizes[place]
        mine = Parcel(batch.items[place], batch.waiters[place], batch.lane, size, batch.epoch)
        mine.record = record
        if batch.deadlines is not None and place < len(batch.deadlines):
            mine.deadline = batch.deadlines[place]
        while (parcel := self._order.first_in_line(key)) is not None:
            if parcel.waiter.done():
                self._call_from_line(key)
                self._withdraw(parcel.epoch, parcel.waiter)
                continue
            if parcel.lane is not batch.lane or parcel.epoch is not batch.epoch:
                break
            if not self._is_alike(batch.lane, parcel.item, mine.item):
                break
            if batch.size + parcel.size - size > self._max_bytes:
                # It is the next batch's: this one is full.
                break
            self._call_from_line(key)
            chain.append(mine)
            self._superseded.add(mine)
            self._start_timer(mine)
            mine = parcel
        self._stop_timer(mine)
        if mine.waiter is batch.waiters[place]:
            return
        if batch.sizes is not None:
            growth = mine.size - batch.sizes[place]
            batch.sizes[place] = mine.size
            batch.size += growth
            self._queued_bytes += growth
        batch.items[place] = mine.item
        batch.waiters = list(batch.waiters)
        batch.waiters[place] = mine.waiter
        self._set_record(batch, place, Record(batch.opened_at, chain=chain))
        if batch.deadlines is not None or mine.deadline is not None:
            self._set_deadline(batch, place, float("inf") if mine.deadline is None else mine.deadline)

    def _is_alike(self, lane: Plan, later: Any, earlier: Any) -> bool:
        """Whether rows of one lane have the same columns, and neither is a delete."""
        plan = self._backend.row_plan(lane, later)
        return plan.operation == "insert" and plan is self._backend.row_plan(lane, earlier)

    def _pass_on(self, record: Record | None) -> bool:
        """Let the latest of the rows that a lost one stood for go in its place. Returns whether there was one."""
        while record is not None and record.chain:
            parcel = record.chain.pop()
            if parcel not in self._superseded:
                # A forced stop has answered it, and counted it.
                continue
            self._superseded.remove(parcel)
            if parcel.waiter.done():
                self._withdraw(parcel.epoch, parcel.waiter)
                continue
            # Its own attempts, from before a later row stood for it, are still its own.
            parcel.record = parcel.record or Record(record.accepted_at)
            parcel.record.chain = record.chain
            super()._enter_parcel(parcel)
            return True
        return False

    def _answer_chain(self, record: Record | None, answer: Any) -> None:
        """Answer the rows that this one stood for."""
        if record is None:
            return
        for parcel in record.chain:
            if parcel not in self._superseded:
                # A forced stop has answered it, and counted it.
                continue
            self._superseded.remove(parcel)
            self._stop_timer(parcel)
            if isinstance(answer, WriteResult):
                if parcel.waiter.done():
                    self._withdraw(parcel.epoch, parcel.waiter)
                else:
                    parcel.waiter.set_result(SUPERSEDED)
                    parcel.epoch.add("superseded")
            else:
                why = f"{self._label()}: a later row of its key was sent in its place and is not known to be stored"
                error = NotWrittenError(why)
                error.__cause__ = answer
                self._settle_parcel(parcel, error)
        record.chain = []

    # Deadlines of rows that wait outside the queue.

    def _start_timer(self, parcel: Parcel) -> None:
        """Watch the deadline of a row that waits outside the queue; in it, its batch does."""
        assert self._loop is not None
        if parcel.timer is None and parcel.deadline is not None and parcel.deadline < float("inf"):
            parcel.timer = self._loop.call_at(parcel.deadline, self._expire_parcel, parcel)

    def _stop_timer(self, parcel: Parcel) -> None:
        if parcel.timer is not None:
            parcel.timer.cancel()
            parcel.timer = None

    def _expire_parcel(self, parcel: Parcel) -> None:
        parcel.timer = None
        if parcel.waiter.done():
            return
        error = DeadlineExceededError(f"{self._label()}: the row's deadline passed before it was sent")
        item = parcel.item if parcel.lane is not None else None
        fail(parcel.waiter, self._error_for(error, parcel.lane, item, parcel.record))
        parcel.epoch.add("not_written")
        self._close_epochs()
        self._schedule_pump()

    def _parked(self) -> Iterator[Parcel]:
        yield from self._superseded
        if self._order is not None:
            yield from self._order

    def _drop_parked(self) -> None:
        if self._order is not None:
            for parcel in self._order.take_gone():
                self._queued_bytes -= parcel.size
                self._stop_timer(parcel)
                self._withdraw(parcel.epoch, parcel.waiter)

    def _take_parked(self) -> Parcel | None:
        if self._superseded:
            return self._superseded.pop()
        parcel = None if self._order is None else self._order.take_any()
        if parcel is not None:
            self._queued_bytes -= parcel.size
        return parcel

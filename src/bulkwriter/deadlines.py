"""Deadlines: a row's answer at the promised time, whatever its batch is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkwriter.errors import DeadlineExceededError
from bulkwriter.flights import Flights, fail

if TYPE_CHECKING:
    import asyncio

    from bulkwriter.batches import Batch
    from bulkwriter.limits import QueueLimits


class Deadlines(Flights):
    """Answers rows whose deadline has come: queued ones are not written, those in flight are unknown.

    There is one timer, for the earliest deadline of all; the batches themselves remember when their rows are due. A
    timer for each row would outlive its row by up to the deadline, and keep it in memory for as long.
    """

    def __init__(self, limits: QueueLimits, name: str | None) -> None:
        super().__init__(limits, name)
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._deadline_at = 0.0

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
        for place in late:
            if not batch.waiters[place].done():
                record = batch.record_of(place)
                fail(batch.waiters[place], self._error_for(error, batch.lane, batch.items[place], record))
                batch.epoch.add("not_written")
        if late:
            # Also the row whose caller was cancelled before: its deadline, now past, would ring in every turn.
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
                fail(waiter, self._error_for(error, batch.lane, batch.items[place], batch.record_of(place)))
                batch.epoch.add("unknown")
                batch.early += 1
        coming = [deadline for deadline in batch.deadlines or () if deadline > now]
        return min(coming, default=float("inf"))


def _places_due(batch: Batch, now: float) -> list[int]:
    return [place for place, deadline in enumerate(batch.deadlines or ()) if deadline <= now]

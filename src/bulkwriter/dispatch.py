"""The heart of batcher and writer: rows in, batches out, flush and stop, and nobody left without an answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from bulkwriter.batches import Batch, Parcel
from bulkwriter.deadlines import Deadlines
from bulkwriter.errors import BatcherStoppedError, BulkWriterError
from bulkwriter.flights import SETTLED_A_TURN, fail
from bulkwriter.intake import has_gone
from bulkwriter.limits import UNLIMITED, QueueLimits, require_seconds
from bulkwriter.statistics import Counts, Statistics, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

_logger = logging.getLogger("bulkwriter")

ItemT = TypeVar("ItemT")

# After a forced stop, seconds to wait for cancelled batches to end before they are left behind.
GRACE = 1.0


class Dispatcher(Deadlines, Generic[ItemT]):
    """Queues rows, sends batches, settles waiters, and stops in good order.

    In layers, each in a file of its own: ``Intake``, the way in; ``Flights``, which batch leaves and what becomes of
    it; ``Deadlines``; and here the end of it all, and the figures.
    """

    def __init__(self, limits: QueueLimits, name: str | None) -> None:
        super().__init__(limits, name)
        self._is_stopped = False
        self._stopped: asyncio.Future[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._forcing: asyncio.Task[None] | None = None
        self._past = Tally()
        self._open_epochs: deque[tuple[Tally, asyncio.Future[None]]] = deque()
        self._retries = 0

    # What a subclass adds.

    async def _close(self, *, force: bool) -> None:
        """Give up what this dispatcher holds, when the last row has been answered; by force, if that took too long."""

    def _parked(self) -> Iterable[Parcel]:
        """Return the rows that wait for something else than a place in the queue."""
        return ()

    def _take_parked(self) -> Parcel | None:
        """Take one of those rows out of whatever it waits in, to tell it that it will not be sent."""
        return None

    def _paths(self) -> dict[str, int]:
        return {}

    # Flush.

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

    # Stop.

    async def stop(self, force: bool = False, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - so known
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
            self._begin_force()
        assert self._stopped is not None
        done, _ = await asyncio.wait([self._stopped], timeout=timeout)
        if not done:
            self._begin_force()
            await asyncio.wait([self._stopped])
        if self._forcing is not None:
            await asyncio.wait([self._forcing])

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
            self._finishing = self._loop.create_task(self._finish())

    async def _finish(self, limit: float | None = None) -> None:
        assert self._stopped is not None
        try:
            async with asyncio.timeout(limit):
                await self._close(force=self._is_forced)
        except Exception:
            _logger.exception("%s: closing failed", self._label())
        finally:
            if not self._stopped.done():
                self._stopped.set_result(None)

    def _begin_force(self) -> None:
        """End now, once for all who ask for it, and in a task of its own: one of them may be cancelled."""
        assert self._loop is not None
        self._is_forced = True
        is_over = self._finishing is not None and self._finishing.done()
        if not is_over and (self._forcing is None or self._forcing.done()):
            self._forcing = self._loop.create_task(self._hurry_closing() if self._is_stopped else self._force())

    async def _force(self) -> None:
        """Answer everybody now, then cancel what is in flight."""
        # A batch that is back already, with its rows being told, is left to end by itself.
        flights = [batch for batch in self._flights if not batch.has_reply]
        telling = self._tell_everybody(flights)
        try:
            for told, _ in enumerate(telling, start=1):
                if told % SETTLED_A_TURN == 0:
                    await asyncio.sleep(0)
        finally:
            # Cancelled from outside: then all at once, for nobody may be left waiting.
            for _ in telling:
                pass
        await self._cancel(flights)
        self._close_epochs()
        self._pump()
        await self._hurry_closing()

    async def _hurry_closing(self) -> None:
        """Leave behind what does not let itself be closed in good order: a stop that waits for it would never end."""
        finishing = self._finishing
        if finishing is None:
            return
        _, late = await asyncio.wait([finishing], timeout=GRACE)
        if late:
            _logger.warning("%s: closing took longer than %s seconds; left behind", self._label(), GRACE)
            finishing.cancel()
            await asyncio.wait([finishing], timeout=GRACE)
            await self._finish(limit=GRACE)

    def _tell_everybody(self, flights: list[Batch]) -> Iterator[None]:
        """Answer one row at each step, until nobody waits any more."""
        error = BatcherStoppedError(f"{self._label()} was stopped by force before the row was sent")
        while (parcel := self._take_waiting() or self._take_parked()) is not None:
            if parcel.timer is not None:
                parcel.timer.cancel()
            self._settle_parcel(parcel, error)
            yield
        while (batch := next(iter(self._queue), None)) is not None:
            yield from self._discard(batch, error)
        unknown = self._unknown("the stop was forced while it was in flight", None)
        for batch in flights:
            while batch.settled < len(batch.waiters) and not batch.has_reply:
                self._settle_with_error(batch, batch.settled + 1, unknown, "unknown")
                yield

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
            fail(parcel.waiter, self._error_for(error, parcel.lane, parcel.item, parcel.record))

    def _discard(self, batch: Batch, error: BulkWriterError) -> Iterator[None]:
        """Tell every row of a queued batch that it was not written."""
        self._queue.remove(batch)
        self._queued_bytes -= batch.size
        for place, waiter in enumerate(batch.waiters):
            self._queued -= 1
            if waiter.done():
                self._withdraw(batch.epoch, waiter)
            else:
                batch.epoch.add("not_written")
                fail(waiter, self._error_for(error, batch.lane, batch.items[place], batch.record_of(place)))
            yield

    async def _cancel(self, flights: list[Batch]) -> None:
        """Cancel the tasks of these batches, and leave behind those that will not end."""
        tasks = {batch.task: batch for batch in flights if batch.task is not None and not batch.task.done()}
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, stubborn = await asyncio.wait(tasks, timeout=GRACE)
        if stubborn:
            _logger.warning("%s: %d batches did not end when cancelled; left behind", self._label(), len(stubborn))
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

    # Figures.

    def _in_flight(self) -> int:
        return sum(batch.unanswered for batch in self._flights)

    def _waiting_rows(self) -> int:
        waiting = sum(len(entry.items) if isinstance(entry, Batch) else _is_pending(entry) for entry in self._waiting)
        return waiting + sum(_is_pending(parcel) for parcel in self._parked())

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
            # One whose callers are being told is back.
            batches_in_flight=sum(not batch.has_reply for batch in self._flights),
            batches=self._batches,
            retries=self._retries,
            largest_batch=self._largest_batch,
            paths=self._paths(),
        )

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


def _is_pending(parcel: Parcel) -> bool:
    """Whether a parked row is still to be counted: not if it has heard that its deadline passed."""
    return not parcel.waiter.done() or has_gone(parcel.waiter)

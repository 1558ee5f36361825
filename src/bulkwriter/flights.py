"""In the air: which batch leaves when, and that every row of it has an answer when it is back."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import functools
import itertools
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from bulkwriter.errors import BulkWriterError, NotWrittenError, OutcomeUnknownError
from bulkwriter.intake import Intake
from bulkwriter.limits import UNLIMITED, QueueLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkwriter.batches import Batch

# Each settled future wakes a task in the same turn of the loop: more than this many would block it for milliseconds.
SETTLED_A_TURN = 1000
# Rows of a batch that takes so many turns that its waiters are let go as they are settled.
MANY = 10 * SETTLED_A_TURN
# An error for each row takes about so many times what a good answer takes.
WEIGHT_OF_ERRORS = 3
# A batch's usual time before any has been seen, in seconds. It only decides when a second slot opens.
FIRST_GUESS = 0.01
# A batch counts as at most so many times as long as usual: else one that was stuck for an hour would make the next
# ones wait for minutes behind another that is stuck.
MOST_OF_USUAL = 4
# A batch of so many rows, and fewer, begins in the turn of the loop in which it leaves: what is done before its first
# wait takes less time than another turn.
FEW = 32
# After a batch was cancelled from outside, seconds until the next one begins, unless somebody asks for it earlier.
PAUSE = 0.05


class Flights(Intake):
    """Sends batches when they are due, and settles their rows.

    Decisions are made in plain synchronous functions; between two awaits the figures balance.
    """

    def __init__(self, limits: QueueLimits, name: str | None) -> None:
        super().__init__(limits, name)
        self._slots = float("inf") if limits.concurrency == UNLIMITED else limits.concurrency
        self._flights: set[Batch] = set()
        self._taken_slots = 0
        self._usual_time = FIRST_GUESS
        self._is_forced = False
        self._settled_in_turn = 0
        self._turn_is_counted = False
        self._batches = 0
        self._largest_batch = 0
        self._pump_is_due = False
        self._is_pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    # What the layers above add.

    @abc.abstractmethod
    async def _deliver(self, batch: Batch) -> None:
        """Send one batch and settle every row of it. May raise: the rows not settled by then are told so."""

    @abc.abstractmethod
    def _check_idle(self) -> None:
        """Finish a stop once nothing is left."""

    def _error_for(self, error: BulkWriterError, lane: Any, item: Any, record: Any = None) -> BulkWriterError:  # noqa: ARG002
        """Return ``error`` as this row's caller is to hear it; its attempts come on top of those in the record."""
        return error.for_row(None, attempts=error.attempts)

    def _before_pump(self) -> None:
        """Look after the queue before batches leave it."""

    def _before_flight(self, batch: Batch) -> None:
        """Look after a batch that is about to leave."""

    def _slots_open(self) -> float:
        """How many batches may be in flight now."""
        return self._slots

    # Which batch leaves.

    def _schedule_pump(self) -> None:
        if not self._pump_is_due and self._loop is not None:
            self._pump_is_due = True
            self._loop.call_soon(self._on_pump_call)

    def _on_pump_call(self) -> None:
        self._pump_is_due = False
        self._pump()

    def _pump(self) -> None:
        """Send every batch that may leave now, and look again when the next one may."""
        if self._is_pumping:
            # An eager task can finish before it is even returned; the loop below goes on with what it left.
            return
        self._is_pumping = True
        try:
            self._before_pump()
            self._admit()
            while self._queue and self._taken_slots < self._slots_open():
                batch = self._next_batch()
                if batch is None:
                    break
                self._queue.remove(batch)
                self._launch(batch)
        finally:
            self._is_pumping = False
        # Rows may have left unsent: a flush that waits for nobody else would wait for ever.
        self._close_epochs()
        self._arm_timer()
        self._check_idle()

    def _next_batch(self) -> Batch | None:
        """Return the batch that leaves next: the older of the oldest full one and the oldest that is due."""
        if self._is_forced:
            return None
        full = self._queue.oldest_full()
        filling = self._queue.next_filling()
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
        filling = self._queue.next_filling() if self._filling else None
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

    def _launch(self, batch: Batch) -> None:
        """Hand a batch, which is in no queue any more, to its own task."""
        assert self._loop is not None
        if batch.may_be_topped_up:
            self._queue.top_up(batch, self._max_rows, self._max_bytes, self._sizes_of)
        self._drop_withdrawn(batch)
        self._before_flight(batch)
        rows = len(batch.items)
        self._queued -= rows
        self._queued_bytes -= batch.size
        if self._waiting:
            # Also if everybody in this batch has gone: who waits for their places would wait for ever.
            self._admit()
        if not rows:
            self._close_epochs()
            return
        self._flights.add(batch)
        batch.has_slot = True
        self._taken_slots += 1
        self._batches += 1
        self._largest_batch = max(self._largest_batch, rows)
        if rows <= FEW and sys.version_info >= (3, 12) and self._loop.get_task_factory() is None:
            # What has begun cannot be cancelled before its first step: nobody has to look after it.
            batch.task = asyncio.Task(self._fly(batch), loop=self._loop, context=batch.context, eager_start=True)
            return
        batch.task = self._loop.create_task(self._fly(batch), context=batch.context)
        batch.task.add_done_callback(functools.partial(self._after_flight, batch))

    def _after_flight(self, batch: Batch, _: asyncio.Task[None]) -> None:
        """Answer the rows of a batch whose task was cancelled before its first step: it never ran at all."""
        if batch in self._flights:
            error = NotWrittenError(f"{self._label()}: the row's batch was cancelled before it was sent")
            self._settle_with_error(batch, len(batch.waiters), error, "not_written")
            self._land(batch)
            self._pause()

    # What becomes of it.

    async def _fly(self, batch: Batch) -> None:
        """Deliver one batch. Whatever happens in there, every row of it has an answer in the end."""
        # An eager task runs before it is returned to who made it.
        batch.task = asyncio.current_task()
        started = self._now()
        is_end_near = False
        try:
            await self._deliver(batch)
        except asyncio.CancelledError as error:
            # Not by a forced stop, which has told everybody before: the loop is being shut down, or somebody
            # cancelled process_batch from within. It may have done its work or not.
            is_end_near = batch.task is not None and batch.task.cancelling() > 0
            self._settle_rest(batch, self._unknown("its batch was cancelled while in flight", error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers hear it
            why = f"delivering its batch failed with {type(error).__name__}"
            self._settle_rest(batch, self._unknown(why, error))
        except BaseException as error:
            self._settle_rest(batch, self._unknown(f"its batch was ended by {type(error).__name__}", error))
            # Its callers have heard of it; what a person or the program itself ordered goes on to the loop.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                is_end_near = True
                raise
        finally:
            self._settle_bluntly(batch)
            self._land(batch)
            if is_end_near:
                self._pause()
            else:
                self._learn(self._now() - started)
                self._pump()

    def _pause(self) -> None:
        """Begin nothing for a moment: the loop may be shutting down, and would cut it off in the middle."""
        if not self._is_forced:
            self._pump_at(self._now() + PAUSE)
        self._check_idle()

    def _settle_bluntly(self, batch: Batch) -> None:
        """Answer whoever is left if even telling them failed: a defect must not leave anybody waiting."""
        if batch.settled >= len(batch.waiters):
            return
        error = self._unknown("telling its fate failed", None)
        for place in range(batch.settled, len(batch.waiters)):
            self._settle_place(batch, place, error.for_row(None, attempts=1), "unknown")
        batch.settled = len(batch.waiters)

    def _unknown(self, why: str, cause: BaseException | None) -> OutcomeUnknownError:
        error = OutcomeUnknownError(f"{self._label()}: the row may or may not be stored: {why}", attempts=1)
        error.__cause__ = cause
        return error

    async def _settle_in_turns(self, batch: Batch, settle: Callable[[int, int], None], *, weight: int = 1) -> None:
        """Call ``settle(start, stop)`` until the whole batch is settled, as many places a turn as the loop can bear.

        Args:
            batch: The batch.
            settle: Settles the rows from one place to another.
            weight: How many times the time of a good answer one of these takes.
        """
        batch.has_reply = True
        rows = len(batch.waiters)
        while True:
            stop = min(batch.settled + self._room_in_turn(batch) // weight, rows)
            if stop > batch.settled:
                self._count_in_turn(weight * (stop - batch.settled))
                settle(batch.settled, stop)
                batch.settled = max(batch.settled, stop)
                self._let_go(batch, rows)
            if batch.settled >= rows:
                return
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                # What is known is told, also where the loop is being shut down.
                settle(batch.settled, rows)
                batch.settled = rows
                raise

    def _let_go(self, batch: Batch, rows: int) -> None:
        """Forget waiters that have their answer: to free those of a large batch all at once takes milliseconds."""
        if rows > MANY and isinstance(batch.waiters, list):
            start = max(0, batch.settled - SETTLED_A_TURN)
            batch.waiters[start : batch.settled] = itertools.repeat(None, batch.settled - start)

    def _room_in_turn(self, batch: Batch) -> int:
        """Return how many rows of a batch may still be settled in this turn of the loop."""
        most = self._most_in_turn(batch)
        return max(0, most - self._settled_in_turn) if self._turn_is_counted else most

    def _most_in_turn(self, batch: Batch) -> int:  # noqa: ARG002
        """Return how many rows may be settled in one turn of the loop, by all batches together."""
        return SETTLED_A_TURN

    def _count_in_turn(self, rows: int) -> None:
        self._settled_in_turn += rows
        # Small batches are not worth a call of their own in every turn: what they leave behind is counted later.
        if not self._turn_is_counted and self._settled_in_turn >= SETTLED_A_TURN // 4:
            assert self._loop is not None
            self._turn_is_counted = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._settled_in_turn = 0
        self._turn_is_counted = False

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
        elif batch.early and not waiter.cancelled():
            # It heard of its deadline, and was counted then.
            batch.early -= 1
            return
        # A cancelled caller hears nothing, but its row met its fate all the same.
        batch.epoch.add(fate)

    def _land(self, batch: Batch) -> None:
        """Take a batch whose rows are all answered out of flight."""
        # The callers are settled before the slot is released: one woken first would find the queue full and wait
        # for itself.
        self._flights.discard(batch)
        self._release_slot(batch)
        self._close_epochs()
        # The task still holds the batch when the callers come with their next rows: futures that are let go now, the
        # new ones take the place of, in memory that is at hand.
        batch.items, batch.waiters = [], ()

    def _learn(self, took: float) -> None:
        """Note how long a batch took, in seconds."""
        took = min(took, max(MOST_OF_USUAL * self._usual_time, FIRST_GUESS))
        self._usual_time += 0.2 * (took - self._usual_time)

    def _release_slot(self, batch: Batch) -> None:
        """Let another batch take off; the first one may still be awaiting its answer."""
        if batch.has_slot:
            batch.has_slot = False
            self._taken_slots -= 1


def fail(waiter: Any, error: BaseException) -> None:
    """Give a waiting caller its error. A future that nobody reads stays silent: its fate is in the statistics."""
    waiter.set_exception(error)
    waiter.exception()


def set_results(waiters: Sequence[Any], results: Sequence[Any]) -> None:
    """Give each caller its result, in C as far as the waiters are futures; who was cancelled is passed over.

    To ask each before would cost more than the few that were.
    """
    if len(results) != len(waiters):
        # A list that process_batch keeps, and has changed since it was counted: map would pass over who is left.
        message = f"process_batch left {len(results)} results for {len(waiters)} items in the list that it returned"
        raise ValueError(message)
    settling = map(asyncio.Future.set_result, waiters, results)
    while True:
        try:
            # Taken up again behind each that was cancelled.
            deque(settling, maxlen=0)
        except asyncio.InvalidStateError:
            continue
        except TypeError:
            # There are others among them, which stand for a row of many. Who has a result already is passed over too.
            break
        return
    for waiter, result in zip(waiters, results, strict=True):
        with contextlib.suppress(asyncio.InvalidStateError):
            waiter.set_result(result)

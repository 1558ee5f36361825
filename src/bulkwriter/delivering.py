"""Delivering batches, and trying again what is proven not stored: packed with new rows, and never inside a slot."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

from bulkwriter.batches import Batch, Parcel
from bulkwriter.contract import NotApplied, Uniform
from bulkwriter.delivery import Delivery
from bulkwriter.flights import SETTLED_A_TURN, WEIGHT_OF_ERRORS, fail, set_results
from bulkwriter.gathering import Stretch
from bulkwriter.keyed import KeyedDispatcher, Record
from bulkwriter.pace import Pace
from bulkwriter.plans import complete
from bulkwriter.results import WriteResult
from bulkwriter.statistics import fate_of, fates_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Plan
    from bulkwriter.delivery import Answer
    from bulkwriter.errors import BulkWriterError, NotWrittenError
    from bulkwriter.limits import QueueLimits
    from bulkwriter.retry import RetryPolicy
    from bulkwriter.statistics import Tally


class DeliveringDispatcher(KeyedDispatcher):
    """Delivers batches to a backend, and lets rows that are not stored yet wait for their next attempt."""

    def __init__(
        self,
        backend: Backend,
        limits: QueueLimits,
        name: str,
        *,
        policy: RetryPolicy,
        timeout: float | None,
        coalesces: bool,
    ) -> None:
        super().__init__(backend, limits, name, timeout=timeout, coalesces=coalesces)
        self._policy = policy
        self._delivery = Delivery(backend, policy)
        self._pace = Pace(policy, self._slots)
        self._retrying: dict[Parcel, asyncio.TimerHandle] = {}

    async def _deliver(self, batch: Batch) -> None:
        reply = await self._delivery.deliver(
            batch.lane, batch.items, number=self._tries(batch), on_settling=functools.partial(self._free_slot, batch)
        )
        self._pace.note(reply, self._now())
        if isinstance(reply, Uniform):
            self._make_way(batch)
            result = cast("WriteResult", reply.verdict)
            settle = functools.partial(self._settle_alike, batch, result)
            await self._settle_in_turns(batch, settle, weight=self._weight)
        elif set(map(type, reply)) == {WriteResult}:
            results = cast("list[WriteResult]", reply)
            settle = functools.partial(self._settle_stored, batch, results)
            await self._settle_in_turns(batch, settle, weight=self._weight)
        else:
            settle = functools.partial(self._settle_each, batch, reply)
            await self._settle_in_turns(batch, settle, weight=WEIGHT_OF_ERRORS)

    @property
    def _weight(self) -> int:
        # To release a key takes about as long as to tell its caller.
        return 1 if self._order is None else 2

    def _make_way(self, batch: Batch) -> None:
        """Let a full batch leave while the callers of this one are told over several turns of the loop.

        One that is still being filled does not: these callers are about to come with their next rows.
        """
        if len(batch.waiters) > SETTLED_A_TURN // 4 and self._queue.oldest_full() is not None:
            self._free_slot(batch)

    def _most_in_turn(self, batch: Batch) -> int:
        # While callers hear their answers, and come with their next rows, another batch is encoded, a piece in each
        # turn: in short turns the database has all of it early, and is through with it when the callers are.
        is_alone = self._taken_slots == batch.has_slot and self._queue.oldest_full() is None
        return SETTLED_A_TURN if is_alone else SETTLED_A_TURN // 4

    def _is_whole(self, batch: Batch) -> bool:
        """Whether a batch is one caller's, none of whose rows has to be looked at alone."""
        is_unclaimed = self._order is not None and batch.keys is None
        return isinstance(batch.waiters, Stretch) and batch.waiters.is_whole and not batch.records and not is_unclaimed

    def _free_slot(self, batch: Batch) -> None:
        """Let another batch leave while it is only to be learnt, or told, what became of this one."""
        if len(self._flights) - self._taken_slots >= self._slots:
            # As many as may write are waiting already: a database that answers nobody would be sent the whole queue,
            # and the next one's worth, and none of it would count for the limits.
            return
        self._release_slot(batch)
        self._schedule_pump()

    def _settle_alike(self, batch: Batch, result: WriteResult, start: int, stop: int) -> None:
        """Give the rows from ``start`` up to ``stop`` the same good answer."""
        if self._is_whole(batch):
            # It costs next to nothing to settle, however long it is.
            cast("Stretch", batch.waiters).set_result_of_all(result)
            self._end_whole(batch, {fate_of(result): len(batch.waiters)})
            return
        if batch.records or (batch.early and self._order is not None):
            self._settle_each(batch, [result] * len(batch.waiters), start, stop)
            return
        waiters = batch.waiters
        fate = fate_of(result)
        if not batch.early:
            # Nobody has heard of a deadline: whoever has an answer was cancelled, or has answered himself.
            told = waiters if stop - start == len(waiters) else waiters[start:stop]
            set_results(told, [result] * len(told))
            batch.epoch.add(fate, len(told))
            self._release_rows(batch, start, stop)
            return
        told_before = 0
        for waiter in waiters[start:stop]:
            if not waiter.done():
                waiter.set_result(result)
            elif not waiter.cancelled():
                # It heard of its deadline, and was counted then; or its owner has answered it, which nobody counted.
                told_before += 1
        told_before = min(told_before, batch.early)
        batch.early -= told_before
        batch.epoch.add(fate, stop - start - told_before)

    def _settle_stored(self, batch: Batch, results: list[WriteResult], start: int, stop: int) -> None:
        """Give the rows from ``start`` up to ``stop`` their own good answers."""
        if self._is_whole(batch):
            cast("Stretch", batch.waiters).set_results(results)
            self._end_whole(batch, fates_of(results))
        elif batch.records or batch.early:
            # Of some of them something is remembered, or a deadline has passed: to be looked at one by one.
            self._settle_each(batch, results, start, stop)
        else:
            told = results[start:stop]
            set_results(batch.waiters[start:stop], told)
            for fate, rows in fates_of(told).items():
                batch.epoch.add(fate, rows)
            self._release_rows(batch, start, stop)

    def _end_whole(self, batch: Batch, fates: dict[str, int]) -> None:
        """Count a whole batch, and let those behind its rows go."""
        for fate, rows in fates.items():
            batch.epoch.add(fate, rows)
        batch.settled = len(batch.waiters)
        if batch.keys is not None and self._order is not None:
            self._release_keys(batch.keys)

    def _settle_each(self, batch: Batch, answers: Sequence[Answer], start: int, stop: int) -> None:
        """Give the rows from ``start`` up to ``stop`` their own answers."""
        left: list[Parcel] = []
        held: list[Parcel] = []
        wait = self._wait_after(batch, answers, start, stop)
        for place in range(start, stop):
            answer = answers[place]
            record = batch.record_of(place)
            if isinstance(answer, NotApplied):
                if batch.waiters[place].cancelled():
                    # Not stored, and nobody waits for it any more: it is not sent again.
                    self._forget(batch.epoch, batch.waiters[place], batch.lane, batch.items[place], record)
                    continue
                parcel = self._leftover(batch, place, answer, record, wait)
                if parcel is not None:
                    (left if answer.was_tried else held).append(parcel)
                    continue
            self._settle_row(batch, place, answer, record)
        if left:
            self._retry_later(left, wait)
        if held:
            self._enter_leftovers(held)
            self._queue_again(held)

    def _settle_failed(self, batch: Batch, place: int, error: BulkWriterError, fate: str) -> None:  # noqa: ARG002
        record = batch.record_of(place)
        self._settle_row(batch, place, cast("Answer", error), record)

    def _settle_row(self, batch: Batch, place: int, answer: Answer, record: Record | None) -> None:
        """Give one row its final answer, and let those behind it go."""
        plan, row = batch.lane, batch.items[place]
        attempts = 0 if record is None else record.attempts
        final: Any
        if isinstance(answer, WriteResult):
            final = answer.after(attempts)
        else:
            error: BulkWriterError = answer.error if isinstance(answer, NotApplied) else answer
            final = complete(self._backend, error, plan, row, attempts=error.attempts + attempts)
        self._settle_place(batch, place, final, fate_of(final))
        is_rejected = not isinstance(final, WriteResult) and fate_of(final) == "rejected"
        if is_rejected and self._pass_on(record):
            # A later row that is rejected replaces nothing: the key stays claimed for the row it stood for.
            return
        self._answer_chain(record, final)
        if self._order is not None:
            self._release_key(plan, row)

    # Another attempt.

    def _wait_after(self, batch: Batch, answers: Sequence[Answer], start: int, stop: int) -> float:
        """Return the seconds after which those of these rows that are not stored may be tried again, together."""
        refused = [answer for answer in answers[start:stop] if isinstance(answer, NotApplied)]
        least = [answer.wait for answer in refused if answer.was_tried]
        return max(*least, self._policy.backoff(self._tries(batch))) if least else 0.0

    def _tries(self, batch: Batch) -> int:
        """Count the tries of the row that was tried most often, the one under way included."""
        return 1 + max((record.tries for record in batch.records.values()), default=0) if batch.records else 1

    def _leftover(
        self, batch: Batch, place: int, answer: NotApplied, record: Record | None, wait: float
    ) -> Parcel | None:
        """Take a row that is proven not stored out of its batch; ``None`` if it is not to be tried again."""
        waiter = batch.waiters[place]
        if waiter.done():
            # It heard at its deadline that its outcome is unknown; to store it now would be news to nobody.
            return None
        if record is None:
            record = Record(batch.opened_at)
        if self._is_forced or not self._may_try_again(record, answer, wait):
            return None
        record.attempts += answer.error.attempts
        size = self._size_at(batch, place)
        parcel = Parcel(batch.items[place], waiter, batch.lane, size, batch.epoch)
        parcel.record = record
        if batch.deadlines is not None and place < len(batch.deadlines):
            parcel.deadline = batch.deadlines[place]
        return parcel

    def _may_try_again(self, record: Record, answer: NotApplied, wait: float) -> bool:
        """Note what came of a row, and return whether the policy allows another try."""
        now = self._now()
        if not answer.was_tried:
            # It is queued as it was before.
            return True
        record.tried(answer.error, now)
        if not answer.retry or record.tries >= self._policy.max_attempts:
            return False
        return record.retried_for(now) + wait <= self._policy.max_time

    def _size_at(self, batch: Batch, place: int) -> int:
        if batch.sizes is not None:
            return batch.sizes[place]
        return self._backend.row_size(batch.lane, batch.items[place]) if self._counts_bytes else 0

    def _retry_later(self, parcels: list[Parcel], wait: float) -> None:
        """Let rows of one batch wait together, outside every slot, and queue them again.

        They count as queued meanwhile: else a database that leaves much undone would be sent ever more.
        """
        assert self._loop is not None
        self._retries += len(parcels)
        self._enter_leftovers(parcels)
        timer = self._loop.call_later(wait, self._retry_now, parcels)
        for parcel in parcels:
            self._retrying[parcel] = timer
            self._start_timer(parcel)

    def _enter_leftovers(self, parcels: list[Parcel]) -> None:
        """Count rows that are back from an attempt as queued."""
        self._queued += len(parcels)
        self._queued_bytes += sum([parcel.size for parcel in parcels])

    def _retry_now(self, parcels: list[Parcel]) -> None:
        """Queue rows for their next attempt."""
        waiting: list[Parcel] = []
        for parcel in [parcel for parcel in parcels if self._retrying.pop(parcel, None) is not None]:
            self._stop_timer(parcel)
            if parcel.waiter.done():
                self._leave(parcel)
                self._forget(parcel.epoch, parcel.waiter, parcel.lane, parcel.item, parcel.record)
            else:
                waiting.append(parcel)
        if waiting:
            self._queue_again(waiting)
        self._close_epochs()
        self._pump()

    def _queue_again(self, parcels: list[Parcel]) -> None:
        """Queue rows that are back from one attempt, before those that came later."""
        first = parcels[0]
        batch = Batch(first.lane, first.epoch, first.record.accepted_at, is_due=True)
        batch.sizes = [] if self._counts_bytes else None
        batch.may_be_topped_up = True
        now = self._now()
        for parcel in parcels:
            parcel.record.queued(now)
            self._append_again(batch, parcel)
        self._queue.put_back(batch)

    def _forget(self, epoch: Tally, waiter: Any, plan: Plan, row: Any, record: Record | None) -> None:
        """Let go of a row that is not stored and that nobody waits for; whom it stood for, or the next one, may go."""
        self._withdraw(epoch, waiter)
        if not self._pass_on(record) and self._order is not None:
            self._release_key(plan, row)

    def _forget_retries(self) -> None:
        """Let go of rows that wait for an attempt nobody wants any more: a stop would wait for them."""
        for parcel in [parcel for parcel in self._retrying if parcel.waiter.done()]:
            self._forget_retry(parcel)

    def _drop_parked(self) -> None:
        self._forget_retries()
        super()._drop_parked()

    def _forget_retry(self, parcel: Parcel) -> None:
        del self._retrying[parcel]
        self._leave(parcel)
        self._stop_timer(parcel)
        self._forget(parcel.epoch, parcel.waiter, parcel.lane, parcel.item, parcel.record)

    def _leave(self, parcel: Parcel) -> None:
        """Count a row out that was awaiting a retry."""
        self._queued -= 1
        self._queued_bytes -= parcel.size

    def _expire_parcel(self, parcel: Parcel) -> None:
        super()._expire_parcel(parcel)
        if parcel in self._retrying:
            # It has its answer: it must not be counted any more, nor hold back the next one of its key.
            self._forget_retry(parcel)

    def _append_again(self, batch: Batch, parcel: Parcel) -> None:
        place = len(batch.items)
        batch.items.append(parcel.item)
        batch.waiters.append(parcel.waiter)  # type: ignore[attr-defined]
        self._set_record(batch, place, parcel.record)
        if parcel.deadline is not None:
            self._set_deadline(batch, place, parcel.deadline)
        if batch.sizes is not None:
            batch.sizes.append(parcel.size)
            batch.size += parcel.size

    # While the database is away, or asks for a slower pace.

    def _before_flight(self, batch: Batch) -> None:
        if batch.records:
            self._give_up_late(batch)
        super()._before_flight(batch)

    def _give_up_late(self, batch: Batch, outage: NotWrittenError | None = None) -> None:
        """Give up rows that came back to the queue and waited there until their time was over."""
        now = self._now()
        late: list[tuple[int, Record]] = []
        for place, record in (batch.records or {}).items():
            age = now - record.accepted_at if outage is not None else record.retried_for(now)
            if age > self._policy.max_time:
                late.append((place, record))
        for place, record in late:
            why = record.error or outage
            if why is not None:
                self._give_up_row(batch, place, why)
        if late:
            self._drop_withdrawn(batch)

    def _slots_open(self) -> float:
        """Fewer slots while the database pushes back; none but one probe while it is away."""
        slots, opens_at = self._pace.slots(self._now())
        if opens_at is not None and self._queue:
            self._pump_at(opens_at)
        return slots

    def _before_pump(self) -> None:
        """Give up rows that have waited for a database that takes nothing for as long as the policy allows."""
        if self._is_closing and self._retrying:
            self._forget_retries()
        outage = self._pace.outage
        if outage is None:
            return
        now = self._now()
        for batch in list(self._queue):
            if batch.records and len(batch.records) == len(batch.items):
                # Rows that come back from an attempt may be of any age, and each remembers its own.
                self._give_up_late(batch, outage)
                if not batch.items:
                    self._queue.remove(batch)
                continue
            age = now - batch.opened_at
            if age > self._policy.max_time:
                self._give_up(batch, outage)
            elif age > self._policy.max_time / 16:
                # Rows of one batch are given up together, so during an outage a batch is not filled for long.
                self._queue.seal_one(batch)

    def _may_join(self, batch: Batch, since: float) -> bool:
        # Rows of one batch are given up together.
        return self._pace.outage is None or abs(batch.opened_at - since) <= self._policy.max_time / 16

    def _give_up(self, batch: Batch, outage: NotWrittenError) -> None:
        # Whoever stands in line behind one of its rows must not end up in the batch that is given up.
        self._queue.seal_one(batch)
        for place in range(len(batch.waiters)):
            self._give_up_row(batch, place, outage)
        self._drop_withdrawn(batch)
        self._queue.remove(batch)

    def _give_up_row(self, batch: Batch, place: int, why: NotWrittenError) -> None:
        """Tell a queued row that it is not written, and those that it stands for."""
        waiter, record = batch.waiters[place], batch.record_of(place)
        if not waiter.done():
            attempts = 0 if record is None else record.attempts
            fail(waiter, complete(self._backend, why, batch.lane, batch.items[place], attempts=attempts))
            batch.epoch.add("not_written")
            self._answer_chain(record, why)

    # Who waits for another attempt.

    def _keep_order(self) -> None:
        super()._keep_order()
        for parcel in self._retrying:
            self._claim_anyway(parcel.lane, parcel.item)

    def _take_parked(self) -> Parcel | None:
        if not self._retrying:
            return super()._take_parked()
        parcel, _ = self._retrying.popitem()
        self._leave(parcel)
        return parcel

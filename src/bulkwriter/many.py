"""Many rows of one caller: read in portions, queued with back-pressure, answered together."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from bulkwriter.batches import Batch
from bulkwriter.errors import BulkWriterError
from bulkwriter.gathering import Gathering, Stretch, Ticket
from bulkwriter.opening import OpeningDispatcher
from bulkwriter.plans import complete
from bulkwriter.results import Report
from bulkwriter.statistics import Counts, fate_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkwriter.contract import Plan

# Rows that are read in one turn of the loop, unless a whole batch is no more than LARGEST_STRETCH.
PORTION = 1000
LARGEST_STRETCH = 5000


def _kept_apart(rows: Iterator[Any]) -> Iterator[Any]:
    """Return the rows of an iterator each as it came, also if it gives one and the same dict again, filled anew.

    Several are read before the first is looked at: all would be like the last.
    """
    head = list(itertools.islice(rows, 1))
    if not head or type(head[0]) is not dict:
        return itertools.chain(head, rows)
    kept = [dict(head[0])]
    for row in itertools.islice(rows, 1):
        if row is head[0]:
            return itertools.chain(kept, (dict(row),), map(_copied, rows))
        kept.append(row)
    return itertools.chain(kept, rows)


def _copied(row: Any) -> Any:
    return dict(row) if type(row) is dict else row


class _Inflow:
    """What an async iterable has brought and nobody has taken in yet."""

    __slots__ = ("parked", "rows", "soon")

    def __init__(self) -> None:
        self.rows: list[Any] = []
        # Done when rows have entered that were taken in while the source let the loop turn.
        self.parked: list[asyncio.Future[None]] = []
        self.soon: asyncio.Handle | None = None

    def take(self) -> list[Any]:
        """Return the rows, which are no longer here then."""
        rows, self.rows = self.rows, []
        return rows

    def close(self) -> None:
        """Let go of it, also where its rows have not been taken in."""
        if self.soon is not None:
            self.soon.cancel()
        for entered in self.parked:
            entered.cancel()


class ManyRows(OpeningDispatcher):
    """Takes in the rows of ``insert_many``.

    A portion of equal rows that fills a batch goes as it is, and is answered as a whole; others are mixed with the
    rows of other callers, so that many small calls share their batches.
    """

    async def _gather(self, rows: Iterable[Any] | AsyncIterable[Any], gathering: Gathering) -> Report:
        """Take in all rows, wait for the answers, and report."""
        try:
            if not self._is_closing:
                await self._be_ready()
            if isinstance(rows, AsyncIterable):
                await self._take_in_async(gathering, rows)
            else:
                await self._take_in(gathering, iter(rows) if isinstance(rows, Sequence) else _kept_apart(iter(rows)))
            await gathering.wait()
        except BaseException:
            gathering.is_abandoned = True
            self._on_cancel()
            raise
        errors = cast("list[tuple[int, BulkWriterError]]", gathering.errors())
        return Report(Counts(**gathering.tally.as_dict()), tuple(gathering.results or ()), tuple(errors))

    def _portion(self) -> int:
        """How many rows to read at a time."""
        if self._max_rows <= min(LARGEST_STRETCH, self._max_queued):
            return int(self._max_rows)
        return int(min(PORTION, self._max_queued))

    async def _take_in(self, gathering: Gathering, rows: Iterator[Any]) -> None:
        while portion := list(itertools.islice(rows, self._portion())):
            await self._take_portion(gathering, portion)

    async def _take_in_async(self, gathering: Gathering, rows: AsyncIterable[Any]) -> None:
        """Take in rows as they come: those at hand do not wait for others that are still to come."""
        assert self._loop is not None
        inflow = _Inflow()
        first: Any = inflow
        is_refilled = True
        try:
            async for row in rows:
                if is_refilled:
                    # As in _kept_apart.
                    is_refilled = first is inflow or row is first
                    first = row
                if not inflow.rows:
                    # Called only if the source lets the loop turn, which may be for long.
                    inflow.soon = self._loop.call_soon(self._take_early, gathering, inflow)
                inflow.rows.append(_copied(row) if is_refilled else row)
                if inflow.parked:
                    await self._entered(inflow.parked)
                if len(inflow.rows) >= self._portion():
                    await self._take_portion(gathering, inflow.take())
            await self._entered(inflow.parked)
            if inflow.rows:
                await self._take_portion(gathering, inflow.take())
        finally:
            inflow.close()

    def _take_early(self, gathering: Gathering, inflow: _Inflow) -> None:
        """Queue what a source has brought that is in no hurry to bring more."""
        if inflow.rows and not self._is_closing:
            inflow.parked += self._enter_or_park(self._batched(gathering, inflow.take()))

    async def _take_portion(self, gathering: Gathering, rows: list[Any]) -> None:
        """Queue some rows of one caller, as soon as there is room for them."""
        if self._is_closing:
            self._refuse_portion(gathering, len(rows))
            # Rows without end would keep the loop to themselves.
            await asyncio.sleep(0)
            return
        await self._enter_in_turn(*self._batched(gathering, rows))

    def _batched(self, gathering: Gathering, rows: list[Any]) -> Sequence[Batch]:
        """Make batches of some rows of one caller; what is refused at the door has its answer already."""
        run = self._book.prepare_run(rows)
        if run is not None and self._order is None and len(rows) == self._max_rows:
            stretch = self._stretch(gathering, *run)
            if stretch is not None:
                return [stretch]
        return self._ticketed(gathering, rows, run)

    def _refuse_portion(self, gathering: Gathering, rows: int) -> None:
        """Answer rows that came after the writer was stopped; earlier ones of the same call are still finished."""
        refusal = self._refused()
        if not gathering.rows:
            raise refusal
        start = gathering.reserve(rows)
        self._epoch.accepted += rows
        self._epoch.add("not_written", rows)
        for index in range(start, start + rows):
            gathering.answer(index, refusal.for_row(None, attempts=0))

    def _enter(self, batch: Batch) -> None:
        """Queue one caller's batch; from here on its deadline counts."""
        if self._order is not None and isinstance(batch.waiters, Stretch):
            # The first delete came while it waited for room: each of its rows has to claim its key.
            batch.waiters = batch.waiters[:]
            if self._counts_bytes:
                batch.sizes = [self._backend.row_size(batch.lane, row) for row in batch.items]
        if self._timeout is not None and isinstance(batch.waiters, Stretch):
            batch.deadlines = [self._now() + self._timeout] * len(batch.items)
        super()._enter(batch)

    def _stretch(self, gathering: Gathering, plan: Plan, rows: list[Any]) -> Batch | None:
        """Make a batch that one caller fills by itself; ``None`` if its bytes need a closer look."""
        batch = self._new_batch(plan)
        if self._counts_bytes:
            batch.size = self._backend.run_size(plan, rows)
            if batch.size > min(self._max_bytes, self._max_queued_bytes):
                return None
        batch.items = rows
        batch.waiters = Stretch(gathering, len(rows))
        return batch

    def _ticketed(self, gathering: Gathering, rows: list[Any], run: tuple[Plan, list[Any]] | None) -> list[Batch]:
        """Make batches of rows that share theirs with the rows of others, in the order in which they are to enter."""
        batches: list[Batch] = []
        by_plan: dict[int, Batch] = {}
        prepared: Iterable[Any] = rows if run is None else run[1]
        for row in prepared:
            index = gathering.reserve(1)
            try:
                plan, item = self._book.prepare(*self._book.read(row)) if run is None else (run[0], row)
                size = self._row_size(plan, item)
                if size > self._max_queued_bytes:
                    raise complete(self._backend, self._too_large(size), plan, item, attempts=0)
            except BulkWriterError as error:
                self._count_refused(error)
                gathering.answer(index, error)
                continue
            batch = by_plan.get(id(plan))
            if batch is None:
                if self._order is not None:
                    # Where the order of keys matters, rows of one plan must not overtake those of another.
                    by_plan.clear()
                batch = by_plan[id(plan)] = self._new_batch(plan)
                batch.sizes = [] if self._counts_bytes else None
                batches.append(batch)
            batch.items.append(item)
            batch.waiters.append(Ticket(gathering, index))  # type: ignore[attr-defined]
            if batch.sizes is not None:
                batch.sizes.append(size)
                batch.size += size
        return batches

    def _new_batch(self, plan: Plan) -> Batch:
        return Batch(plan, self._epoch, self._now(), is_due=self._is_closing)

    def _count_refused(self, error: BulkWriterError) -> None:
        """Count a row that is refused at the door."""
        self._epoch.accepted += 1
        self._epoch.add(fate_of(error))

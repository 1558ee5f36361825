"""Many rows of one caller: read in portions, queued with back-pressure, answered together."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, Iterable
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
                await self._take_in(gathering, iter(rows))
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
        portion: list[Any] = []
        async for row in rows:
            portion.append(row)
            if len(portion) == self._portion():
                await self._take_portion(gathering, portion)
                portion = []
        if portion:
            await self._take_portion(gathering, portion)

    async def _take_portion(self, gathering: Gathering, rows: list[Any]) -> None:
        """Queue some rows of one caller, as soon as there is room for them."""
        if self._is_closing:
            self._refuse_portion(gathering, len(rows))
            # Rows without end would keep the loop to themselves.
            await asyncio.sleep(0)
            return
        run = self._book.prepare_run(rows)
        if run is not None and self._order is None and len(rows) == self._max_rows:
            stretch = self._stretch(gathering, *run)
            if stretch is not None:
                await self._enter_in_turn(stretch)
                return
        await self._enter_in_turn(*self._ticketed(gathering, rows, run))

    def _refuse_portion(self, gathering: Gathering, rows: int) -> None:
        """Answer rows that came after the writer was stopped; earlier ones of the same call are still finished."""
        refusal = cast("BulkWriterError", self._refusal(0))
        if not gathering.rows:
            raise refusal
        start = gathering.reserve(rows)
        self._epoch.accepted += rows
        self._epoch.add("not_written", rows)
        for index in range(start, start + rows):
            gathering.answer(index, self._error_for(refusal, None, None))

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

    def _ticketed(self, gathering: Gathering, rows: list[Any], run: tuple[Plan, list[Any]] | None) -> Iterable[Batch]:
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

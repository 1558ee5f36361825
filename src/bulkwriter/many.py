"""Many rows of one caller: read in portions, queued with back-pressure, answered together."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from bulkwriter.batches import Batch
from bulkwriter.errors import BulkWriterError
from bulkwriter.gathering import Gathering, Stretch, Ticket
from bulkwriter.opening import OpeningDispatcher
from bulkwriter.plans import complete, cut, joined
from bulkwriter.results import Report
from bulkwriter.statistics import Counts, fate_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkwriter.contract import Plan
    from bulkwriter.plans import PreparedRun

    # Rows as they came, and what they are if they are all alike and all good.
    Part: TypeAlias = tuple[list[Any], PreparedRun | None]

# Rows that are queued at a time, and the most that are read in one turn of the loop.
PORTION = 1000
# Values that are read in one turn of the loop: half a millisecond's, and twice that where they lie all over the memory.
VALUES_A_TURN = 3000
# Values of a row where rows of all shapes share a plan, which does not say how many they have.
USUAL_WIDTH = 16
# Rows that are queued one by one in one turn of the loop, among those of others.
MIXED_A_TURN = 400
# Rows of the largest batch that is put together for one caller, over several turns of the loop. Of larger ones the rows
# go one by one: they would be long in nobody's queue.
LARGEST_STRETCH = 20_000


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

    def take(self, most: int | None = None) -> list[Any]:
        """Return the rows, or the first of them; they are no longer here then."""
        rows = self.rows[:most]
        del self.rows[:most]
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

    # Rows to read in one turn: of those that come first nobody knows how wide they are, and their types are new.
    _rows_a_turn: int = PORTION // 4

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
        # Not copied into a tuple: a million results would hold the loop for milliseconds.
        return Report(Counts(**gathering.tally.as_dict()), gathering.results or (), tuple(errors))

    def _portion(self) -> int:
        """How many rows to queue at a time."""
        if self._max_rows <= min(LARGEST_STRETCH, self._max_queued):
            return int(self._max_rows)
        return int(min(PORTION, self._max_queued))

    async def _take_in(self, gathering: Gathering, rows: Iterator[Any]) -> None:
        while parts := await self._read_portion(rows):
            await self._take_portion(gathering, parts)

    async def _read_portion(self, rows: Iterator[Any]) -> list[Part]:
        """Read a portion, no more of it in one turn than the loop can bear."""
        parts: list[Part] = []
        missing = self._portion()
        while missing and (part := list(itertools.islice(rows, min(missing, self._rows_a_turn)))):
            if parts:
                await asyncio.sleep(0)
            run = self._book.prepare_run(part, with_keys=self._order is not None)
            if run is not None:
                self._rows_a_turn = max(1, min(PORTION, VALUES_A_TURN // (len(run.plan.columns) or USUAL_WIDTH)))
            parts.append((part, run))
            missing -= len(part)
        return parts

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
                    await self._take_portion(gathering, await self._read_portion(iter(inflow.take())))
            await self._entered(inflow.parked)
            if inflow.rows:
                await self._take_portion(gathering, await self._read_portion(iter(inflow.take())))
        finally:
            inflow.close()

    def _take_early(self, gathering: Gathering, inflow: _Inflow) -> None:
        """Queue what a source has brought that is in no hurry to bring more."""
        if not inflow.rows or self._is_closing:
            return
        rows = inflow.take(MIXED_A_TURN)
        parts = [(rows, self._book.prepare_run(rows, with_keys=self._order is not None))]
        stretch = self._stretch(gathering, parts)
        inflow.parked += self._enter_or_park([stretch] if stretch else self._ticketed(gathering, *parts[0]))
        if inflow.rows:
            assert self._loop is not None
            inflow.soon = self._loop.call_soon(self._take_early, gathering, inflow)

    async def _take_portion(self, gathering: Gathering, parts: list[Part]) -> None:
        """Queue some rows of one caller, as soon as there is room for them."""
        stretch = None if self._is_closing else self._stretch(gathering, parts)
        if stretch is not None:
            await self._enter_in_turn(stretch)
            return
        for rows, run in parts:
            for start in range(0, len(rows), MIXED_A_TURN):
                stop = min(start + MIXED_A_TURN, len(rows))
                if self._is_closing:
                    self._refuse_portion(gathering, stop - start)
                    # Rows without end would keep the loop to themselves.
                    await asyncio.sleep(0)
                else:
                    await self._enter_in_turn(*self._ticketed(gathering, rows[start:stop], cut(run, start, stop)))

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
        if self._order is not None and isinstance(batch.waiters, Stretch) and not self._may_go_whole(batch):
            # Each of its rows has to claim its key by itself, and may have to stand in line for it.
            batch.keys = None
            batch.waiters = batch.waiters[:]
            if self._counts_bytes:
                batch.sizes = [self._backend.row_size(batch.lane, row) for row in batch.items]
        if self._timeout is not None and isinstance(batch.waiters, Stretch):
            batch.deadlines = [self._now() + self._timeout] * len(batch.items)
        super()._enter(batch)

    def _may_go_whole(self, batch: Batch) -> bool:
        """Claim the keys of one caller's batch, if none of them is taken, and no two of its rows have the same."""
        assert self._order is not None
        # It has none if the first delete came while it waited for room.
        return batch.keys is not None and self._order.claim_all(batch.keys)

    def _stretch(self, gathering: Gathering, parts: list[Part]) -> Batch | None:
        """Make a batch that one caller fills by itself.

        ``None`` if the rows do not fill it, or not alike, or if keys or bytes need a closer look at each: to look at
        all of a large batch in one turn of the loop would be too much.
        """
        run = joined([run for _, run in parts])
        if run is None or len(run.rows) != self._max_rows:
            return None
        if self._order is not None and (self._coalesces or run.keys is None or not self._order.are_free(run.keys)):
            return None
        batch = self._new_batch(run.plan)
        if self._counts_bytes:
            batch.size = self._backend.run_size(run.plan, run.rows) if run.size is None else run.size
            if batch.size > min(self._max_bytes, self._max_queued_bytes):
                return None
        batch.items = run.rows
        batch.keys = run.keys
        batch.waiters = Stretch(gathering, len(run.rows))
        return batch

    def _ticketed(self, gathering: Gathering, rows: list[Any], run: PreparedRun | None) -> list[Batch]:
        """Make batches of rows that share theirs with the rows of others, in the order in which they are to enter."""
        batches: list[Batch] = []
        by_plan: dict[int, Batch] = {}
        prepared: Iterable[Any] = rows if run is None else run.rows
        for row in prepared:
            index = gathering.reserve(1)
            try:
                plan, item = self._book.prepare(*self._book.read(row)) if run is None else (run.plan, row)
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

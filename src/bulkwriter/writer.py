"""The writer: rows in, one at a time or many; each hears what became of it."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from bulkwriter.batches import Batch
from bulkwriter.contract import NotApplied, Uniform
from bulkwriter.delivery import Delivery
from bulkwriter.dispatch import Dispatcher, Parcel, fail, settle_in_turns
from bulkwriter.errors import (
    BulkWriterError,
    DeadlineExceededError,
    MisconfigurationError,
    NotWrittenError,
    QueueFullError,
)
from bulkwriter.gathering import Gathering, Stretch, Ticket
from bulkwriter.limits import QueueLimits, WhenFull, require_seconds
from bulkwriter.opening import open_patiently
from bulkwriter.ordering import KeyOrder
from bulkwriter.pace import Pace
from bulkwriter.plans import PlanBook, complete
from bulkwriter.results import SUPERSEDED, Report, WriteResult
from bulkwriter.retry import RetryPolicy
from bulkwriter.statistics import Counts, Statistics, fate_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence
    from typing import Self

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Plan
    from bulkwriter.delivery import Answer

RowT = TypeVar("RowT")

logger = logging.getLogger("bulkwriter")

# Rows of an insert_many that are read in one turn of the loop, unless a whole batch is no more than LARGEST_STRETCH.
PORTION = 1000
LARGEST_STRETCH = 5000


@dataclasses.dataclass(slots=True)
class Record:
    """What is remembered of a row that is not at its first attempt, or stands for others."""

    accepted_at: float
    attempts: int = 0
    tries: int = 0
    # Earlier rows of its key that it stands for (coalesce=True), the oldest first.
    chain: list[Parcel] = dataclasses.field(default_factory=list)


class BulkWriter(Dispatcher[Any], Generic[RowT]):
    """Writes rows that come one at a time in bulk, and tells each caller what became of its own row.

    A row is a mapping, a dataclass, a pydantic, attrs or msgspec object, a named tuple, a SQLAlchemy ORM instance, or
    a plain tuple if the backend was given ``columns=``. A column that it leaves out gets the database's default. What
    it holds is taken at the call: changing the object later changes nothing.

    Use it as ``async with BulkWriter(backend) as writer``; the exit finishes everything that was accepted, also when
    the body raised. The constructor opens and starts nothing; the writer belongs to the event loop on which it is
    first used.

    Args:
        backend: Where the rows go. The writer opens and closes it.
        max_batch_size: Rows that fill a batch; by default what was measured best for the backend.
        max_batch_bytes: Bytes that fill a batch; a single larger row travels alone; -1 = no limit.
        max_queue_time: Seconds a row may wait for company, counted from the oldest of its batch. 0, the default,
            batches naturally: what arrives while a batch is in flight leaves when that is back.
        concurrency: Batches in flight at once.
        max_queue_size: Rows that may be queued; what is in flight does not count.
        max_queue_bytes: Bytes that may be queued; a row larger than that is rejected at once; -1 = no limit.
        when_full: What ``insert`` does when the queue is full: ``"wait"`` for a place, in order of arrival, or
            ``"raise"`` a ``QueueFullError``.
        retry: How long a row is tried again that is proven not stored.
        timeout: Seconds from call to answer that each row is given, unless its call says otherwise; ``None`` is as
            long as it takes.
        coalesce: Whether a row that waits to be sent may be replaced by a later one with the same key and the same
            columns: it hears ``SUPERSEDED`` once the later one is stored. For ``on_conflict="update"`` without
            expressions.
        name: Named in ``repr``, errors and log lines; by default the table.

    Raises:
        ValueError: A number outside its range; the message says what would be right.
        TypeError: ``backend`` is no backend.
        MisconfigurationError: The backend cannot honour an option.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        max_batch_size: int | None = None,
        max_batch_bytes: int | None = None,
        max_queue_time: float = 0.0,
        concurrency: int | None = None,
        max_queue_size: int | None = None,
        max_queue_bytes: int | None = None,
        when_full: WhenFull = "wait",
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        coalesce: bool = False,
        name: str | None = None,
    ) -> None:
        limits = _limits(
            backend,
            max_batch_size=max_batch_size,
            max_batch_bytes=max_batch_bytes,
            max_queue_time=max_queue_time,
            concurrency=concurrency,
            max_queue_size=max_queue_size,
            max_queue_bytes=max_queue_bytes,
            when_full=when_full,
        )
        super().__init__(limits, backend.table if name is None else name)
        if timeout is not None:
            require_seconds("timeout", timeout)
        if coalesce and (backend.on_conflict != "update" or not backend.allows_coalescing):
            message = 'coalesce=True needs on_conflict="update" without expressions, and keys that compare exactly'
            raise MisconfigurationError(message, backend=backend.name, table=backend.table)
        self._backend = backend
        self._policy = RetryPolicy() if retry is None else retry
        self._timeout = timeout
        self._coalesces = coalesce
        self._counts_bytes = limits.counts_bytes
        self._waits_when_full = when_full == "wait"
        self._delivery = Delivery(backend, self._policy)
        self._book: PlanBook = PlanBook(backend)
        self._pace = Pace(self._policy, self._slots)
        # None while the order of keys does not matter: plain inserts, until the first delete.
        self._order: KeyOrder | None = None if backend.on_conflict == "error" else KeyOrder()
        fits = self._max_rows <= min(LARGEST_STRETCH, self._max_queued)
        self._portion = int(self._max_rows if fits else min(PORTION, self._max_queued))

        self._is_ready = False
        self._opening: asyncio.Task[None] | None = None
        # Rows that came before the backend was open; their lane is None, their item a function that plans them.
        self._unopened: deque[Parcel] = deque()
        self._retrying: dict[Parcel, asyncio.TimerHandle] = {}
        self._superseded: set[Parcel] = set()

    # --- opening ------------------------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Connect, and check target, columns and permissions. An insert before that opens by itself.

        Raises:
            MisconfigurationError: The target, an option or the credentials are wrong, or this is a second event loop.
            BackendUnavailableError: The database cannot be reached now.
            BatcherStoppedError: The writer has been stopped.
        """
        self._enter_loop()
        if self._is_closing:
            refusal = self._refusal(0)
            assert refusal is not None
            raise refusal
        if not self._is_ready:
            await self._backend.open()
            self._on_open()
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._bind(loop)
        return loop

    def _on_open(self) -> None:
        """Let in the rows that came before."""
        self._is_ready = True
        while self._unopened:
            parcel = self._unopened.popleft()
            if parcel.waiter.done():
                self._withdraw(parcel.epoch, parcel.waiter)
                continue
            try:
                parcel.lane, parcel.item = parcel.item()
                parcel.size = self._row_size(parcel.lane, parcel.item)
            except BulkWriterError as error:
                self._stop_timer(parcel)
                parcel.epoch.add(fate_of(error))
                fail(parcel.waiter, error)
                continue
            self._waiting.append(parcel)
        self._door = -1
        self._close_epochs()
        self._schedule_pump()

    def _open_soon(self) -> None:
        assert self._loop is not None
        if self._opening is None:
            self._opening = self._loop.create_task(self._open_for_rows())

    async def _open_for_rows(self) -> None:
        """Open because rows have come, as patiently as they may wait."""
        try:
            refused: BulkWriterError | None = await open_patiently(self._backend, self._policy)
        except Exception as error:
            refused = MisconfigurationError(f"{self._label()}: opening failed with {type(error).__name__}")
            refused.__cause__ = error
            logger.exception("%s: opening failed", self._label())
        finally:
            self._opening = None
        if self._is_ready:
            return
        if refused is None:
            self._on_open()
            return
        while self._unopened:
            parcel = self._unopened.popleft()
            self._stop_timer(parcel)
            self._settle_parcel(parcel, refused)
        self._close_epochs()
        self._pump()

    # --- the way in ---------------------------------------------------------------------------------------------

    async def insert(self, row: RowT, timeout: float | None = None) -> WriteResult:
        """Write one row, by the backend's ``on_conflict``, and return what became of it.

        A caller that is cancelled withdraws its row while it is queued; what is in flight goes on.

        Args:
            row: The row; see the class.
            timeout: Seconds from this call to its answer; ``None`` takes the writer's ``timeout``.

        Raises:
            RowRejectedError: The row is not stored, and it is why: one of its subclasses.
            QueueFullError: The queue is full and ``when_full`` is ``"raise"``.
            DeadlineExceededError: The deadline came before the row was sent: not stored.
            NotWrittenError: The row is not stored, and it is not why: one of its subclasses.
            OutcomeUnknownError: The row may or may not be stored.
        """
        future = self._accept(self._row_planner(row), timeout, may_wait=self._waits_when_full)
        try:
            return await future
        except asyncio.CancelledError:
            self._on_cancel()
            raise

    def submit(self, row: RowT, timeout: float | None = None) -> asyncio.Future[WriteResult]:
        """Accept one row and return the future of its answer; never waits.

        The future may be awaited, cancelled or dropped: an error that nobody reads stays silent, and is counted in
        ``statistics()``. Once the writer is open, a row that is bad in itself is refused here.

        Raises:
            RowRejectedError: The row cannot be stored as it is.
            QueueFullError: The queue is full, whatever ``when_full`` says.
            MisconfigurationError: The table has no such column, or this is a second event loop.
            BatcherStoppedError: The writer has been stopped.
        """
        return self._accept(self._row_planner(row), timeout, may_wait=False)

    async def delete(self, key: object, timeout: float | None = None) -> WriteResult:
        """Delete the row with this key: batched like inserts, and in order with them.

        Args:
            key: A mapping of the key's columns, a tuple in their order, or the value of a single column.
            timeout: Seconds from this call to its answer; ``None`` takes the writer's ``timeout``.

        Returns:
            ``Outcome.DELETED``: the key is absent now, whether or not it was there.

        Raises:
            RowRejectedError: It is no key of this table, or another row refers to it.
            NotWrittenError: Nothing is deleted, and the key is not why: ``MisconfigurationError`` if the table has no
                key or the backend cannot delete; else as for ``insert``.
            OutcomeUnknownError: The row may or may not be deleted.
        """
        self._enter_loop()
        if self._order is None:
            self._keep_order()
        if isinstance(key, Mapping):
            # A row is taken at the call, and so is a key, although its columns may not be known yet.
            key = dict(key)
        future = self._accept(functools.partial(self._book.prepare_key, key), timeout, may_wait=self._waits_when_full)
        try:
            return await future
        except asyncio.CancelledError:
            self._on_cancel()
            raise

    def _row_planner(self, row: object) -> Any:
        """Read a row now; return what plans it once the backend is open."""
        self._enter_loop()
        if self._is_closing:
            raise cast("BulkWriterError", self._refusal(0))
        try:
            columns, values = self._book.read(row)
        except BulkWriterError as error:
            self._count_refused(error)
            raise
        return functools.partial(self._book.prepare, columns, values)

    def _accept(self, planner: Any, timeout: float | None, *, may_wait: bool) -> asyncio.Future[WriteResult]:
        """Accept one row, or raise what is wrong with it."""
        loop = self._enter_loop()
        if timeout is None:
            timeout = self._timeout
        else:
            require_seconds("timeout", timeout)
        epoch = self._epoch
        if not self._is_ready:
            return self._accept_unopened(planner, timeout, may_wait=may_wait)
        try:
            plan, row = planner()
        except BulkWriterError as error:
            self._count_refused(error)
            raise
        size = self._row_size(plan, row) if self._counts_bytes else 0
        must_park = False
        if self._load() >= self._door or size > self._max_queued_bytes or self._queued_bytes + size > self._max_queued_bytes:
            refusal = self._refusal(size)
            if refusal is not None:
                if not (may_wait and isinstance(refusal, QueueFullError)):
                    refusal = complete(self._backend, refusal, plan, row, attempts=0)
                    if not isinstance(refusal, QueueFullError):
                        self._count_refused(refusal)
                    raise refusal
                must_park = True
        future: asyncio.Future[WriteResult] = loop.create_future()
        epoch.accepted += 1
        if timeout is None and not must_park and self._order is None:
            self._put(row, future, plan, size, epoch)
            return future
        parcel = Parcel(row, future, plan, size, epoch)
        if timeout is not None:
            self._start_timer(parcel, timeout)
        if must_park:
            self._park(parcel)
        else:
            self._enter_parcel(parcel)
        return future

    def _accept_unopened(self, planner: Any, timeout: float | None, *, may_wait: bool) -> asyncio.Future[WriteResult]:
        """Accept a row before the backend is open; it has been read, and is planned as soon as that is possible."""
        loop = self._enter_loop()
        if self._is_closing:
            raise cast("BulkWriterError", self._refusal(0))
        if not may_wait and len(self._unopened) >= self._max_queued:
            message = f"{self._label()} is full: {len(self._unopened):,} rows wait for it to open"
            raise QueueFullError(message)
        future: asyncio.Future[WriteResult] = loop.create_future()
        self._epoch.accepted += 1
        parcel = Parcel(planner, future, None, 0, self._epoch)
        if timeout is not None:
            self._start_timer(parcel, timeout)
        self._unopened.append(parcel)
        self._open_soon()
        return future

    def _row_size(self, plan: Plan, row: Any) -> int:
        if not self._counts_bytes:
            return 0
        size = self._backend.row_size(plan, row)
        hard = self._backend.limits.hard_batch_bytes
        if 0 < hard < size:
            raise complete(self._backend, self._too_large(size), plan, row, attempts=0)
        return size

    def _count_refused(self, error: BulkWriterError) -> None:
        """Count a row that is refused at the door."""
        self._epoch.accepted += 1
        self._epoch.add(fate_of(error))

    def _error_for(self, error: BulkWriterError, lane: Any, item: Any) -> BulkWriterError:
        if lane is None:
            mine = error.for_row(None, attempts=error.attempts)
            mine.backend, mine.table = self._backend.name, self._backend.table
            return mine
        return complete(self._backend, error, lane, item, attempts=error.attempts)

    # --- many rows ----------------------------------------------------------------------------------------------

    async def insert_many(
        self, rows: Iterable[RowT] | AsyncIterable[RowT], *, results: bool = True, max_errors: int = 100
    ) -> Report:
        """Write any number of rows, and return what became of each.

        Takes rows from the iterable as places come free in the queue, whatever ``when_full`` says; costs a fraction of
        as many ``insert`` calls. The writer's ``timeout`` counts for each row from the moment it enters the queue.

        Args:
            rows: An iterable or async iterable, of any length. What it raises is raised here, after the rows taken
                from it have been withdrawn where they were still queued.
            results: Whether the answer to every row is kept, or only counts and errors.
            max_errors: How many errors are kept with ``results=False``.

        Raises:
            TypeError: ``rows`` is no iterable.
            BatcherStoppedError: The writer was stopped before the first row was accepted.
            MisconfigurationError: The backend cannot be opened, or this is a second event loop.
            BackendUnavailableError: The database could not be reached while opening it.
        """
        self._enter_loop()
        gathering = Gathering(keeps_results=results, max_errors=max_errors)
        try:
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

    async def _be_ready(self) -> None:
        """Wait until the backend is open, as patiently as rows may wait."""
        if self._is_ready or self._is_closing:
            return
        refused = await open_patiently(self._backend, self._policy)
        if refused is not None:
            raise refused
        if not self._is_ready:
            self._on_open()

    async def _take_in(self, gathering: Gathering, rows: Iterator[RowT]) -> None:
        while portion := list(itertools.islice(rows, self._portion)):
            await self._take_portion(gathering, portion)

    async def _take_in_async(self, gathering: Gathering, rows: AsyncIterable[RowT]) -> None:
        portion: list[RowT] = []
        async for row in rows:
            portion.append(row)
            if len(portion) == self._portion:
                await self._take_portion(gathering, portion)
                portion = []
        if portion:
            await self._take_portion(gathering, portion)

    async def _take_portion(self, gathering: Gathering, rows: list[RowT]) -> None:
        """Queue some rows of one caller, as soon as there is room for them."""
        if self._is_closing:
            self._refuse_portion(gathering, len(rows))
            return
        run = self._book.prepare_run(rows)
        if run is not None and self._order is None and len(rows) == self._max_rows:
            stretch = self._stretch(gathering, *run)
            if stretch is not None:
                await self._enter_in_turn(stretch)
                return
        for batch in self._ticketed(gathering, rows, run):
            await self._enter_in_turn(batch)

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

    def _stretch(self, gathering: Gathering, plan: Plan, rows: list[Any]) -> Batch | None:
        """Make a batch that one caller fills by itself; ``None`` if its bytes need a closer look."""
        batch = self._new_batch(plan)
        if self._counts_bytes:
            size = self._backend.row_size
            batch.sizes = [size(plan, row) for row in rows]
            batch.size = sum(batch.sizes)
            if batch.size > min(self._max_bytes, self._max_queued_bytes):
                return None
        batch.items = rows
        batch.waiters = Stretch(gathering, len(rows))
        if self._timeout is not None:
            batch.deadlines = [self._now() + self._timeout] * len(rows)
        return batch

    def _ticketed(
        self, gathering: Gathering, rows: list[RowT], run: tuple[Plan, list[Any]] | None
    ) -> Iterable[Batch]:
        """Make batches, one a plan, of rows that share theirs with the rows of others."""
        batches: dict[int, Batch] = {}
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
            batch = batches.get(id(plan))
            if batch is None:
                batch = batches[id(plan)] = self._new_batch(plan)
                batch.sizes = [] if self._counts_bytes else None
            batch.items.append(item)
            batch.waiters.append(Ticket(gathering, index))  # type: ignore[attr-defined]
            if batch.sizes is not None:
                batch.sizes.append(size)
                batch.size += size
        return batches.values()

    def _new_batch(self, plan: Plan) -> Batch:
        return Batch(plan, self._epoch, self._now(), is_due=self._is_closing)

    # --- order by key -------------------------------------------------------------------------------------------

    def _load(self) -> int:
        """Rows that count for ``max_queue_size``."""
        return self._queued if self._order is None else self._queued + self._order.rows_in_line

    def _keep_order(self) -> None:
        """Keep the order of keys from now on: the first delete makes it matter among plain inserts."""
        self._order = KeyOrder()
        for batch in itertools.chain(self._queue, self._flights):
            for place in range(batch.settled, len(batch.items)):
                self._claim_anyway(batch.lane, batch.items[place])
        for parcel in self._retrying:
            self._claim_anyway(parcel.lane, parcel.item)

    def _claim_anyway(self, plan: Plan, row: Any) -> None:
        key = self._backend.row_key(plan, row)
        if key is not None:
            cast("KeyOrder", self._order).claim_anyway(key)

    def _enter_parcel(self, parcel: Parcel) -> None:
        """Queue a row, unless another of its key is on its way: then it stands in line."""
        if self._order is not None:
            key = self._backend.row_key(parcel.lane, parcel.item)
            if key is not None and not self._order.claim(key):
                self._order.stand_in_line(key, parcel)
                return
        super()._enter_parcel(parcel)

    def _enter_row(self, item: Any, waiter: Any, size: int, batch: Batch) -> None:
        if self._timeout is None and self._order is None:
            self._put(item, waiter, batch.lane, size, batch.epoch)
            return
        parcel = Parcel(item, waiter, batch.lane, size, batch.epoch)
        if self._timeout is not None:
            self._start_timer(parcel, self._timeout)
        self._enter_parcel(parcel)

    def _release_key(self, plan: Plan, row: Any) -> None:
        """The row that was on its way has met its fate: the next one of its key may go."""
        assert self._order is not None
        key = self._backend.row_key(plan, row)
        if key is None or not self._order.release(key):
            return
        while (parcel := self._order.take(key)) is not None:
            if not parcel.waiter.done():
                super()._enter_parcel(parcel)
                return
            self._withdraw(parcel.epoch, parcel.waiter)
        # Everybody in line had gone.
        self._order.release(key)

    def _on_dropped(self, batch: Batch, place: int) -> None:
        """A row left the queue unsent: whom it stood for may go, else the next one of its key."""
        record = batch.records.get(place) if batch.records is not None else None
        if not self._pass_on(record, batch.lane) and self._order is not None:
            self._release_key(batch.lane, batch.items[place])

    def _before_flight(self, batch: Batch) -> None:
        """Let the last row in line stand for the others of its key, as far as they are alike."""
        if not self._coalesces or self._order is None or not self._order.has_lines:
            return
        items = batch.items
        for place in range(len(items)):
            key = self._backend.row_key(batch.lane, items[place])
            if key is not None and self._order.has_line(key):
                self._replace(batch, place, key)

    def _replace(self, batch: Batch, place: int, key: Hashable) -> None:
        assert self._order is not None
        record = batch.records.get(place) if batch.records is not None else None
        chain = [] if record is None else record.chain
        size = 0 if batch.sizes is None else batch.sizes[place]
        mine = Parcel(batch.items[place], batch.waiters[place], batch.lane, size, batch.epoch)
        if batch.deadlines is not None and place < len(batch.deadlines):
            self._start_timer_at(mine, batch.deadlines[place])
        while (parcel := self._order.first_in_line(key)) is not None:
            if parcel.waiter.done():
                self._order.take(key)
                self._withdraw(parcel.epoch, parcel.waiter)
                continue
            if parcel.lane is not batch.lane or parcel.epoch is not batch.epoch:
                break
            self._order.take(key)
            chain.append(mine)
            self._superseded.add(mine)
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
        self._set_deadline(batch, place, float("inf") if mine.deadline is None else mine.deadline)

    def _pass_on(self, record: Record | None, plan: Plan) -> bool:
        """Let the latest of the rows that a lost one stood for go in its place. Returns whether there was one."""
        while record is not None and record.chain:
            parcel = record.chain.pop()
            self._superseded.discard(parcel)
            if parcel.waiter.done():
                self._withdraw(parcel.epoch, parcel.waiter)
                continue
            parcel.record = Record(record.accepted_at, chain=record.chain)
            super()._enter_parcel(parcel)
            return True
        return False

    def _answer_chain(self, record: Record | None, answer: Any) -> None:
        """Answer the rows that this one stood for."""
        if record is None:
            return
        for parcel in record.chain:
            self._superseded.discard(parcel)
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

    # --- delivering ---------------------------------------------------------------------------------------------

    async def _deliver(self, batch: Batch) -> None:
        number = 1
        if batch.records:
            number += max(record.tries for record in batch.records.values())
        reply = await self._delivery.deliver(
            batch.lane, batch.items, number=number, on_settling=functools.partial(self._free_slot, batch)
        )
        self._pace.note(reply, self._now())
        if isinstance(reply, Uniform):
            result = cast("WriteResult", reply.verdict)
            await settle_in_turns(batch, functools.partial(self._settle_alike, batch, result))
        else:
            await settle_in_turns(batch, functools.partial(self._settle_each, batch, reply))

    def _free_slot(self, batch: Batch) -> None:
        self._release_slot(batch)
        self._schedule_pump()

    def _settle_alike(self, batch: Batch, result: WriteResult, start: int, stop: int) -> None:
        """Give the rows from ``start`` up to ``stop`` the same good answer."""
        if batch.records or self._order is not None:
            self._settle_each(batch, [result] * len(batch.waiters), start, stop)
            return
        waiters = batch.waiters
        fate = fate_of(result)
        if isinstance(waiters, Stretch) and waiters.is_whole:
            # One caller's whole batch costs next to nothing to settle, however long it is.
            waiters.set_result_of_all(result)
            batch.epoch.add(fate, len(waiters))
            batch.settled = len(waiters)
            return
        told_before = 0
        for waiter in waiters[start:stop]:
            if not waiter.done():
                waiter.set_result(result)
            elif not waiter.cancelled():
                # It heard of its deadline, and was counted then.
                told_before += 1
        batch.early -= told_before
        batch.epoch.add(fate, stop - start - told_before)

    def _settle_each(self, batch: Batch, answers: Sequence[Answer], start: int, stop: int) -> None:
        """Give the rows from ``start`` up to ``stop`` their own answers."""
        left: list[Parcel] = []
        for place in range(start, stop):
            answer = answers[place]
            record = batch.records.get(place) if batch.records is not None else None
            if isinstance(answer, NotApplied):
                parcel = self._leftover(batch, place, answer, record)
                if parcel is not None:
                    left.append(parcel)
                    continue
            self._settle_row(batch, place, answer, record)
        if left:
            self._retry_later(left, answers[start:stop])

    def _settle_failed(self, batch: Batch, place: int, error: BulkWriterError, fate: str) -> None:
        record = batch.records.get(place) if batch.records is not None else None
        self._settle_row(batch, place, cast("Answer", error), record)

    def _settle_row(self, batch: Batch, place: int, answer: Answer, record: Record | None) -> None:
        """Give one row its final answer, and let those behind it go."""
        plan, row = batch.lane, batch.items[place]
        attempts = 0 if record is None else record.attempts
        final: Any
        if isinstance(answer, WriteResult):
            final = dataclasses.replace(answer, attempts=answer.attempts + attempts) if attempts else answer
        else:
            error: BulkWriterError = answer.error if isinstance(answer, NotApplied) else answer
            final = complete(self._backend, error, plan, row, attempts=error.attempts + attempts)
        self._settle_place(batch, place, final, fate_of(final))
        is_rejected = not isinstance(final, WriteResult) and fate_of(final) == "rejected"
        if is_rejected and self._pass_on(record, plan):
            # A later row that is rejected replaces nothing: the key stays claimed for the row it stood for.
            return
        self._answer_chain(record, final)
        if self._order is not None:
            self._release_key(plan, row)

    # --- retrying -----------------------------------------------------------------------------------------------

    def _leftover(self, batch: Batch, place: int, answer: NotApplied, record: Record | None) -> Parcel | None:
        """Take a row that is proven not stored out of its batch to be tried again; ``None`` if that was the last try."""
        waiter = batch.waiters[place]
        if waiter.done() and not waiter.cancelled():
            # It heard at its deadline that its outcome is unknown; to store it now would be news to nobody.
            return None
        if record is None:
            record = Record(batch.opened_at)
        tries = record.tries + 1
        wait = max(answer.wait, self._policy.initial_backoff)
        if not answer.retry or tries >= self._policy.max_attempts or self._is_forced:
            return None
        if self._now() + wait - record.accepted_at > self._policy.max_time:
            return None
        record.tries = tries
        record.attempts += answer.error.attempts
        size = 0 if batch.sizes is None else batch.sizes[place]
        parcel = Parcel(batch.items[place], waiter, batch.lane, size, batch.epoch)
        parcel.record = record
        if batch.deadlines is not None and place < len(batch.deadlines):
            self._start_timer_at(parcel, batch.deadlines[place])
        return parcel

    def _retry_later(self, parcels: list[Parcel], answers: Sequence[Answer]) -> None:
        """Let rows of one batch wait together, outside every slot, and queue them again."""
        assert self._loop is not None
        least = max((answer.wait for answer in answers if isinstance(answer, NotApplied)), default=0.0)
        tries = max(parcel.record.tries for parcel in parcels)
        wait = max(least, self._policy.backoff(tries))
        self._retries += len(parcels)
        timer = self._loop.call_later(wait, self._retry_now, parcels)
        for parcel in parcels:
            self._retrying[parcel] = timer

    def _retry_now(self, parcels: list[Parcel]) -> None:
        """Queue rows for their next attempt, before those that came later."""
        alive = [parcel for parcel in parcels if self._retrying.pop(parcel, None) is not None]
        batch: Batch | None = None
        for parcel in alive:
            self._stop_timer(parcel)
            if parcel.waiter.done():
                self._withdraw(parcel.epoch, parcel.waiter)
                if not self._pass_on(parcel.record, parcel.lane) and self._order is not None:
                    self._release_key(parcel.lane, parcel.item)
                continue
            if batch is None:
                batch = Batch(parcel.lane, parcel.epoch, parcel.record.accepted_at, is_due=True)
                batch.sizes = [] if self._counts_bytes else None
            self._append_again(batch, parcel)
        if batch is not None:
            batch.may_be_topped_up = True
            self._queue.push_first(batch)
        self._close_epochs()
        self._pump()

    def _append_again(self, batch: Batch, parcel: Parcel) -> None:
        place = len(batch.items)
        batch.items.append(parcel.item)
        batch.waiters.append(parcel.waiter)  # type: ignore[attr-defined]
        self._set_record(batch, place, parcel.record)
        if parcel.deadline is not None:
            self._set_deadline(batch, place, parcel.deadline)
        self._queued += 1
        if batch.sizes is not None:
            batch.sizes.append(parcel.size)
            batch.size += parcel.size
            self._queued_bytes += parcel.size

    def _slots_open(self) -> float:
        """Fewer slots while the database pushes back; none but one probe while it is away."""
        slots, opens_at = self._pace.slots(self._now())
        if opens_at is not None and self._queue:
            self._pump_at(opens_at)
        return slots

    def _before_pump(self) -> None:
        """Give up rows that have waited for a database that is away for as long as the policy allows."""
        outage = self._pace.outage
        if outage is None:
            return
        now = self._now()
        for batch in list(self._queue):
            age = now - batch.opened_at
            if age > self._policy.max_time:
                self._give_up(batch, outage)
            elif age > self._policy.max_time / 16:
                # Rows of one batch are given up together, so during an outage a batch is not filled for long.
                self._queue.seal_one(batch)

    def _give_up(self, batch: Batch, outage: NotWrittenError) -> None:
        # Whoever stands in line behind one of its rows must not end up in the batch that is given up.
        self._queue.seal_one(batch)
        for place, waiter in enumerate(batch.waiters):
            if not waiter.done():
                record = batch.records.get(place) if batch.records is not None else None
                attempts = 0 if record is None else record.attempts
                fail(waiter, complete(self._backend, outage, batch.lane, batch.items[place], attempts=attempts))
                batch.epoch.add("not_written")
                self._answer_chain(record, outage)
        self._drop_withdrawn(batch)
        self._queue.remove(batch)

    # --- deadlines of rows that wait outside the queue ----------------------------------------------------------

    def _start_timer(self, parcel: Parcel, timeout: float) -> None:
        self._start_timer_at(parcel, self._now() + timeout)

    def _start_timer_at(self, parcel: Parcel, deadline: float) -> None:
        assert self._loop is not None
        if deadline < float("inf"):
            parcel.deadline = deadline
            parcel.timer = self._loop.call_at(deadline, self._expire_parcel, parcel)

    def _stop_timer(self, parcel: Parcel) -> None:
        if parcel.timer is not None:
            parcel.timer.cancel()
            parcel.timer = None

    def _expire_parcel(self, parcel: Parcel) -> None:
        parcel.timer = None
        if parcel.waiter.done():
            return
        record = parcel.record
        attempts = 0 if record is None else record.attempts
        error = DeadlineExceededError(f"{self._label()}: the row's deadline passed before it was sent", attempts=attempts)
        item = parcel.item if parcel.lane is not None else None
        fail(parcel.waiter, self._error_for(error, parcel.lane, item))
        parcel.epoch.add("not_written")
        self._close_epochs()
        self._schedule_pump()

    def _parked(self) -> Iterator[Parcel]:
        yield from self._unopened
        yield from self._retrying
        yield from self._superseded
        if self._order is not None:
            yield from self._order

    def _take_parked(self) -> Parcel | None:
        if self._unopened:
            return self._unopened.popleft()
        if self._retrying:
            return self._retrying.popitem()[0]
        if self._superseded:
            return self._superseded.pop()
        return None if self._order is None else self._order.take_any()

    # --- the end ------------------------------------------------------------------------------------------------

    async def _close(self, *, force: bool) -> None:
        if self._opening is not None:
            self._opening.cancel()
        await self._backend.close(force=force)

    def _paths(self) -> dict[str, int]:
        return dict(self._backend.paths)

    def _summary(self, figures: Statistics) -> str:
        return f"{figures.written:,} written, {figures.rejected:,} rejected"


def _limits(backend: Backend, *, when_full: WhenFull, max_queue_time: float, **given: int | None) -> QueueLimits:
    """Fill in what was measured best for the backend, and refuse what the database cannot do."""
    measured = getattr(backend, "limits", None)
    if measured is None:
        message = f"backend must be a Backend, such as SQLiteBackend(path, table), not {type(backend).__name__}"
        raise TypeError(message)
    for name, hard in (("max_batch_size", measured.hard_batch_size), ("max_batch_bytes", measured.hard_batch_bytes)):
        asked = given[name]
        if hard > 0 and asked is not None and not 0 < asked <= hard:
            message = f"{name} must be from 1 to {hard:,} for {backend.name}, not {asked}"
            raise MisconfigurationError(message, backend=backend.name, table=backend.table)
    numbers = {name: getattr(measured, name) if value is None else value for name, value in given.items()}
    return QueueLimits(max_queue_time=max_queue_time, when_full=when_full, **numbers)


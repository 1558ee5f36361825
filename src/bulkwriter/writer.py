"""The writer: rows in, one at a time or many; each hears what became of it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bulkwriter.batches import Parcel
from bulkwriter.errors import BulkWriterError, MisconfigurationError, QueueFullError, RowTooLargeError
from bulkwriter.gathering import Gathering
from bulkwriter.limits import QueueLimits, WhenFull, require_seconds
from bulkwriter.many import ManyRows
from bulkwriter.plans import complete
from bulkwriter.retry import RetryPolicy

if TYPE_CHECKING:
    from bulkwriter.backend import Backend
    from bulkwriter.contract import Plan
    from bulkwriter.results import Report, WriteResult
    from bulkwriter.statistics import Statistics

RowT = TypeVar("RowT")


class BulkWriter(ManyRows, Generic[RowT]):
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
        if timeout is not None:
            require_seconds("timeout", timeout)
        if coalesce and (backend.on_conflict != "update" or not backend.allows_coalescing):
            message = 'coalesce=True needs on_conflict="update" without expressions, and keys that compare exactly'
            raise MisconfigurationError(message, backend=backend.name, table=backend.table)
        super().__init__(
            backend,
            limits,
            backend.table if name is None else name,
            policy=RetryPolicy() if retry is None else retry,
            timeout=timeout,
            coalesces=coalesce,
        )
        self._waits_when_full = when_full == "wait"
        self._last_columns: tuple[str, ...] | None = None
        self._last_plan: Plan | None = None

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
        future = self._accept(row, timeout, may_wait=self._waits_when_full)
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
        return self._accept(row, timeout, may_wait=False)

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
        future = self._accept_key(key, timeout)
        try:
            return await future
        except asyncio.CancelledError:
            self._on_cancel()
            raise

    async def insert_many(
        self, rows: Iterable[RowT] | AsyncIterable[RowT], *, results: bool = True, max_errors: int = 100
    ) -> Report:
        """Write any number of rows, and return what became of each.

        Takes rows from the iterable as places come free in the queue, whatever ``when_full`` says; costs a fraction of
        as many ``insert`` calls. Rows that an async iterable has brought do not wait for those that are still to come.
        The writer's ``timeout`` counts for each row from the moment it enters the queue.

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
        return await self._gather(rows, Gathering(keeps_results=results, max_errors=max_errors))

    def _accept(self, row: object, timeout: float | None, *, may_wait: bool) -> asyncio.Future[WriteResult]:
        """Accept one row, or raise what is wrong with it."""
        future: asyncio.Future[WriteResult]
        # The hot path: an open writer, no deadline, no order of keys, a row like those before and room in the queue.
        # It does what _accept_carefully does, without its calls.
        # Which loop is running the future has found out already.
        if timeout is None and self._queued < self._door and (future := self._new_future()).get_loop() is self._loop:
            try:
                columns, item, size = self._reader.quick(row)
            except BulkWriterError as error:
                self._count_refused(error)
                raise self._book.complete(error) from error.__cause__
            # To find the plan of columns that are not those of the row before, their names have to be hashed.
            plan = self._last_plan if columns is self._last_columns else self._plan_of(columns)
            if plan is not None and self._queued_bytes + size <= self._max_queued_bytes:
                self._epoch.accepted += 1
                batch = self._filling.get(plan)
                if batch is None or batch.size + size > self._max_bytes:
                    self._put(item, future, plan, size, self._epoch)
                    return future
                # What _put does otherwise.
                items = batch.items
                items.append(item)
                batch.waiters.append(future)  # type: ignore[attr-defined]
                self._queued += 1
                if self._counts_bytes:
                    batch.sizes.append(size)  # type: ignore[union-attr]
                    batch.size += size
                    self._queued_bytes += size
                if len(items) >= self._max_rows or batch.size >= self._max_bytes:
                    self._seal(batch)
                return future
            return self._accept_read(columns, item, None, may_wait=may_wait)
        return self._accept_carefully(row, timeout, may_wait=may_wait)

    def _plan_of(self, columns: tuple[str, ...]) -> Plan | None:
        """Return the plan of rows that need no preparation, and remember it for the next row."""
        plan = self._ready_plans.get(columns)
        if plan is not None:
            self._last_columns, self._last_plan = columns, plan
        return plan

    def _accept_carefully(self, row: object, timeout: float | None, *, may_wait: bool) -> asyncio.Future[WriteResult]:
        timeout = self._checked_door(timeout)
        try:
            columns, values = self._book.read(row)
        except BulkWriterError as error:
            self._count_refused(error)
            raise
        if not self._is_ready:
            planner = functools.partial(self._book.prepare, columns, values)
            return self._accept_unopened(planner, timeout, may_wait=may_wait)
        return self._accept_read(columns, values, timeout, may_wait=may_wait)

    def _accept_read(
        self, columns: tuple[str, ...], values: tuple[Any, ...], timeout: float | None, *, may_wait: bool
    ) -> asyncio.Future[WriteResult]:
        """Accept one row that has been read, once the backend is open."""
        try:
            plan, item = self._book.prepare(columns, values)
            size = self._row_size(plan, item)
        except BulkWriterError as error:
            self._count_refused(error)
            raise
        return self._accept_prepared(plan, item, size, timeout, may_wait=may_wait)

    def _accept_key(self, key: object, timeout: float | None) -> asyncio.Future[WriteResult]:
        """Accept one delete, or raise what is wrong with it."""
        timeout = self._checked_door(timeout)
        if self._order is None:
            self._keep_order()
        if not self._is_ready:
            # A key is taken at the call, as a row is, although its columns may not be known yet.
            taken = dict(key) if isinstance(key, Mapping) else key
            planner = functools.partial(self._book.prepare_key, taken)
            return self._accept_unopened(planner, timeout, may_wait=self._waits_when_full)
        try:
            plan, item = self._book.prepare_key(key)
            size = self._row_size(plan, item)
        except BulkWriterError as error:
            self._count_refused(error)
            raise
        return self._accept_prepared(plan, item, size, timeout, may_wait=self._waits_when_full)

    def _checked_door(self, timeout: float | None) -> float | None:
        """Return the timeout that a row is given, if rows are accepted here and now."""
        if asyncio.get_running_loop() is not self._loop:
            self._enter_loop()
        if self._is_closing:
            raise self._refused()
        if timeout is None:
            return self._timeout
        require_seconds("timeout", timeout)
        return timeout

    def _accept_prepared(
        self, plan: Plan, item: Any, size: int, timeout: float | None, *, may_wait: bool
    ) -> asyncio.Future[WriteResult]:
        """Queue one row, or let it wait for a place."""
        has_room = not self._waiting and self._load() < self._max_queued
        has_room = has_room and self._queued_bytes + size <= self._max_queued_bytes
        refusal = None if has_room else self._refusal(size)
        if refusal is not None and not (may_wait and isinstance(refusal, QueueFullError)):
            refusal = complete(self._backend, refusal, plan, item, attempts=0)
            if isinstance(refusal, RowTooLargeError):
                self._count_refused(refusal)
            raise refusal
        assert self._loop is not None
        future: asyncio.Future[WriteResult] = self._loop.create_future()
        epoch = self._epoch
        epoch.accepted += 1
        if refusal is None and timeout is None and (self._order is None or self._claims(plan, item)):
            self._put(item, future, plan, size, epoch)
            return future
        parcel = Parcel(item, future, plan, size, epoch)
        if timeout is not None:
            parcel.deadline = self._now() + timeout
        if refusal is None:
            self._enter_parcel(parcel)
        else:
            self._start_timer(parcel)
            self._park(parcel)
        return future

    def _accept_unopened(self, planner: Any, timeout: float | None, *, may_wait: bool) -> asyncio.Future[WriteResult]:
        """Accept a row before the backend is open; it has been read, and is planned as soon as that is possible."""
        if not may_wait and len(self._unopened) >= self._max_queued:
            message = f"{self._label()} is full: {len(self._unopened):,} rows wait for it to open"
            raise QueueFullError(message, backend=self._backend.name, table=self._backend.table)
        assert self._loop is not None
        future: asyncio.Future[WriteResult] = self._loop.create_future()
        self._epoch.accepted += 1
        parcel = Parcel(planner, future, None, 0, self._epoch)
        if timeout is not None:
            parcel.deadline = self._now() + timeout
            self._start_timer(parcel)
        self._unopened.append(parcel)
        self._open_soon()
        return future

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

"""The generic core: any items, any ``process_batch``, one answer for each item."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import itertools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from bulkwriter.batches import Batch, Parcel
from bulkwriter.dispatch import Dispatcher
from bulkwriter.errors import BulkWriterError, OutcomeUnknownError, QueueFullError
from bulkwriter.flights import WEIGHT_OF_ERRORS, fail, set_results
from bulkwriter.gathering import Gathering, Stretch, Ticket
from bulkwriter.limits import UNLIMITED, QueueLimits, WhenFull

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from bulkwriter.statistics import Tally

T = TypeVar("T")
S = TypeVar("S")

_running_loop = asyncio.get_running_loop

# A caller of many brings so many items at a time, so that taking them in does not block the loop for long: full
# batches if they are no larger than the first number, else portions that are mixed with the items of others.
LARGEST_STRETCH = 10_000
PORTION = 1000


class AsyncBatcher(Dispatcher[T], Generic[T, S]):
    """Gathers items that come one at a time, has them processed in batches, and answers each caller for its own item.

    Give it a function, or subclass it and define ``process_batch``. Either may be a coroutine function or a plain one,
    which then runs in ``executor`` with the context variables of the batch's first caller. It is given a list of items
    and returns

    - ``None``: every caller hears ``None``;
    - a list or another sized sequence (tuple, numpy array) with one result an item, in order. A result that is an
      ``Exception`` instance is raised to that caller alone.

    Another length, or a ``str``, bytes, mapping or scalar, is a ``TypeError`` or ``ValueError`` for every caller of
    the batch. An exception it raises goes to every caller, as a new exception each where that is possible.

    A batch leaves when a slot is free (see ``concurrency``) and it is full, or its oldest item has waited
    ``max_queue_time``, or a flush or stop asks. ``process_batch`` must not await this batcher itself: with one slot it
    would wait for its own end.

    The constructor starts nothing. The batcher belongs to the event loop on which it is first used.

    Args:
        process_batch: What processes a batch; not given if a subclass defines it.
        max_batch_size: Items that fill a batch; -1 = no limit.
        max_batch_bytes: Bytes (as ``item_size`` says) that fill a batch; a single larger item travels alone; -1 = no
            limit.
        max_queue_time: Seconds an item may wait for company, counted from the oldest of its batch. 0 batches
            naturally: what arrived in one turn of the loop leaves at once; what arrives while a batch is in flight
            leaves when that is back; a further slot opens for a full batch, and when the oldest item has waited
            longer than a batch usually takes.
        concurrency: Batches in flight at once; -1 = no limit.
        max_queue_size: Items that may be queued (what is in flight does not count); -1 = no limit.
        max_queue_bytes: Bytes that may be queued; an item larger than that is an error at once; -1 = no limit.
        when_full: What ``process`` does when the queue is full: ``"raise"`` a ``QueueFullError``, or ``"wait"`` for a
            place, in order of arrival.
        executor: Where a plain ``process_batch`` runs; ``None`` is the loop's default thread pool. A process pool
            works if function and items can be pickled.
        name: Named in ``repr``, errors and log lines.

    Raises:
        TypeError: No ``process_batch``, two of them, or one that cannot be called.
        ValueError: A number outside its range; the message says what would be right.
    """

    def __init__(
        self,
        process_batch: Callable[[list[T]], Any] | None = None,
        *,
        max_batch_size: int = UNLIMITED,
        max_batch_bytes: int = UNLIMITED,
        max_queue_time: float = 0.01,
        concurrency: int = 1,
        max_queue_size: int = UNLIMITED,
        max_queue_bytes: int = UNLIMITED,
        when_full: WhenFull = "raise",
        executor: Executor | None = None,
        name: str | None = None,
    ) -> None:
        limits = QueueLimits(
            max_batch_size=max_batch_size,
            max_batch_bytes=max_batch_bytes,
            max_queue_time=max_queue_time,
            concurrency=concurrency,
            max_queue_size=max_queue_size,
            max_queue_bytes=max_queue_bytes,
            when_full=when_full,
        )
        super().__init__(limits, name)
        self._process = self._chosen_function(process_batch)
        self._is_coroutine = _is_coroutine_function(self._process)
        self._executor = executor
        # A caller of many brings a full batch at a time, if such a batch is taken in quickly enough.
        fits = self._max_rows <= min(LARGEST_STRETCH, self._max_queued)
        self._portion = int(self._max_rows if fits else min(PORTION, self._max_queued))
        self._waits_when_full = when_full == "wait"

    def _chosen_function(self, function: Callable[[list[T]], Any] | None) -> Callable[[list[T]], Any]:
        is_defined = type(self).process_batch is not AsyncBatcher.process_batch
        if function is None and is_defined:
            return self.process_batch
        if function is None:
            message = "give AsyncBatcher a process_batch function, or define process_batch in a subclass"
            raise TypeError(message)
        if is_defined:
            message = f"{type(self).__name__} defines process_batch and was given another one: which is meant?"
            raise TypeError(message)
        if not callable(function):
            message = f"process_batch must be a function, not {type(function).__name__}"
            raise TypeError(message)
        return function

    def process_batch(self, batch: list[T]) -> Any:
        """Process one batch; a subclass defines it, as a coroutine function or a plain one.

        Args:
            batch: The items, in the order in which they were accepted; never empty.

        Returns:
            One result an item, in order, or ``None``: see the class.
        """
        return self._process(batch)

    def item_size(self, item: T) -> int:
        """Return the bytes an item counts for the byte limits; a subclass may override it.

        By default the length of bytes and text, and the memory of the object itself for anything else. Asked once an
        item, and only if a byte limit is set. What it raises is raised to the item's caller.
        """
        return len(item) if isinstance(item, bytes | bytearray | str) else sys.getsizeof(item)

    async def process(self, item: T) -> S:
        """Have one item processed and return its result.

        A caller that is cancelled withdraws its item while it is queued; nobody else notices.

        Raises:
            QueueFullError: The queue is full and ``when_full`` is ``"raise"``.
            RowTooLargeError: The item is larger than ``max_queue_bytes``.
            BatcherStoppedError: The batcher was stopped before the item was sent.
            OutcomeUnknownError: The batch was cancelled, or the stop forced, while the item was in flight.
            MisconfigurationError: Used on a second event loop.
            Exception: Whatever ``process_batch`` raised, or returned for this item.
        """
        # The hot path, here and in submit, which says the same: a call less is five per cent more items a second.
        future: asyncio.Future[S] = self._new_future()
        # To ask the future takes a third of the time that to ask for the running loop takes, on Python 3.11.
        if future.get_loop() is not self._loop or self._queued >= self._door:
            future = self._submit_carefully(item, may_wait=self._waits_when_full)
        else:
            self._epoch.accepted += 1
            try:
                batch = self._filling[None]
            except KeyError:
                batch = self._open_batch(None, None, self._epoch)
            items = batch.items
            items.append(item)
            batch.waiters.append(future)  # type: ignore[attr-defined]
            self._queued += 1
            if len(items) >= self._max_rows:
                self._seal(batch)
        try:
            return await future
        except asyncio.CancelledError:
            self._on_cancel()
            raise

    def submit(self, item: T) -> asyncio.Future[S]:
        """Accept one item and return the future of its result; never waits.

        The future may be awaited, cancelled (which withdraws the item while it is queued) or dropped: an error that
        nobody reads stays silent, and is counted in ``statistics()``.

        Raises:
            QueueFullError: The queue is full, whatever ``when_full`` says.
            RowTooLargeError: The item is larger than ``max_queue_bytes``.
            BatcherStoppedError: The batcher has been stopped.
            MisconfigurationError: Used on a second event loop.
        """
        future: asyncio.Future[S] = self._new_future()
        if future.get_loop() is not self._loop or self._queued >= self._door:
            return self._submit_carefully(item, may_wait=False)
        self._epoch.accepted += 1
        try:
            batch = self._filling[None]
        except KeyError:
            batch = self._open_batch(None, None, self._epoch)
        items = batch.items
        items.append(item)
        batch.waiters.append(future)  # type: ignore[attr-defined]
        self._queued += 1
        if len(items) >= self._max_rows:
            self._seal(batch)
        return future

    def _submit_carefully(self, item: T, *, may_wait: bool) -> asyncio.Future[S]:
        """Accept one item, raise what stands in the way, or let it wait for a place: then it counts as accepted."""
        loop = _running_loop()
        if loop is not self._loop:
            self._bind(loop)
        size = self._size_of(item) if self._counts_bytes and not self._is_closing else 0
        refusal = self._refusal(size)
        if refusal is not None and not (may_wait and isinstance(refusal, QueueFullError)):
            raise refusal
        future: asyncio.Future[S] = self._new_future()
        self._epoch.accepted += 1
        if refusal is None:
            self._put(item, future, None, size, self._epoch)
        else:
            self._park(Parcel(item, future, None, size, self._epoch))
        return future

    async def process_many(self, items: Iterable[T]) -> list[S | Exception]:
        """Have many items processed, and return for each, in order, its result or its exception.

        Waits for places in the queue whatever ``when_full`` says. Costs a fraction of as many ``process`` calls.

        Raises:
            BatcherStoppedError: The batcher was stopped before the first item was accepted.
            MisconfigurationError: Used on a second event loop.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._bind(loop)
        gathering = Gathering()
        try:
            await self._take_in(gathering, iter(items))
            await gathering.wait()
        except BaseException:
            gathering.is_abandoned = True
            self._on_cancel()
            raise
        return cast("list[S | Exception]", gathering.results)

    async def _take_in(self, gathering: Gathering, items: Iterator[T]) -> None:
        """Queue the items, a portion at a time, as places come free."""
        while portion := list(itertools.islice(items, self._portion)):
            if self._is_closing and not gathering.rows:
                raise self._stopped_error()
            batches = self._gathered(gathering, portion)
            if not self._is_closing:
                await self._enter_in_turn(*batches)
                continue
            for batch in batches:
                self._refuse_batch(batch)
            # Also what never ends must not keep the loop from everybody else.
            await asyncio.sleep(0)

    def _gathered(self, gathering: Gathering, portion: list[T]) -> list[Batch]:
        """Make a batch of one caller's items, or several if their bytes are more than may be queued."""
        if self._counts_bytes:
            return self._gathered_by_size(gathering, portion)
        batch = Batch(None, self._epoch, self._now(), is_due=self._is_closing)
        batch.items = portion
        if len(portion) == self._max_rows:
            batch.waiters = Stretch(gathering, len(portion))
        else:
            start = gathering.reserve(len(portion))
            batch.waiters = [Ticket(gathering, start + place) for place in range(len(portion))]
        return [batch]

    def _gathered_by_size(self, gathering: Gathering, portion: list[T]) -> list[Batch]:
        """Do the same with sizes; an item that is refused because of its own has its answer already."""
        batches = [self._sized_batch()]
        for item in portion:
            index = gathering.reserve(1)
            try:
                size = self._size_of(item)
            except Exception as error:  # noqa: BLE001 - whatever item_size raises is this item's answer
                gathering.answer(index, error)
                continue
            if batches[-1].items and batches[-1].size + size > self._max_queued_bytes:
                batches.append(self._sized_batch())
            batches[-1].items.append(item)
            batches[-1].waiters.append(Ticket(gathering, index))  # type: ignore[attr-defined]
            batches[-1].sizes.append(size)  # type: ignore[union-attr]
            batches[-1].size += size
        return batches

    def _sized_batch(self) -> Batch:
        batch = Batch(None, self._epoch, self._now(), is_due=self._is_closing)
        batch.sizes = []
        return batch

    def _size_of(self, item: T) -> int:
        """Return the bytes of an item; one that has none, or too many, is rejected at the door."""
        try:
            size = operator.index(self.item_size(item))
            if size < 0:
                message = f"item_size must return a number of bytes, 0 or more, not {size}"
                raise ValueError(message)  # noqa: TRY301 - counted like any other
            if size > self._max_queued_bytes:
                raise self._too_large(size)  # noqa: TRY301 - likewise
        except Exception:
            self._epoch.accepted += 1
            self._epoch.add("rejected")
            raise
        return size

    def _refuse_batch(self, batch: Batch) -> None:
        """Answer items that came after the door was shut; earlier ones of the same call are still finished."""
        refusal = self._stopped_error()
        self._epoch.accepted += len(batch.waiters)
        self._epoch.add("not_written", len(batch.waiters))
        for waiter in batch.waiters:
            fail(waiter, refusal.for_row(None, attempts=0))

    def _stopped_error(self) -> BulkWriterError:
        refusal = self._refusal(0)
        assert refusal is not None
        return refusal

    # --- processing ---------------------------------------------------------------------------------------------

    async def _deliver(self, batch: Batch) -> None:
        try:
            results = await self._call(batch.items)
        except Exception as error:  # noqa: BLE001 - it goes to the callers
            settle = functools.partial(self._settle_raised, batch, error)
            await self._settle_in_turns(batch, settle, weight=WEIGHT_OF_ERRORS)
            return
        if results is None:
            await self._settle_in_turns(batch, functools.partial(self._settle_alike, batch, None))
            return
        try:
            checked = _checked(results, len(batch.waiters))
        except Exception as error:  # noqa: BLE001 - a reply that is nonsense, or refuses to be looked at
            settle = functools.partial(self._settle_raised, batch, error)
            await self._settle_in_turns(batch, settle, weight=WEIGHT_OF_ERRORS)
            return
        await self._settle_in_turns(batch, functools.partial(self._settle_each, batch, checked))

    async def _call(self, items: list[T]) -> Any:
        """Run process_batch where it belongs."""
        if self._is_coroutine:
            return await self._process(items)
        assert self._loop is not None
        call = functools.partial(_call_plainly, self._process, items)
        if not _is_process_pool(self._executor):
            call = functools.partial(contextvars.copy_context().run, _call_plainly, self._process, items)
        results = await self._loop.run_in_executor(self._executor, call)
        # A plain function, or a callable object, may return a coroutine: then that is what is to be awaited.
        return await results if inspect.isawaitable(results) else results

    def _settle_alike(self, batch: Batch, result: Any, start: int, stop: int) -> None:
        """Give rows from ``start`` up to ``stop`` the same good result."""
        waiters = batch.waiters
        if isinstance(waiters, Stretch) and waiters.is_whole:
            # One caller's whole batch costs next to nothing to settle, however long it is.
            waiters.set_result_of_all(result)
            batch.epoch.add("succeeded", len(waiters))
            batch.settled = len(waiters)
            return
        self._settle_each(batch, [result] * len(waiters), start, stop)

    def _settle_each(self, batch: Batch, results: Sequence[Any], start: int, stop: int) -> None:
        """Give rows from ``start`` up to ``stop`` their own results."""
        waiters = batch.waiters
        if stop - start < len(waiters):
            waiters, results = waiters[start:stop], results[start:stop]
        if any(issubclass(kind, BaseException) for kind in set(map(type, results))):
            failed = self._settle_mixed(waiters, results)
        else:
            failed = 0
            set_results(waiters, results)
        batch.epoch.add("failed", failed)
        batch.epoch.add("succeeded", stop - start - failed)

    def _settle_mixed(self, waiters: Sequence[Any], results: Sequence[Any]) -> int:
        """Give rows their results, some of which are exceptions, and return how many are."""
        failed = 0
        for waiter, result in zip(waiters, results, strict=True):
            # By its type: what only poses as an exception, as a mock can, cannot be raised.
            if issubclass(type(result), BaseException):
                failed += 1
                if not waiter.done():
                    fail(waiter, _settable(result))
            elif not waiter.done():
                waiter.set_result(result)
        return failed

    def _settle_raised(self, batch: Batch, error: Exception, start: int, stop: int) -> None:
        """Give rows from ``start`` up to ``stop`` a new exception each that says the same as ``error``."""
        way = _way_to_copy(error)
        for place in range(start, stop):
            self._settle_place(batch, place, _settable(_twin_of(error, way)), "failed")

    def _withdraw(self, epoch: Tally, waiter: Any) -> None:  # noqa: ARG002 - here nobody hears of a deadline
        """Count an item that left the queue because nobody waits for it any more."""
        epoch.add("withdrawn")

    def _settle_failed(self, batch: Batch, place: int, error: BulkWriterError, fate: str) -> None:
        # Without a look at batch.items: that list was handed to process_batch, which may have emptied it.
        self._settle_place(batch, place, error.for_row(None, attempts=error.attempts), fate)


def _call_plainly(function: Callable[[list[Any]], Any], items: list[Any]) -> Any:
    """Call a plain function, in a thread or another process."""
    try:
        return function(items)
    except StopIteration as error:
        # No future can hold it, so the news of it would never arrive.
        message = "process_batch raised StopIteration"
        raise RuntimeError(message) from error


def _is_process_pool(executor: Executor | None) -> bool:
    """Whether it runs things in another process: there a context cannot go, and would mean nothing."""
    # Its module takes longer to import than all of ours; whoever has made such a pool has it imported.
    module = sys.modules.get("concurrent.futures.process")
    return module is not None and isinstance(executor, module.ProcessPoolExecutor)


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    # For an object that is called, what counts is its class's __call__.
    return inspect.iscoroutinefunction(getattr(type(function), "__call__", None))  # noqa: B004 - not to test for it


def _checked(results: Any, items: int) -> list[Any] | tuple[Any, ...]:
    """Return a reply as a list or tuple, if it holds one result an item."""
    is_sequence = isinstance(results, Sequence) or (hasattr(results, "__len__") and hasattr(results, "__getitem__"))
    if not is_sequence or isinstance(results, str | bytes | bytearray | memoryview | Mapping):
        kind = type(results).__name__
        message = f"process_batch must return a list with one result an item, or None, not {kind}"
        raise TypeError(message)
    found = len(results)
    if found == items and type(results) is not list and type(results) is not tuple:
        # What says that it is short may still be endless.
        results = list(itertools.islice(results, items + 1))
        found = len(results)
    if found != items:
        message = f"process_batch returned {found} results for {items} items"
        raise ValueError(message)
    return cast("list[Any] | tuple[Any, ...]", results)


def _way_to_copy(error: Exception) -> Callable[[Exception], Exception]:
    """Return what makes new exceptions that say the same: a shared one collects other callers' tracebacks."""
    for way in (_copied, _rebuilt):
        # An exception class may do anything when it is constructed, compared or shown.
        with contextlib.suppress(Exception):
            twin = way(error)
            if type(twin) is type(error) and twin.args == error.args and str(twin) == str(error):
                return way
    return _itself


def _twin_of(error: Exception, way: Callable[[Exception], Exception]) -> Exception:
    """Return a new exception, made in this way, or the very same if that fails this time."""
    try:
        return way(error)
    except Exception:  # noqa: BLE001 - what worked once may fail all the same
        return error


def _itself(error: Exception) -> Exception:
    return error


def _copied(error: Exception) -> Exception:
    """Return a copy as Python makes it."""
    import copy  # noqa: PLC0415 - see snapshots

    return _with_links(error, copy.copy(error))


def _rebuilt(error: Exception) -> Exception:
    """Return a copy without a call of ``__init__``, which may want other arguments than those that were kept."""
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    return _with_links(error, twin)


def _with_links(error: Exception, twin: Exception) -> Exception:
    """Give a copy what Python does not copy."""
    twin.with_traceback(error.__traceback__)
    for name in ("__cause__", "__context__", "__suppress_context__"):
        # Past the class's own __setattr__: that of a frozen dataclass refuses.
        BaseException.__setattr__(twin, name, getattr(error, name))
    if hasattr(error, "__notes__"):
        # What one caller notes on its own copy is nobody else's.
        twin.__dict__["__notes__"] = list(error.__notes__)
    return twin


def _settable(error: BaseException) -> Exception:
    """Return what can be set on a future.

    ``StopIteration`` cannot: ``await`` itself is made of it. Nor should a cancellation: its caller would take it for a
    cancellation of its own.
    """
    wrapped: Exception
    if isinstance(error, StopIteration):
        wrapped = RuntimeError("process_batch gave StopIteration, which cannot pass through an await")
    elif isinstance(error, Exception):
        return error
    else:
        why = f"process_batch gave {type(error).__name__} for this item: it may or may not have been processed"
        wrapped = OutcomeUnknownError(why, attempts=1)
    wrapped.__cause__ = error
    return wrapped

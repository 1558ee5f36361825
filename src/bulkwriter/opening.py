"""Opening a backend that may not be reachable yet, while rows are already coming."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from bulkwriter.delivering import DeliveringDispatcher
from bulkwriter.errors import BulkWriterError, MisconfigurationError
from bulkwriter.flights import fail
from bulkwriter.patience import open_patiently
from bulkwriter.plans import PlanBook, complete
from bulkwriter.statistics import fate_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from bulkwriter.backend import Backend
    from bulkwriter.batches import Parcel
    from bulkwriter.contract import Plan
    from bulkwriter.limits import QueueLimits
    from bulkwriter.retry import RetryPolicy

_logger = logging.getLogger("bulkwriter")


class OpeningDispatcher(DeliveringDispatcher):
    """Opens its backend, by itself if need be, and keeps the rows that come before that is done.

    They are read at the call, but what a backend makes of them is known only once it has seen its table.
    """

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
        super().__init__(backend, limits, name, policy=policy, timeout=timeout, coalesces=coalesces)
        self._book = PlanBook(backend)
        self._is_ready = False
        # Nobody takes the short way in before the backend is open.
        self._set_door()
        self._reader = self._book.reader
        self._ready_plans = self._book.ready
        self._open_lock = asyncio.Lock()
        self._opening: asyncio.Task[None] | None = None
        # Their lane is None, and their item a function that plans them.
        self._unopened: deque[Parcel] = deque()

    async def open(self) -> Self:
        """Connect, and check target, columns and permissions. An insert before that opens by itself.

        Raises:
            MisconfigurationError: The target, an option or the credentials are wrong, or this is a second event loop.
            BackendUnavailableError: The database cannot be reached now.
            BatcherStoppedError: The writer has been stopped.
        """
        self._enter_loop()
        if self._is_closing:
            raise self._refused()
        async with self._open_lock:
            if not self._is_ready:
                if self._is_stopped:
                    raise self._refused()
                await self._backend.open()
                await self._enter_service()
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    def _refused(self) -> BulkWriterError:
        """Return what a caller hears after the stop."""
        refusal = self._refusal(0)
        assert refusal is not None
        return self._error_for(refusal, None, None)

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._bind(loop)
        return loop

    async def _be_ready(self) -> None:
        """Wait until the backend is open, as patiently as rows may wait."""
        if self._is_ready:
            return
        async with self._open_lock:
            if self._is_ready:
                # Somebody else has opened it; by now it may even be closed again, for good.
                return
            if self._is_stopped:
                raise self._refused()
            refused = await open_patiently(self._backend, self._policy)
            if refused is not None:
                raise refused
            await self._enter_service()

    async def _enter_service(self) -> None:
        if self._is_stopped:
            # It was stopped meanwhile, and has closed a backend that was not open yet.
            await self._backend.close(force=True)
            raise self._refused()
        self._on_open()

    def _on_open(self) -> None:
        """Let in the rows that came before."""
        self._is_ready = True
        self._set_door()
        while self._unopened:
            parcel = self._unopened.popleft()
            if parcel.waiter.done():
                self._withdraw(parcel.epoch, parcel.waiter)
                continue
            try:
                parcel.lane, parcel.item = parcel.item()
                parcel.size = self._row_size(parcel.lane, parcel.item)
                if parcel.size > self._max_queued_bytes:
                    raise self._error_for(self._too_large(parcel.size), parcel.lane, parcel.item)
            except BulkWriterError as error:
                self._stop_timer(parcel)
                parcel.epoch.add(fate_of(error))
                fail(parcel.waiter, error)
                continue
            self._waiting.append(parcel)
        self._close_epochs()
        self._schedule_pump()

    def _set_door(self) -> None:
        """Note whether rows may take the short way in, from the next look at the queue on."""
        # Only the common measure of a row is taken there, and rows beyond a hard limit are refused elsewhere.
        is_common = not self._backend.sizes_rows and self._backend.limits.hard_batch_bytes < 0
        is_plain = self._is_ready and self._order is None and self._timeout is None and is_common
        self._open_door = self._max_queued if is_plain else -1
        self._door = -1

    def _keep_order(self) -> None:
        super()._keep_order()
        self._set_door()

    def _open_soon(self) -> None:
        assert self._loop is not None
        if self._opening is None:
            self._opening = self._loop.create_task(self._open_for_rows())

    async def _open_for_rows(self) -> None:
        """Open because rows have come, as patiently as they may wait; if that fails, they hear why."""
        try:
            await self._be_ready()
        except BulkWriterError as error:
            self._refuse_unopened(error)
        except Exception as error:
            _logger.exception("%s: opening failed", self._label())
            refusal = MisconfigurationError(f"{self._label()}: opening failed with {type(error).__name__}")
            refusal.__cause__ = error
            self._refuse_unopened(refusal)
        finally:
            self._opening = None

    def _refuse_unopened(self, error: BulkWriterError) -> None:
        while self._unopened:
            parcel = self._unopened.popleft()
            self._stop_timer(parcel)
            self._settle_parcel(parcel, error)
        self._close_epochs()
        self._pump()

    def _row_size(self, plan: Plan, row: Any) -> int:
        if not self._counts_bytes:
            return 0
        size = self._backend.row_size(plan, row)
        hard = self._backend.limits.hard_batch_bytes
        if 0 < hard < size:
            raise complete(self._backend, self._too_large(size), plan, row, attempts=0)
        return size

    async def _close(self, *, force: bool) -> None:
        if self._opening is not None:
            self._opening.cancel()
        await self._backend.close(force=force)

    def _parked(self) -> Iterator[Parcel]:
        yield from self._unopened
        yield from super()._parked()

    def _take_parked(self) -> Parcel | None:
        return self._unopened.popleft() if self._unopened else super()._take_parked()

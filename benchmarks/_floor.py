"""What we are measured against: as little as a batcher can be, and less than a batcher can be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class MinimalBatcher:
    """What one writes by hand in forty lines: a list of items, a list of futures, one ``call_soon`` a batch.

    It is honest: a caller that was cancelled harms nobody, an error reaches everybody, and a batch that is being
    processed is not lost to the garbage collector. It has no limits, counts nothing and cannot be stopped.
    """

    def __init__(self, process_batch: Callable[[list[Any]], Awaitable[list[Any]]], max_batch_size: int) -> None:
        self._process_batch = process_batch
        self._max_batch_size = max_batch_size
        self._loop = asyncio.get_running_loop()
        self._items: list[Any] = []
        self._futures: list[asyncio.Future[Any]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def process(self, item: Any) -> Any:
        """Have one item processed."""
        return await self.submit(item)

    def submit(self, item: Any) -> asyncio.Future[Any]:
        """Accept one item."""
        if not self._items:
            self._loop.call_soon(self._send)
        future = self._loop.create_future()
        self._items.append(item)
        self._futures.append(future)
        if len(self._items) >= self._max_batch_size:
            self._send()
        return future

    def _send(self) -> None:
        if self._items:
            task = self._loop.create_task(self._run(self._items, self._futures))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._items, self._futures = [], []

    async def _run(self, items: list[Any], futures: list[asyncio.Future[Any]]) -> None:
        try:
            results = await self._process_batch(items)
        except Exception as error:  # noqa: BLE001 - it goes to the callers
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in zip(futures, results, strict=True):
            if not future.done():
                future.set_result(result)


class BareFutures:
    """No batcher at all: a future a call, all resolved in the next turn of the loop. Nothing can be faster."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._futures: list[asyncio.Future[Any]] = []

    def submit(self, item: Any) -> asyncio.Future[Any]:  # noqa: ARG002 - nothing is done with it
        """Return a future that will soon have a result."""
        if not self._futures:
            self._loop.call_soon(self._resolve)
        future = self._loop.create_future()
        self._futures.append(future)
        return future

    def _resolve(self) -> None:
        futures, self._futures = self._futures, []
        for future in futures:
            future.set_result(None)

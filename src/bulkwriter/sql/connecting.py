"""New connections, each made in a task of its own: who gives up waiting for one leaves it for the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

SessionT = TypeVar("SessionT")


class Connecting(Generic[SessionT]):
    """Makes connections.

    Drivers do not like being cancelled while they do: asyncpg leaves errors behind that nobody can look at.

    Args:
        connect: Makes one, set up for batches.
        keep: Takes one that nobody waits for any more.
    """

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, SessionT]], keep: Callable[[SessionT], None]) -> None:
        self._tasks: set[asyncio.Task[SessionT]] = set()
        self._connect = connect
        self._keep = keep

    async def connected(self) -> SessionT:
        """Return a new connection.

        Raises:
            Exception: Whatever the driver raises when it cannot connect.
        """
        task = asyncio.get_running_loop().create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._hand_on)
            raise

    async def end(self, seconds: float, others: Iterable[asyncio.Task[Any]] = ()) -> None:
        """Wait for those that are under way, and for other tasks, and cancel what takes longer."""
        tasks: set[asyncio.Task[Any]] = {*self._tasks, *others}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()

    def _hand_on(self, task: asyncio.Task[SessionT]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._keep(task.result())

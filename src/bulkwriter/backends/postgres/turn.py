"""Whose batch is encoded now, where several are written at once."""

from __future__ import annotations

import asyncio


class Turn:
    """A batch's turn to be encoded, piece by piece: ``async with`` one turn object for each piece.

    One piece in each turn of the loop: those of all connections together would block it for too long. And the batch
    that comes right back for its next piece goes on, until its connection has as much as it takes: if batches took
    turns instead, all of them would be through at the same time, and nothing left to do while they are committed.

    Args:
        lock: The same for all batches that must not be encoded at once.
    """

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock
        self._is_mine = False
        self._end: asyncio.Handle | None = None

    async def __aenter__(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if not self._is_mine:
            await self._lock.acquire()
            self._is_mine = True

    async def __aexit__(self, *_: object) -> None:
        # By then it has come back, if its connection takes more at once.
        self._end = asyncio.get_running_loop().call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._end = None
        self._is_mine = False
        self._lock.release()

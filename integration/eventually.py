"""Waiting for what nobody announces."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from integration.servers.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def eventually(holds: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again until the answer is true.

    Raises:
        TimeoutError: It did not become true in all the time that a busy machine may take.
    """
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - a server sets no event
            await asyncio.sleep(0.01)

"""async-batcher, the batcher on PyPI that this one descends from, given a function as ours is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_batcher.batcher import AsyncBatcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Seed(AsyncBatcher):  # type: ignore[misc] # it ships no types
    """It wants to be subclassed."""

    def __init__(self, function: Callable[[list[Any]], Awaitable[list[Any]]], **options: Any) -> None:
        super().__init__(**options)
        self._function = function

    async def process_batch(self, batch: list[Any]) -> list[Any]:
        """Process a batch."""
        return await self._function(batch)

"""One row, the caller who handed it over, and what that caller heard."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, TypeAlias

Row: TypeAlias = "dict[str, Any]"


@dataclasses.dataclass(eq=False, slots=True)
class Call:
    """A row on its way.

    Attributes:
        row: As it was handed over.
        has_returned: Whether the caller was told that all is well.
        error: What the caller was told instead; ``None`` for one who waits, or was told that all is well.
        has_left: Whether the caller has gone away by himself, and is to be told nothing.
    """

    row: Row
    has_returned: bool = False
    error: Exception | None = None
    has_left: bool = False

    @property
    def is_answered(self) -> bool:
        """Whether the caller has heard anything."""
        return self.has_returned or self.error is not None


def make_row(number: int, **columns: Any) -> Row:
    """Return a row; its name tells it from every other, whatever its id is."""
    return {"id": number, "name": f"row {number}", "amount": number, **columns}


def make_rows(count: int) -> list[Row]:
    """Return so many good rows."""
    return [make_row(number) for number in range(count)]


async def answers(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    """Wait for callers, for so long at most, and send away who still waits then."""
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

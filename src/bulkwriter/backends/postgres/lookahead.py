"""Making what is to be sent next while the server is busy with what was sent before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

T = TypeVar("T")


class Lookahead(Generic[T]):
    """An iterator, the next item of which can be made before it is asked for.

    Args:
        items: What makes them.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._made: list[T] = []
        self._failure: Exception | None = None
        self._turn: asyncio.Handle | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._failure is not None:
            # Asked once more, what made them would say that there are no more: and rows would be left out in silence.
            raise self._failure
        return self._made.pop(0) if self._made else next(self._items)

    def look(self) -> None:
        """Have the next item made in the next turn of the loop: what is sent in this one is on its way by then."""
        self._turn = asyncio.get_running_loop().call_soon(self._make)

    def _make(self) -> None:
        self._turn = None
        try:
            self._made.append(next(self._items))
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001 - it is raised where the item is asked for
            self._failure = error

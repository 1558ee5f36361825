"""What a way to write rows is, and ours."""

from __future__ import annotations

import abc
import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from bulkwriter import BulkWriter, NotWrittenError, RowRejectedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backend import Backend
    from scorecard.calls import Call, Row

BATCH = 100
"""Rows a batch, for each of them, but where a database takes fewer."""


class Way(abc.ABC):
    """One way to write rows, each of them handed over by a caller of its own.

    Args:
        place: Where to write: a ``Place`` of the database's module.
    """

    name: ClassVar[str]
    """How the page calls it."""

    configured: ClassVar[str]
    """What it was told, for the page."""

    has_callers: ClassVar[bool] = True
    """Whether each row may have a caller of its own."""

    def __init__(self, place: Any) -> None:
        self.place = place

    @abc.abstractmethod
    async def open(self) -> None:
        """Get ready to take rows."""

    @abc.abstractmethod
    async def insert(self, row: Row) -> None:
        """Write one row; to return is to say that it is stored."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """Stop in good order, in the way that its documentation tells; if it has been stopped, nothing happens."""

    async def close(self) -> None:  # noqa: B027 - not all of them have any
        """Let go of connections."""

    def begin(self, calls: Sequence[Call]) -> list[asyncio.Task[None]]:
        """Begin to write rows, for callers of their own; return the callers' tasks, in order."""
        return [asyncio.get_running_loop().create_task(self._call(call)) for call in calls]

    async def _call(self, call: Call) -> None:
        try:
            await self.insert(call.row)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the caller hears
            call.error = error
        else:
            call.has_returned = True

    def says_not_stored(self, error: Exception, hearers: int) -> bool:  # noqa: ARG002 - others need it
        """Whether an error says of a caller's very row that it is not stored; else it says nothing.

        Args:
            error: What the caller heard.
            hearers: How many callers heard the very same; an error of a batch says nothing of any one row.
        """
        return hearers == 1


class Ours(Way):
    """A ``BulkWriter``."""

    name = "bulkwriter"
    configured = f"`max_batch_size={BATCH}, concurrency=1`; all else by default"
    batch: ClassVar[int] = BATCH

    @abc.abstractmethod
    def backend(self) -> Backend:
        """Return the backend."""

    async def open(self) -> None:
        """Open the writer."""
        self._writer: BulkWriter[Any] = BulkWriter(self.backend(), max_batch_size=self.batch, concurrency=1)
        await self._writer.open()

    async def insert(self, row: Row) -> None:
        """Insert it."""
        await self._writer.insert(row)

    async def stop(self) -> None:
        """Stop."""
        await self._writer.stop()

    def says_not_stored(self, error: Exception, hearers: int) -> bool:  # noqa: ARG002 - each has an error of its own
        """What the documentation promises of these two, and of no other."""
        return isinstance(error, RowRejectedError | NotWrittenError)

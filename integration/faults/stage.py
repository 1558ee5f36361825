"""What a fault test plays on: a table, writers whose wire a test may break, and what their callers were told."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from bulkwriter import RetryPolicy
from bulkwriter.testing.conformance.scene import make_row
from integration.eventually import eventually

if TYPE_CHECKING:
    from bulkwriter import BulkWriter, WriteResult
    from bulkwriter.backend import Backend
    from bulkwriter.errors import BulkWriterError
    from bulkwriter.testing.conformance.scene import Scene
    from integration.faults.listing import Way
    from integration.servers.registry import Servers
    from integration.wire import Wire

    Answer = WriteResult | BulkWriterError

ROWS = 50
"""More than what goes another way than the many."""

_OFTEN: Any = {"max_attempts": 1_000_000, "initial_backoff": 0.01, "max_backoff": 0.1}

PATIENT = RetryPolicy(max_time=60, attempt_timeout=30, **_OFTEN)
"""Goes on until the server is back, which a test sees to; only a broken promise makes it give up."""

HASTY = RetryPolicy(max_time=1, attempt_timeout=30, **_OFTEN)
"""Gives up soon: for what does not pass."""

# Without a key, a row that is stored twice is not refused: it can be seen.
CREATE_TABLE = """
CREATE TABLE items (id integer {key}, name varchar(100) NOT NULL, amount bigint, note varchar(100) DEFAULT 'none')
"""


@dataclasses.dataclass
class Stage:
    """One table, one writer, one fault.

    Attributes:
        scratch: The test's own schema or database: a ``Scratch`` of the server's kind.
        wire: Between the writer and the server.
        servers: Where other servers are to be had.
        scene: What callers were told, and the check that it is true.
        ledger: Whether the writer keeps a ledger.
        way: How it writes: plain inserts into a table without a key, or upserts into one with a key.
    """

    scratch: Any
    wire: Wire
    servers: Servers
    scene: Scene
    ledger: bool
    way: Way
    _writer: BulkWriter[Any] | None = None
    _written: int = 0
    _heard: list[Answer] = dataclasses.field(default_factory=list)

    @property
    def server(self) -> Any:
        """The server, of which a fault does what it likes; one that is not ours ends the test at the first thing."""
        return self.scratch.server

    async def create_table(self, options: str = "", role: str = "writer") -> None:
        """Make the table."""
        sql = CREATE_TABLE.format(key="PRIMARY KEY" if self.way == "upsert" else "")
        await self.scratch.execute(f"{sql} {options}", role=role)

    async def open(self, retry: RetryPolicy = PATIENT, **options: Any) -> BulkWriter[Any]:
        """Open the writer whose rows the fault is to hit, and let it write a row, so that everything is warm."""
        self._writer = await self.scene.writer(
            on_conflict="update" if self.way == "upsert" else "error",
            ledger=self.ledger,
            retry=retry,
            concurrency=1,
            **options,
        )
        await self.write(1)
        self._heard.clear()
        return self._writer

    def begin(self, rows: int = ROWS) -> asyncio.Task[None]:
        """Begin to write rows, in one batch."""
        return asyncio.get_running_loop().create_task(self.write(rows))

    async def write(self, rows: int = ROWS) -> None:
        """Write rows in one batch, and note what their callers are told."""
        assert self._writer
        numbers = range(self._written, self._written + rows)
        self._written += rows
        self._heard += await self.scene.submit(self._writer, [make_row(number) for number in numbers])

    async def has_begun(self) -> None:
        """Wait until an attempt is under way."""

        async def is_attempting() -> bool:
            return bool(self._backend.is_attempting)

        await eventually(is_attempting)

    async def has_noticed(self) -> None:
        """Wait until the writer knows that its connection is lost."""

        async def has_lost() -> bool:
            return bool(self._backend.has_lost_connections)

        await eventually(has_lost)

    def overrun(self) -> None:
        """Let the attempt that is under way take longer than `attempt_timeout`."""
        self._backend.overrun()

    def backend(self, url: str = "", table: str = "items", **options: Any) -> Backend:
        """Return a backend that has not been opened, and goes to the server itself, or to another address."""
        target: Any = self.scene.target
        made: Backend = target.directly(url, table, **options)
        return made

    @property
    def _backend(self) -> Any:
        target: Any = self.scene.target
        return target.made[-1]

    async def refused(self, times: int) -> None:
        """Wait until so many connections more have been refused."""
        enough = self.wire.refusals + times

        async def is_enough() -> bool:
            return self.wire.refusals >= enough

        await eventually(is_enough)

    async def connected(self, times: int) -> None:
        """Wait until so many connections more have reached the server."""
        enough = self.wire.connections + times

        async def is_enough() -> bool:
            return self.wire.connections >= enough

        await eventually(is_enough)

    def forget(self) -> None:
        """Take what was told so far for past: the fault takes the rows away."""
        self.scene.tellings.clear()

    def heard(self) -> list[Answer]:
        """Return what callers were told since the fault began."""
        return self._heard

    async def check(self) -> None:
        """Check that the fault came, that what was told is what is stored, and that figures agree."""
        assert all(fault.hits for fault in self.wire.faults), f"a fault never came: {self.wire}"
        await self.scene.check()

"""A table on a real server, the wire before it, and what can be done to either."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import asyncpg
import pymysql

from integration.faults.stage import CREATE_TABLE
from integration.mysql.target import FaultTarget as MySQLTarget
from integration.postgres.target import FaultTarget as PostgresTarget
from integration.servers.mysql_scratch import WRITERS as MYSQL_WRITERS
from integration.servers.mysql_scratch import MySQLScratch, run
from integration.servers.scratch import WRITERS, Scratch
from integration.truth.trouble import SERVER_KINDS, ServerTrouble

if TYPE_CHECKING:
    from bulkwriter.testing.conformance import Target
    from bulkwriter.testing.conformance.told import Telling
    from integration.truth.trouble import Kind, Trouble
    from integration.wire import Wire


class Arena(abc.ABC):
    """Where callers and trouble meet.

    Args:
        target: The table.

    Attributes:
        trouble: Who brings trouble there.
        kinds: What can go wrong there: how likely each is, and what it does.
        tellings: What others were told than the callers of a run.
    """

    trouble: ClassVar[type[Trouble]]
    kinds: ClassVar[dict[str, tuple[float, Kind]]]

    def __init__(self, target: Target) -> None:
        self.target = target
        self.tellings: list[Telling] = []

    @abc.abstractmethod
    async def make_table(self) -> None:
        """Make the table anew."""

    @abc.abstractmethod
    def calm(self) -> None:
        """Let everything flow again."""


class ServerArena(Arena):
    """A server, and the wire before it.

    Args:
        scratch: Where the table is.
        wire: Between the writer and the server.
        target: The table.
    """

    trouble = ServerTrouble
    kinds = SERVER_KINDS

    errors: ClassVar[tuple[type[Exception], ...]]
    """What the driver raises of a server that says no, or has gone."""

    def __init__(self, scratch: Any, wire: Wire, target: Target) -> None:
        super().__init__(target)
        self.scratch = scratch
        self.wire = wire

    def __repr__(self) -> str:
        return repr(self.server)

    def calm(self) -> None:
        """Let what the wire holds go on."""
        self.wire.thaw()

    @property
    def server(self) -> Any:
        """The server."""
        return self.scratch.server

    async def make_table(self) -> None:
        """Make the table anew."""
        await self.scratch.execute("DROP TABLE IF EXISTS items")
        await self.scratch.execute(CREATE_TABLE.format(key="PRIMARY KEY"))

    @abc.abstractmethod
    async def end_sessions(self) -> int:
        """End the writer's sessions, as an administrator does; return how many there were."""

    @abc.abstractmethod
    async def lock(self, keys: list[int], seconds: float) -> int:
        """Lock rows in this order, each for so long before the next; return how many locks were had.

        In the wrong order it is a deadlock with a writer that locks them by their keys.
        """

    async def crash(self) -> int:
        """End the server with SIGKILL, and bring it back."""
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.revive)
        return 1


class PostgresArena(ServerArena):
    """PostgreSQL."""

    errors = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

    def __init__(self, scratch: Scratch, wire: Wire) -> None:
        super().__init__(scratch, wire, PostgresTarget(scratch, scratch.server.url(port=wire.port)))

    async def end_sessions(self) -> int:
        """Terminate them."""
        sql = f"SELECT count(pg_terminate_backend(pid)) FROM {WRITERS}"  # noqa: S608 - our own
        return int(await self.scratch.value(sql, role="superuser"))

    async def lock(self, keys: list[int], seconds: float) -> int:
        """By `FOR UPDATE`."""
        locked = 0
        with contextlib.suppress(*self.errors):
            async with self.scratch.connect() as connection, connection.transaction():
                for key in keys:
                    locked += len(await connection.fetch("SELECT id FROM items WHERE id = $1 FOR UPDATE", key))
                    await asyncio.sleep(seconds)
        return locked

    async def crash(self) -> int:
        """End one process with SIGKILL: all others are ended too, and the server recovers by itself."""
        pids = await self.scratch.fetch(f"SELECT pid FROM {WRITERS}")  # noqa: S608 - our own
        if not pids:
            return 0
        await asyncio.to_thread(self.server.kill_backend, pids[0]["pid"])
        await asyncio.to_thread(self.server.revive)
        return 1


class MySQLArena(ServerArena):
    """MariaDB or MySQL."""

    errors = (pymysql.Error, OSError, TimeoutError)

    def __init__(self, scratch: MySQLScratch, wire: Wire) -> None:
        url = scratch.server.url(port=wire.port, database=scratch.database)
        super().__init__(scratch, wire, MySQLTarget(scratch, url))

    async def end_sessions(self) -> int:
        """Kill them."""
        sql = f"SELECT id AS id FROM {MYSQL_WRITERS}"  # noqa: S608 - our own
        numbers = [row["id"] for row in await self.scratch.fetch(sql, role="superuser")]
        for number in numbers:
            with contextlib.suppress(pymysql.OperationalError):
                await self.scratch.execute(f"KILL {number}", role="superuser")
        return len(numbers)

    async def lock(self, keys: list[int], seconds: float) -> int:
        """By `FOR UPDATE`."""
        locked = 0
        with contextlib.suppress(*self.errors):
            async with self.scratch.connect() as connection:
                await run(connection, "BEGIN")
                for key in keys:
                    locked += len(await run(connection, f"SELECT id FROM items WHERE id = {key} FOR UPDATE"))  # noqa: S608 - our own
                    await asyncio.sleep(seconds)
                await run(connection, "ROLLBACK")
        return locked

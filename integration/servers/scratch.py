"""A schema of one test's own: tests share a server, and nothing else."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Any

import asyncpg

from integration.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.external import ExternalPostgres
    from integration.servers.postgres import Role

ONLOOKER = "onlooker"
"""What connections of a test's own call themselves, so that the server's list tells them from those that are tested."""

# One that has been dropped may be in the list for a while yet.
WRITERS = f"pg_stat_activity WHERE usename = 'writer' AND application_name <> '{ONLOOKER}'"
"""For a query: the server's processes that serve what is tested."""

_numbers = itertools.count(1)


class Scratch:
    """A schema of one test's own on a server. ``scratch`` makes and drops it.

    Attributes:
        server: Where it is.
        schema: Its name.
    """

    def __init__(self, server: PostgresServer | ExternalPostgres) -> None:
        self.server = server
        # Several processes may share a server that is not ours.
        self.schema = f"t{os.getpid()}_{next(_numbers)}"

    def __repr__(self) -> str:
        return f"<schema {self.schema} on {self.server!r}>"

    @property
    def url(self) -> str:
        """Where the ordinary role ``writer`` finds the server. Tables are to be named with their schema."""
        return self.server.url()

    def on(self, server: PostgresServer) -> Scratch:
        """Return the same schema as it is on another server, a copy of this one."""
        other = Scratch(server)
        other.schema = self.schema
        return other

    def name(self, table: str) -> str:
        """Return a table's name with the schema before it."""
        return f"{self.schema}.{table}"

    @property
    def origin(self) -> str:
        """Where the server's binaries are from, or that nobody here knows."""
        return self.server.origin if isinstance(self.server, PostgresServer) else "an address"

    @contextlib.asynccontextmanager
    async def connect(self, role: Role = "writer", **options: Any) -> AsyncIterator[Any]:
        """Connect with raw asyncpg; the schema is first in the search path."""
        settings = {"search_path": f"{self.schema}, public", "application_name": ONLOOKER}
        connection = await asyncpg.connect(self.server.url(role), server_settings=settings, **options)
        try:
            yield connection
        finally:
            # It may have been cut, or its server killed: then there is nobody to say goodbye to.
            connection.terminate()

    async def execute(self, sql: str, role: Role = "writer") -> str:
        """Run SQL, on a connection of its own, and return the tag of the last statement."""
        async with self.connect(role) as connection:
            return str(await connection.execute(sql))

    async def fetch(self, sql: str, *arguments: object, role: Role = "writer") -> list[dict[str, Any]]:
        """Return the rows of a query, on a connection of its own."""
        async with self.connect(role) as connection:
            return [dict(row) for row in await connection.fetch(sql, *arguments)]

    async def value(self, sql: str, *arguments: object, role: Role = "writer") -> Any:
        """Return the first value of a query's first row."""
        async with self.connect(role) as connection:
            return await connection.fetchval(sql, *arguments)


@contextlib.asynccontextmanager
async def scratch(server: PostgresServer | ExternalPostgres) -> AsyncIterator[Scratch]:
    """Make a schema, and drop it afterwards, whatever became of the server meanwhile."""
    made = Scratch(server)
    await made.execute(f"CREATE SCHEMA {made.schema}")
    try:
        yield made
    finally:
        server.revive()
        if isinstance(server, PostgresServer):
            # What a test left open may hold locks on the tables that are to be dropped.
            await made.fetch(_SEND_AWAY, role="superuser")
        await made.execute(f"DROP SCHEMA {made.schema} CASCADE")


_SEND_AWAY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""

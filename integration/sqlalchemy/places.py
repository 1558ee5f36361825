"""A server of a dialect's, a place of the test's own on it, and a wire to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from integration.servers.mysql_providers import provide_mysql
from integration.servers.mysql_scratch import MySQLScratch, mysql_scratch
from integration.servers.postgres_providers import postgres_names, provide_postgres
from integration.servers.scratch import Scratch, scratch
from integration.wire import MySQLDialect, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.registry import Servers


@contextlib.asynccontextmanager
async def wired(servers: Servers, dialect: str) -> AsyncIterator[tuple[Scratch | MySQLScratch, Wire]]:
    """Make a place on a server of a dialect, with a wire that breaks where the test says."""
    product: Any = dialect.partition("+")[0]
    if product == "postgresql":
        server = provide_postgres(servers, postgres_names()[0])
        async with scratch(server) as schema, Wire(server.host, server.port) as wire:
            yield schema, wire
        return
    other = provide_mysql(servers, product)
    async with mysql_scratch(other) as database, Wire(other.host, other.port, MySQLDialect) as wire:
        yield database, wire

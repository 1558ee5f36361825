"""The table of a fault test, written to by way of SQLAlchemy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.testing.conformance import Target
from integration.mysql.target import FaultTarget as MySQLTarget
from integration.overrunning import OverrunningSQLAlchemy
from integration.postgres.target import FaultTarget as PostgresTarget
from integration.servers.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.servers.mysql_scratch import MySQLScratch
    from integration.wire import Wire

DRIVERS = {
    "postgresql+asyncpg": "asyncpg",
    "postgresql+psycopg": "psycopg",
    "mysql+aiomysql": "aiomysql on MySQL",
    "mariadb+asyncmy": "asyncmy on MariaDB",
}
"""Each driver, on one server that it speaks with, and how the documentation calls it."""


class FaultTarget(Target):
    """A table, behind a wire.

    Args:
        scratch: Where it is.
        wire: Between the writer and the server.
        dialect: The dialect and the driver.
    """

    def __init__(self, scratch: Scratch | MySQLScratch, wire: Wire, dialect: str) -> None:
        self.scratch = scratch
        if isinstance(scratch, Scratch):
            self.table_name, url = scratch.name("items"), scratch.server.url(port=wire.port)
            self._table: Target = PostgresTarget(scratch, url)
        else:
            self.table_name, url = "items", scratch.server.url(port=wire.port, database=scratch.database)
            self._table = MySQLTarget(scratch, url)
        self.url = f"{dialect}://{url.partition('://')[2]}"
        self.made: list[OverrunningSQLAlchemy] = []

    def backend(self, **options: Any) -> OverrunningSQLAlchemy:
        """Return a backend over the table."""
        self.made.append(OverrunningSQLAlchemy(self.url, self.table_name, **options))
        return self.made[-1]

    def backend_without_table(self) -> OverrunningSQLAlchemy:
        """Return a backend over no table."""
        return OverrunningSQLAlchemy(self.url, f"{self.table_name}_not")

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is stored."""
        return await self._table.rows()

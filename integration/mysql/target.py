"""The table of a fault test on MariaDB or MySQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymysql

from bulkwriter.backends.mysql import MySQLBackend
from bulkwriter.testing.conformance import Target
from integration.overrunning import OverrunningMySQL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.servers.mysql_scratch import MySQLScratch


class FaultTarget(Target):
    """The table of a fault test, behind a wire.

    Args:
        scratch: Where it is.
        url: Where writers find it.
    """

    def __init__(self, scratch: MySQLScratch, url: str) -> None:
        self.scratch = scratch
        self.url = url
        self.made: list[OverrunningMySQL] = []

    def backend(self, **options: Any) -> OverrunningMySQL:
        """Return a backend over the table."""
        self.made.append(OverrunningMySQL(self.url, "items", **options))
        return self.made[-1]

    def directly(self, url: str = "", table: str = "items", **options: Any) -> MySQLBackend:
        """Return a backend that goes to the server itself, or to another address."""
        return MySQLBackend(url or self.scratch.url, table, **options)

    def backend_without_table(self) -> OverrunningMySQL:
        """Return a backend over no table."""
        return OverrunningMySQL(self.url, "nonesuch")

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is stored."""
        try:
            return await self.scratch.fetch("SELECT * FROM items")
        except pymysql.ProgrammingError:
            # There is no such table: somebody has dropped it.
            return []

"""The table of a fault test on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from bulkwriter.backends.postgres import PostgresBackend
from bulkwriter.testing.conformance import Target
from integration.overrunning import OverrunningPostgres

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.servers.scratch import Scratch


class FaultTarget(Target):
    """The table of a fault test, behind a wire.

    Args:
        scratch: Where it is.
        url: Where writers find it.
    """

    def __init__(self, scratch: Scratch, url: str) -> None:
        self.scratch = scratch
        self.url = url
        self.made: list[OverrunningPostgres] = []

    def backend(self, **options: Any) -> OverrunningPostgres:
        """Return a backend over the table."""
        self.made.append(OverrunningPostgres(self.url, self.scratch.name("items"), **options))
        return self.made[-1]

    def directly(self, url: str = "", table: str = "items", **options: Any) -> PostgresBackend:
        """Return a backend that goes to the server itself, or to another address."""
        return PostgresBackend(url or self.scratch.url, self.scratch.name(table), **options)

    def backend_without_table(self) -> OverrunningPostgres:
        """Return a backend over no table."""
        return OverrunningPostgres(self.url, self.scratch.name("nonesuch"))

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is stored."""
        try:
            return await self.scratch.fetch("SELECT * FROM items")
        except asyncpg.UndefinedTableError:
            return []

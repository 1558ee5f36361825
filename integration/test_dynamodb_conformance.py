"""The conformance suite, run against DynamoDB: by a session, and through a client of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.backends.dynamodb import DynamoDBBackend
from bulkwriter.testing.conformance import ConformanceSuite, Target
from integration.dynamodb import FakeDynamoDB
from integration.dynamodb_tables import client_to, session
from integration.servers.dynamodb_scratch import dynamodb_scratch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from bulkwriter.backend import Backend
    from integration.servers.dynamodb_scratch import DynamoDBScratch


class DynamoDBTarget(Target):
    """A table that knows of its items' key, and of nothing else.

    Args:
        scratch: By which the test looks into the table.
        table: The table's name.
        access: What backends are given to write to it.
        where: Where they find it, unless that is known already.
    """

    generates_ids = False
    generated_column = None
    has_unique = False
    has_foreign_key = False
    replaces = True
    wrong_type = None
    too_large = "x" * 410_000

    def __init__(self, scratch: DynamoDBScratch, table: str, access: Any, **where: Any) -> None:
        self._scratch = scratch
        self._table = table
        self._access = access
        self._where = where

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the table."""
        return DynamoDBBackend(self._access, self._table, **self._where, **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that nobody has made."""
        return DynamoDBBackend(self._access, "nonesuch", **self._where)

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is in the table."""
        return await self._scratch.rows(self._table)


class TestDynamoDBBackend(ConformanceSuite):
    """By a session, on DynamoDB Local."""

    @pytest.fixture
    async def target(self, dynamodb: DynamoDBScratch) -> Target:
        """Return a fresh table."""
        table = await dynamodb.create(partition="id:N")
        return DynamoDBTarget(dynamodb, table, session(), endpoint_url=dynamodb.server.endpoint_url)


class TestClient(ConformanceSuite):
    """Through a client of the user's own, before the fake, which answers faster than any server."""

    @pytest.fixture
    async def target(self) -> AsyncIterator[Target]:
        """Return a fresh table."""
        async with FakeDynamoDB() as fake, dynamodb_scratch(fake) as scratch, client_to(fake.endpoint_url) as client:
            yield DynamoDBTarget(scratch, await scratch.create(partition="id:N"), client)

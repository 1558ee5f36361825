"""The conformance suite, run against DynamoDB."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.backends.dynamodb import DynamoDBBackend
from bulkwriter.testing.conformance import ConformanceSuite, Target
from integration.dynamodb_tables import client_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.backends.dynamodb.options import Transport
    from integration.servers.dynamodb_scratch import DynamoDBScratch


class DynamoDBTarget(Target):
    """A table that knows of its items' key, and of nothing else.

    Args:
        scratch: By which the test looks into the table.
        table: The table's name.
        client: What backends are given to write to it.
        transport: By which they send requests.
    """

    generates_ids = False
    generated_column = None
    has_unique = False
    has_foreign_key = False
    replaces = True
    wrong_type = None
    too_large = "x" * 410_000

    def __init__(self, scratch: DynamoDBScratch, table: str, client: Any, transport: Transport) -> None:
        self._scratch = scratch
        self._transport = transport
        self._table = table
        self._client = client

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the table."""
        return DynamoDBBackend(self._client, self._table, transport=self._transport, **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that nobody has made."""
        return DynamoDBBackend(self._client, "nonesuch")

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is in the table."""
        return await self._scratch.rows(self._table)


class TestDirect(ConformanceSuite):
    """By requests of the backend's own, with a client of the user's, on DynamoDB Local.

    A session makes the same client for each backend, which takes it longer than most of these tests.
    """

    transport: Transport = "direct"

    @pytest.fixture
    async def target(self, dynamodb: DynamoDBScratch) -> AsyncIterator[Target]:
        """Return a fresh table."""
        table = await dynamodb.create(partition="id:N")
        async with client_to(dynamodb.server.endpoint_url) as client:
            yield DynamoDBTarget(dynamodb, table, client, self.transport)


if os.environ.get("BULKWRITER_TEST_VERSIONS") != "newest":

    class TestThroughTheClient(TestDirect):
        """By the client's own, once: as an older server is met once."""

        transport = "client"

"""The proxy does what the tests of truth rely on: each fault happens, before or after the rows are stored."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from integration.dynamodb import Chances, FakeDynamoDB, FaultProxy, forward_to
from integration.dynamodb.http import HttpServer
from integration.dynamodb.proxy import KINDS
from integration.eventually import eventually
from integration.servers.dynamodb_providers import provide_dynamodb
from integration.servers.dynamodb_scratch import DynamoDBScratch, RefusedError, dynamodb_scratch
from integration.servers.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.dynamodb.http import Answer, Request
    from integration.servers.registry import Servers

ROWS = [{"id": {"S": str(number)}} for number in range(20)]
BROKEN = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError)


@pytest.fixture(params=["fake", "local"])
async def proxied(
    request: pytest.FixtureRequest, servers: Servers
) -> AsyncIterator[tuple[FaultProxy, DynamoDBScratch]]:
    """A proxy before the fake and before DynamoDB Local, and tables behind it."""
    if request.param == "local":
        server = provide_dynamodb(servers)
        async with FaultProxy(forward_to(server.endpoint_url)) as proxy, dynamodb_scratch(proxy) as scratch:
            yield proxy, scratch
    else:
        async with FakeDynamoDB() as fake, FaultProxy(fake.answer) as proxy, dynamodb_scratch(proxy) as scratch:
            yield proxy, scratch


async def batch(scratch: DynamoDBScratch, table: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Put rows in one call."""
    writes = [{"PutRequest": {"Item": row}} for row in rows]
    return await scratch.call("BatchWriteItem", RequestItems={table: writes})


async def test_what_is_let_through_is_as_without_it(proxied: tuple[FaultProxy, DynamoDBScratch]) -> None:
    """Rows, answers and refusals."""
    proxy, scratch = proxied
    table = await scratch.create()
    assert await batch(scratch, table, ROWS) == {"UnprocessedItems": {}}
    with pytest.raises(RefusedError, match="duplicates"):
        await batch(scratch, table, ROWS[:1] * 2)
    assert len(await scratch.rows(table)) == 20
    assert not proxy.happened


async def test_some_rows_come_back_and_the_others_are_stored(proxied: tuple[FaultProxy, DynamoDBScratch]) -> None:
    """Each row is in one place: the table or the answer."""
    proxy, scratch = proxied
    table = await scratch.create()
    proxy.plan("unprocessed")
    answer = await batch(scratch, table, ROWS)
    came_back = [write["PutRequest"]["Item"]["id"]["S"] for write in answer["UnprocessedItems"][table]]
    stored = [row["id"] for row in await scratch.rows(table)]
    assert came_back
    assert stored
    assert sorted(came_back + stored) == sorted(row["id"]["S"] for row in ROWS)


@pytest.mark.parametrize(
    ("fault", "is_stored"),
    [("throttled", False), ("error_before", False), ("error_after", True)],
)
async def test_a_request_that_is_answered_by_an_error(
    proxied: tuple[FaultProxy, DynamoDBScratch], fault: Any, *, is_stored: bool
) -> None:
    """May have been applied or not; being throttled says that it was not."""
    proxy, scratch = proxied
    table = await scratch.create()
    proxy.plan(fault)
    with pytest.raises(RefusedError) as raised:
        await batch(scratch, table, ROWS)
    assert (raised.value.status >= 500) == (fault != "throttled")
    assert bool(await scratch.rows(table)) is is_stored
    assert proxy.happened == {fault: 1}


@pytest.mark.parametrize(("fault", "is_stored"), [("reset_before", False), ("reset_after", True), ("truncated", True)])
async def test_a_connection_that_breaks(
    proxied: tuple[FaultProxy, DynamoDBScratch], fault: Any, *, is_stored: bool
) -> None:
    """Tells the client nothing of what was applied."""
    proxy, scratch = proxied
    table = await scratch.create()
    proxy.plan(fault)
    with pytest.raises(BROKEN):
        await batch(scratch, table, ROWS)
    assert bool(await scratch.rows(table)) is is_stored
    assert proxy.happened == {fault: 1}


async def test_a_slow_answer_is_to_a_write_that_was_applied(proxied: tuple[FaultProxy, DynamoDBScratch]) -> None:
    """Who gives up waiting must not believe that nothing happened."""
    proxy, scratch = proxied
    table = await scratch.create()
    proxy.chances = Chances(seconds=600)
    proxy.plan("slow")
    call = asyncio.ensure_future(batch(scratch, table, ROWS))
    await eventually(lambda: scratch.rows(table))
    assert not call.done()
    call.cancel()
    await asyncio.wait([call])


async def test_everything_happens_by_chance_as_well(proxied: tuple[FaultProxy, DynamoDBScratch]) -> None:
    """What is told afterwards is what has happened; what a test asks for itself is spared."""
    proxy, scratch = proxied
    table = await scratch.create()
    proxy.chances = Chances(**dict.fromkeys(KINDS, 0.1), seconds=0.001)
    succeeded = 0
    for _ in range(150):
        try:
            await batch(scratch, table, ROWS)
        except (*BROKEN, RefusedError, json.JSONDecodeError):
            continue
        succeeded += 1
        assert await scratch.rows(table)
    assert set(proxy.happened) == set(KINDS)
    # Some of a batch may be stored, or an answer slow, and the call is good all the same. A wrong checksum is what a
    # client that does not retry believes.
    good = {"corrupted", "slow", "unprocessed"}
    assert 20 <= succeeded <= 150 - sum(proxy.happened[kind] for kind in KINDS if kind not in good)


class CuttingServer(HttpServer):
    """Cuts every connection as soon as it is made."""

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super()._accept(reader, writer)
        for task in self._tasks:
            task.cancel()


async def test_a_connection_that_is_cut_before_it_is_served_is_closed() -> None:
    """Else its client would wait for ever, and the garbage collector would find it in the middle of another test."""

    async def never(_: Request) -> Answer | None:
        raise AssertionError

    async with CuttingServer(never) as server:
        reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

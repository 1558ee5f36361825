"""DynamoDB Local does what the fault tests rely on: seen by plain requests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from integration.servers.addresses import URL_VARIABLES
from integration.servers.dynamodb import DynamoDBServer
from integration.servers.dynamodb_container import DynamoDBContainer
from integration.servers.dynamodb_providers import describe_dynamodb
from integration.servers.families import birth, family
from integration.servers.requirements import not_ours

if TYPE_CHECKING:
    from integration.servers.dynamodb_providers import AnyDynamoDB
    from integration.servers.dynamodb_scratch import DynamoDBScratch

ROW = {"id": {"S": "a"}, "n": {"N": "1.50"}, "tags": {"SS": ["x", "y"]}}


def ours(scratch: DynamoDBScratch) -> DynamoDBServer:
    """Return the server, if it is ours to stop and kill."""
    if not isinstance(scratch.server, DynamoDBServer):
        not_ours("dynamodb", URL_VARIABLES["dynamodb"])
    return scratch.server


async def put(scratch: DynamoDBScratch, table: str, item: dict[str, Any] | None = None) -> None:
    """Store a row."""
    await scratch.call("PutItem", TableName=table, Item=item or ROW)


async def test_the_header_of_the_run_tells_its_version(dynamodb: DynamoDBScratch) -> None:
    """As it tells those of the others."""
    assert ours(dynamodb).version in describe_dynamodb()


async def test_a_row_is_read_as_it_was_written(dynamodb: DynamoDBScratch) -> None:
    """By requests that know nothing of any client."""
    table = await dynamodb.create()
    await put(dynamodb, table)
    assert await dynamodb.rows(table) == [{"id": "a", "n": 1.5, "tags": {"x", "y"}}]


async def test_a_table_of_more_than_a_page_is_read_whole(dynamodb: DynamoDBScratch) -> None:
    """One answer holds a megabyte at most."""
    table = await dynamodb.create()
    for number in range(4):
        await put(dynamodb, table, {"id": {"S": str(number)}, "text": {"S": "x" * 390_000}})
    assert len(await dynamodb.items(table)) == 4


def test_nobody_else_on_the_network_reaches_it(dynamodb_server: AnyDynamoDB) -> None:
    """It listens on loopback alone, where its own main program listens on every address."""
    if sys.platform != "linux":
        pytest.skip("only Linux lists in /proc who listens where")
    listening = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    lines = [line.split() for file in listening if file.exists() for line in file.read_text().splitlines()[1:]]
    addresses = {line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{dynamodb_server.port:04X}")}
    # 127.0.0.1 in the kernel's own order of bytes, as it is or within an address of IPv6.
    assert addresses
    assert all(address.partition(":")[0].endswith("0100007F") for address in addresses)


def test_it_runs_nothing_that_sends_telemetry(dynamodb_server: AnyDynamoDB) -> None:
    """Its own main program, which would, is not what is started."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells in /proc what a process was started by")
    if isinstance(dynamodb_server, DynamoDBContainer):
        # An image runs no other; this one is told, if it is of a version that listens to it.
        assert "DDB_LOCAL_TELEMETRY=0" in dynamodb_server.container.execute("cat", "/proc/1/environ").split("\0")
        return
    command = Path(f"/proc/{dynamodb_server.pid}/cmdline").read_bytes().decode().split("\0")
    assert "org.eclipse.jetty.xml.XmlConfiguration" in command


async def test_a_killed_server_on_disk_comes_back_with_what_it_had_answered(dynamodb_on_disk: DynamoDBScratch) -> None:
    """And in memory with nothing, which is why there are two."""
    server, table = ours(dynamodb_on_disk), await dynamodb_on_disk.create()
    await put(dynamodb_on_disk, table)
    members = family(server.pid)
    await asyncio.to_thread(server.kill)
    assert [pid for pid in members if birth(pid)] == []
    with pytest.raises(aiohttp.ClientConnectionError):
        await put(dynamodb_on_disk, table)
    await asyncio.to_thread(server.revive)
    assert len(await dynamodb_on_disk.items(table)) == 1


async def test_a_restarted_server_is_another_process_on_the_same_port(dynamodb_on_disk: DynamoDBScratch) -> None:
    """Who reconnects finds it where it was."""
    server, table = ours(dynamodb_on_disk), await dynamodb_on_disk.create()
    before = server.pid, server.endpoint_url
    await asyncio.to_thread(server.restart)
    await put(dynamodb_on_disk, table)
    assert server.pid != before[0]
    assert server.endpoint_url == before[1]


async def test_a_paused_server_answers_nobody_and_loses_nobody(dynamodb: DynamoDBScratch) -> None:
    """Connections stay open while it is held, and go on afterwards."""
    server, table = ours(dynamodb), await dynamodb.create()
    server.pause()
    call = asyncio.ensure_future(put(dynamodb, table))
    done, _ = await asyncio.wait([call], timeout=0.2)
    assert not done
    server.resume()
    await call
    assert len(await dynamodb.items(table)) == 1


def test_the_jar_is_not_in_the_project() -> None:
    """Its licence lets nobody hand it on."""
    root = Path(__file__).resolve().parents[1]
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout  # noqa: S607
    assert not [name for name in listed.splitlines() if name.endswith(".jar")]

"""DynamoDB by hand: the rows, and what one writes with aioboto3 alone."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import json
from typing import TYPE_CHECKING, Any

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from boto3.dynamodb.types import TypeSerializer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks._stub_dynamodb import TABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

ROWS_A_CALL = 25
STREAMS = 16

_body: contextvars.ContextVar[bytes] = contextvars.ContextVar("body")


def row(number: int) -> dict[str, Any]:
    """Return a row of ten attributes, 379 bytes as DynamoDB's JSON."""
    return {
        "id": f"event-{number:012d}",
        "user": f"user-{number % 1000:06d}",
        "kind": "page.viewed",
        "at": 1_760_000_000 + number,
        "amount": number * 7 % 100_000,
        "is_good": number % 2 == 0,
        "path": f"/articles/{number % 500}/comments/{number % 40}",
        "agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "tags": ["web", "read"],
        "note": None,
    }


@functools.cache
def session() -> Any:
    """Return a session with credentials that an emulator takes."""
    return aioboto3.Session(
        aws_access_key_id="bench",
        aws_secret_access_key="bench",  # noqa: S106 - nobody checks it
        region_name="eu-central-1",
    )


def batches(rows: Sequence[Any], size: int = ROWS_A_CALL) -> list[Sequence[Any]]:
    """Return the rows in batches."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@contextlib.asynccontextmanager
async def client_to(endpoint_url: str) -> AsyncIterator[Any]:
    """Make a client as fast as one can by configuration."""
    config = AioConfig(parameter_validation=False, max_pool_connections=64, retries={"total_max_attempts": 1})
    async with session().client("dynamodb", endpoint_url=endpoint_url, config=config, verify=False) as client:
        yield client


@contextlib.asynccontextmanager
async def table_of(endpoint_url: str) -> AsyncIterator[Any]:
    """Open aioboto3's resource of the table."""
    config = AioConfig(max_pool_connections=64)
    async with session().resource("dynamodb", endpoint_url=endpoint_url, config=config, verify=False) as resource:
        yield await resource.Table(TABLE)


async def batch_writers(table: Any, rows: Sequence[Any]) -> None:
    """Write rows by aioboto3's batch_writer, several of them side by side: one sends one batch after the other."""

    async def write(part: Sequence[Any]) -> None:
        async with table.batch_writer() as writer:
            for each in part:
                await writer.put_item(Item=each)

    await asyncio.gather(*(write(part) for part in batches(rows, -(-len(rows) // STREAMS))))


async def through_client(client: Any, rows: Sequence[Any]) -> None:
    """Write rows by the client's own call, serialized by boto3's serializer."""
    serialize = TypeSerializer().serialize

    async def write(parts: Sequence[Any]) -> None:
        for part in parts:
            writes = [
                {"PutRequest": {"Item": {name: serialize(value) for name, value in each.items()}}} for each in part
            ]
            answer = await client.batch_write_item(RequestItems={TABLE: writes})
            assert not answer["UnprocessedItems"]

    await _side_by_side(write, rows)


async def with_ready_bodies(client: Any, rows: Sequence[Any]) -> None:
    """Write rows by the same call, whose body is put in its place by the client's event: the fastest by hand."""
    client.meta.events.register("before-call.dynamodb.BatchWriteItem", _set_body, unique_id="bench")

    async def write(parts: Sequence[Any]) -> None:
        for part in parts:
            _body.set(_ready_body(part))
            answer = await client.batch_write_item(RequestItems={})
            assert not answer["UnprocessedItems"]

    await _side_by_side(write, rows)


async def _side_by_side(write: Any, rows: Sequence[Any]) -> None:
    parts = batches(rows)
    # Tasks of their own: each has its own body.
    await asyncio.gather(*(asyncio.create_task(write(parts[place::STREAMS])) for place in range(STREAMS)))


@contextlib.asynccontextmanager
async def signed_requests_to(endpoint_url: str) -> AsyncIterator[Any]:
    """Return what sends a body without any client: signed by botocore, sent by aiohttp."""
    credentials = Credentials("bench", "bench")
    fixed = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem"}

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

        async def send(body: bytes) -> Any:
            request = AWSRequest("POST", f"{endpoint_url}/", headers=fixed, data=body)
            SigV4Auth(credentials, "dynamodb", "eu-central-1").add_auth(request)
            async with session.post(endpoint_url, data=body, headers=dict(request.headers.items())) as response:
                return json.loads(await response.read())

        yield send


async def with_signed_requests(send: Any, rows: Sequence[Any]) -> None:
    """Write rows without any client: the fastest by hand that does without one, too."""

    async def write(parts: Sequence[Any]) -> None:
        for part in parts:
            answer = await send(_ready_body(part))
            assert not answer["UnprocessedItems"]

    await _side_by_side(write, rows)


def _ready_body(part: Sequence[Any]) -> bytes:
    writes = [{"PutRequest": {"Item": {name: _value(value) for name, value in each.items()}}} for each in part]
    return json.dumps({"RequestItems": {TABLE: writes}}).encode()


def _set_body(params: dict[str, Any], **_: Any) -> None:
    params["body"] = _body.get()


def _value(value: Any) -> dict[str, Any]:
    kind = type(value)
    if kind is str:
        return {"S": value}
    if kind is bool:
        return {"BOOL": value}
    if kind is int:
        return {"N": str(value)}
    if value is None:
        return {"NULL": True}
    return {"L": [_value(member) for member in value]}


def serialized(rows: Sequence[Any]) -> int:
    """Make text of rows by boto3's serializer, and return how many bytes it has."""
    serialize = TypeSerializer().serialize
    return sum(len(json.dumps({name: serialize(value) for name, value in each.items()})) for each in rows)

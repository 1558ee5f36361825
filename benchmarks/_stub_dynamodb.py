"""A DynamoDB that stores nothing and answers at once, in a process of its own, so that what is measured is the client.

``python -m benchmarks._stub_dynamodb`` prints its port and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
TABLE = "events"
_HOST = "127.0.0.1"
_DESCRIPTION = {
    "Table": {
        "TableName": TABLE,
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    }
}


@contextlib.contextmanager
def stub_server() -> Iterator[str]:
    """Start one, and return where it is; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks._stub_dynamodb"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield f"http://{_HOST}:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def counted(endpoint_url: str) -> int:
    """Return how many rows have come since this was last asked."""
    connection = http.client.HTTPConnection(endpoint_url.removeprefix("http://"))
    try:
        connection.request("POST", "/", b"", {"X-Amz-Target": "Stub.Count"})
        return int(connection.getresponse().read())
    finally:
        connection.close()


class _Stub(asyncio.Protocol):
    """One connection: a request is answered when its last byte is there."""

    rows = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._read = bytearray()

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._read[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._read) < end + 4 + length:
                return
            body = bytes(self._read[end + 4 : end + 4 + length])
            del self._read[: end + 4 + length]
            self._transport.write(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if b"describetable" in head:
            return _encoded(json.dumps(_DESCRIPTION).encode())
        if b"stub.count" in head:
            rows, _Stub.rows = _Stub.rows, 0
            return _encoded(str(rows).encode())
        _Stub.rows += body.count(b'"PutRequest"')
        return _STORED


def _encoded(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_STORED = _encoded(b'{"UnprocessedItems":{}}')


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Stub, _HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The other end is closed by who started it, or by that one's end.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())

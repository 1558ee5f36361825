"""As much of HTTP/1.1 as DynamoDB and its clients speak: a request with a body, and one answer."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import socket
import struct
import zlib
from typing import TYPE_CHECKING, TypeAlias

from integration.servers.ports import LOOPBACK

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Self

    Handler: TypeAlias = Callable[["Request"], Awaitable["Answer | None"]]

_HEAD = 65536
_RESET = struct.pack("ii", 1, 0)
"""``SO_LINGER`` with no time to linger: what is closed then is reset, and what was not sent yet is lost."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What a client sent.

    Attributes:
        headers: By their names in small letters.
        body: As it came.
    """

    headers: Mapping[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """What is asked for, such as ``"PutItem"``."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a client gets.

    Attributes:
        status: The status of HTTP.
        body: The content.
        is_truncated: Whether the connection ends in the midst of the content.
        is_corrupted: Whether a byte of it has been changed on its way, as its checksum tells.
    """

    status: int
    body: bytes
    is_truncated: bool = False
    is_corrupted: bool = False

    def encoded(self) -> bytes:
        """Return it as it is sent."""
        # Clients compare the checksum: without it they would not see that a byte is wrong.
        head = (
            f"HTTP/1.1 {self.status} -\r\n"
            "Content-Type: application/x-amz-json-1.0\r\n"
            f"Content-Length: {len(self.body)}\r\n"
            f"x-amz-crc32: {zlib.crc32(self.body) ^ self.is_corrupted}\r\n\r\n"
        )
        sent = self.body[: len(self.body) // 2] if self.is_truncated else self.body
        return head.encode() + sent


class HttpServer:
    """Listens on loopback and answers what comes by a function, until its ``async with`` ends.

    Args:
        handle: Gives the answer to a request; ``None`` resets the connection instead.
        context: With TLS, by this certificate.
    """

    def __init__(self, handle: Handler, context: ssl.SSLContext | None = None) -> None:
        self._handle = handle
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0, limit=_HEAD, ssl=self._context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def endpoint_url(self) -> str:
        """Where clients find it."""
        return f"http{'s' if self._context else ''}://{LOOPBACK}:{self.port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: of one that the server makes for a coroutine nobody could await the end.
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._end, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass

    def _end(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        """Close a connection, also one whose task was cancelled before its first step."""
        self._tasks.discard(task)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, and return whether the connection stays."""
        answer = await self._handle(await read_request(reader))
        if answer is None:
            reset(writer)
            return False
        writer.write(answer.encoded())
        await writer.drain()
        return not answer.is_truncated


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request.

    Raises:
        asyncio.IncompleteReadError: The client is gone.
    """
    headers, body = await _read_message(reader)
    return Request(headers, body)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer.

    Raises:
        asyncio.IncompleteReadError: The server is gone.
    """
    headers, body = await _read_message(reader)
    return Answer(int(headers[""].split(" ")[1]), body)


async def _read_message(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    """Return the headers, with the first line under no name, and the content."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    headers = {"": first, **{name.lower(): value.strip() for name, value in pairs}}
    return headers, await reader.readexactly(int(headers.get("content-length", "0")))


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a machine does that has lost its memory of it."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()

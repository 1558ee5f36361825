"""Connections of the backend's own, kept from one request to the next: for a quarter of what a client's take.

They are for what is usual alone: no proxy, no certificate of the client's, no connector of the user's. Else, and for
what is long, there are the connections of the client.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from bulkwriter.backends.dynamodb import driver
from bulkwriter.backends.dynamodb.http1 import Answer, AnswerReader, BadAnswerError, request_bytes

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


class Connections:
    """Connections to one endpoint. As many are made as there are requests at once.

    Args:
        url: The endpoint.
        context: By which certificates are verified; ``None`` without TLS.
        connect_timeout: Seconds that connecting may take.
        read_timeout: Seconds to wait for an answer, or for more of it, while nothing moves.
        keeps_alive: Whether the system is to look whether idle connections are still there.
        kept: Seconds that a connection is kept while nothing is asked.

    Attributes:
        url: The endpoint.
        are_understood: Whether all that came back so far was an answer that can be read here. There are more kinds
            than DynamoDB's; a gateway may have others.
    """

    def __init__(
        self,
        url: str,
        *,
        context: ssl.SSLContext | None,
        connect_timeout: float | None,
        read_timeout: float | None,
        keeps_alive: bool,
        kept: float,
    ) -> None:
        parts = urlsplit(url)
        self.url: str = url
        self._path = parts.path or "/"
        self._address = (str(parts.hostname), parts.port or (443 if context else 80))
        self._host = driver.host_of(url)
        self._context = context
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._keeps_alive = keeps_alive
        self._kept_for = kept
        self.are_understood: bool = True
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()

    async def open(self) -> None:
        """Make a connection, to see whether that can be done.

        Raises:
            Exception: It cannot.
        """
        self._idle.append(await self._connected())

    def close(self) -> None:
        """Close all connections."""
        for connection in tuple(self._all):
            connection.close()
        self._idle.clear()

    async def ask(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request, and return its answer.

        Raises:
            Exception: What the client would raise: that there is no connection, or that it broke, or nothing came.
        """
        connection = self._kept() or await self._connected()
        try:
            answer = await connection.ask(request_bytes(self._path, {"Host": self._host, **headers}, body))
        except BaseException:
            self.are_understood = self.are_understood and connection.is_understood
            # Its answer may still come, and must not be taken for that of the next.
            connection.close()
            raise
        if answer.is_last:
            connection.close()
        elif connection.is_open:
            self._idle.append(connection)
        return answer

    def _kept(self) -> _Connection | None:
        """Return a connection that nobody uses; the last one that was used, so that those not needed grow old."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and not connection.is_older_than(self._kept_for):
                return connection
            connection.close()
        return None

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        host, port = self._address
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop, self.url, self._read_timeout, self._all),
                    host,
                    port,
                    ssl=self._context,
                    server_hostname=host if self._context else None,
                )
        except TimeoutError as error:
            raise driver.connect_timeout(self.url, error) from error
        except OSError as error:
            raise driver.not_connected(self.url, error) from error
        if self._keeps_alive:
            connection.keep_alive()
        return connection


class _Connection(asyncio.Protocol):
    """One connection: idle, or waiting for one answer."""

    _transport: asyncio.Transport

    def __init__(
        self, loop: asyncio.AbstractEventLoop, url: str, read_timeout: float | None, everyone: set[_Connection]
    ) -> None:
        self._loop = loop
        self._url = url
        self._read_timeout = read_timeout
        self._everyone = everyone
        self._reader = AnswerReader()
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._used_at = loop.time()
        self._unsent = 0
        self.is_open = False
        self.is_understood = True

    def is_older_than(self, seconds: float) -> bool:
        """Whether nothing was asked for so long."""
        return self._loop.time() - self._used_at > seconds

    async def ask(self, request: bytes) -> Answer:
        """Send a request, and return its answer."""
        self._reader = AnswerReader()
        self._answer = self._loop.create_future()
        self._transport.write(request)
        self._unsent = self._transport.get_write_buffer_size()
        self._wait_for_more()
        try:
            return await self._answer
        finally:
            self._answer = None
            if self._timer is not None:
                self._timer.cancel()

    def keep_alive(self) -> None:
        """Let the system look whether the other end is still there."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def close(self) -> None:
        """End it, whatever is under way."""
        self.is_open = False
        self._everyone.discard(self)
        self._transport.abort()

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that it is there."""
        # uvloop's are no instances of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._everyone.add(self)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        if self._answer is None or self._answer.done():
            # Nothing was asked.
            self.close()
            return
        try:
            answer = self._reader.feed(data)
        except BadAnswerError as error:
            self.is_understood = False
            self._fail(driver.bad_answer(error))
            return
        if answer is None:
            self._wait_for_more()
            return
        self._used_at = self._loop.time()
        self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for an answer that none will come."""
        self._fail(driver.connection_closed(self._url, exc))

    def _wait_for_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._read_timeout is not None:
            self._timer = self._loop.call_later(self._read_timeout, self._give_up)

    def _give_up(self) -> None:
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        if self._unsent < before:
            # There cannot be an answer yet: a slow line is still busy with the request.
            self._wait_for_more()
            return
        self._fail(driver.read_timeout(self._url))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()

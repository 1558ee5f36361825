"""One connection through the wire: two streams, read message by message."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeAlias

from integration.wire.faults import Action

if TYPE_CHECKING:
    from integration.wire.faults import Fault
    from integration.wire.messages import Dialect, Message
    from integration.wire.proxy import Wire

Stream: TypeAlias = "tuple[asyncio.StreamReader, asyncio.StreamWriter]"

_CHUNK = 1 << 18


class Link:
    """Passes on what a client and the server say, until one of them ends or a fault comes.

    Args:
        wire: What it is a part of; asked for faults.
        dialect: Reads what goes over it.
        client: The stream to the client.
        server: The stream to the server.
    """

    def __init__(self, wire: Wire, dialect: Dialect, client: Stream, server: Stream) -> None:
        self._wire = wire
        self._dialect = dialect
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._sent = 0
        # What the server is doing that its client shall not hear the end of.
        self._awaited: Fault | None = None
        self._kept_back: list[bytes] = []
        self._is_silent = False
        self._has_spoken = False
        self._server_ended = asyncio.Event()

    async def run(self) -> None:
        """Pass on both ways until the client or the server has ended, or the link is cut."""
        upward = asyncio.ensure_future(self._pass_up())
        downward = asyncio.ensure_future(self._pass_down())
        try:
            await asyncio.wait((upward, downward), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in (upward, downward):
                way.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(upward, downward, return_exceptions=True)

    def cut(self) -> None:
        """Cut both ends, at once."""
        self._to_client.transport.abort()
        self._to_server.transport.abort()

    async def _pass_up(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._from_client.read(_CHUNK):
                self._has_spoken = True
                await self._wire.flow()
                for message in self._dialect.from_client(data):
                    if not await self._pass_on(message):
                        return
                await self._to_server.drain()

    async def _pass_on(self, message: Message) -> bool:
        """Pass on one message of the client's; return whether to go on reading."""
        if message.answer:
            self._to_client.write(message.answer)
            return True
        self._wire.cancel_requests += message.cancels
        self._sent = self._sent + len(message.payload) if message.kind == b"d" else 0
        fault = self._wire.due(message, self._sent)
        if fault is not None:
            return await self._strike(fault, message)
        self._to_server.write(message.raw)
        return True

    async def _strike(self, fault: Fault, message: Message) -> bool:
        if fault.action in {Action.CUT_BEFORE, Action.CUT_AMID}:
            if fault.action is Action.CUT_AMID:
                self._to_server.write(message.raw[: len(message.raw) // 2])
                await self._to_server.drain()
            self.cut()
            await fault.hit()
            return False
        if fault.action is Action.FREEZE:
            self._wire.freeze()
            await fault.hit()
            await self._wire.flow()
            self._to_server.write(message.raw)
            return True
        if fault.action is Action.HOLD:
            return await self._hold(fault, message)
        self._awaited = fault
        self._to_server.write(message.raw)
        if fault.action is Action.CUT_AT_ONCE:
            self._to_client.transport.abort()
            await fault.hit()
            await self._let_the_server_end()
            return False
        return True

    async def _hold(self, fault: Fault, message: Message) -> bool:
        await fault.hit()
        await self._wire.released.wait()
        self._to_server.write(message.raw)
        await self._let_the_server_end()
        return False

    async def _let_the_server_end(self) -> None:
        """Say goodbye to the server and wait until it has, else it would be cut off in the middle of the request."""
        self._to_server.write_eof()
        await self._server_ended.wait()

    async def _pass_down(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._from_server.read(_CHUNK):
                self._wire.turns += self._has_spoken
                self._has_spoken = False
                await self._wire.flow_back()
                for message in self._dialect.from_server(data):
                    if not await self._pass_back(message):
                        return
                await self._to_client.drain()
        self._server_ended.set()
        # A client that is never to hear anything again does not hear that the server has gone, either.
        if self._is_silent:
            await asyncio.Event().wait()

    async def _pass_back(self, message: Message) -> bool:
        """Pass on one message of the server's; return whether to go on reading."""
        self._wire.errors += message.kind == b"E"
        fault = self._awaited
        if fault is None:
            if not self._is_silent:
                self._to_client.write(message.raw)
            return True
        if fault.moment.is_answered_by(message):
            self._awaited = None
            if fault.action is Action.CUT_AFTER:
                self.cut()
                await fault.hit()
                return False
            if fault.action is Action.SWALLOW:
                self._is_silent = True
                await fault.hit()
        elif message.kind == b"E":
            # It did not do it: what was to follow upon that does not, and the client hears all that was said.
            self._awaited = None
            self._to_client.write(b"".join([*self._kept_back, message.raw]))
            self._kept_back.clear()
        elif message.kind == b"N":
            # A notice is sent at once, ahead of the answer: on most days it is there before a wire breaks.
            self._to_client.write(message.raw)
        else:
            self._kept_back.append(message.raw)
        return True

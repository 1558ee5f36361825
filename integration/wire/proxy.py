"""The wire itself: listens on loopback, passes on what both sides say, and breaks where it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from integration.servers.ports import LOOPBACK
from integration.wire.faults import Action, Fault
from integration.wire.link import Link
from integration.wire.postgres import PostgresDialect

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from integration.wire.messages import Dialect, Message
    from integration.wire.moments import Moment


class Wire:
    """A TCP proxy in front of a server, scripted by a test. An async context manager.

    It refuses encryption, so that it can read: a client that insists on TLS does not get through.

    Args:
        server_host: Where it leads to.
        server_port: Where it leads to.
        dialect: Reads a connection; one for each of them.

    Attributes:
        refusals: How many connections were cut at once, for the wire being down or nobody listening at its other end.
        connections: How many connections have been made through it.
        turns: How often the server answered a client that had spoken: round trips.
        errors: How many errors the server has told.
        cancel_requests: How many requests to cancel a statement have come; each is a connection of its own.
        port: Where it listens.
        released: Set when messages that were held are to arrive.
        delay: Seconds that everything the client says is held back for.
        faults: What was told to happen, and how often it has.
        is_down: Whether it cuts every new connection at once.
    """

    def __init__(self, server_host: str, server_port: int, dialect: Callable[[], Dialect] = PostgresDialect) -> None:
        self._dialect = dialect
        self.connections = 0
        self.refusals = 0
        self.turns = 0
        self.errors = 0
        self.cancel_requests = 0
        self.port = 0
        self.delay = 0.0
        self.is_down = False
        self._server = (server_host, server_port)
        self.faults: list[Fault] = []
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.released = asyncio.Event()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._listener: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<Wire at port {self.port}: {len(self._links)} connections open, {self.faults}>"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._listener
        self._listener.close()
        self.thaw()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()

    def cut_before(self, moment: Moment, times: int = 1) -> Fault:
        """Cut the connection before the server hears of a moment."""
        return self._add(moment, Action.CUT_BEFORE, times)

    def cut_amid(self, moment: Moment, times: int = 1) -> Fault:
        """Cut the connection when half of the message of a moment is on its way."""
        return self._add(moment, Action.CUT_AMID, times)

    def cut_after(self, moment: Moment, times: int = 1) -> Fault:
        """Cut the connection when the server has done what a moment asks, before the client hears of it."""
        return self._add(moment, Action.CUT_AFTER, times)

    def cut_at_once(self, moment: Moment, times: int = 1) -> Fault:
        """Cut the client off when the request is on its way; the server still does it."""
        return self._add(moment, Action.CUT_AT_ONCE, times)

    def swallow(self, moment: Moment, times: int = 1) -> Fault:
        """Swallow the answer to a moment and all that follows, and leave the connection open."""
        return self._add(moment, Action.SWALLOW, times)

    def freeze_at(self, moment: Moment, times: int = 1) -> Fault:
        """Hold everything, on every connection, from before a moment on."""
        return self._add(moment, Action.FREEZE, times)

    def hold_at(self, moment: Moment, times: int = 1) -> Fault:
        """Hold one message, and nothing else, until ``released`` is set."""
        return self._add(moment, Action.HOLD, times)

    def freeze(self) -> None:
        """Hold everything, on every connection, from now on."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let what was held go on."""
        self._flowing.set()

    def lead_to(self, server_host: str, server_port: int) -> None:
        """Lead new connections to another server, as a name does that has moved on."""
        self._server = (server_host, server_port)

    def cut(self) -> int:
        """Cut every open connection now, and return how many there were."""
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    def due(self, message: Message, sent: int) -> Fault | None:
        """Return the fault that a client's message brings about, if any."""
        for fault in self.faults:
            if fault.moment.comes_with(message, sent) and fault.is_due():
                return fault
        return None

    async def flow(self) -> None:
        """Wait for as long as the wire is frozen or slow."""
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._flowing.wait()

    async def flow_back(self) -> None:
        """Wait for as long as the wire is frozen: what the server says is not slowed."""
        await self._flowing.wait()

    def _refuse(self, writer: asyncio.StreamWriter) -> None:
        self.refusals += 1
        writer.transport.abort()

    def _add(self, moment: Moment, action: Action, times: int) -> Fault:
        fault = Fault(moment, action, times)
        self.faults.append(fault)
        return fault

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.is_down:
            self._refuse(writer)
            return
        self.connections += 1
        try:
            upstream = await asyncio.open_connection(*self._server)
        except OSError:
            self._refuse(writer)
            return
        link = Link(self, self._dialect(), (reader, writer), upstream)
        self._links.add(link)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await link.run()
        finally:
            self._links.discard(link)
            link.cut()

"""Where connections come from: opened by URL, or by the caller's own function; ours until they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import ssl as tls
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.mysql import driver
from bulkwriter.backends.mysql.errors import refuse
from bulkwriter.backends.mysql.session import Session
from bulkwriter.sql import Connecting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.backends.mysql.driver import Connection
    from bulkwriter.backends.mysql.options import Options

# Seconds that ending a session politely may take, and what is left of that when it is ended by force.
_FAREWELL: Final = 2.0
_FORCED_FAREWELL: Final = 0.25


class Connections:
    """Lends a session to each attempt.

    They are opened when they are needed, kept, and closed in the end: as many as batches were ever in flight at once.
    Not aiomysql's pool, whose waiters hang for ever when a connection does not come back as it went.

    Args:
        options: What the caller asked for.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._idle: list[Session] = []
        self._in_use: set[Session] = set()
        self._connecting = Connecting(self._connected, self._keep)
        self._is_closed = False

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Lend a session. One that was not left at rest, outside of any transaction, is dropped.

        Raises:
            Exception: Whatever aiomysql raises when it cannot connect.
        """
        session = await self._take()
        self._in_use.add(session)
        try:
            yield session
        finally:
            self._in_use.discard(session)
            await self._give_back(session)

    async def close(self, *, force: bool = False) -> None:
        """Close what is idle; what is in use is closed when it is given back, or now, by force."""
        self._is_closed = True
        if force:
            for session in self._in_use:
                session.drop()
        try:
            await self._connecting.end(_FORCED_FAREWELL if force else _FAREWELL)
            while self._idle:
                await _close(self._idle.pop(), force=force)
        finally:
            # Whoever waits for this may give up.
            while self._idle:
                self._idle.pop().drop()

    async def _take(self) -> Session:
        while self._idle:
            session = self._idle.pop()
            if session.is_usable:
                return session
            session.drop()
        return await self._connecting.connected()

    def _keep(self, session: Session) -> None:
        """Keep a connection that nobody waits for any more."""
        if self._is_closed:
            session.drop()
        else:
            self._idle.append(session)

    async def _connected(self) -> Session:
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                connection = await self._opened()
        except TimeoutError as error:
            message = f"no connection within {self._options.connect_timeout:g} seconds"
            raise driver.LostConnectionError(message) from error
        session = Session(connection, self._options)
        try:
            await session.enter()
        except BaseException:
            session.drop()
            raise
        return session

    async def _opened(self) -> Connection:
        options = self._options
        if options.connect_function is not None:
            made: Any = options.connect_function()
            connection: Connection = await made if inspect.isawaitable(made) else made
            if not hasattr(connection, "_reader") or not hasattr(connection, "client_flag"):
                refuse("your function must return an aiomysql.Connection, connected", options.table)
            return connection
        assert options.address is not None
        arguments = options.address.arguments()
        context = tls.create_default_context() if options.ssl is True else options.ssl or None
        connection = await driver.connect(charset="utf8mb4", ssl=context, autocommit=None, **arguments)
        if context is not None and not driver.is_encrypted(connection):
            # aiomysql goes on in the clear if the server says that it has no TLS, or somebody in between does.
            connection.close()
            refuse("the server does not speak TLS, which ssl= asks for", options.table)
        return connection

    async def _give_back(self, session: Session) -> None:
        if not session.is_usable:
            session.drop()
        elif self._is_closed:
            await _close(session, force=False)
        else:
            self._idle.append(session)


async def _close(session: Session, *, force: bool) -> None:
    try:
        if not force:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_FAREWELL):
                    await session.close()
    finally:
        session.drop()

"""Where connections come from: opened for ourselves, or borrowed from the caller's pool."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.postgres import driver
from bulkwriter.backends.postgres.errors import refuse
from bulkwriter.backends.postgres.session import Session
from bulkwriter.sql import Connecting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.backends.postgres.driver import Connection
    from bulkwriter.backends.postgres.options import Options

logger: logging.Logger = logging.getLogger("bulkwriter.postgres")

# Seconds that ending a session politely may take, and what is left of that when it is ended by force.
_FAREWELL: Final = 2.0
_FORCED_FAREWELL: Final = 0.25


class Connections:
    """Lends a session to each attempt.

    With a URL, sessions are opened when they are needed, kept, and closed in the end: as many as batches were ever in
    flight at once. With a pool, each is given back when its attempt is over, as it was.

    Args:
        options: What the caller asked for.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._idle: list[Session] = []
        self._is_closed = False
        self._in_use: set[Session] = set()
        self._connecting = Connecting(self._connected, self._keep)
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_behind_a_pooler = False

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Lend a session. One that was not left at rest, outside of any transaction, is dropped.

        Raises:
            Exception: Whatever asyncpg raises when it cannot connect.
        """
        session = await self.lend()
        try:
            yield session
        finally:
            await self.take_back(session)

    async def lend(self) -> Session:
        """Lend a session that must be given back: ``session`` without what a context manager costs each attempt.

        Raises:
            Exception: Whatever asyncpg raises when it cannot connect.
        """
        session = await self._take()
        self._in_use.add(session)
        return session

    async def take_back(self, session: Session) -> None:
        """Take back a session. One that was not left at rest, outside of any transaction, is dropped."""
        self._in_use.discard(session)
        await self._give_back(session)

    async def close(self, *, force: bool = False) -> None:
        """Close what is ours; what is in use is closed when it is given back, or now, by force."""
        self._is_closed = True
        if force:
            for session in self._in_use:
                session.drop()
        await self._connecting.end(_FORCED_FAREWELL if force else _FAREWELL, self._leaving)
        idle, self._idle = self._idle, []
        for session in idle:
            await _close(session.connection, force=force)

    async def _take(self) -> Session:
        while self._idle:
            session = self._idle.pop()
            if not session.connection.is_closed():
                return session
        if self._options.pool is not None:
            return Session(await self._borrow(self._options.pool))
        return await self._connecting.connected()

    async def _borrow(self, pool: driver.Pool) -> Connection:
        """Borrow a connection; who has opened a pool and taken all of it must not make us wait for ever."""
        if driver.is_of_another_loop(pool):
            refuse("the pool belongs to another event loop: make one for each", self._options.table)
        async with asyncio.timeout(self._options.connect_timeout):
            return await pool.acquire()

    def _keep(self, session: Session) -> None:
        """Keep a connection that nobody waits for any more."""
        if self._is_closed:
            session.drop()
        else:
            self._idle.append(session)

    async def _connected(self) -> Session:
        options = self._options
        arguments: dict[str, Any] = {"timeout": options.connect_timeout}
        if options.server_settings:
            arguments["server_settings"] = options.server_settings
        if options.ssl is not None:
            arguments["ssl"] = options.ssl
        size = options.statement_cache_size
        if size is None and self._is_behind_a_pooler:
            size = 0
        if size is not None:
            arguments["statement_cache_size"] = size
        assert options.dsn is not None
        connection = await driver.connect(options.dsn, **arguments)
        if size is None and await _is_pooled(connection):
            # Prepared statements would be looked for on whichever server connection the pooler hands out next.
            self._is_behind_a_pooler = True
            await _close(connection, force=True)
            return await self._connected()
        return Session(connection, keeps_statements=size != 0)

    async def _give_back(self, session: Session) -> None:
        connection = session.connection
        if not session.is_at_rest and not self._is_closed and not connection.is_closed():
            self._dismiss(connection)
            return
        if not session.is_at_rest:
            connection.terminate()
        if self._options.pool is not None:
            await _release(self._options.pool, connection)
        elif self._is_closed:
            await _close(connection, force=not session.is_at_rest)
        elif not connection.is_closed():
            self._idle.append(session)

    def _dismiss(self, connection: Connection) -> None:
        """Close a connection in the midst of whose work an attempt was given up; nobody waits for it.

        asyncpg asks the server to cancel the work, on a connection of its own. Dropped at once, that would never leave,
        and who waits for a lock would go on waiting in the server, one more with each attempt, until it has no place.
        """
        task = asyncio.get_running_loop().create_task(self._see_off(connection))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _see_off(self, connection: Connection) -> None:
        await _close(connection, force=False)
        if self._options.pool is not None:
            await _release(self._options.pool, connection)


async def _is_pooled(connection: Connection) -> bool:
    """Whether another server process answers than the one that was connected to: a pooler is in between."""
    try:
        return bool(await connection.fetchval("SELECT pg_catalog.pg_backend_pid()") != connection.get_server_pid())
    except BaseException:
        connection.terminate()
        raise


async def _release(pool: driver.Pool, connection: Connection) -> None:
    try:
        await pool.release(connection)
    except Exception:
        # It was lost, or the pool is being closed: the attempt itself has its answer.
        logger.debug("giving a connection back failed", exc_info=True)


async def _close(connection: Connection, *, force: bool) -> None:
    if force:
        connection.terminate()
        return
    try:
        # Twice: the first waits for what is being cancelled as well, which asyncpg's own did not always do.
        async with asyncio.timeout(_FAREWELL):
            await connection.close(timeout=_FAREWELL)
    except Exception:  # noqa: BLE001 - it may have been dead already
        # One of a pool's is given back by a close that fails, and can then not be asked for anything.
        with contextlib.suppress(*driver.CLIENT_ERRORS):
            connection.terminate()

"""Backends whose attempts overrun their time when a test says so, and never because a machine is slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bulkwriter.backends.mysql import MySQLBackend
from bulkwriter.backends.postgres import PostgresBackend
from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend

if TYPE_CHECKING:
    from bulkwriter.contract import Attempt, Reply


class Overrunning:
    """A backend with a time limit on each attempt that ends when the test wants it to; mixed in before a real one.

    To the backend, and to the engine, it is what ``attempt_timeout`` is: the attempt is cancelled wherever it is, and
    what became of it is asked on another connection.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits: set[asyncio.Timeout] = set()

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write one batch, unless its time is said to be over."""
        async with asyncio.timeout(None) as limit:
            self._limits.add(limit)
            try:
                reply: Reply = await super().attempt(attempt)  # type: ignore[misc] # of the backend beside it
                return reply
            finally:
                self._limits.discard(limit)

    @property
    def is_attempting(self) -> bool:
        """Whether an attempt is under way."""
        return bool(self._limits)

    def overrun(self) -> None:
        """Let the time of every attempt that is under way be over."""
        assert self._limits, "no attempt is under way: this proves nothing"
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            limit.reschedule(now)


class OverrunningPostgres(Overrunning, PostgresBackend):
    """PostgreSQL."""

    @property
    def has_lost_connections(self) -> bool:
        """Whether no connection is left that a batch could be sent on."""
        assert self._parts is not None
        return all(session.connection.is_closed() for session in self._parts.connections._idle)


class OverrunningMySQL(Overrunning, MySQLBackend):
    """MariaDB or MySQL."""

    @property
    def has_lost_connections(self) -> bool:
        """Whether no connection is left that a batch could be sent on."""
        assert self._parts is not None
        return not any(session.is_usable for session in self._parts.connections._idle)


class OverrunningSQLAlchemy(Overrunning, SQLAlchemyBackend):
    """PostgreSQL, MariaDB or MySQL, by way of SQLAlchemy."""

    # A pool notices what became of a connection when it is used, and not before.
    has_lost_connections = True

"""A database of one test's own: what other servers call a schema, MariaDB and MySQL call a database."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Any

import aiomysql
from pymysql.constants import CR

from integration.servers.mysql import ROLES, MySQLServer
from integration.servers.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from integration.servers.external import ExternalMySQL
    from integration.servers.mysql import Role
    from integration.servers.mysql_binaries import Product

_numbers = itertools.count(1)


class _Quiet(aiomysql.Cursor):  # type: ignore[misc] # the driver ships no types
    """A cursor that makes no Python warnings of the server's, such as that a table of its own is deprecated."""

    async def _show_warnings(self, _: object) -> None:
        pass


WRITERS = f"information_schema.processlist WHERE user = '{ROLES['writer'][0]}' AND id <> connection_id()"
"""The writer's connections, but for the one that asks."""


class _QuietDict(_Quiet, aiomysql.DictCursor):  # type: ignore[misc] # the driver ships no types
    """The same, for rows by name."""


class MySQLScratch:
    """A database of one test's own on a server. ``mysql_scratch`` makes and drops it.

    Attributes:
        server: Where it is.
        database: Its name.
    """

    def __init__(self, server: MySQLServer | ExternalMySQL) -> None:
        self.server = server
        # Several processes may share a server that is not ours.
        self.database = f"t{os.getpid()}_{next(_numbers)}"

    def __repr__(self) -> str:
        return f"<database {self.database} on {self.server!r}>"

    @property
    def product(self) -> Product:
        """Whose server it is on."""
        return self.server.product

    @property
    def url(self) -> str:
        """Where the ordinary role ``writer`` finds the database."""
        return self.server.url(database=self.database)

    @contextlib.asynccontextmanager
    async def connect(self, role: Role = "writer", **options: Any) -> AsyncIterator[Any]:
        """Connect with raw aiomysql, which is told to commit by itself."""
        connection = await aiomysql.connect(
            **{
                **self.address(role),
                "db": self.database,
                "autocommit": True,
                "charset": "utf8mb4",
                "cursorclass": _Quiet,
                **options,
            }
        )
        try:
            yield connection
        finally:
            # It may have been cut, or its server killed: then there is nobody to say goodbye to.
            connection.close()

    async def execute(self, *statements: str, role: Role = "writer") -> None:
        """Run statements, one after the other, on a connection of their own."""
        async with self.connect(role) as connection:
            for sql in statements:
                await run(connection, sql)

    async def fetch(self, sql: str, *arguments: object, role: Role = "writer") -> list[dict[str, Any]]:
        """Return the rows of a query, on a connection of its own."""
        async with self.connect(role, cursorclass=_QuietDict) as connection:
            return list(await run(connection, sql, *arguments))

    async def value(self, sql: str, *arguments: object, role: Role = "writer") -> Any:
        """Return the first value of a query's first row."""
        async with self.connect(role) as connection:
            return (await run(connection, sql, *arguments))[0][0]

    async def make(self) -> None:
        """Make the database."""
        async with self._administrating() as connection:
            await run(connection, f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
            if isinstance(self.server, MySQLServer):
                await run(connection, f"GRANT ALL ON {self.database}.* TO {ROLES['writer'][0]}")

    async def drop(self) -> None:
        """Drop it, and send away who is still in it: what a test left open may hold locks on its tables.

        It is gone afterwards, also if the first connection is lost meanwhile: a test must not meet what others left.
        """
        try:
            await self._drop()
        except aiomysql.OperationalError as error:
            if error.args[0] != CR.CR_SERVER_LOST:
                raise
            await self._drop()

    async def _drop(self) -> None:
        async with self._administrating() as connection:
            if isinstance(self.server, MySQLServer):
                for (number,) in await run(connection, f"SELECT id FROM {WRITERS}"):  # noqa: S608 - ours
                    with contextlib.suppress(aiomysql.OperationalError):
                        await run(connection, f"KILL {number}")
            await run(connection, f"DROP DATABASE IF EXISTS {self.database}")

    def _administrating(self) -> AbstractAsyncContextManager[Any]:
        """Connect to no database, as who may do everything, or as the user of a server that is not ours."""
        return self.connect("superuser" if isinstance(self.server, MySQLServer) else "writer", db=None)

    def address(self, role: Role = "writer") -> dict[str, Any]:
        """Return what aiomysql is told to connect as a role; to the server, and to no database."""
        if isinstance(self.server, MySQLServer):
            user, password = ROLES[role]
            return {"host": LOOPBACK, "port": self.server.port, "user": user, "password": password}
        return self.server.address(role)


async def run(connection: Any, sql: str, *arguments: object) -> Any:
    """Run one statement on a raw connection, and return its rows."""
    async with connection.cursor() as cursor:
        await cursor.execute(sql, arguments or None)
        return await cursor.fetchall()


@contextlib.asynccontextmanager
async def mysql_scratch(server: MySQLServer | ExternalMySQL) -> AsyncIterator[MySQLScratch]:
    """Make a database, and drop it afterwards, whatever became of the server meanwhile."""
    made = MySQLScratch(server)
    await made.make()
    try:
        yield made
    finally:
        server.revive()
        await made.drop()

"""The conformance suite, run against MariaDB and MySQL: by URL, and on connections that the user's function opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiomysql
import pytest

from bulkwriter.backends.mysql import MySQLBackend
from bulkwriter.testing.conformance import ConformanceSuite, Target
from integration.servers.mysql_providers import provide_mysql
from integration.servers.mysql_scratch import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from bulkwriter.backend import Backend
    from integration.servers.mysql_providers import AnyMySQL
    from integration.servers.mysql_scratch import MySQLScratch
    from integration.servers.registry import Servers

CREATE_TABLE = """
CREATE TABLE items (
    id      bigint AUTO_INCREMENT PRIMARY KEY,
    name    varchar(100) NOT NULL,
    amount  integer,
    note    varchar(100) DEFAULT 'none',
    code    varchar(100) UNIQUE,
    parent  bigint,
    doubled bigint GENERATED ALWAYS AS (amount * 2) STORED,
    CONSTRAINT amount_not_negative CHECK (amount >= 0),
    FOREIGN KEY (parent) REFERENCES items (id)
)
"""


class MySQLTarget(Target):
    """A table of the suite's shape.

    Args:
        reader: A connection of the test's own, by which it looks into the table.
        database: What backends are given to write to it.
    """

    def __init__(self, reader: Any, database: Any) -> None:
        self._reader = reader
        self._database = database

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the table."""
        return MySQLBackend(self._database, "items", **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that nobody has made."""
        return MySQLBackend(self._database, "nonesuch")

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is in the table."""
        async with self._reader.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute("SELECT * FROM items")
            return list(await cursor.fetchall())


@pytest.fixture
async def reader(mysql: MySQLScratch) -> AsyncIterator[Any]:
    """A connection that looks into the table, which is there."""
    async with mysql.connect() as connection:
        await run(connection, CREATE_TABLE)
        yield connection


class TestMySQLBackend(ConformanceSuite):
    """By URL."""

    @pytest.fixture
    def target(self, mysql: MySQLScratch, reader: Any) -> Target:
        """Return a fresh table on MariaDB and on MySQL."""
        return MySQLTarget(reader, mysql.url)


class TestConnectFunction(ConformanceSuite):
    """On connections that a function of the user's opens, with its own idea of settings."""

    @pytest.fixture
    def mysql_server(self, servers: Servers) -> AnyMySQL:
        """Return one server: what is pinned on a connection does not depend on whose it is."""
        return provide_mysql(servers, "mariadb")

    @pytest.fixture
    def target(self, mysql: MySQLScratch, reader: Any) -> Target:
        """Return a fresh table."""

        async def connect() -> Any:
            address = {**mysql.address(), "db": mysql.database}
            return await aiomysql.connect(
                **address, autocommit=True, charset="latin1", init_command="SET sql_mode = ''"
            )

        return MySQLTarget(reader, connect)

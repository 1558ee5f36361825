"""The conformance suite, run by way of SQLAlchemy against real servers, with each driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.testing.conformance import ConformanceSuite
from integration.servers.mysql_providers import provide_mysql
from integration.test_mysql_conformance import MySQLTarget
from integration.test_mysql_conformance import reader as mysql_reader
from integration.test_postgres_conformance import PostgresTarget, reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.backend import Backend
    from bulkwriter.testing.conformance import Target
    from integration.servers.mysql_providers import AnyMySQL
    from integration.servers.mysql_scratch import MySQLScratch
    from integration.servers.registry import Servers
    from integration.servers.scratch import Scratch

# Fixtures, which pytest finds by their names here.
__all__ = ["mysql_reader", "reader"]


class PostgresBySQLAlchemy(PostgresTarget):
    """A table of the suite's shape, written to by way of SQLAlchemy."""

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the table."""
        return SQLAlchemyBackend(self._database, self._scratch.name("items"), **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that nobody has made."""
        return SQLAlchemyBackend(self._database, self._scratch.name("nonesuch"))


class TestAsyncpg(ConformanceSuite):
    """PostgreSQL by asyncpg, on an engine of the backend's own."""

    @pytest.fixture
    def target(self, postgres: Scratch, reader: Any) -> Target:
        """Return a fresh table on each version of PostgreSQL."""
        return PostgresBySQLAlchemy(postgres, reader, by("postgresql+asyncpg", postgres.url))


class TestPsycopg(ConformanceSuite):
    """PostgreSQL by psycopg, on an engine of the user's."""

    @pytest.fixture
    async def target(self, postgres: Scratch, reader: Any) -> AsyncIterator[Target]:
        """Return a fresh table on each version of PostgreSQL."""
        engine = create_async_engine(by("postgresql+psycopg", postgres.url))
        yield PostgresBySQLAlchemy(postgres, reader, engine)
        await engine.dispose()


class MySQLBySQLAlchemy(MySQLTarget):
    """A table of the suite's shape, written to by way of SQLAlchemy."""

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the table."""
        return SQLAlchemyBackend(self._database, "items", **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that nobody has made."""
        return SQLAlchemyBackend(self._database, "nonesuch")


class TestAiomysql(ConformanceSuite):
    """MySQL by aiomysql."""

    @pytest.fixture
    def mysql_server(self, servers: Servers) -> AnyMySQL:
        """Return the one server that speaks the dialect ``mysql``."""
        return provide_mysql(servers, "mysql")

    @pytest.fixture
    def target(self, mysql: MySQLScratch, mysql_reader: Any) -> Target:
        """Return a fresh table."""
        return MySQLBySQLAlchemy(mysql_reader, by("mysql+aiomysql", mysql.url))


class TestAsyncmy(ConformanceSuite):
    """MariaDB by asyncmy."""

    @pytest.fixture
    def mysql_server(self, servers: Servers) -> AnyMySQL:
        """Return the one server that speaks the dialect ``mariadb``."""
        return provide_mysql(servers, "mariadb")

    @pytest.fixture
    def target(self, mysql: MySQLScratch, mysql_reader: Any) -> Target:
        """Return a fresh table."""
        return MySQLBySQLAlchemy(mysql_reader, by("mariadb+asyncmy", mysql.url))


def by(dialect: str, url: str) -> str:
    """Return a URL with another scheme."""
    return f"{dialect}://{url.partition('://')[2]}"

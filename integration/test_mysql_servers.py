"""MariaDB's and MySQL's servers do what the fault tests rely on: seen with the raw driver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pymysql
import pytest

from integration.eventually import eventually
from integration.servers.families import birth, family
from integration.servers.mysql_providers import binaries, describe_mysql
from integration.servers.mysql_scratch import run
from integration.servers.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.mysql_scratch import MySQLScratch
    from integration.servers.registry import Servers

GONE = (pymysql.OperationalError, pymysql.InterfaceError, OSError)


@pytest.fixture
async def one_row(mysql: MySQLScratch) -> AsyncIterator[MySQLScratch]:
    """A table with one row, and what should be in it afterwards."""
    await mysql.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    yield mysql
    mysql.server.revive()
    assert await mysql.fetch("SELECT id FROM t") == [{"id": 1}]


async def test_the_server_is_the_one_it_is_called_by(mysql: MySQLScratch) -> None:
    """The header of the run tells the truth, of the product and of its version."""
    version = await mysql.value("SELECT version()")
    assert ("MariaDB" in version) == (mysql.product == "mariadb")
    assert version.startswith(mysql.server.version)
    assert any(mysql.server.version in line for line in describe_mysql())


async def test_each_test_has_a_database_of_its_own_and_an_ordinary_user(mysql: MySQLScratch) -> None:
    """Tests share a server and nothing else, and do nothing as superuser unless they say so."""
    assert await mysql.value("SELECT database()") == mysql.database
    assert await mysql.value("SHOW DATABASES LIKE 't%%'") == mysql.database
    with pytest.raises(pymysql.OperationalError, match="denied"):
        await mysql.execute("SET GLOBAL max_connections = 100")


async def test_a_killed_server_comes_back_with_what_was_committed(one_row: MySQLScratch) -> None:
    """Kill is SIGKILL: open transactions are lost, and only they."""
    server = one_row.server
    async with one_row.connect() as connection:
        members = family(server.pid)
        await run(connection, "BEGIN")
        await run(connection, "INSERT INTO t VALUES (2)")
        server.kill()
        assert [pid for pid in members if birth(pid)] == []
        with pytest.raises(GONE):
            await run(connection, "COMMIT")
    with pytest.raises(GONE):
        await one_row.value("SELECT 1")
    server.start()


async def test_a_restarted_server_is_another_process_on_the_same_port(one_row: MySQLScratch) -> None:
    """Who reconnects finds it where it was."""
    server, before = one_row.server, one_row.server.pid
    async with one_row.connect() as connection:
        await run(connection, "BEGIN")
        await run(connection, "INSERT INTO t VALUES (2)")
        server.restart()
        with pytest.raises(GONE):
            await run(connection, "COMMIT")
    assert server.pid != before


async def test_a_paused_server_answers_nobody_and_loses_nobody(one_row: MySQLScratch) -> None:
    """Connections stay open while it is held, and go on afterwards."""
    async with one_row.connect() as connection:
        one_row.server.pause()
        query = asyncio.ensure_future(run(connection, "SELECT id FROM t"))
        done, _ = await asyncio.wait([query], timeout=0.2)
        assert not done
        one_row.server.resume()
        assert await query == ((1,),)


async def test_settings_make_a_server_of_their_own(mysql_with: Any) -> None:
    """Durability and limits are a test's choice, and do not concern the others."""
    settings = {"max-connections": "17", "innodb-flush-log-at-trx-commit": "1"}
    server = mysql_with(**settings)
    assert server.run("SELECT @@max_connections, @@innodb_flush_log_at_trx_commit") == [(17, 1)]
    assert mysql_with(**settings) is server


async def test_what_a_test_leaves_open_does_not_keep_its_database(mysql: MySQLScratch) -> None:
    """A connection that holds a lock is sent away before the tables are dropped."""
    await mysql.execute("CREATE TABLE t (id int)")
    async with mysql.connect() as connection:
        await run(connection, "LOCK TABLES t WRITE")
        await mysql.drop()
        with pytest.raises(GONE):
            await run(connection, "SELECT * FROM t")
    await mysql.make()


async def test_a_small_disk_gets_full(mysql: MySQLScratch, servers: Servers) -> None:
    """A table on it takes rows until there is no room, and the server goes on."""
    with small_disk(servers.site, mysql.server.elsewhere) as folder:
        await mysql.execute(f"CREATE TABLE t (v char(200)) DATA DIRECTORY = '{folder}'", role="superuser")
        fill = f"INSERT INTO t VALUES {', '.join(['(1)'] * 1000)}"  # noqa: S608 - ours
        with pytest.raises(pymysql.OperationalError, match="full") as raised:
            await mysql.execute(*[fill] * 1000)
        assert raised.value.args[0] == 1114
        await mysql.execute("DROP TABLE t", "CREATE TABLE t (v char(200))", "INSERT INTO t VALUES ('x')")
        assert await mysql.value("SELECT count(*) FROM t") == 1


async def test_a_connection_that_is_killed_is_gone(mysql: MySQLScratch) -> None:
    """And the list of connections says so."""
    async with mysql.connect() as connection:
        number = connection.thread_id()
        await mysql.execute(f"KILL {number}", role="superuser")
        listed = f"SELECT count(*) FROM information_schema.processlist WHERE id = {number}"  # noqa: S608 - ours

        async def is_gone() -> bool:
            return bool(await mysql.value(listed, role="superuser") == 0)

        await eventually(is_gone)
        with pytest.raises(GONE):
            await run(connection, "SELECT 1")


def test_mariadb_is_not_taken_for_mysql() -> None:
    """Debian calls MariaDB's server by MySQL's name as well."""
    assert all(installation.product == product for product, installation in binaries().items())
    assert len({installation.version for installation in binaries().values()}) == len(binaries())

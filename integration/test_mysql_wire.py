"""The wire before MariaDB and MySQL breaks when and where it is told to: what the client hears, and what is stored."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiomysql
import pymysql
import pytest
from pymysql.constants import CLIENT

from integration.eventually import eventually
from integration.servers.mysql_scratch import run
from integration.wire import commit, statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.mysql_scratch import MySQLScratch
    from integration.wire import Fault, Wire

GONE = (pymysql.OperationalError, pymysql.InterfaceError, OSError)
IN_ONE_PACKET = "BEGIN; INSERT INTO t VALUES (1, 'x'), (2, 'y'); COMMIT"


@pytest.fixture
async def client(mysql: MySQLScratch, mysql_wire: Wire) -> AsyncIterator[Any]:
    """A connection through the wire that may send several statements at once; an empty table is there."""
    await mysql.execute("CREATE TABLE t (id int, v longtext)")
    async with connected(mysql, mysql_wire) as connection:
        yield connection


@contextlib.asynccontextmanager
async def connected(mysql: MySQLScratch, wire: Wire, **options: Any) -> AsyncIterator[Any]:
    """Connect through the wire."""
    address = {"port": wire.port, "client_flag": CLIENT.MULTI_STATEMENTS, **options}
    async with mysql.connect(**address) as connection:
        yield connection


async def stored(mysql: MySQLScratch) -> int:
    """Return how many rows are stored, when nobody else is connected any more."""
    await eventually(lambda: is_alone(mysql))
    return int(await mysql.value("SELECT count(*) FROM t"))


async def is_alone(mysql: MySQLScratch) -> bool:
    """Whether nobody but who asks is in the test's database."""
    others = "SELECT count(*) FROM information_schema.processlist WHERE db = %s AND id <> connection_id()"
    return bool(await mysql.value(others, mysql.database) == 0)


async def test_what_is_not_broken_goes_through(mysql: MySQLScratch, mysql_wire: Wire, client: Any) -> None:
    """Small and large, one statement or several, rows that look like the end of rows; an idle fault counts nothing."""
    fault = mysql_wire.cut_before(statement("DROP"))
    await run(client, "INSERT INTO t VALUES (%s, %s)", 1, "x" * 1_000_000)
    await run(client, IN_ONE_PACKET)
    rows = await run(client, "SELECT id, v FROM t")
    assert sorted((number, len(text)) for number, text in rows) == [(1, 1), (1, 1_000_000), (2, 1)]
    with pytest.raises(pymysql.ProgrammingError):
        await run(client, "SELECT 1; SELECT * FROM nonesuch")
    assert mysql_wire.connections == 1
    assert fault.hits == 0
    client.close()
    assert await stored(mysql) == 3


async def test_what_is_longer_than_a_packet_may_be_goes_through(mysql: MySQLScratch, mysql_wire: Wire) -> None:
    """It comes in several packets, of which the first ones are full, and is one statement."""
    await mysql.execute("CREATE TABLE t (id int, v longtext)")
    before = await mysql.value("SELECT @@max_allowed_packet")
    await mysql.execute(f"SET GLOBAL max_allowed_packet = {64 << 20}", role="superuser")
    text = "x" * (0xFFFFFF + 1000)
    async with connected(mysql, mysql_wire) as client:
        fault = mysql_wire.cut_after(commit())
        with pytest.raises(GONE):
            await run(client, "INSERT INTO t VALUES (%s, %s)", 1, text)
        assert fault.hits == 1
    async with connected(mysql, mysql_wire) as client:
        assert await run(client, "SELECT v FROM t") == ((text,),)
    await mysql.execute(f"SET GLOBAL max_allowed_packet = {before}", role="superuser")


async def in_a_transaction(client: Any) -> None:
    """Write two rows by three requests."""
    await client.begin()
    await run(client, "INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    await client.commit()


async def in_one_packet(client: Any) -> None:
    """Write two rows by one request that commits."""
    await run(client, IN_ONE_PACKET)


async def by_itself(client: Any) -> None:
    """Write two rows by a statement that commits by itself."""
    await run(client, "INSERT INTO t VALUES (1, 'x'), (2, 'y')")


WAYS = pytest.mark.parametrize("write", [in_a_transaction, in_one_packet, by_itself])


@WAYS
@pytest.mark.parametrize("cut", ["cut_before", "cut_amid", "cut_after", "cut_at_once"])
async def test_a_cut_at_commit_sounds_the_same_on_either_side_of_it(
    mysql: MySQLScratch, mysql_wire: Wire, client: Any, write: Any, cut: str
) -> None:
    """The client hears of a broken connection each time: only the table tells which it was."""
    fault: Fault = getattr(mysql_wire, cut)(commit())
    with pytest.raises(GONE):
        await write(client)
    await fault.happened()
    assert await stored(mysql) == (0 if cut in {"cut_before", "cut_amid"} else 2)
    assert fault.hits == 1


async def test_a_statement_within_a_transaction_is_no_commit(
    mysql: MySQLScratch, mysql_wire: Wire, client: Any
) -> None:
    """Only what commits by itself is one."""
    fault = mysql_wire.cut_before(commit())
    await client.begin()
    await run(client, "INSERT INTO t VALUES (1, 'x')")
    assert fault.hits == 0
    with pytest.raises(GONE):
        await client.commit()
    assert await stored(mysql) == 0


async def test_an_error_is_heard_where_an_answer_was_to_be_cut(
    mysql: MySQLScratch, mysql_wire: Wire, client: Any
) -> None:
    """It did not commit, so nothing is to follow upon that; the connection is of use afterwards."""
    await mysql.execute("ALTER TABLE t ADD PRIMARY KEY (id)")
    fault = mysql_wire.cut_after(commit())
    with pytest.raises(pymysql.IntegrityError):
        await run(client, "BEGIN; INSERT INTO t VALUES (1, 'x'); INSERT INTO t VALUES (1, 'y'); COMMIT")
    await client.rollback()
    assert fault.hits == 0
    assert await run(client, "SELECT count(*) FROM t") == ((0,),)


@WAYS
async def test_a_swallowed_answer_leaves_the_client_waiting_for_what_is_stored(
    mysql: MySQLScratch, mysql_wire: Wire, client: Any, write: Any
) -> None:
    """Committed, and no error to be heard: only a timeout of the client's own ends it."""
    fault = mysql_wire.swallow(commit())
    writing = asyncio.ensure_future(write(client))
    await fault.happened()
    assert await mysql.value("SELECT count(*) FROM t") == 2
    done, _ = await asyncio.wait([writing], timeout=0.1)
    assert not done
    mysql_wire.cut()
    with pytest.raises(GONE):
        await writing


async def test_a_frozen_wire_holds_everybody_until_it_thaws(mysql: MySQLScratch, mysql_wire: Wire, client: Any) -> None:
    """Nothing arrives while it is frozen, and all does afterwards."""
    fault = mysql_wire.freeze_at(commit())
    writing = asyncio.ensure_future(in_one_packet(client))
    await fault.happened()
    assert await mysql.value("SELECT count(*) FROM t") == 0
    mysql_wire.thaw()
    await writing
    assert await mysql.value("SELECT count(*) FROM t") == 2


async def test_a_message_that_is_held_arrives_when_its_sender_has_gone(
    mysql: MySQLScratch, mysql_wire: Wire, client: Any
) -> None:
    """A batch that was given up long ago commits; everybody else is served meanwhile."""
    fault = mysql_wire.hold_at(commit())
    writing = asyncio.ensure_future(in_one_packet(client))
    await fault.happened()
    client.close()
    writing.cancel()
    with contextlib.suppress(asyncio.CancelledError, *GONE):
        await writing
    assert await mysql.value("SELECT count(*) FROM t") == 0
    mysql_wire.released.set()
    assert await stored(mysql) == 2


async def test_a_wire_that_is_down_lets_nobody_in(mysql: MySQLScratch, mysql_wire: Wire) -> None:
    """As a server that does not listen."""
    mysql_wire.is_down = True
    with pytest.raises(GONE):
        await aiomysql.connect(host="127.0.0.1", port=mysql_wire.port, user="writer")
    assert mysql_wire.connections == 0
    assert await mysql.value("SELECT 1") == 1

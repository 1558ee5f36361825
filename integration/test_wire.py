"""The wire breaks when and where it is told to: what the client hears, and what is in the table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from integration.eventually import eventually
from integration.wire import Fault, Moment, Wire, commit, copied, copying, statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.scratch import Scratch

GONE = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)


@pytest.fixture
async def table(postgres: Scratch) -> str:
    """An empty table."""
    await postgres.execute("CREATE TABLE t (id int, text text)")
    return "t"


@pytest.fixture
async def client(postgres: Scratch, wire: Wire, table: str) -> AsyncIterator[Any]:
    """A connection through the wire; the table is there."""
    assert table
    url = postgres.server.url(port=wire.port)
    connection = await asyncpg.connect(url, server_settings={"search_path": postgres.schema})
    yield connection
    connection.terminate()


async def _stored(postgres: Scratch) -> int:
    """Return how many rows are stored, when nobody is writing any more."""
    await eventually(lambda: postgres.value(_NOBODY_ELSE))
    return int(await postgres.value("SELECT count(*) FROM t"))


_NOBODY_ELSE = """
SELECT count(*) = 0 FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename = 'writer'
"""


async def test_what_is_not_broken_goes_through(postgres: Scratch, wire: Wire, client: Any) -> None:
    """Every kind of statement, small and large, both ways; an armed fault that does not come counts nothing."""
    fault = wire.cut_before(statement("DROP"))
    text = "x" * 1_000_000
    await client.execute("INSERT INTO t VALUES ($1, $2)", 1, text)
    await client.copy_records_to_table("t", records=[(number, "y") for number in range(5000)])
    assert await client.fetchval("SELECT text FROM t WHERE id = 1 AND length(text) > 1") == text
    assert wire.connections == 1
    assert fault.hits == 0
    await client.close()
    assert await _stored(postgres) == 5001


async def _in_a_transaction(client: Any) -> None:
    async with client.transaction():
        await client.execute("INSERT INTO t VALUES (1)")


async def _prepared_commit(client: Any) -> None:
    await client.execute("BEGIN; INSERT INTO t VALUES (1)")
    await client.fetch("COMMIT")


@pytest.mark.parametrize("write", [_in_a_transaction, _prepared_commit])
@pytest.mark.parametrize("cut", ["cut_before", "cut_after", "cut_at_once"])
async def test_a_cut_at_commit_sounds_the_same_on_either_side_of_it(
    postgres: Scratch, wire: Wire, client: Any, write: Any, cut: str
) -> None:
    """The client hears of a broken connection both times: only the table tells which it was."""
    fault: Fault = getattr(wire, cut)(commit())
    with pytest.raises(GONE):
        await write(client)
    await fault.happened()
    assert await _stored(postgres) == (0 if cut == "cut_before" else 1)
    assert fault.hits == 1


@pytest.mark.parametrize(
    ("cut", "moment"),
    [
        ("cut_before", copying()),
        ("cut_before", copying(after_bytes=100_000)),
        ("cut_before", copied()),
        ("cut_after", copied()),
    ],
    ids=["first data", "amid data", "before its end", "after its end"],
)
async def test_a_copy_that_is_cut_is_stored_as_a_whole_or_not_at_all(
    postgres: Scratch, wire: Wire, client: Any, cut: str, moment: Moment
) -> None:
    """What was sent of it before the cut is not there."""
    fault: Fault = getattr(wire, cut)(moment)
    with pytest.raises(GONE):
        await client.copy_records_to_table("t", records=[(number, "y" * 50) for number in range(20_000)])
    assert fault.hits == 1
    assert await _stored(postgres) == (0 if cut == "cut_before" else 20_000)


async def test_a_swallowed_answer_leaves_the_client_waiting_for_what_is_stored(
    postgres: Scratch, wire: Wire, client: Any
) -> None:
    """Committed, and no error to be heard: only a timeout of the client's own ends it."""
    fault = wire.swallow(commit())
    writing = asyncio.ensure_future(_in_a_transaction(client))
    await fault.happened()
    assert await postgres.value("SELECT count(*) FROM t") == 1
    done, _ = await asyncio.wait([writing], timeout=0.1)
    assert not done
    wire.cut()
    with pytest.raises(GONE):
        await writing


async def test_a_frozen_wire_holds_everybody_until_it_thaws(postgres: Scratch, wire: Wire, client: Any) -> None:
    """Nothing arrives while it is frozen, and all does afterwards."""
    fault = wire.freeze_at(commit())
    writing = asyncio.ensure_future(_in_a_transaction(client))
    await fault.happened()
    assert await postgres.value("SELECT count(*) FROM t") == 0
    wire.thaw()
    await writing
    assert await postgres.value("SELECT count(*) FROM t") == 1


async def test_a_frozen_wire_freezes_who_was_talking_already(wire: Wire, client: Any) -> None:
    """A wire may be frozen at any time, not at a moment only."""
    wire.freeze()
    asking = asyncio.ensure_future(client.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done
    wire.thaw()
    assert await asking == 1


async def test_a_slow_wire_is_slow(wire: Wire, client: Any) -> None:
    """Everything that the client says is held back for as long as was asked."""
    wire.delay = 0.5
    asking = asyncio.ensure_future(client.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done
    assert await asking == 1


async def test_a_fault_happens_as_often_as_it_is_told_to(postgres: Scratch, wire: Wire, table: str) -> None:
    """Each time is counted, and after the last one the wire is whole."""
    fault = wire.cut_before(statement(f"INSERT INTO {table}"), times=2)
    for is_cut in (True, True, False):
        connection = await asyncpg.connect(
            postgres.server.url(port=wire.port), server_settings={"search_path": postgres.schema}
        )
        if is_cut:
            with pytest.raises(GONE):
                await connection.execute("INSERT INTO t VALUES (1)")
        else:
            await connection.execute("INSERT INTO t VALUES (1)")
        connection.terminate()
    assert fault.hits == 2
    assert wire.connections == 3
    assert await _stored(postgres) == 1


async def test_a_wire_that_is_down_lets_nobody_in(postgres: Scratch, wire: Wire) -> None:
    """As a server that does not listen."""
    wire.is_down = True
    with pytest.raises(GONE):
        await asyncpg.connect(postgres.server.url(port=wire.port))
    assert wire.connections == 0


async def test_a_request_to_cancel_goes_through_and_is_counted(wire: Wire, client: Any) -> None:
    """It comes on a connection of its own, and has no type."""
    with pytest.raises(TimeoutError):
        await client.execute("SELECT pg_sleep(60)", timeout=0.1)
    assert await client.fetchval("SELECT 1") == 1
    assert wire.cancel_requests == 1


async def test_a_message_that_is_held_arrives_when_its_sender_has_gone(
    postgres: Scratch, wire: Wire, client: Any
) -> None:
    """A COMMIT that was given up long ago commits; everybody else is served meanwhile."""
    fault = wire.hold_at(commit())
    writing = asyncio.ensure_future(_in_a_transaction(client))
    await fault.happened()
    client.terminate()
    with pytest.raises(GONE):
        await writing
    assert await postgres.value("SELECT count(*) FROM t") == 0
    wire.released.set()
    assert await _stored(postgres) == 1

"""What rows hear by way of SQLAlchemy on real servers, and what is stored: bad rows, conflicts, lost connections."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from bulkwriter import BulkWriter, MisconfigurationError, Outcome, OutcomeUnknownError, RowRejectedError, WriteResult
from bulkwriter.contract import Attempt, NotApplied
from integration.attempts import told, verdicts, write
from integration.sqlalchemy_tables import DIALECTS, Place, place_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from integration.servers.registry import Servers


@pytest.fixture(params=DIALECTS)
async def place(servers: Servers, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A table of the test's own, by each dialect and driver in turn."""
    async with place_on(servers, request.param) as made:
        yield made


async def test_bad_rows_at_random_places_are_found_and_the_others_stored(place: Place) -> None:
    """Each hears its own error, with the server's code; what was told is what is stored."""
    chance = random.Random(5)  # noqa: S311 - the same rows each time
    kinds = [1, 1, 1, 1, -1, "no number", 2**40]
    rows = [(n, chance.choice(kinds), chance.choice(["same", None, f"u{n}"])) for n in range(1, 121)]
    async with place.opened() as backend:
        answers = await write(backend, "id v u", rows)
    good = [row for row, answer in zip(rows, answers, strict=True) if isinstance(answer, WriteResult)]
    assert await place.rows() == good
    for (_, v, _), answer in zip(rows, answers, strict=True):
        wanted = {-1: "CheckViolation", "no number": "InvalidValue", 2**40: "InvalidValue"}.get(v)
        assert told([answer])[0] in ({wanted} if wanted else {"inserted", "UniqueViolation"})
    assert told(answers).count("UniqueViolation") >= 1


async def test_conflicts_are_told_exactly_while_others_write(place: Place) -> None:
    """Two writers with the same new keys: of each key one hears inserted, and the other that it was there."""
    rows = [{"id": n, "v": 1} for n in range(1, 61)]
    async with place.engine() as engine:
        backends = [place.opened(engine, on_conflict=policy) for policy in ("skip", "update")]
        async with backends[0] as first, backends[1] as second:
            answers = await asyncio.gather(first.process_batch(rows), second.process_batch(rows))
    for skipping, updating in zip(*answers, strict=True):
        assert isinstance(skipping, WriteResult)
        assert isinstance(updating, WriteResult)
        pair = (skipping.outcome, updating.outcome)
        assert pair in {(Outcome.SKIPPED, Outcome.INSERTED), (Outcome.INSERTED, Outcome.UPDATED)}
    assert len(await place.rows()) == 60


async def test_a_row_that_meets_another_in_another_unique_column_is_rejected(place: Place) -> None:
    """It is no conflict: the row that is there is left alone, whatever the policy."""
    await place.scratch.execute("INSERT INTO t (id, v, u) VALUES (1, 1, 'a'), (2, 2, 'b')")
    for number, policy in enumerate(("skip", "update"), 4):
        async with place.opened(on_conflict=policy) as backend:
            answers = await write(backend, "id v u", [(3, 9, "a"), (number, 9, policy)])
        assert told(answers) == ["UniqueViolation", "inserted"]
    async with place.opened(on_conflict="update") as backend:
        assert told(await write(backend, "id v u", [(1, 9, "b")])) == ["UniqueViolation"]
    assert (await place.rows())[:2] == [(1, 1, "a"), (2, 2, "b")]


async def test_what_comes_back_is_the_very_rows(place: Place) -> None:
    """Generated keys of many rows in one statement; MySQL has no word for it, and says so."""
    rows = [(n % 5, f"u{n}") for n in range(300)]
    if place.dialect.startswith("mysql"):
        with pytest.raises(MisconfigurationError, match="returning is not possible"):
            place.opened(returning=("id",)).__aenter__().send(None)
        return
    async with place.engine() as engine, place.opened(engine, returning=("id", "u")) as backend:
        seen: list[str] = []

        @sa.event.listens_for(engine.sync_engine, "before_cursor_execute")
        def see(*arguments: Any) -> None:
            seen.append(arguments[2])

        answers = await write(backend, "v u", rows)
    assert sum(sql.startswith("INSERT") for sql in seen) == 1
    assert [answer.returned["u"] for answer in answers] == [u for _, u in rows]
    assert [(answer.returned["id"], *row) for answer, row in zip(answers, rows, strict=True)] == await place.rows()


async def test_text_keys_are_equal_as_the_server_compares_them(place: Place) -> None:
    """In one batch: MySQL takes these two for one, PostgreSQL does not; each row hears what became of it."""
    await place.scratch.execute("CREATE TABLE k (name varchar(20) PRIMARY KEY, v integer)")
    table = place.table[:-1] + "k"
    async with place.opened(table=table, on_conflict="update") as backend:
        answers = await write(backend, "name v", [("a", 1), ("b", 1), ("A", 2), ("ä", 3)])
    equal = "updated" if place.is_mysql else "inserted"
    assert told(answers) == ["inserted", "inserted", equal, equal]
    stored = {row["name"]: row["v"] for row in await place.scratch.fetch("SELECT name, v FROM k")}
    assert len(stored) == (2 if place.is_mysql else 4)
    assert max(stored.values()) == 3


async def test_a_session_that_the_server_ends_is_no_bad_row(place: Place) -> None:
    """The rows are written on another one; the pool's other connections were dead as well."""
    async with place.engine() as engine, place.opened(engine) as backend:
        writer: BulkWriter[Any] = BulkWriter(backend)
        async with writer:
            await writer.insert({"id": 1, "v": 1})
            await end_sessions(place)
            report = await writer.insert_many({"id": n, "v": n} for n in range(2, 400))
    assert report.counts.inserted == 398
    assert len(await place.rows()) == 399


async def test_an_attempt_that_waits_for_a_lock_is_given_up_for_good(place: Place) -> None:
    """Once it is told that nothing is stored, nothing ever will be."""
    async with place.opened() as backend:
        attempt = Attempt(backend.plan("insert", ("id", "v")), [(1, 1), (2, 2)])
        async with place.scratch.connect() as other:
            await begin_with(other, place, "INSERT INTO t (id, v) VALUES (2, 7)")
            waiting = asyncio.ensure_future(backend.attempt(attempt))
            await asyncio.sleep(0.2)
            waiting.cancel()
            answers = verdicts(await backend.settle(attempt))
            await end_with(other, place, "ROLLBACK")
    assert all(isinstance(answer, NotApplied) for answer in answers)
    assert await place.rows() == []


async def test_named_work_is_stored_once(place: Place) -> None:
    """Also when it is done twice at the same time."""
    rows = [{"id": n, "v": -1 if n == 3 else n} for n in range(1, 11)]
    async with place.opened(ledger=True) as one, place.opened(ledger=True) as two:
        runs = await asyncio.gather(*(backend.process_batch(rows, identity="work-1") for backend in (one, two)))
    for answers in runs:
        assert [n for n, answer in enumerate(answers, 1) if isinstance(answer, RowRejectedError)] == [3]
        assert told(answers).count("inserted") == 9
    assert len(await place.rows()) == 9


@pytest.mark.parametrize("after", [False, True], ids=["before it was done", "after it was done"])
async def test_with_a_ledger_a_lost_commit_is_settled(place: Place, *, after: bool) -> None:
    """Every caller hears that its row is stored, and it is, once."""
    async with place.engine() as engine, place.opened(engine, ledger=True) as backend:
        lose_a_commit(engine, after=after)
        answers = await backend.process_batch([{"id": n, "v": n} for n in range(1, 21)])
    assert told(answers) == ["inserted"] * 20
    assert len(await place.rows()) == 20


async def test_without_a_ledger_a_lost_commit_is_unknown(place: Place) -> None:
    """At once: there is nobody who could tell."""
    async with place.engine() as engine, place.opened(engine) as backend:
        lose_a_commit(engine, after=True)
        answers = await backend.process_batch([{"id": n, "v": n} for n in range(1, 21)])
    assert all(isinstance(answer, OutcomeUnknownError) for answer in answers)
    assert len(await place.rows()) == 20


def lose_a_commit(engine: AsyncEngine, *, after: bool) -> None:
    """Let the next commit end in an error that says nothing, before or after it is done."""
    dialect: Any = engine.sync_engine.dialect
    commit = dialect.do_commit

    def lost(connection: Any) -> None:
        dialect.do_commit = commit
        if after:
            commit(connection)
        message = "the line went dead"
        raise ConnectionResetError(message)

    dialect.do_commit = lost


async def begin_with(connection: Any, place: Place, sql: str) -> None:
    """Begin a transaction on a connection of the test's own."""
    await end_with(connection, place, "BEGIN")
    await end_with(connection, place, sql)


async def end_with(connection: Any, place: Place, sql: str) -> None:
    """Run a statement on a raw connection."""
    if place.is_mysql:
        async with connection.cursor() as cursor:
            await cursor.execute(sql)
    else:
        await connection.execute(sql)


async def end_sessions(place: Place) -> None:
    """Let the server end every session but the one that says so."""
    if not place.is_mysql:
        await place.scratch.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND usename = 'writer'"
        )
        return
    own = "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = DATABASE()"
    for row in await place.scratch.fetch(own):
        (number,) = row.values()
        await place.scratch.execute(f"KILL {number}")

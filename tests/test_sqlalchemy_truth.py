"""Commits that are lost, attempts that are given up, work that is done twice: compared with what is stored."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from bulkwriter.contract import Attempt, Doubtful, NotApplied
from bulkwriter.errors import OutcomeUnknownError
from bulkwriter.results import INSERTED
from tests.sqlalchemy_tables import engine_on, opened
from tests.sqlite_tables import Database, told, verdicts

if TYPE_CHECKING:
    import pathlib

    from sqlalchemy.ext.asyncio import AsyncEngine

ROWS = [{"id": n, "v": str(n)} for n in range(20)]


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a database with a table."""
    return Database(tmp_path / "truth.db", "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")


def break_commits(engine: AsyncEngine, *, after: bool, times: int = 1) -> None:
    """Let commits end in an error that says nothing, before or after they are done."""
    left = [times]
    commit = engine.sync_engine.dialect.do_commit

    def broken(connection: Any) -> None:
        is_writing = connection.driver_connection.in_transaction
        if not is_writing or not left[0]:
            commit(connection)
            return
        left[0] -= 1
        if after:
            commit(connection)
        message = "the line went dead"
        raise sqlite3.OperationalError(message)

    dialect: Any = engine.sync_engine.dialect
    dialect.do_commit = broken


@pytest.mark.parametrize("after", [False, True], ids=["before it was done", "after it was done"])
async def test_with_a_ledger_a_lost_commit_is_settled(database: Database, *, after: bool) -> None:
    """Every caller hears that its row is stored, and it is, once."""
    async with engine_on(database) as engine, opened(engine, ledger=True) as backend:
        break_commits(engine, after=after)
        answers = await backend.process_batch(ROWS)
    assert told(answers) == ["inserted"] * 20
    assert database.read("SELECT id FROM t ORDER BY id") == [(n,) for n in range(20)]


@pytest.mark.parametrize("after", [False, True], ids=["before it was done", "after it was done"])
async def test_without_a_ledger_a_lost_commit_is_unknown(database: Database, *, after: bool) -> None:
    """Nobody can tell which it was; and nobody pretends to."""
    async with engine_on(database) as engine, opened(engine) as backend:
        break_commits(engine, after=after)
        answers = await backend.process_batch(ROWS)
    assert all(isinstance(answer, OutcomeUnknownError) for answer in answers)
    assert len(database.read("SELECT * FROM t")) == (20 if after else 0)


async def test_an_attempt_that_is_given_up_before_its_commit_never_commits(database: Database) -> None:
    """It waits for somebody else's lock, and when it gets it, it is too late."""
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with opened(database) as backend:
        attempt = Attempt(backend.plan("insert", ("id", "v")), [(1, "a"), (2, "b")])
        waiting = asyncio.ensure_future(backend.attempt(attempt))
        await asyncio.sleep(0.05)
        waiting.cancel()
        settling = asyncio.ensure_future(backend.settle(attempt))
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        answers = verdicts(await settling)
    other.close()
    assert all(isinstance(answer, NotApplied) for answer in answers)
    assert database.read("SELECT * FROM t") == []


async def test_a_given_up_attempt_that_has_committed_says_so(database: Database) -> None:
    """Its end is waited for."""
    async with opened(database) as backend:
        attempt = Attempt(backend.plan("insert", ("id", "v")), [(1, "a"), (2, "b")])
        await backend.attempt(attempt)
        assert verdicts(await backend.settle(attempt)) == [INSERTED] * 2


async def test_a_piece_of_work_is_stored_once(database: Database) -> None:
    """However often it is run; its callers hear the same each time, bad rows included."""
    rows = [*ROWS, {"id": 3, "v": "again"}]
    async with opened(database, ledger=True, returning=("id",)) as backend:
        first = await backend.process_batch(rows, identity="delivery-1")
        database.run("DELETE FROM t WHERE id = 5")
        again = await backend.process_batch(rows, identity="delivery-1")
    assert told(first) == told(again) == ["inserted"] * 20 + ["UniqueViolation"]
    assert [answer.returned for answer in first[:20]] == [answer.returned for answer in again[:20]]  # type: ignore[union-attr]
    assert len(database.read("SELECT * FROM t")) == 19


async def test_a_barred_attempt_cannot_commit_any_more(database: Database) -> None:
    """Whoever has settled it as not applied may send its rows again."""
    async with engine_on(database) as engine, opened(engine, ledger=True) as backend:
        attempt = Attempt(backend.plan("insert", ("id", "v")), [(1, "a")])
        parts: Any = backend._parts
        async with parts.connection() as connection:
            entry = await connection.run_sync(parts.book.bar, attempt)
        assert entry.is_tombstone
        first = Attempt(attempt.plan, attempt.rows, identity=attempt.identity)
        parts.book.may_know = lambda _: False
        parts.book.look_up = lambda *_: None
        answers = verdicts(await backend.attempt(first))
    assert not any(answer is INSERTED or isinstance(answer, Doubtful) for answer in answers)
    assert database.read("SELECT * FROM t") == []


async def test_a_lock_that_is_not_had_is_no_bad_row(database: Database) -> None:
    """It is told as what may pass."""
    other = sqlite3.connect(database.path, isolation_level=None)
    async with engine_on(database) as engine, opened(engine) as backend:

        @sa.event.listens_for(engine.sync_engine, "checkout")
        def impatient(connection: Any, *_: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout = 1")
            cursor.close()

        other.execute("BEGIN IMMEDIATE")
        attempt = Attempt(backend.plan("insert", ("id", "v")), [(1, "a"), (2, "b")])
        answers = verdicts(await backend.attempt(attempt))
        other.execute("ROLLBACK")
    other.close()
    assert told(answers) == ["BackendUnavailable"] * 2
    assert all(answer.retry for answer in answers)


@pytest.mark.parametrize("setting", [{"isolation_level": None}, {"autocommit": False}], ids=str)
async def test_a_batch_is_one_transaction_whatever_the_drivers_own_way(
    database: Database, setting: dict[str, Any]
) -> None:
    """Nothing of a batch is stored before all of it is."""
    if "autocommit" in setting and sys.version_info < (3, 12):
        pytest.skip("autocommit= came with Python 3.12")
    engine = create_async_engine(f"sqlite+aiosqlite:///{database.path}", connect_args=setting)
    statements: list[str] = []

    @sa.event.listens_for(engine.sync_engine, "before_cursor_execute")
    def fail_at_the_second(*arguments: Any) -> None:
        statements.append(arguments[2])
        if sum(sql.startswith("INSERT") for sql in statements) == 2:
            message = "the disk is gone"
            raise OSError(message)

    try:
        async with opened(engine) as backend:
            plan = backend.plan("insert", ("id", "v"))
            parts: Any = backend._parts
            parts.statements_for("insert", plan.columns).largest = 5
            answers = verdicts(await backend.attempt(Attempt(plan, [(n, "a") for n in range(10)])))
    finally:
        await engine.dispose()
    assert set(told(answers)) == {"BackendUnavailable"}
    assert database.read("SELECT * FROM t") == []


async def test_batches_take_turns_on_a_connection_that_all_share() -> None:
    """A database in memory has but one: two batches at once would commit each other's halves."""
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (v <> 'bad'))")
    async with opened(engine) as backend:
        batches = [
            [{"id": 100 * batch + n, "v": "bad" if n % 7 == 3 else "a"} for n in range(50)] for batch in range(8)
        ]
        answers = await asyncio.gather(*map(backend.process_batch, batches))
    async with engine.connect() as connection:
        stored = set((await connection.exec_driver_sql("SELECT id FROM t")).scalars())
    await engine.dispose()
    for rows, heard in zip(batches, answers, strict=True):
        assert told(heard) == ["CheckViolation" if row["v"] == "bad" else "inserted" for row in rows]
        assert {row["id"] for row in rows if row["v"] != "bad"} <= stored
    assert len(stored) == sum(told(heard).count("inserted") for heard in answers)


@pytest.mark.parametrize(
    "error", [OSError("gone"), asyncio.CancelledError(), ValueError("x"), sa.exc.OperationalError("", {}, OSError())]
)
async def test_what_fails_after_the_commit_changes_no_answer(database: Database, error: BaseException) -> None:
    """The ledger is pruned then: the rows are stored, whatever becomes of that, and are not sent again."""
    async with opened(database, ledger=True) as backend:
        parts: Any = backend._parts

        def prune(_: Any) -> None:
            raise error

        parts.book.prune = prune
        attempt = Attempt(backend.plan("insert", ("id", "v")), [(1, "a"), (2, "b")])
        answers = verdicts(await backend.attempt(attempt))
    assert answers == [INSERTED] * 2
    assert database.read("SELECT id FROM t ORDER BY id") == [(1,), (2,)]

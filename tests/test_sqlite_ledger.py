"""With ``ledger=True`` a piece of work is stored once, and every run of it hears what the first one heard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import BulkWriter, RetryPolicy
from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.contract import Attempt, NotApplied
from bulkwriter.errors import MisconfigurationError, UniqueViolationError
from bulkwriter.ledger import Work, ddl, digest_of, statements
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.testing import FaultScript
from tests.sqlite_tables import Database, told, verdicts

if TYPE_CHECKING:
    import pathlib

    from bulkwriter.contract import OnConflict

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, u UNIQUE)"
ROWS = [(1, "a", 1), (2, b"\0b", 2), (3, 1.5, 1), (4, None, 4)]
COLUMNS = ("id", "v", "u")


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a table with a key and another unique column."""
    return Database(tmp_path / "t.db", SCHEMA)


async def _attempt(backend: SQLiteBackend, rows: list[tuple[Any, ...]] = ROWS, identity: str = "work") -> list[Any]:
    return verdicts(await backend.attempt(Attempt(backend.plan("insert", COLUMNS), rows, identity=identity)))


@pytest.mark.parametrize("returning", [(), ("id", "v")])
@pytest.mark.parametrize("policy", ["error", "skip", "update"])
async def test_a_second_run_hears_what_the_first_one_heard(
    database: Database, policy: OnConflict, returning: tuple[str, ...]
) -> None:
    """From another process, and although the table has changed: the rejected and the skipped, and what came back."""
    database.run("INSERT INTO t VALUES (2, 'old', 2)")
    heard = []
    for _ in range(3):
        async with database.backend(on_conflict=policy, returning=returning, ledger=True) as backend:
            heard.append(await _attempt(backend))
        database.run("DELETE FROM t WHERE id = 1; UPDATE t SET v = 'changed', u = u + 100")
    there = {"error": "UniqueViolation", "skip": "skipped", "update": "updated"}[policy]
    for answers in heard:
        assert told(answers) == ["inserted", there, "UniqueViolation", "inserted"]
        assert isinstance(answers[2], UniqueViolationError)
        assert answers[2].constraint_name == "t.u"
        assert answers[2].sqlstate == "SQLITE_CONSTRAINT_UNIQUE"
        assert isinstance(answers[0], WriteResult)
        assert answers[0].returned == ({"id": 1, "v": "a"} if returning else None)
    if returning and policy == "update":
        assert heard[2][1].returned == {"id": 2, "v": b"\0b"}
    assert database.read("SELECT count(*) FROM t") == [(2,)]
    assert database.read("SELECT identity, row_count FROM bulkwriter_ledger") == [("work", 4)]


async def test_an_identity_used_for_other_work_is_an_error_and_no_lie(database: Database) -> None:
    """Nothing is written, and nobody is told that it was."""
    database.run("CREATE TABLE other (id INTEGER PRIMARY KEY, v, u)")
    async with database.backend(ledger=True) as backend:
        await _attempt(backend)
        (verdict, *_) = await _attempt(backend, [*ROWS, (5, 5, 5)])
        assert isinstance(verdict, NotApplied)
        assert not verdict.retry
        assert isinstance(verdict.error, MisconfigurationError)
        assert "'work' for another piece of work, of 4 rows" in str(verdict.error)
    async with database.backend("other", ledger=True) as backend:
        assert told(await _attempt(backend)) == ["Misconfiguration"] * 4
    assert database.read("SELECT count(*) FROM t") == [(3,)]
    assert database.read("SELECT count(*) FROM other") == [(0,)]


async def test_an_identity_that_does_not_fit_is_an_error(database: Database) -> None:
    """Before anything is written."""
    async with database.backend(ledger=True) as backend:
        assert told(await _attempt(backend, identity="x" * 256)) == ["Misconfiguration"] * 4
    assert database.read("SELECT count(*) FROM t") == [(0,)]


async def test_a_batch_that_fails_leaves_no_identity(database: Database) -> None:
    """So that it can be sent again under the same one."""
    async with database.backend(ledger=True) as backend:
        database.run("ALTER TABLE t RENAME TO away")
        assert told(await _attempt(backend)) == ["Misconfiguration"] * 4
        database.run("ALTER TABLE away RENAME TO t")
        assert told(await _attempt(backend)) == ["inserted", "inserted", "UniqueViolation", "inserted"]


async def test_a_new_try_takes_the_place_of_a_tombstone(database: Database) -> None:
    """The piece of work was settled as not applied, by this process or another: it may be done now."""
    async with database.backend(ledger=True) as backend:
        sql, work = statements("sqlite"), Work(digest_of("t", "insert", COLUMNS, "error"), 4)
        session: Any = backend._session
        session.connection.execute(sql.bar, ("work", "token", work.digest, work.row_count))
        assert told(await _attempt(backend)) == ["inserted", "inserted", "UniqueViolation", "inserted"]
        assert told(await _attempt(backend)) == ["inserted", "inserted", "UniqueViolation", "inserted"]
    assert database.read("SELECT count(*) FROM bulkwriter_ledger WHERE answers IS NOT NULL") == [(1,)]


async def test_every_batch_leaves_its_identity_in_its_own_transaction(database: Database) -> None:
    """Deletes too, and batches without a single good row."""
    async with database.backend(ledger=True, on_conflict="update") as backend:
        await _attempt(backend, [(n, n, n) for n in range(100)], "first")
        await _attempt(backend, [(n, n, 5) for n in range(200, 210)], "all bad")
        delete = backend.plan("delete", ("id",))
        await backend.attempt(Attempt(delete, [(5,), (999,)], identity="delete"))
        database.run("INSERT INTO t VALUES (5, 5, 5)")
        assert (
            told(verdicts(await backend.attempt(Attempt(delete, [(5,), (999,)], identity="delete")))) == ["deleted"] * 2
        )
    assert database.read("SELECT identity, row_count FROM bulkwriter_ledger ORDER BY 1") == [
        ("all bad", 10), ("delete", 2), ("first", 100),
    ]  # fmt: skip
    assert database.read("SELECT count(*) FROM t") == [(100,)]


async def test_old_identities_are_pruned(database: Database) -> None:
    """By the batches themselves, after ``ledger_retention`` seconds."""
    async with database.backend(ledger=True, ledger_retention=1000) as backend:
        await _attempt(backend, identity="old")
        await _attempt(backend, [(9, 9, 9)], identity="young")
    database.run("UPDATE bulkwriter_ledger SET written_at = written_at - 2000 WHERE identity = 'old'")
    async with database.backend(ledger=True, ledger_retention=1000) as backend:
        await _attempt(backend, [(10, 10, 10)], identity="new")
    assert database.read("SELECT identity FROM bulkwriter_ledger ORDER BY 1") == [("new",), ("young",)]


async def test_the_ledger_may_be_the_users_own(database: Database) -> None:
    """Made beforehand, under another name; and one that is no ledger is refused."""
    database.run(ddl("sqlite", "my ledger") + "CREATE TABLE wrong (identity);")
    async with database.backend(ledger=True, ledger_table="my ledger") as backend:
        await _attempt(backend)
    assert database.read('SELECT count(*) FROM "my ledger"') == [(1,)]
    with pytest.raises(MisconfigurationError):
        await SQLiteBackend(database.path, "t", ledger=True, ledger_table="wrong").open()


async def test_named_work_is_stored_once_through_a_storm(database: Database) -> None:
    """Lost requests and lost acknowledgements, and several runs at the same time."""

    async def run(number: int) -> list[Any]:
        # Not "leave_unprocessed": a part of a batch is another piece of work, and SQLite never leaves one.
        kinds = ("lose_request", "lose_acknowledgement", "fail_after_commit", "throttle", "deadlock")
        faults = FaultScript().at_random(number, rate=0.6, faults=kinds)
        backend = SQLiteBackend(database.path, "t", ledger=True, returning=["id"])
        wrapped = faults.wrap(backend)
        rows = [{"v": n, "u": n} for n in range(50)]
        policy = RetryPolicy(max_attempts=100, initial_backoff=0.001, max_backoff=0.01)
        answers = await wrapped.process_batch(rows, identity="the work", retry=policy)
        await wrapped.close()
        return answers

    runs = await asyncio.gather(*(run(number) for number in range(5)))
    ids = [[answer.returned["id"] for answer in answers] for answers in runs]
    assert all(answer.outcome is Outcome.INSERTED for answers in runs for answer in answers)
    assert ids == [ids[0]] * 5
    assert database.read("SELECT count(*), count(DISTINCT u) FROM t") == [(50, 50)]


async def test_a_writer_with_a_ledger_has_one_identity_a_batch(database: Database) -> None:
    """And nobody else's."""
    backend = SQLiteBackend(database.path, "t", ledger=True)
    async with BulkWriter[Any](backend, max_batch_size=10) as writer:
        report = await writer.insert_many([{"id": n, "u": n} for n in range(100)])
    assert report.counts.inserted == 100
    assert database.read("SELECT count(*), sum(row_count) FROM bulkwriter_ledger") == [(10, 100)]

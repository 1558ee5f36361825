"""A database that is busy, full, read-only or gone is called what it is, and nothing of the batch is stored."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import BulkWriter, RetryPolicy
from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.contract import Attempt, NotApplied, Uniform
from bulkwriter.errors import BackendUnavailableError, MisconfigurationError
from tests.sqlite_tables import Database, told, verdicts, write

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"
ROWS = [(number, "x" * 100) for number in range(300)]
SOON = RetryPolicy(initial_backoff=0.001, max_backoff=0.02)


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a small table in a file."""
    return Database(tmp_path / "t.db", SCHEMA)


@contextlib.contextmanager
def _locked(database: Database, how: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
        connection.execute(f"BEGIN {how}")
        yield connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")


async def _attempt(backend: SQLiteBackend, rows: list[tuple[Any, ...]] = ROWS) -> NotApplied:
    """Attempt a batch that cannot be written, and return why."""
    reply = await backend.attempt(Attempt(backend.plan("insert", ("id", "v")), rows))
    assert isinstance(reply, Uniform)
    assert reply.rows == len(rows)
    assert isinstance(reply.verdict, NotApplied), reply
    return reply.verdict


async def test_a_locked_database_is_unavailable(database: Database) -> None:
    """Nothing is stored, another try may help, and when the lock is gone it does."""
    async with database.backend(busy_timeout=0.06) as backend:
        with _locked(database):
            verdict = await _attempt(backend)
        assert isinstance(verdict.error, BackendUnavailableError)
        assert "SQLITE_BUSY" in str(verdict.error)
        assert verdict.retry
        assert database.read("SELECT * FROM t") == []
        assert told(await write(backend, "id v", ROWS)) == ["inserted"] * 300


async def test_a_lock_that_ends_in_time_is_waited_out(database: Database) -> None:
    """Within ``busy_timeout``, inside the attempt."""
    async with database.backend(busy_timeout=60) as backend:
        with _locked(database) as other:
            task = asyncio.create_task(write(backend, "id v", ROWS))
            await asyncio.sleep(0.15)
            other.execute("ROLLBACK")
            assert told(await task) == ["inserted"] * 300


async def test_readers_that_hold_up_the_commit_leave_nothing_behind(database: Database) -> None:
    """With a rollback journal, a commit needs the file for itself: it is rolled back, and told so."""
    async with database.backend(busy_timeout=0.06, journal_mode="DELETE") as backend:
        with _locked(database, "DEFERRED") as reader:
            reader.execute("SELECT * FROM t").fetchall()
            verdict = await _attempt(backend)
        assert isinstance(verdict.error, BackendUnavailableError)
        assert database.read("SELECT * FROM t") == []
        assert told(await write(backend, "id v", ROWS)) == ["inserted"] * 300


async def test_a_database_that_is_locked_at_open_is_unavailable(database: Database) -> None:
    """Not misconfigured: later it may open."""
    with _locked(database, "EXCLUSIVE"), pytest.raises(BackendUnavailableError):
        async with database.backend(busy_timeout=0.06):
            pass
    async with database.backend():
        pass


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
async def test_a_full_disk_is_unavailable_and_no_bad_row(database: Database, journal_mode: str) -> None:
    """Nothing of the batch is stored, although a part of it would have had room."""
    setup = "PRAGMA max_page_count = 20"
    async with database.backend(setup=setup, journal_mode=journal_mode) as backend:
        assert told(await write(backend, "id v", ROWS[:100])) == ["inserted"] * 100
        verdict = await _attempt(backend, [(number, "x" * 1000) for number in range(1000, 1300)])
        assert isinstance(verdict.error, BackendUnavailableError)
        assert "SQLITE_FULL" in str(verdict.error)
        assert verdict.retry
        assert backend.paths == {"multi-row": 1}
        assert database.read("SELECT count(*) FROM t") == [(100,)]
        assert told(await write(backend, "id v", ROWS[100:110])) == ["inserted"] * 10


async def test_a_database_that_becomes_read_only_is_misconfigured(database: Database) -> None:
    """And no row is called bad."""
    async with database.backend() as backend:
        session: Any = backend._session
        session.connection.execute("PRAGMA query_only = ON")
        verdict = await _attempt(backend)
        assert isinstance(verdict.error, MisconfigurationError)
        assert "SQLITE_READONLY" in str(verdict.error)
        assert not verdict.retry
        assert database.read("SELECT * FROM t") == []


async def test_a_table_that_is_dropped_is_missing_and_when_it_is_back_it_is_written(database: Database) -> None:
    """Also with other columns and another key than before."""
    async with database.backend(on_conflict="update", returning=["id"]) as backend:
        await write(backend, "id v", ROWS[:5])
        database.run("DROP TABLE t")
        for _ in range(2):
            verdict = await _attempt(backend)
            assert isinstance(verdict.error, MisconfigurationError)
            assert not verdict.retry
        database.run("CREATE TABLE t (v PRIMARY KEY, id INTEGER CHECK (id < 7), more)")
        answers = await write(backend, "id v", [(1, "a"), (7, "b"), (2, "a")])
        assert told(answers) == ["inserted", "CheckViolation", "updated"]
        assert told(await write(backend, "id v more", [(1, "c", 2)])) == ["inserted"]


async def test_what_is_done_to_the_table_meanwhile_is_noticed(database: Database) -> None:
    """A trigger that swallows rows, a conflict clause, a column that is dropped."""
    async with database.backend() as backend:
        await write(backend, "id v", ROWS[:5])
        database.run("CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.id = 8 BEGIN SELECT RAISE(IGNORE); END")
        assert told(await write(backend, "id v", ROWS[7:10])) == ["inserted", "CheckViolation", "inserted"]
        database.run("ALTER TABLE t RENAME COLUMN v TO w")
        verdict = await _attempt(backend)
        assert isinstance(verdict.error, MisconfigurationError)
        assert "'v'" in str(verdict.error)
        assert told(await write(backend, "id w", ROWS[20:22])) == ["inserted"] * 2


async def test_a_conflict_target_that_is_dropped_is_misconfigured(database: Database) -> None:
    """Without the index nobody can tell what is updated."""
    database.run("CREATE UNIQUE INDEX i ON t (v)")
    async with database.backend(on_conflict="update", conflict_columns=["v"]) as backend:
        await write(backend, "id v", [(1, 1)])
        database.run("DROP INDEX i")
        verdict = await _attempt(backend)
        assert isinstance(verdict.error, MisconfigurationError)
        assert "conflict_columns" in str(verdict.error)


async def test_a_file_that_is_taken_away_is_not_written_any_more(database: Database) -> None:
    """SQLite would go on writing to a file that nobody can find; a new one in its place is the one that is meant."""
    async with database.backend() as backend:
        await write(backend, "id v", ROWS[:5])
        for name in database.path.parent.iterdir():
            name.rename(name.with_name(f"old-{name.name}"))
        verdict = await _attempt(backend)
        assert isinstance(verdict.error, MisconfigurationError)
        assert not database.path.exists()
        database.run(SCHEMA)
        assert told(await write(backend, "id v", ROWS)) == ["inserted"] * 300
    assert database.read("SELECT count(*) FROM t") == [(300,)]


async def test_a_trigger_that_needs_what_is_not_there_is_misconfigured(database: Database) -> None:
    """The statement itself does not compile: no search for a bad row is begun."""
    database.run("CREATE TABLE u (id); CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (NEW.id); END")
    async with database.backend() as backend:
        await write(backend, "id v", ROWS[:5])
        database.run("DROP TABLE u")
        verdict = await _attempt(backend)
    assert isinstance(verdict.error, MisconfigurationError)
    assert "no such table: main.u" in str(verdict.error)
    assert database.read("SELECT count(*) FROM t") == [(5,)]


async def test_a_defect_is_not_called_a_bad_row(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged, rolled back and told."""
    from bulkwriter.backends.sqlite import writing  # noqa: PLC0415

    def broken(*_: object) -> None:
        message = "secret"
        raise KeyError(message)

    async with database.backend() as backend:
        monkeypatch.setattr(writing.Writing, "write", broken)
        verdict = await _attempt(backend)
    assert isinstance(verdict.error, BackendUnavailableError)
    assert "secret" not in str(verdict.error)
    assert isinstance(verdict.error.__cause__, KeyError)
    assert database.read("SELECT * FROM t") == []


# -- through the writer: what is temporary is waited out


async def test_a_writer_outlasts_a_lock(database: Database) -> None:
    """The engine comes back until it is gone."""
    backend = SQLiteBackend(database.path, "t", busy_timeout=0)
    async with BulkWriter[Any](backend, retry=SOON) as writer:
        with _locked(database) as other:
            task = asyncio.create_task(writer.insert_many([{"id": n, "v": v} for n, v in ROWS]))
            while writer.statistics().retries == 0:  # noqa: ASYNC110 - until it has happened
                await asyncio.sleep(0.001)
            other.execute("ROLLBACK")
        report = await task
    assert report.counts.inserted == 300
    assert database.read("SELECT count(*) FROM t") == [(300,)]


# -- a disk that fails while COMMIT writes: in a process of its own, which may write no more than so many bytes

CHILD = """
    import asyncio, json, resource, signal, sys
    from bulkwriter.backends.sqlite import SQLiteBackend
    from bulkwriter.contract import Attempt, Doubtful, NotApplied, Uniform
    from bulkwriter.errors import NotWrittenError

    def said(reply):
        verdict = reply.verdict if isinstance(reply, Uniform) else reply[0]
        return getattr(verdict, "outcome", None) and verdict.outcome.value or type(verdict).__name__

    async def main(path, journal_mode, ledger):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        backend = SQLiteBackend(path, "t", journal_mode=journal_mode, ledger=ledger)
        await backend.open()
        plan = backend.plan("insert", ("id", "v"))
        heard = [said(await backend.attempt(Attempt(plan, [(1, "x")])))]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
        attempt = Attempt(plan, [(number, "x" * 1000) for number in range(2, 102)])
        heard.append(said(await backend.attempt(attempt)))
        try:
            heard.append(said(await backend.settle(attempt)))
        except NotWrittenError as error:
            heard.append(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        heard.append(said(await backend.settle(attempt)))
        heard.append(said(await backend.settle(attempt)))
        heard.append(said(await backend.attempt(Attempt(plan, attempt.rows))))
        await backend.close()
        print(json.dumps(heard))

    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] == "True"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits to the size of a file are a matter of Unix")
@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_a_commit_that_the_disk_refuses_is_settled(database: Database, journal_mode: str, *, ledger: bool) -> None:
    """In doubt until the disk can be written again; then it is certain, and the rows can be sent again."""
    arguments = [str(database.path), journal_mode, str(ledger)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", textwrap.dedent(CHILD), *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    heard = json.loads(done.stdout)
    assert heard[0] == "inserted"
    assert heard[1] in {"Doubtful", "NotApplied"}
    if heard[1] == "Doubtful":
        assert heard[2] in {"BackendUnavailableError", "NotApplied", "Doubtful"}
    if journal_mode == "WAL" or ledger:
        assert heard[3:] == ["NotApplied", "NotApplied", "inserted"]
    assert done.stderr == ""
    assert database.read("SELECT count(*) FROM t") == [(101,)]
    assert database.read("PRAGMA integrity_check") == [("ok",)]


# -- what is told at open


async def test_a_file_that_is_not_there_is_not_made(tmp_path: pathlib.Path) -> None:
    """A mistyped path must not leave an empty database behind."""
    path = tmp_path / "typo.db"
    with pytest.raises(MisconfigurationError, match="CANTOPEN"):
        await SQLiteBackend(path, "t").open()
    assert not path.exists()


async def test_setup_makes_the_file_and_the_table(tmp_path: pathlib.Path) -> None:
    """Once: what is there already stays."""
    database = Database(tmp_path / "new.db")
    database.path.unlink(missing_ok=True)
    for number in range(2):
        setup = "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)"
        assert told(await database.write("id v", [(number, "x")], setup=setup)) == ["inserted"]
    assert database.read("SELECT count(*) FROM t") == [(2,)]


@pytest.mark.parametrize("what", ["a folder", "no database", "a missing folder", "an empty file"])
async def test_what_is_no_database_is_misconfigured(tmp_path: pathlib.Path, what: str) -> None:
    """Whatever it is instead."""
    path = {"a folder": tmp_path, "a missing folder": tmp_path / "nonesuch" / "t.db"}.get(what, tmp_path / "t.db")
    if what in {"no database", "an empty file"}:
        path.write_text("" if what == "an empty file" else "This is a letter to my aunt. " * 100)
    with pytest.raises(MisconfigurationError):
        await SQLiteBackend(path, "t").open()


async def test_a_read_only_database_is_misconfigured_at_open(database: Database) -> None:
    """Before the first row is taken in."""
    with pytest.raises(MisconfigurationError, match="SQLITE_READONLY"):
        await SQLiteBackend(f"{database.path.as_uri()}?mode=ro", "t", uri=True).open()


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="to become another user needs root")
@pytest.mark.parametrize("what", ["the file", "the folder"])
def test_lack_of_permission_is_misconfigured_at_open(what: str) -> None:
    """Root may write everything, so another user asks."""
    # pytest's own folder is closed to others.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bulkwriter-", dir="/tmp"))
    database = Database(folder / "t.db", SCHEMA)
    folder.chmod(0o777 if what == "the file" else 0o755)
    database.path.chmod(0o644 if what == "the file" else 0o666)
    code = f"""
        import asyncio
        from bulkwriter.backends.sqlite import SQLiteBackend
        from bulkwriter.errors import MisconfigurationError
        import os
        import urllib.parse  # while the standard library can still be read: pathlib loads it late
        os.setgid(65534)
        os.setuid(65534)
        try:
            asyncio.run(SQLiteBackend({str(database.path)!r}, "t").open())
        except MisconfigurationError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)  # noqa: S603
    shutil.rmtree(folder)
    assert "SQLITE_READONLY" in done.stdout or "SQLITE_CANTOPEN" in done.stdout, done.stdout + done.stderr


async def test_a_missing_table_is_named(database: Database) -> None:
    """In the words of the caller."""
    with pytest.raises(MisconfigurationError, match="'nonesuch'"):
        await SQLiteBackend(database.path, "nonesuch").open()


async def test_a_writer_tells_every_caller_of_a_misconfiguration(database: Database) -> None:
    """Nobody waits for a retry that cannot help."""
    writer = BulkWriter[Any](SQLiteBackend(database.path, "nonesuch"))
    answers = await asyncio.gather(*(writer.insert({"id": n}) for n in range(3)), return_exceptions=True)
    await writer.stop()
    assert [type(answer) for answer in answers] == [MisconfigurationError] * 3
    assert verdicts(Uniform(NotApplied(MisconfigurationError("x")), 1))

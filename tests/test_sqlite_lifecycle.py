"""Opening, giving up, settling, closing, and ends that nobody asked for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import BulkWriter
from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.contract import Attempt, NotApplied, Uniform
from bulkwriter.errors import BackendUnavailableError, MisconfigurationError, NotWrittenError
from bulkwriter.results import INSERTED
from tests.sqlite_tables import Database, told, verdicts, write

if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator, Callable, Coroutine

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"
ROWS = [(number, "x") for number in range(100)]
NOT_APPLIED = ["BackendUnavailable"] * 100


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a small table in a file."""
    return Database(tmp_path / "t.db", SCHEMA)


class Gate:
    """Holds up the backend's thread in the middle of a statement."""

    def __init__(self, database: Database) -> None:
        database.run("CREATE TRIGGER gate BEFORE INSERT ON t WHEN NEW.id = 50 BEGIN SELECT gate(); END")
        self._path = database.path
        self.reached = threading.Event()
        self.opened = threading.Event()

    def connect(self) -> sqlite3.Connection:
        """Return a connection on which the trigger works."""
        connection = sqlite3.connect(self._path)
        connection.create_function("gate", 0, self._pass)
        return connection

    def _pass(self) -> None:
        self.reached.set()
        self.opened.wait(60)

    async def wait(self) -> None:
        """Wait until the thread is at the gate."""
        await asyncio.to_thread(self.reached.wait, 60)


@pytest.fixture
async def gate(database: Database) -> AsyncIterator[Gate]:
    """Return a gate, which is open in the end."""
    gate = Gate(database)
    yield gate
    gate.opened.set()


@contextlib.asynccontextmanager
async def _behind(gate: Gate, **options: Any) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(gate.connect, "t", **options)
    await backend.open()
    try:
        yield backend
    finally:
        gate.opened.set()
        await backend.close()


def _attempt(backend: SQLiteBackend, rows: list[tuple[Any, ...]] = ROWS) -> Attempt:
    return Attempt(backend.plan("insert", ("id", "v")), rows)


async def _given_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _sqlite_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("bulkwriter sqlite")}


# -- giving up


async def test_an_attempt_that_is_given_up_while_it_writes_is_settled_by_its_true_end(
    database: Database, gate: Gate
) -> None:
    """The thread goes on; whoever settles waits for it, as often as it is asked."""
    async with _behind(gate) as backend:
        attempt = _attempt(backend)
        task = asyncio.create_task(backend.attempt(attempt))
        await gate.wait()
        await _given_up(task)
        impatient = asyncio.create_task(backend.settle(attempt))
        await asyncio.sleep(0)
        await _given_up(impatient)
        settling = asyncio.create_task(backend.settle(attempt))
        gate.opened.set()
        assert await settling == Uniform(INSERTED, 100)
        assert await backend.settle(attempt) == Uniform(INSERTED, 100)
    assert database.read("SELECT count(*) FROM t") == [(100,)]


async def test_an_attempt_that_is_given_up_before_it_begins_never_will(database: Database, gate: Gate) -> None:
    """It stands in the thread's inbox, and is taken out of it."""
    async with _behind(gate) as backend:
        first = asyncio.create_task(backend.attempt(_attempt(backend)))
        await gate.wait()
        attempt = _attempt(backend, [(500, "x")])
        second = asyncio.create_task(backend.attempt(attempt))
        await asyncio.sleep(0)
        await _given_up(second)
        reply = await backend.settle(attempt)
        assert isinstance(reply, Uniform)
        assert isinstance(reply.verdict, NotApplied)
        assert reply.verdict.retry
        gate.opened.set()
        assert await first == Uniform(INSERTED, 100)
        assert told(await write(backend, "id v", [(600, "x")])) == ["inserted"]
    assert database.read("SELECT count(*) FROM t WHERE id = 500") == [(0,)]


async def test_an_attempt_that_is_given_up_while_it_waits_for_the_lock_never_begins(database: Database) -> None:
    """Although the lock becomes free afterwards."""
    async with database.backend(busy_timeout=60) as backend:
        with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            attempt = _attempt(backend)
            task = asyncio.create_task(backend.attempt(attempt))
            await asyncio.sleep(0.1)
            await _given_up(task)
            assert told(verdicts(await backend.settle(attempt))) == NOT_APPLIED
        assert told(await write(backend, "id v", [(1, "x")])) == ["inserted"]
    assert database.read("SELECT count(*) FROM t") == [(1,)]


async def test_an_attempt_that_was_never_made_is_not_applied(database: Database) -> None:
    """There is nothing that could commit."""
    async with database.backend() as backend:
        assert told(verdicts(await backend.settle(_attempt(backend)))) == NOT_APPLIED


async def test_the_event_loop_goes_on_while_a_batch_is_written(gate: Gate) -> None:
    """The work is done on a thread of its own."""
    async with _behind(gate) as backend:
        task = asyncio.create_task(backend.attempt(_attempt(backend)))
        await gate.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        gate.opened.set()
        assert await task == Uniform(INSERTED, 100)


# -- closing


async def test_close_lets_what_was_begun_come_to_its_end(database: Database, gate: Gate) -> None:
    """Also what is still in the thread's inbox."""
    backend = SQLiteBackend(gate.connect, "t")
    await backend.open()
    tasks = [asyncio.create_task(backend.attempt(_attempt(backend, rows))) for rows in (ROWS, [(500, "x")])]
    await gate.wait()
    closing = asyncio.create_task(backend.close())
    await asyncio.sleep(0)
    gate.opened.set()
    await closing
    assert [await task for task in tasks] == [Uniform(INSERTED, 100), Uniform(INSERTED, 1)]
    assert database.read("SELECT count(*) FROM t") == [(101,)]


async def test_a_forced_close_ends_what_is_running(database: Database) -> None:
    """A statement that would take for ever is interrupted, rolled back and told; the rest is not begun."""
    database.run(
        "CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.id = 50 BEGIN SELECT count(*) FROM "
        "(WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c); END"
    )
    backend = SQLiteBackend(database.path, "t")
    await backend.open()
    running = asyncio.create_task(backend.attempt(_attempt(backend)))
    queued = asyncio.create_task(backend.attempt(_attempt(backend, [(500, "x")])))
    await asyncio.sleep(0.05)
    await backend.close(force=True)
    assert told(verdicts(await running)) == NOT_APPLIED
    with pytest.raises(BackendUnavailableError):
        await queued
    assert database.read("SELECT count(*) FROM t") == [(0,)]


async def test_a_forced_close_does_not_wait_for_what_cannot_be_interrupted(database: Database, gate: Gate) -> None:
    """The thread is left to end by itself, and does not commit any more."""
    backend = SQLiteBackend(gate.connect, "t")
    await backend.open()
    # 512 rows are one statement: the gate is in the first of two.
    task = asyncio.create_task(backend.attempt(_attempt(backend, [(number, "x") for number in range(600)])))
    await gate.wait()
    await backend.close(force=True)
    assert not task.done()
    gate.opened.set()
    assert set(told(verdicts(await task))) == {"BackendUnavailable"}
    assert database.read("SELECT count(*) FROM t") == [(0,)]


async def test_closing_twice_or_unopened_is_nothing(database: Database) -> None:
    """Forced or not."""
    backend = SQLiteBackend(database.path, "t")
    await backend.close()
    await backend.open()
    await backend.close()
    await backend.close(force=True)
    assert not backend.is_open
    with pytest.raises(MisconfigurationError, match="not open"):
        await backend.attempt(Attempt(_plan(), ROWS))


async def test_opening_twice_is_once(database: Database) -> None:
    """Also at the same time."""
    before = _sqlite_threads()
    backend = SQLiteBackend(database.path, "t")
    await asyncio.gather(backend.open(), backend.open())
    await backend.open()
    assert len(_sqlite_threads() - before) == 1
    await backend.close()


async def test_a_closed_backend_can_be_opened_again(database: Database) -> None:
    """With a connection and a thread of its own."""
    backend = SQLiteBackend(database.path, "t")
    for number in range(3):
        await backend.open()
        assert told(await write(backend, "id v", [(number, "x")])) == ["inserted"]
        await backend.close()
    assert database.read("SELECT count(*) FROM t") == [(3,)]


async def test_a_database_that_cannot_be_opened_is_told_with_the_drivers_error(tmp_path: pathlib.Path) -> None:
    """It says why: a folder is no file, say."""
    with pytest.raises(NotWrittenError) as raised:
        await SQLiteBackend(tmp_path, "t").open()
    assert isinstance(raised.value.__cause__, sqlite3.Error)


async def test_a_backend_that_fails_to_open_leaves_no_thread(tmp_path: pathlib.Path) -> None:
    """And can be opened later."""
    before = _sqlite_threads()
    database = Database(tmp_path / "t.db")
    backend = SQLiteBackend(database.path, "t")
    with pytest.raises(MisconfigurationError):
        await backend.open()
    for thread in _sqlite_threads() - before:
        thread.join(60)
    assert _sqlite_threads() <= before
    database.run(SCHEMA)
    await backend.open()
    await backend.close()


def test_a_constructor_opens_nothing(tmp_path: pathlib.Path) -> None:
    """No thread, no file."""
    before = _sqlite_threads()
    SQLiteBackend(tmp_path / "nonesuch.db", "t", setup=SCHEMA)
    assert _sqlite_threads() == before
    assert not list(tmp_path.iterdir())


async def test_a_backend_that_nobody_closed_is_collected(database: Database) -> None:
    """Its thread ends with it, and closes the file."""
    before = _sqlite_threads()
    backend = SQLiteBackend(database.path, "t")
    await backend.open()
    await write(backend, "id v", ROWS)
    threads = _sqlite_threads() - before
    gone = weakref.ref(backend)
    del backend
    gc.collect()
    assert gone() is None
    for thread in threads:
        await asyncio.to_thread(thread.join, 60)
        assert not thread.is_alive()


# -- where a backend belongs


def _plan() -> Any:
    from bulkwriter.contract import Plan  # noqa: PLC0415

    return Plan("insert", ("id", "v"))


def test_a_second_event_loop_is_a_clear_error(
    database: Database, run: Callable[[Coroutine[Any, Any, Any]], Any]
) -> None:
    """Until it is closed there, and opened here."""
    backend = SQLiteBackend(database.path, "t")
    run(backend.open())
    for call in (backend.open, lambda: backend.attempt(Attempt(_plan(), ROWS))):
        with pytest.raises(MisconfigurationError, match="event loop"):
            run(call())

    async def again() -> list[str]:
        await backend.close()
        await backend.open()
        answers = told(await write(backend, "id v", ROWS))
        await backend.close()
        return answers

    assert run(again()) == ["inserted"] * 100


async def test_a_forked_process_is_a_clear_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread stayed behind, and SQLite's locks do not survive a fork."""
    async with database.backend() as backend:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(MisconfigurationError, match="fork"):
            await backend.attempt(_attempt(backend))
        monkeypatch.undo()


async def test_a_connection_of_the_callers_own_is_refused(database: Database) -> None:
    """A function that makes one is not."""
    with contextlib.closing(sqlite3.connect(database.path)) as connection:
        for path in (connection, None, b"t.db", "", 7):
            with pytest.raises(MisconfigurationError, match="path must be"):
                SQLiteBackend(path, "t")  # type: ignore[arg-type]
    backend = SQLiteBackend(lambda: None, "t")  # type: ignore[arg-type, return-value]
    with pytest.raises(MisconfigurationError, match="must return a"):
        await backend.open()


@pytest.mark.parametrize("isolation", ["DEFERRED", None])
async def test_a_function_may_make_the_connection(database: Database, isolation: Any) -> None:
    """However it is set up; here it brings a function that the table needs."""
    database.run("CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET v = twice(NEW.v) WHERE id = NEW.id; END")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(database.path, isolation_level=isolation)
        connection.create_function("twice", 1, lambda value: 2 * value)
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes
        return connection

    backend = SQLiteBackend(connect, "t", returning=["id"])
    await backend.open()
    answers = await write(backend, "id v", [(1, "ab"), (2, 4)])
    await backend.close()
    assert [answer.returned for answer in answers] == [{"id": 1}, {"id": 2}]
    assert database.read("SELECT v FROM t") == [("abab",), (8,)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit came with Python 3.12")
async def test_a_function_may_make_a_connection_without_autocommit(database: Database) -> None:
    """The backend begins and commits by itself."""
    connect: Any = sqlite3.connect
    backend = SQLiteBackend(lambda: connect(database.path, autocommit=False), "t")
    await backend.open()
    assert told(await write(backend, "id v", ROWS)) == ["inserted"] * 100
    assert database.read("SELECT count(*) FROM t") == [(100,)]
    await backend.close()


async def test_a_database_in_memory_is_the_backends_own() -> None:
    """Made by ``setup``, and gone when it is closed."""
    backend = SQLiteBackend(":memory:", "t", setup=SCHEMA, returning=["id"])
    for _ in range(2):
        await backend.open()
        answers = await write(backend, "v", [("a",), ("b",)])
        assert [answer.returned for answer in answers] == [{"id": 1}, {"id": 2}]
        await backend.close()


# -- ends that nobody asked for


def _run(database: Database, code: str) -> subprocess.CompletedProcess[str]:
    lines = f"import asyncio\nfrom bulkwriter.backends.sqlite import SQLiteBackend\n{textwrap.dedent(code)}"
    return subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", lines, str(database.path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_an_interpreter_ends_although_a_backend_is_open(database: Database) -> None:
    """Without a word, and with what was committed."""
    done = _run(database, """
        import sys
        from bulkwriter.contract import Attempt
        backend = SQLiteBackend(sys.argv[1], "t")
        async def main():
            await backend.open()
            await backend.attempt(Attempt(backend.plan("insert", ("id", "v")), [(1, "x")]))
        asyncio.run(main())
    """)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert database.read("SELECT id FROM t") == [(1,)]
    assert not database.path.with_name("t.db-wal").exists(), "the connection was not closed"


def test_an_interpreter_that_ends_in_mid_batch_leaves_all_of_it_or_nothing(database: Database) -> None:
    """The thread ends what it has begun, and begins nothing more."""
    done = _run(database, """
        import sys
        from bulkwriter.contract import Attempt
        backend = SQLiteBackend(sys.argv[1], "t")
        async def main():
            await backend.open()
            plan = backend.plan("insert", ("id", "v"))
            for start in range(0, 1_000_000, 50_000):
                rows = [(number, "x") for number in range(start, start + 50_000)]
                asyncio.ensure_future(backend.attempt(Attempt(plan, rows)))
            await asyncio.sleep(0)
        asyncio.run(main())
    """)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    ((count,),) = database.read("SELECT count(*) FROM t")
    assert count % 50_000 == 0
    assert count < 1_000_000
    assert database.read("PRAGMA integrity_check") == [("ok",)]


async def test_a_writer_stopped_by_force_knows_of_every_row(database: Database) -> None:
    """What callers were told agrees with the table."""
    writer = BulkWriter[Any](SQLiteBackend(database.path, "t"), max_batch_size=100)
    await writer.open()
    futures = [writer.submit({"id": number, "v": "x"}) for number in range(5000)]
    while not any(future.done() for future in futures):  # noqa: ASYNC110 - until it has happened
        await asyncio.sleep(0)
    await writer.stop(force=True)
    answers = await asyncio.gather(*futures, return_exceptions=True)
    for _ in range(100):
        stored = {row[0] for row in database.read("SELECT id FROM t")}
        lost = [n for n, answer in enumerate(answers) if not isinstance(answer, BaseException) and n not in stored]
        false = [n for n, answer in enumerate(answers) if isinstance(answer, NotWrittenError) and n in stored]
        assert not lost
        assert not false
        await asyncio.sleep(0)

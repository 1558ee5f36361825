"""What callers are told when the wire breaks, the server goes away, or others are in the way: always what is so."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import asyncpg
import pytest

from bulkwriter import (
    BackendUnavailableError,
    BulkWriter,
    CheckViolationError,
    MisconfigurationError,
    NotWrittenError,
    Outcome,
    RetryPolicy,
    WriteResult,
)
from bulkwriter.backends.postgres import PostgresBackend
from bulkwriter.contract import Attempt, Doubtful, NotApplied
from integration.agreement import check_numbered, check_stored
from integration.attempts import told, verdicts, write
from integration.eventually import eventually
from integration.overrunning import OverrunningPostgres
from integration.postgres_tables import opened
from integration.servers.addresses import URL_VARIABLES
from integration.servers.postgres import PostgresServer
from integration.servers.requirements import not_ours
from integration.servers.scratch import WRITERS
from integration.wire import commit, copied, copying, statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from integration.servers.pgbouncer import PgBouncer
    from integration.servers.scratch import Scratch
    from integration.wire import Fault, Wire

# Time alone ends the trying: how many tries fit into a server's recovery is a matter of the machine.
QUICK = RetryPolicy(max_attempts=1_000_000, max_time=50, initial_backoff=0.01, max_backoff=0.1)
LEDGER = pytest.mark.parametrize("ledger", [False, True], ids=["without a ledger", "with a ledger"])
POLICY = pytest.mark.parametrize("policy", ["error", "update"])


@pytest.fixture
async def table(postgres: Scratch) -> Scratch:
    """A table to write to."""
    await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v <> 'bad'))")
    return postgres


@contextlib.asynccontextmanager
async def writing(
    scratch: Scratch, database: Any = None, *, retry: RetryPolicy = QUICK, **options: Any
) -> AsyncIterator[BulkWriter[Any]]:
    """Open a writer to the table, and stop it afterwards."""
    async with watched(scratch, database, retry=retry, **options) as (writer, _):
        yield writer


@contextlib.asynccontextmanager
async def watched(
    scratch: Scratch, database: Any = None, *, retry: RetryPolicy = QUICK, **options: Any
) -> AsyncIterator[tuple[BulkWriter[Any], OverrunningPostgres]]:
    """The same, with its backend beside it."""
    backend = OverrunningPostgres(scratch.url if database is None else database, scratch.name("t"), **options)
    async with BulkWriter[Any](backend, retry=retry) as writer:
        yield writer, backend


def rows_of(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Return so many good rows."""
    return [{"id": number, "v": f"v{number}"} for number in range(start, start + count)]


async def answers_of(writer: BulkWriter[Any], rows: list[dict[str, Any]]) -> list[Any]:
    """Write rows that arrive together, and return what each caller heard."""
    futures = [writer.submit(row) for row in rows]
    return list(await asyncio.gather(*futures, return_exceptions=True))


async def stored(scratch: Scratch) -> list[int]:
    """Return the ids in the table."""
    return [row["id"] for row in await scratch.fetch("SELECT id FROM t ORDER BY id")]


SILENT = "silent after COMMIT"
BREAKS: dict[str, Callable[[Wire], Fault]] = {
    "cut before COMMIT": lambda wire: wire.cut_before(commit()),
    "cut after COMMIT": lambda wire: wire.cut_after(commit()),
    "cut while COMMIT is on its way": lambda wire: wire.cut_at_once(commit()),
    # A row that is alone begins with the ledger's entry, if there is one.
    "cut at BEGIN": lambda wire: wire.cut_before(statement("^BEGIN|^INSERT INTO .*ledger")),
    SILENT: lambda wire: wire.swallow(commit()),
}


class TestTheWire:
    """Broken at whatever moment, each row is stored once and its caller knows."""

    @LEDGER
    @POLICY
    @pytest.mark.parametrize("moment", BREAKS)
    async def test_each_row_is_stored_once_and_its_caller_knows(
        self, table: Scratch, wire: Wire, moment: str, policy: Any, *, ledger: bool
    ) -> None:
        """Both sides of a COMMIT sound the same to the client: another connection tells which it was."""
        url = table.server.url(port=wire.port)
        options = {"on_conflict": policy, "ledger": ledger}
        async with watched(table, url, **options) as (writer, backend):
            await answers_of(writer, rows_of(3))
            fault = BREAKS[moment](wire)
            call = asyncio.ensure_future(answers_of(writer, rows_of(50, start=10)))
            await fault.happened()
            if moment == SILENT:
                backend.overrun()
            answers = await call
        assert fault.hits == 1
        assert told(answers) == ["inserted"] * 50
        check_stored(await stored(table), [0, 1, 2, *range(10, 60)])

    @LEDGER
    @pytest.mark.parametrize("moment", BREAKS)
    async def test_a_row_alone_is_stored_once_and_its_caller_knows(
        self, table: Scratch, wire: Wire, moment: str, *, ledger: bool
    ) -> None:
        """Its BEGIN travels with it, its COMMIT follows when its number is known; with the ledger all is one."""
        url = table.server.url(port=wire.port)
        async with watched(table, url, ledger=ledger) as (writer, backend):
            assert (await writer.insert({"id": 1, "v": "first"})).outcome is Outcome.INSERTED
            fault = BREAKS[moment](wire)
            call = asyncio.ensure_future(writer.insert({"id": 2, "v": "second"}))
            await fault.happened()
            if moment == SILENT:
                backend.overrun()
            assert (await call).outcome is Outcome.INSERTED
        assert fault.hits == 1
        check_stored(await stored(table), [1, 2])

    async def test_rows_alone_among_bad_ones(self, table: Scratch) -> None:
        """An error ends a transaction that began with its row, and the next one begins anew."""
        async with writing(table) as writer:
            answers = []
            for number, text in enumerate(["a", "bad", "b", "bad", "c"]):
                answers += await answers_of(writer, [{"id": number, "v": text}])
        assert told(answers) == ["inserted", "CheckViolation", "inserted", "CheckViolation", "inserted"]
        check_stored(await stored(table), [0, 2, 4])

    async def test_a_row_alone_with_a_ledger_takes_one_round_trip(self, table: Scratch, wire: Wire) -> None:
        """Nobody has to know the number of its transaction: the ledger says what became of it."""
        async with writing(table, table.server.url(port=wire.port), ledger=True) as writer:
            await answers_of(writer, rows_of(1))
            before = wire.turns
            for number in range(1, 6):
                await answers_of(writer, rows_of(1, start=number))
            assert wire.turns - before == 5
        check_stored(await stored(table), [0, 1, 2, 3, 4, 5])

    async def test_a_row_alone_with_a_ledger_that_comes_to_nothing_is_told_as_what_it_is(self, table: Scratch) -> None:
        """Refused at once, at the end of its transaction, by a trigger of which nobody knew, and by its driver."""
        await table.execute(
            "CREATE TABLE p (id int PRIMARY KEY);"
            "ALTER TABLE t ADD parent int REFERENCES p DEFERRABLE INITIALLY DEFERRED;"
            "CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )
        async with writing(table, ledger=True) as writer:
            heard = await answers_of(writer, [{"id": 1, "v": "a", "parent": None}])
            for row in (
                {"id": 1, "v": "a", "parent": None},
                {"id": 2, "v": "bad", "parent": None},
                {"id": 3, "v": "a", "parent": 7},
                {"id": 2**40, "v": "a", "parent": None},
                {"id": 4, "v": "a", "parent": None},
            ):
                heard += await answers_of(writer, [row])
            await table.execute("CREATE TRIGGER d BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_it()")
            heard += await answers_of(writer, [{"id": 5, "v": "a", "parent": None}])
            await table.execute("DROP TRIGGER d ON t")
            heard += await answers_of(writer, [{"id": 6, "v": "a", "parent": None}])
        refused = ["UniqueViolation", "CheckViolation", "ForeignKeyViolation", "InvalidValue"]
        assert told(heard) == ["inserted", *refused, "inserted", "CheckViolation", "inserted"]
        check_stored(await stored(table), [1, 4, 6])
        # One for each: of a row that turned out to be bad, the entry of the quick way was undone with it.
        entries = await table.fetch("SELECT answers FROM bulkwriter_ledger ORDER BY written_at")
        assert len(entries) == len(heard)

    @pytest.mark.parametrize("moment", ["in the middle of the data", "at the end of the data"])
    async def test_a_cut_within_a_copy_is_tried_again(self, table: Scratch, wire: Wire, moment: str) -> None:
        """Without COMMIT nothing is stored, whatever has arrived."""
        url = table.server.url(port=wire.port)
        async with writing(table, url) as writer:
            await answers_of(writer, rows_of(3))
            when = copying(20_000) if moment == "in the middle of the data" else copied()
            fault = wire.cut_at_once(when)
            answers = await answers_of(writer, rows_of(4000, start=10))
        assert fault.hits == 1
        assert told(answers) == ["inserted"] * 4000

    @pytest.mark.parametrize("side", ["cut_before", "cut_after", "cut_at_once"])
    async def test_a_cut_among_bad_rows(self, table: Scratch, wire: Wire, side: str) -> None:
        """The careful way ends in several commits: each is settled by itself."""
        rows = [{"id": number, "v": "bad" if number % 20 == 7 else "good"} for number in range(400)]
        backend = PostgresBackend(table.server.url(port=wire.port), table.name("t"))
        await backend.open()
        try:
            for _ in range(3):
                getattr(wire, side)(commit())
            answers = await backend.process_batch(rows, retry=QUICK)
        finally:
            await backend.close()
        assert told(answers) == ["CheckViolation" if number % 20 == 7 else "inserted" for number in range(400)]
        check_stored(await stored(table), [number for number in range(400) if number % 20 != 7])

    async def test_named_work_is_stored_once_whatever_breaks(self, table: Scratch, wire: Wire) -> None:
        """The second run hears what the first would have heard."""
        await table.execute("INSERT INTO t VALUES (5, 'there')")
        backend = PostgresBackend(
            table.server.url(port=wire.port), table.name("t"), ledger=True, on_conflict="skip", returning=("id",)
        )
        await backend.open()
        try:
            wire.cut_after(commit())
            first = await backend.process_batch(rows_of(10), identity="it's \\ $1 work", retry=QUICK)
            again = await backend.process_batch(rows_of(10), identity="it's \\ $1 work", retry=QUICK)
            other = await backend.process_batch(rows_of(11), identity="it's \\ $1 work", retry=QUICK)
        finally:
            await backend.close()
        assert told(first) == ["inserted"] * 5 + ["skipped"] + ["inserted"] * 4
        assert again == first
        assert told(other) == ["Misconfiguration"] * 11

    async def test_a_bad_row_hears_the_same_from_the_ledger(self, table: Scratch, wire: Wire) -> None:
        """The code, the constraint and a cause, be it settled after a lost commit or run for the second time."""
        rows = [{"id": number, "v": "bad" if number == 7 else "good"} for number in range(30)]
        async with opened(table, database=table.server.url(port=wire.port), ledger=True) as backend:
            fault = wire.cut_after(commit())
            first = await backend.process_batch(rows, identity="work", retry=QUICK)
            again = await backend.process_batch(rows, identity="work", retry=QUICK)
        assert fault.hits == 1
        for answers in (first, again):
            assert told(answers) == ["CheckViolation" if number == 7 else "inserted" for number in range(30)]
            error = answers[7]
            assert isinstance(error, CheckViolationError)
            assert (error.sqlstate, error.constraint_name) == ("23514", "t_v_check")
            assert isinstance(error.__cause__, asyncpg.CheckViolationError)
            assert error.__cause__.constraint_name == "t_v_check"

    async def test_a_wire_that_is_down_is_waited_for(self, table: Scratch, wire: Wire) -> None:
        """New connections are refused for a while, and everybody is served when it is back."""
        async with writing(table, table.server.url(port=wire.port)) as writer:
            await answers_of(writer, rows_of(3))
            wire.is_down = True
            wire.cut()
            call = asyncio.ensure_future(answers_of(writer, rows_of(20, start=10)))
            await eventually(lambda: asyncio.sleep(0, wire.refusals >= 3))
            wire.is_down = False
            assert told(await call) == ["inserted"] * 20


class TestTheServer:
    """Sent away, killed, paused, restarted."""

    async def test_a_session_that_is_terminated(self, table: Scratch) -> None:
        """Between batches nobody notices; the rows are tried again."""
        async with writing(table) as writer:
            await answers_of(writer, rows_of(3))
            await table.fetch(f"SELECT pg_terminate_backend(pid, 5000) FROM {WRITERS}", role="superuser")  # noqa: S608 - our own
            assert told(await answers_of(writer, rows_of(20, start=10))) == ["inserted"] * 20

    @LEDGER
    async def test_a_server_that_is_restarted(self, table: Scratch, *, ledger: bool) -> None:
        """While rows keep coming; what is told is what is stored."""
        server = ours(table)
        async with writing(table, ledger=ledger) as writer:
            call = asyncio.ensure_future(self._keep_writing(writer))
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.restart)
            answers = await call
        check_numbered(answers, await stored(table))
        if ledger:
            # Without it, a commit whose answer the restart took along stays unknown: its number says nothing then.
            assert all(isinstance(answer, WriteResult) for answer in answers)

    @LEDGER
    async def test_a_backend_that_is_killed(self, table: Scratch, *, ledger: bool) -> None:
        """The whole server recovers. With a ledger nothing is unknown, and without one nothing is a lie."""
        server = ours(table)
        async with writing(table, ledger=ledger) as writer:
            call = asyncio.ensure_future(self._keep_writing(writer))
            await asyncio.sleep(0.2)
            pids = await table.fetch(f"SELECT pid FROM {WRITERS}")  # noqa: S608 - our own
            await asyncio.to_thread(server.kill_backend, pids[0]["pid"])
            answers = await call
        check_numbered(answers, await stored(table))
        if ledger:
            assert told(answers) == ["inserted"] * len(answers), [a for a in answers if not isinstance(a, WriteResult)]

    async def test_the_number_of_a_transaction_is_not_believed_after_a_crash(self, table: Scratch, wire: Wire) -> None:
        """The answer to a COMMIT is lost, and with it the server: the same number may be another's by then."""
        server = ours(table)
        backend = PostgresBackend(server.url(port=wire.port), table.name("t"))
        await backend.open()
        try:
            plan = backend.plan("insert", ("id", "v"))
            attempt = Attempt(plan, [(1, "x")])
            wire.cut_before(commit())
            (lost,) = verdicts(await backend.attempt(attempt))
            assert isinstance(lost, Doubtful)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.revive)
            # Others take the number that was never written to disk.
            for number in range(2, 6):
                await table.execute(f"INSERT INTO t VALUES ({number}, 'other')")  # noqa: S608 - our own
            (answer,) = verdicts(await backend.settle(attempt))
            assert isinstance(answer, Doubtful)
            assert answer.can_settle is False
        finally:
            await backend.close()

    @LEDGER
    async def test_a_server_that_is_paused(self, table: Scratch, *, ledger: bool) -> None:
        """The attempt overruns its time, and is settled when the server answers again."""
        server = ours(table)
        async with watched(table, ledger=ledger) as (writer, backend):
            await answers_of(writer, rows_of(3))
            server.pause()
            call = asyncio.ensure_future(answers_of(writer, rows_of(20, start=10)))
            await eventually(lambda: asyncio.sleep(0, backend.is_attempting))
            backend.overrun()
            server.resume()
            assert told(await call) == ["inserted"] * 20
        check_stored(await stored(table), [0, 1, 2, *range(10, 30)])

    async def test_a_server_that_does_not_come_back(self, table: Scratch) -> None:
        """It is told as out of reach, and no row as bad."""
        server = ours(table)
        async with writing(table, retry=RetryPolicy(max_time=0.5, max_backoff=0.1)) as writer:
            await answers_of(writer, rows_of(3))
            await asyncio.to_thread(server.stop)
            answers = await answers_of(writer, rows_of(5, start=10))
            assert told(answers) == ["BackendUnavailable"] * 5
        await asyncio.to_thread(server.start)

    async def _keep_writing(self, writer: BulkWriter[Any]) -> list[Any]:
        answers: list[Any] = []
        for turn in range(60):
            answers += await answers_of(writer, rows_of(20, start=20 * turn))
            await asyncio.sleep(0.01)
        return answers


async def is_blocked(scratch: Scratch) -> None:
    """Wait until a writer waits for a lock."""
    query = f"SELECT count(*) > 0 FROM {WRITERS} AND wait_event_type = 'Lock'"  # noqa: S608 - our own
    await eventually(lambda: scratch.value(query))


def ours(scratch: Scratch) -> PostgresServer:
    """Return the server, if it is ours to stop and kill."""
    if not isinstance(scratch.server, PostgresServer):
        not_ours("postgres", URL_VARIABLES["postgres"])
    return scratch.server


class TestOthers:
    """Locks, timeouts, deadlocks and limits."""

    async def test_a_lock_that_others_hold(self, table: Scratch) -> None:
        """The attempt is given up; what it had begun cannot be stored later."""
        async with table.connect() as other, watched(table) as (writer, backend):
            await other.execute("BEGIN; INSERT INTO t VALUES (10, 'mine')")
            call = asyncio.ensure_future(answers_of(writer, rows_of(20, start=10)))
            await is_blocked(table)
            backend.overrun()
            await other.execute("ROLLBACK")
            assert told(await call) == ["inserted"] * 20

    @pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
    async def test_a_timeout_of_the_servers(self, table: Scratch, setting: str) -> None:
        """It is no row's fault, and tried again."""
        settings = {setting: "200"}
        async with table.connect() as other, writing(table, server_settings=settings) as writer:
            await other.execute("BEGIN; LOCK TABLE t IN SHARE MODE")
            call = asyncio.ensure_future(answers_of(writer, rows_of(20)))
            await eventually(lambda: asyncio.sleep(0, writer.statistics().retries))
            await other.execute("ROLLBACK")
            answers = await call
        assert told(answers) == ["inserted"] * 20
        assert answers[0].attempts > 1

    @POLICY
    async def test_serializable_transactions(self, table: Scratch, policy: Any) -> None:
        """Where one fails for the others' sake, it is tried again."""
        settings = {"default_transaction_isolation": "serializable"}
        async with writing(table, server_settings=settings, on_conflict=policy) as writer:
            assert told(await answers_of(writer, rows_of(50))) == ["inserted"] * 50
            await table.execute("UPDATE t SET v = 'x'")

    async def test_a_deadlock(self, table: Scratch) -> None:
        """The one that the server chooses is tried again, and both are done."""
        await table.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
        async with table.connect() as other, writing(table, on_conflict="update") as writer:
            await other.execute("BEGIN; UPDATE t SET v = 'other' WHERE id = 2")
            call = asyncio.ensure_future(answers_of(writer, rows_of(3)))
            await is_blocked(table)
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                await other.execute("UPDATE t SET v = 'other' WHERE id = 1")
            await other.execute("ROLLBACK")
            assert told(await call) == ["inserted", "updated", "updated"]

    @pytest.mark.parametrize("of", ["its own", "a pool", "its own, a row alone with a ledger"])
    async def test_a_cancelled_attempt_lets_its_locks_go(self, table: Scratch, of: str) -> None:
        """The server is told to end what nobody waits for, on every kind of connection."""
        is_alone = of.endswith("ledger")
        pool = asyncpg.create_pool(table.url, min_size=0, max_size=2) if of == "a pool" else None
        database = table.url if pool is None else await pool
        async with table.connect() as other, opened(table, database=database, ledger=is_alone) as backend:
            await other.execute("BEGIN; INSERT INTO t VALUES (1, 'mine')")
            rows = [(1, "y")] if is_alone else [(2, "x"), (1, "y")]
            attempt = Attempt(backend.plan("insert", ("id", "v")), rows)
            call = asyncio.ensure_future(backend.attempt(attempt))
            await is_blocked(table)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
            assert all(isinstance(verdict, NotApplied) for verdict in verdicts(await backend.settle(attempt)))
            # Though the lock that it waited for is still held.
            await eventually(
                lambda: table.value(f"SELECT count(*) = 0 FROM {WRITERS} AND state <> 'idle'")  # noqa: S608 - our own
            )
            await other.execute("ROLLBACK")
            assert told(await write(backend, "id v", [(1, "y")])) == ["inserted"]
        check_stored(await stored(table), [1])
        if pool is not None:
            async with asyncio.timeout(20):
                await pool.close()

    async def test_too_many_connections(self, table: Scratch) -> None:
        """The server has no place for one more: it is waited for."""
        await table.execute("ALTER ROLE writer CONNECTION LIMIT 3", role="superuser")
        try:
            async with table.connect() as one, table.connect() as two, writing(table) as writer:
                assert told(await answers_of(writer, rows_of(3))) == ["inserted"] * 3
                assert one is not two
        finally:
            await table.execute("ALTER ROLE writer CONNECTION LIMIT -1", role="superuser")


class TestOpening:
    """What is wrong is told at once, and as what it is."""

    WRONG: ClassVar[dict[str, tuple[Callable[[str], str], type[NotWrittenError]]]] = {
        "password": (lambda url: url.replace("writer's", "somebody's"), MisconfigurationError),
        "user": (lambda url: url.replace("//writer:", "//nobody:"), MisconfigurationError),
        "database": (lambda url: url.rpartition("/")[0] + "/nonesuch", MisconfigurationError),
        "port": (lambda url: url.replace(url.rpartition(":")[2].partition("/")[0], "1"), BackendUnavailableError),
    }

    @pytest.mark.parametrize("what", WRONG)
    async def test_a_wrong_address(self, table: Scratch, what: str) -> None:
        """Without the password in the message."""
        change, error = self.WRONG[what]
        url = change(table.url)
        backend = PostgresBackend(url, table.name("t"))
        with pytest.raises(error) as raised:
            await backend.open()
        assert "password" not in str(raised.value).replace("password authentication", "")

    async def test_no_permission(self, table: Scratch) -> None:
        """Neither to insert, nor to read what is to be given back."""
        await table.execute(
            "DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN PASSWORD 'poor'; "
            f"GRANT USAGE ON SCHEMA {table.schema} TO poor",
            role="superuser",
        )
        url = table.url.replace(table.url.partition("//")[2].partition("@")[0], "poor:poor")
        try:
            with pytest.raises(MisconfigurationError, match="permission"):
                async with opened(table, database=url):
                    pass
            await table.execute("GRANT INSERT ON t TO poor")
            async with opened(table, database=url) as backend:
                assert told(await write(backend, "id v", [(1, "a"), (2, "bad")])) == ["inserted", "CheckViolation"]
            for options in ({"returning": ("id",)}, {"on_conflict": "skip"}, {"on_conflict": "update"}):
                with pytest.raises(MisconfigurationError, match="permission"):
                    async with opened(table, database=url, **options):
                        pass
        finally:
            await table.execute("DROP OWNED BY poor; DROP ROLE poor", role="superuser")

    async def test_a_standby(self, table: Scratch, standby: PostgresServer) -> None:
        """It takes no writes: that is told, and no row is bad."""
        await eventually(lambda: asyncio.sleep(0, standby.run("SELECT 1 FROM pg_class WHERE relname = 't'")))
        backend = PostgresBackend(standby.url(), table.name("t"))
        with pytest.raises(BackendUnavailableError, match="standby"):
            await backend.open()

    @pytest.mark.parametrize(
        "options",
        [
            {"update_where": "nonesuch > 1"},
            {"update_columns": {"v": "t.nonesuch"}},
            {"update_columns": {"v": "1; DROP TABLE t"}},
        ],
        ids=str,
    )
    async def test_an_expression_that_the_server_does_not_take(self, table: Scratch, options: dict[str, Any]) -> None:
        """Is told when opening."""
        with pytest.raises(MisconfigurationError):
            async with opened(table, on_conflict="update", **options):
                pass

    @pytest.mark.parametrize(
        "options",
        [{"server_settings": {"work_mem": "lots"}}, {"on_conflict": "update", "update_columns": {"v": "1/0"}}],
        ids=str,
    )
    async def test_a_value_that_no_setting_or_expression_takes(self, table: Scratch, options: dict[str, Any]) -> None:
        """Is an option's fault, since there are no rows yet; and the server's own words say which."""
        with pytest.raises(MisconfigurationError, match=r"work_mem|division"):
            async with opened(table, **options):
                pass


class TestPools:
    """A user's own pool is left as it was; PgBouncer is noticed."""

    async def test_connections_go_back_as_they_were(self, table: Scratch) -> None:
        """No setting of ours, no listener, no lock; and the pool stays open."""
        async with asyncpg.create_pool(table.url, min_size=1, max_size=1) as pool:
            async with opened(table, database=pool) as backend:
                assert told(await write(backend, "id v", [(1, "a"), (2, "bad")])) == ["inserted", "CheckViolation"]
                async with asyncio.timeout(5), pool.acquire() as connection:
                    assert not connection.is_in_transaction()
                    assert await connection.fetchval("SHOW extra_float_digits") == "1"
            assert await pool.fetchval("SELECT 1") == 1

    async def test_a_lost_commit_through_a_pool(self, table: Scratch, wire: Wire) -> None:
        """Settled on another of its connections."""
        pool = asyncpg.create_pool(table.server.url(port=wire.port), min_size=1, max_size=4)
        async with pool, writing(table, pool) as writer:
            wire.cut_after(commit())
            assert told(await answers_of(writer, rows_of(20))) == ["inserted"] * 20
        check_stored(await stored(table), list(range(20)))

    async def test_a_pool_that_has_no_connection_left(self, table: Scratch) -> None:
        """It is waited for, and not for ever, neither by who opens nor by who writes."""
        async with asyncpg.create_pool(table.url, min_size=1, max_size=1) as pool:
            backend = PostgresBackend(pool, table.name("t"), connect_timeout=0.2)
            async with pool.acquire():
                with pytest.raises(BackendUnavailableError, match="Timeout"):
                    await backend.open()
            writer = BulkWriter[Any](backend, retry=QUICK)
            await writer.open()
            async with pool.acquire():
                call = asyncio.ensure_future(answers_of(writer, rows_of(5)))
                await eventually(lambda: asyncio.sleep(0, writer.statistics().retries))
            assert told(await call) == ["inserted"] * 5
            await writer.stop()

    async def test_a_pool_of_another_event_loop(self, table: Scratch) -> None:
        """Is told as what it is."""
        pool, loop = await asyncio.to_thread(_pool_of_another_loop, table.url)
        try:
            with pytest.raises(MisconfigurationError, match="event loop"):
                await PostgresBackend(pool, table.name("t")).open()
        finally:
            await asyncio.to_thread(lambda: (loop.run_until_complete(pool.close()), loop.close()))

    async def test_more_writers_than_pgbouncer_has_sessions(self, table: Scratch, pgbouncer: PgBouncer) -> None:
        """Upserts with something to give back, from ten writers over four sessions."""

        async def run(number: int) -> list[str]:
            options: dict[str, Any] = {"on_conflict": "update", "returning": ("id", "v")}
            async with writing(table, pgbouncer.url(), **options) as writer:
                return told(await answers_of(writer, rows_of(100, start=1000 * number)))

        assert await asyncio.gather(*(run(number) for number in range(10))) == [["inserted"] * 100] * 10


def _pool_of_another_loop(url: str) -> tuple[Any, asyncio.AbstractEventLoop]:
    async def make() -> Any:
        return await asyncpg.create_pool(url, min_size=1, max_size=1)

    loop = asyncio.new_event_loop()
    return loop.run_until_complete(make()), loop

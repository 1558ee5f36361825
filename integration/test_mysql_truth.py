"""What callers are told when the wire breaks, the server goes away, or others are in the way: always what is so."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiomysql
import pytest

from bulkwriter import (
    BackendUnavailableError,
    BulkWriter,
    MisconfigurationError,
    OutcomeUnknownError,
    RetryPolicy,
    connect,
)
from bulkwriter.backends.mysql import MySQLBackend
from integration.agreement import check_numbered, check_stored
from integration.attempts import told
from integration.eventually import eventually
from integration.mysql_tables import opened
from integration.servers.addresses import URL_VARIABLES
from integration.servers.mysql import ROLES, MySQLServer
from integration.servers.mysql_scratch import mysql_scratch, run
from integration.servers.requirements import not_ours
from integration.wire import commit, statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from integration.servers.mysql_scratch import MySQLScratch
    from integration.wire import Fault, Wire

OFTEN: Any = {"max_attempts": 1_000_000, "initial_backoff": 0.01, "max_backoff": 0.1}
QUICK = RetryPolicy(max_time=40, **OFTEN)
HASTY = RetryPolicy(max_time=40, attempt_timeout=0.5, **OFTEN)
# Where an answer is lost and there is no ledger, nothing is gained by waiting for it.
BRIEF = RetryPolicy(max_time=2, attempt_timeout=0.5, **OFTEN)
LEDGER = pytest.mark.parametrize("ledger", [False, True], ids=["without a ledger", "with a ledger"])
POLICY = pytest.mark.parametrize("policy", ["error", "update"])
WRITERS = f"SELECT id AS id FROM information_schema.processlist WHERE user = '{ROLES['writer'][0]}'"  # noqa: S608 - ours

_TABLE = "CREATE TABLE t (id int PRIMARY KEY, v varchar(50) CHECK (v <> 'bad'))"


@pytest.fixture
async def table(mysql: MySQLScratch) -> MySQLScratch:
    """A table to write to."""
    await mysql.execute(_TABLE)
    return mysql


@contextlib.asynccontextmanager
async def writing(
    scratch: MySQLScratch, database: Any = None, *, retry: RetryPolicy = QUICK, **options: Any
) -> AsyncIterator[BulkWriter[Any]]:
    """Open a writer to the table, and stop it afterwards."""
    backend = MySQLBackend(scratch.url if database is None else database, "t", **options)
    async with BulkWriter[Any](backend, retry=retry) as writer:
        yield writer


def through(wire: Wire, scratch: MySQLScratch) -> str:
    """Return the address of the database behind a wire."""
    return scratch.server.url(port=wire.port, database=scratch.database)


def rows_of(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Return so many good rows."""
    return [{"id": number, "v": f"v{number}"} for number in range(start, start + count)]


async def answers_of(writer: BulkWriter[Any], rows: list[dict[str, Any]]) -> list[Any]:
    """Write rows that arrive together, and return what each caller heard."""
    futures = [writer.submit(row) for row in rows]
    return list(await asyncio.gather(*futures, return_exceptions=True))


async def stored(scratch: MySQLScratch) -> list[int]:
    """Return the ids in the table."""
    return [row["id"] for row in await scratch.fetch("SELECT id FROM t ORDER BY id")]


BREAKS: dict[str, Callable[[Wire], Fault]] = {
    "cut before COMMIT": lambda wire: wire.cut_before(commit()),
    "cut amid COMMIT": lambda wire: wire.cut_amid(commit()),
    "cut after COMMIT": lambda wire: wire.cut_after(commit()),
    "cut while COMMIT is on its way": lambda wire: wire.cut_at_once(commit()),
    "cut amid the rows": lambda wire: wire.cut_amid(statement("INSERT INTO .*`t`")),
    "cut after the rows": lambda wire: wire.cut_after(statement("INSERT INTO .*`t`")),
    "silent after COMMIT": lambda wire: wire.swallow(commit()),
}


class TestTheWire:
    """Broken at whatever moment, each row is stored at most once and its caller knows what is known."""

    @LEDGER
    @POLICY
    @pytest.mark.parametrize("moment", BREAKS)
    async def test_each_caller_is_told_what_is_so(
        self, table: MySQLScratch, mysql_wire: Wire, moment: str, policy: Any, *, ledger: bool
    ) -> None:
        """With a ledger each row is stored once and known to be; without one, at a COMMIT it is unknown."""
        options = {"on_conflict": policy, "ledger": ledger}
        async with writing(table, through(mysql_wire, table), retry=HASTY if ledger else BRIEF, **options) as writer:
            answers = await answers_of(writer, rows_of(3))
            fault = BREAKS[moment](mysql_wire)
            answers += await answers_of(writer, rows_of(50, start=3))
        assert fault.hits == 1
        check_numbered(answers, await stored(table))
        if ledger:
            assert told(answers) == ["inserted"] * 53

    @pytest.mark.parametrize("side", ["cut_before", "cut_after", "cut_at_once"])
    async def test_a_cut_among_bad_rows(self, table: MySQLScratch, mysql_wire: Wire, side: str) -> None:
        """The careful way is settled by the ledger as well."""
        rows = [{"id": number, "v": "bad" if number % 20 == 7 else "good"} for number in range(400)]
        async with opened(table, database=through(mysql_wire, table), ledger=True) as backend:
            for _ in range(3):
                getattr(mysql_wire, side)(commit())
            answers = await backend.process_batch(rows, retry=QUICK)
        assert told(answers) == ["CheckViolation" if number % 20 == 7 else "inserted" for number in range(400)]
        check_stored(await stored(table), [number for number in range(400) if number % 20 != 7])

    async def test_named_work_is_stored_once_whatever_breaks(self, table: MySQLScratch, mysql_wire: Wire) -> None:
        """The second run hears what the first would have heard."""
        await table.execute("INSERT INTO t VALUES (5, 'there')")
        options: dict[str, Any] = {"ledger": True, "on_conflict": "skip"}
        async with opened(table, database=through(mysql_wire, table), **options) as backend:
            mysql_wire.cut_after(commit())
            first = await backend.process_batch(rows_of(10), identity="it's \\ %s work", retry=QUICK)
            again = await backend.process_batch(rows_of(10), identity="it's \\ %s work", retry=QUICK)
            other = await backend.process_batch(rows_of(11), identity="it's \\ %s work", retry=QUICK)
        assert told(first) == ["inserted"] * 5 + ["skipped"] + ["inserted"] * 4
        assert again == first
        assert told(other) == ["Misconfiguration"] * 11


class TestTheServer:
    """Sent away, killed, restarted, while rows keep coming."""

    @LEDGER
    @pytest.mark.parametrize("how", ["restart", "kill"])
    async def test_a_server_that_ends(self, table: MySQLScratch, how: str, *, ledger: bool) -> None:
        """What is told is what is stored; with a ledger nothing is unknown."""
        server = ours(table)
        async with writing(table, ledger=ledger) as writer:
            call = asyncio.ensure_future(_keep_writing(writer))
            await eventually(lambda: _has_rows(table, 100))
            await asyncio.to_thread(getattr(server, how))
            await asyncio.to_thread(server.revive)
            answers = await call
        check_numbered(answers, await stored(table))
        if ledger:
            assert told(answers) == ["inserted"] * len(answers)

    @LEDGER
    async def test_connections_that_are_killed_again_and_again(self, table: MySQLScratch, *, ledger: bool) -> None:
        """While rows keep coming: nobody is told a lie, and figures balance."""
        ours(table)
        chance = random.Random(5)  # noqa: S311 - a seed, so that a failure can be seen again
        async with writing(table, ledger=ledger) as writer:
            call = asyncio.ensure_future(_keep_writing(writer))
            for killed in range(1, 16):
                await _kill_somebody(table, chance)
                # So that it comes forward between them.
                await eventually(functools.partial(_has_rows, table, 10 * killed))
            answers = await call
        check_numbered(answers, await stored(table))
        if ledger:
            assert told(answers) == ["inserted"] * len(answers)
        assert writer.statistics().is_balanced

    async def test_a_server_that_does_not_come_back(self, table: MySQLScratch) -> None:
        """It is told as out of reach, and no row as bad."""
        server = ours(table)
        async with writing(table, retry=RetryPolicy(max_time=0.5, max_backoff=0.1)) as writer:
            await answers_of(writer, rows_of(3))
            await asyncio.to_thread(server.stop)
            answers = await answers_of(writer, rows_of(5, start=10))
            assert told(answers) == ["BackendUnavailable"] * 5
        await asyncio.to_thread(server.start)


async def _keep_writing(writer: BulkWriter[Any]) -> list[Any]:
    answers: list[Any] = []
    for turn in range(60):
        answers += await answers_of(writer, rows_of(20, start=20 * turn))
        await asyncio.sleep(0.01)
    return answers


async def _has_rows(scratch: MySQLScratch, count: int) -> bool:
    return bool(await scratch.value("SELECT count(*) FROM t") >= count)


async def _kill_somebody(scratch: MySQLScratch, chance: random.Random) -> None:
    async with scratch.connect("superuser") as connection:
        writers = await run(connection, WRITERS)
        if writers:
            with contextlib.suppress(aiomysql.OperationalError):
                await run(connection, f"KILL {chance.choice(writers)[0]}")


def ours(scratch: MySQLScratch) -> MySQLServer:
    """Return the server, if it is ours to stop and kill."""
    if not isinstance(scratch.server, MySQLServer):
        not_ours(scratch.product, URL_VARIABLES[scratch.product])
    return scratch.server


class TestOpening:
    """Who may come in, and how."""

    async def test_either_scheme_is_welcome(self, table: MySQLScratch) -> None:
        """`connect` knows both names, whichever server is behind."""
        for number, scheme in enumerate(("mysql", "mariadb")):
            url = table.url.replace("mysql://", f"{scheme}://")
            async with connect(url, "t") as writer:
                assert told([await writer.insert({"id": number, "v": "x"})]) == ["inserted"]
        check_stored(await stored(table), [0, 1])

    async def test_a_wrong_password_is_not_shown(self, table: MySQLScratch) -> None:
        """The message names the user, and no password."""
        address = urlsplit(table.url)
        _, _, host = address.netloc.rpartition("@")
        wrong = address._replace(netloc=f"{address.username}:somebody@{host}").geturl()
        backend = MySQLBackend(wrong, "t")
        with pytest.raises(MisconfigurationError) as raised:
            await backend.open()
        assert "somebody" not in str(raised.value)

    async def test_a_server_that_is_down(self, table: MySQLScratch, mysql_wire: Wire) -> None:
        """Is out of reach, and nothing is wrong with the address."""
        mysql_wire.is_down = True
        backend = MySQLBackend(through(mysql_wire, table), "t")
        with pytest.raises(BackendUnavailableError):
            await backend.open()

    async def test_tls_is_spoken_or_refused(self, table: MySQLScratch) -> None:
        """A server's own certificate is trusted by who says so; where there is no TLS, nothing goes in the clear."""
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        has_tls = bool(await table.value("SELECT @@have_ssl = 'YES'")) if table.product == "mariadb" else True
        if not has_tls:
            with pytest.raises(MisconfigurationError, match="TLS"):
                async with opened(table, ssl=trusting):
                    pass
            return
        async with writing(table, ssl=trusting) as writer:
            assert told(await answers_of(writer, rows_of(3))) == ["inserted"] * 3
        with pytest.raises((BackendUnavailableError, MisconfigurationError)) as raised:
            async with opened(table, ssl=True):
                pass
        assert isinstance(raised.value.__cause__, BaseException)


class TestOthers:
    """Locks, deadlocks and limits."""

    async def test_a_lock_that_others_hold(self, table: MySQLScratch) -> None:
        """The attempt is given up; what it had begun cannot be stored later."""
        async with table.connect() as other, writing(table, retry=HASTY, ledger=True) as writer:
            await run(other, "BEGIN")
            await run(other, "INSERT INTO t VALUES (10, 'mine')")
            call = asyncio.ensure_future(answers_of(writer, rows_of(20, start=10)))
            await eventually(lambda: _waits(table))
            await asyncio.sleep(0.7)
            await run(other, "ROLLBACK")
            assert told(await call) == ["inserted"] * 20

    async def test_writers_whose_upserts_meet(self, table: MySQLScratch) -> None:
        """Four of them, at random keys and in any order: each is done, whoever had to step back."""
        chance = random.Random(3)  # noqa: S311 - as above

        async def work(number: int) -> list[Any]:
            async with writing(table, on_conflict="update") as writer:
                answers = []
                for turn in range(20):
                    keys = chance.sample(range(300), 60)
                    answers += await answers_of(writer, [{"id": key, "v": f"{number}.{turn}"} for key in keys])
                return answers

        results = await asyncio.gather(*map(work, range(4)))
        assert {answer for result in results for answer in told(result)} <= {"inserted", "updated"}
        inserted = sum(told(result).count("inserted") for result in results)
        check_stored(len(await stored(table)), inserted)


async def _waits(scratch: MySQLScratch) -> bool:
    waiting = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    # InnoDB looks again only if nobody has asked for a tenth of a second: who asks more often sees nothing new.
    await asyncio.sleep(0.15)
    return bool(await scratch.value(waiting, role="superuser"))


@POLICY
@LEDGER
@pytest.mark.parametrize("count", [10, 100])
async def test_a_table_that_loses_its_transactions(
    table: MySQLScratch, policy: Any, count: int, *, ledger: bool
) -> None:
    """What cannot be undone is unknown, although the server has an error for it; and nothing more is written."""
    is_refused = ledger and await _keeps_to_gtids(table)
    async with writing(table, on_conflict=policy, ledger=ledger) as writer:
        await _lose_transactions(table, writer, count, is_refused=is_refused)


@POLICY
@pytest.mark.parametrize("mysql_with", ["mysql"], indirect=True)
@pytest.mark.parametrize("count", [1, 100])
async def test_a_table_that_loses_its_transactions_where_replication_forbids_it(
    mysql_with: Callable[..., Any], policy: Any, count: int
) -> None:
    """A server that keeps to GTIDs refuses to write to such a table beside the ledger: said at once, and nothing is."""
    async with mysql_scratch(mysql_with(**_LOGGING)) as scratch:
        assert await _keeps_to_gtids(scratch)
        await scratch.execute(_TABLE)
        async with writing(scratch, on_conflict=policy, ledger=True) as writer:
            await _lose_transactions(scratch, writer, count, is_refused=True)


_LOGGING = {"log-bin": "binlog", "loose-skip-log-bin": "OFF", "server-id": "1", "enforce-gtid-consistency": "ON"}


async def _keeps_to_gtids(scratch: MySQLScratch) -> bool:
    """Whether the server refuses transactions that could not be replicated by their GTIDs; MariaDB has other ones."""
    names = "variable_name IN ('log_bin', 'enforce_gtid_consistency')"
    found = await scratch.fetch(f"SHOW GLOBAL VARIABLES WHERE {names}")
    return [row["Value"] for row in found] == ["ON", "ON"]


async def _lose_transactions(scratch: MySQLScratch, writer: BulkWriter[Any], count: int, *, is_refused: bool) -> None:
    """Write rows, one of them bad, to a table that has lost its transactions, and again when it has them back."""
    rows = rows_of(count + 1)
    await writer.insert_many(rows[:1])
    await scratch.execute("ALTER TABLE t ENGINE = MyISAM")
    bad = {**rows[count // 2 + 1], "v": "bad"}
    heard = await answers_of(writer, [*rows[1 : count // 2 + 1], bad, *rows[count // 2 + 2 :]])
    assert {type(answer) for answer in heard} == {MisconfigurationError if is_refused else OutcomeUnknownError}
    # Something must be left to be in doubt about.
    assert (len(await stored(scratch)) == 1) is is_refused
    with pytest.raises(MisconfigurationError, match="MyISAM"):
        await writer.insert({"id": 1000, "v": "v"})
    await scratch.execute("ALTER TABLE t ENGINE = InnoDB")
    await writer.insert({"id": 1001, "v": "v"})
    assert [number for number in await stored(scratch) if number >= 1000] == [1001]

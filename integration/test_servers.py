"""The servers do what the fault tests rely on: seen with the raw driver, before a promise is tested on them."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import asyncpg
import pytest

from integration.eventually import eventually
from integration.servers.addresses import URL_VARIABLES
from integration.servers.families import birth, family, wait_for_the_end
from integration.servers.ports import LOOPBACK, free_port
from integration.servers.postgres_providers import found, make_postgres
from integration.servers.requirements import HOW_TO_GET, KINDS, missing, not_ours, require_engine, required
from integration.servers.running import ServerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.pgbouncer import PgBouncer
    from integration.servers.postgres import PostgresServer
    from integration.servers.registry import Servers
    from integration.servers.scratch import Scratch
    from integration.servers.tls import TlsPostgres

ROOT = Path(__file__).resolve().parents[1]
GONE = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)


@pytest.fixture
async def one_row(postgres: Scratch) -> AsyncIterator[Scratch]:
    """A table with one row, and what should be in it afterwards."""
    await postgres.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    yield postgres
    postgres.server.revive()
    assert await postgres.value("SELECT array_agg(id ORDER BY id) FROM t") == [1]


async def test_the_server_is_of_the_version_it_is_called_by(postgres: Scratch) -> None:
    """The header of the run tells the truth."""
    assert (await postgres.value("SHOW server_version")).startswith(postgres.server.version)


async def test_each_test_has_a_schema_of_its_own_and_an_ordinary_role(postgres: Scratch) -> None:
    """Tests share a server and nothing else, and do nothing as superuser unless they say so."""
    async with postgres.connect() as connection:
        assert await connection.fetchval("SELECT current_schema()") == postgres.schema
        assert await connection.fetchval("SHOW is_superuser") == "off"
    assert await postgres.value("SHOW is_superuser", role="superuser") == "on"


async def test_a_killed_server_comes_back_with_what_was_committed(one_row: Scratch) -> None:
    """Kill is SIGKILL to every process: open transactions are lost, and only they."""
    server = one_row.server
    async with one_row.connect() as connection:
        members = family(server.pid)
        await connection.execute("BEGIN; INSERT INTO t VALUES (2)")
        server.kill()
        assert [pid for pid in members if birth(pid)] == []
        with pytest.raises(GONE):
            await connection.execute("COMMIT")
    with pytest.raises(GONE):
        await one_row.value("SELECT 1")
    server.start()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restarted_server_is_another_process_on_the_same_port(
    one_row: Scratch, mode: Literal["fast", "immediate"]
) -> None:
    """Who reconnects finds it where it was."""
    server, before = one_row.server, one_row.server.pid
    async with one_row.connect() as connection:
        server.restart(mode)
        with pytest.raises(GONE):
            await connection.execute("INSERT INTO t VALUES (2)")
    assert server.pid != before


async def test_a_paused_server_answers_nobody_and_loses_nobody(one_row: Scratch) -> None:
    """Connections stay open while it is held, and go on afterwards."""
    async with one_row.connect() as connection:
        one_row.server.pause()
        query = asyncio.ensure_future(connection.fetchval("SELECT id FROM t"))
        done, _ = await asyncio.wait([query], timeout=0.2)
        assert not done
        one_row.server.resume()
        assert await query == 1


async def test_a_killed_backend_makes_the_server_recover(one_row: Scratch) -> None:
    """The postmaster stays, everybody else is sent away."""
    server, before = one_row.server, one_row.server.pid
    async with one_row.connect() as victim, one_row.connect() as bystander:
        server.kill_backend(victim.get_server_pid())
        with pytest.raises(GONE):
            await bystander.execute("INSERT INTO t VALUES (2)")
    server.revive()
    assert server.pid == before


async def test_a_process_that_is_not_the_servers_is_never_killed(postgres: Scratch) -> None:
    """A number that a test got wrong must not end somebody else's process."""
    with pytest.raises(ServerError, match="none of this server's"):
        postgres.server.kill_backend(os.getpid())
    with pytest.raises(ServerError, match="none of this server's"):
        postgres.server.kill_backend(postgres.server.pid)


async def test_settings_make_a_server_of_their_own(postgres_with: object) -> None:
    """Durability and limits are a test's choice, and do not concern the others."""
    assert callable(postgres_with)
    server = postgres_with(fsync="on", max_connections="7")
    assert server.run("SHOW fsync; SHOW max_connections") == "on\n7"
    assert postgres_with(fsync="on", max_connections="7") is server


def test_a_port_that_somebody_took_meanwhile_is_not_insisted_on(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between asking for a free one and listening on it, another server may have come."""
    with socket.create_server((LOOPBACK, 0)) as other:
        taken = other.getsockname()[1]
        answers = itertools.chain([taken], iter(free_port, None))
        monkeypatch.setattr("integration.servers.server.free_port", lambda: next(answers))
        source = next(iter(found().values()), None)
        if source is None:
            missing("postgres", "neither a container nor binaries were found")
        server = make_postgres(source, servers.site)
        assert server.port != taken
        assert server.run("SELECT 1") == "1"
        server.close()


async def test_pgbouncer_gives_each_transaction_any_connection(postgres: Scratch, pgbouncer: PgBouncer) -> None:
    """More clients than connections to the server, so they have to share."""

    async def own_process(_: int) -> int:
        connection = await asyncpg.connect(pgbouncer.url(), statement_cache_size=0)
        try:
            async with connection.transaction():
                return int(await connection.fetchval("SELECT pg_backend_pid() FROM pg_sleep(0.05)"))
        finally:
            await connection.close()

    served_by = await asyncio.gather(*map(own_process, range(12)))
    assert 1 <= len(set(served_by)) <= 4
    assert set(served_by).isdisjoint({pgbouncer.port})
    assert postgres.server.port != pgbouncer.port


async def test_pgbouncer_can_be_held_and_started_anew(postgres: Scratch, pgbouncer: PgBouncer) -> None:
    """It is a server as the others are."""
    connection = await asyncpg.connect(pgbouncer.url(), statement_cache_size=0)
    pgbouncer.pause()
    query = asyncio.ensure_future(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([query], timeout=0.2)
    assert not done
    pgbouncer.resume()
    assert await query == 1
    pgbouncer.kill()
    with pytest.raises(GONE):
        await connection.fetchval("SELECT 1")
    pgbouncer.restart()
    again = await asyncpg.connect(pgbouncer.url(), statement_cache_size=0)
    assert await again.fetchval("SELECT 1") == 1
    await again.close()
    assert await postgres.value("SELECT 1") == 1


async def test_a_server_with_tls_proves_who_it_is(tls_postgres: TlsPostgres) -> None:
    """A client that trusts its certificate is let in; one that trusts others is not."""
    trusting = ssl.create_default_context(cafile=str(tls_postgres.certificate))
    connection = await asyncpg.connect(tls_postgres.url(), ssl=trusting)
    assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await connection.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(tls_postgres.url(), ssl=ssl.create_default_context())


async def test_a_small_disk_gets_full(postgres: Scratch, small_disk_folder: Path) -> None:
    """A table on it takes rows until there is no room, and the server goes on."""
    await postgres.execute(f"CREATE TABLESPACE {postgres.schema} LOCATION '{small_disk_folder}'", role="superuser")
    await postgres.execute(f"GRANT CREATE ON TABLESPACE {postgres.schema} TO writer", role="superuser")
    await postgres.execute(f"CREATE TABLE t (text text) TABLESPACE {postgres.schema}")
    try:
        with pytest.raises(asyncpg.DiskFullError):
            await postgres.execute("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        await postgres.execute("INSERT INTO t VALUES ('x')")
    finally:
        await postgres.execute("DROP TABLE t")
        await postgres.execute(f"DROP TABLESPACE {postgres.schema}", role="superuser")


async def test_a_standby_follows_and_takes_no_writes(postgres: Scratch, standby: PostgresServer) -> None:
    """What is committed can be read there, and nothing can be written."""
    await postgres.execute("CREATE TABLE t (id int)")
    connection = await asyncpg.connect(standby.url())
    await eventually(lambda: connection.fetchval("SELECT to_regclass($1)::text", postgres.name("t")))
    await connection.execute(f"SET search_path TO {postgres.schema}")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("INSERT INTO t VALUES (1)")
    await connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_nothing_of_a_test_run_outlives_it(number: signal.Signals) -> None:
    """However a test process ends, its servers and folders go with it."""
    code = """
        import signal, sys, time
        from integration.servers.postgres_providers import postgres_names, provide_postgres
        from integration.servers.registry import Servers

        # What a shell starts in the background ignores it, and so would all that this starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        servers = Servers()
        server = provide_postgres(servers, postgres_names()[0])
        print(server.pid, servers.site.keeper.pid, servers.site.folder, flush=True)
        time.sleep(600)
    """
    if URL_VARIABLES["postgres"] in os.environ:
        not_ours("postgres", URL_VARIABLES["postgres"])
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:  # noqa: S603
        assert run.stdout
        pid, keeper, folder = run.stdout.readline().split()
        members = family(int(pid))
        assert members
        run.send_signal(number)
    wait_for_the_end([int(keeper)])
    assert [member for member in members if birth(member)] == []
    assert not Path(folder).exists()


def test_a_missing_server_is_a_skip_that_tells_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to guess why a test did not run."""
    monkeypatch.delenv("BULKWRITER_REQUIRE_SERVERS", raising=False)
    for kind in KINDS:
        with pytest.raises(pytest.skip.Exception, match="for a reason") as skipped:
            missing(kind, "for a reason")
        assert HOW_TO_GET[kind] in str(skipped.value)


@pytest.mark.parametrize("value", ["pgbouncer", "postgres, pgbouncer", "all"])
def test_a_missing_server_that_is_required_is_a_failure(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A machine that lost a server does not pass by testing less."""
    monkeypatch.setenv("BULKWRITER_REQUIRE_SERVERS", value)
    with pytest.raises(pytest.fail.Exception, match="no pgbouncer here"):
        missing("pgbouncer", "for a reason")


def test_an_unknown_name_among_the_required_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen would require nothing."""
    monkeypatch.setenv("BULKWRITER_REQUIRE_SERVERS", "postgres,pgbounce")
    with pytest.raises(pytest.UsageError, match="names pgbounce; it knows all, postgres"):
        required()


@pytest.mark.parametrize(("value", "provider"), [("docker", ""), ("postgres,docker", "local"), ("all", "docker")])
def test_a_missing_engine_that_is_required_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, value: str, provider: str
) -> None:
    """Its tests would be run on something else, and look as if they had not."""
    monkeypatch.setenv("BULKWRITER_REQUIRE_SERVERS", value)
    monkeypatch.setenv("BULKWRITER_TEST_PROVIDER", provider)
    monkeypatch.setattr("integration.servers.requirements.why_no_engine", lambda: "nobody answers")
    with pytest.raises(pytest.UsageError, match="nobody answers; BULKWRITER_REQUIRE_SERVERS requires one"):
        require_engine()
    monkeypatch.setattr("integration.servers.requirements.why_no_engine", lambda: None)
    require_engine()


def test_all_servers_need_no_engine_where_binaries_may_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one more way to have the same servers."""
    monkeypatch.setenv("BULKWRITER_REQUIRE_SERVERS", "all")
    monkeypatch.delenv("BULKWRITER_TEST_PROVIDER", raising=False)
    assert required() == set(KINDS)

"""The servers that tests ask for by name; ``CONTRIBUTING.md`` says where they come from.

A test that takes ``postgres`` is run on each version of PostgreSQL of this machine, in a schema of its own; one that
takes ``mysql`` on MariaDB and on MySQL, in a database of its own; one that takes
``dynamodb`` makes tables of its own on DynamoDB Local. It may stop, kill or pause the server: the next test finds it at
work again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from integration.servers.dynamodb_providers import describe_dynamodb, provide_dynamodb
from integration.servers.dynamodb_scratch import DynamoDBScratch, dynamodb_scratch
from integration.servers.mysql_providers import describe_mysql, mysql_names, provide_mysql
from integration.servers.mysql_scratch import MySQLScratch, mysql_scratch
from integration.servers.pgbouncer import PgBouncer, describe_pgbouncer, provide_pgbouncer
from integration.servers.postgres_providers import describe_postgres, names_here, provide_postgres
from integration.servers.registry import Servers
from integration.servers.requirements import require_engine, required
from integration.servers.scratch import Scratch, scratch
from integration.servers.small_disk import small_disk
from integration.servers.standby import fresh_standby
from integration.servers.tls import TlsPostgres, provide_tls_postgres
from integration.wire import MySQLDialect, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from integration.servers.dynamodb_providers import AnyDynamoDB
    from integration.servers.mysql_providers import AnyMySQL
    from integration.servers.postgres import PostgresServer
    from integration.servers.postgres_providers import AnyPostgres

_AIOSQLITE_CLOSES = "AsyncAdapt_aiosqlite_connection._terminate_graceful_close"

# A check that fails says what it compared, as in a test.
pytest.register_assert_rewrite("integration.faults.checking")


def pytest_configure(config: pytest.Config) -> None:
    """Let SQLAlchemy leave a psycopg connection to the garbage collector whose set-up was cancelled or has failed.

    Nobody else has it then. The other drivers warn of theirs as well, and of connections that we forget.
    """
    config.addinivalue_line("filterwarnings", "ignore:<psycopg.AsyncConnection:ResourceWarning")


def pytest_report_header() -> list[str]:
    """Say at the top of the run which servers of which version are used, and which must not be missing."""
    require_engine()
    required_ones = f"required: {', '.join(sorted(required())) or 'none'}"
    return [describe_postgres(), describe_pgbouncer(), *describe_mysql(), describe_dynamodb(), required_ones]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what runs by chance have met; and which tests had to be run once more, with what each had failed of."""
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", ()):
            if name == "figures":
                terminalreporter.write_line(str(value))
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.write_sep("_", f"failed before it was run once more: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
        terminalreporter.write_line(f"RERUN {report.nodeid}")


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    """Keep one server of each kind for the whole run.

    They are stopped, and their files removed, when the run is over: as a part of the last test, whichever that is, it
    would have to be done within the time that a test may take.
    """
    kept = Servers()
    pytestconfig.add_cleanup(kept.close)
    return kept


@pytest.fixture(params=names_here())
def postgres_server(servers: Servers, request: pytest.FixtureRequest) -> AnyPostgres:
    """A PostgreSQL server at work: each version of this machine in turn."""
    return provide_postgres(servers, request.param)


@pytest.fixture
async def postgres(postgres_server: AnyPostgres) -> AsyncIterator[Scratch]:
    """A schema of the test's own on each version of PostgreSQL in turn."""
    async with scratch(postgres_server) as made:
        yield made


@pytest.fixture(params=names_here())
def postgres_with(servers: Servers, request: pytest.FixtureRequest) -> Callable[..., AnyPostgres]:
    """Give a server with settings of the test's choice, such as ``postgres_with(fsync="on")``."""
    return lambda **settings: provide_postgres(servers, request.param, settings)


@pytest.fixture(params=mysql_names())
def mysql_server(servers: Servers, request: pytest.FixtureRequest) -> AnyMySQL:
    """A server at work: each version of MariaDB and of MySQL in turn, always both, for neither stands for the other."""
    return provide_mysql(servers, request.param)


@pytest.fixture
async def mysql(mysql_server: AnyMySQL) -> AsyncIterator[MySQLScratch]:
    """A database of the test's own on MariaDB and on MySQL in turn."""
    async with mysql_scratch(mysql_server) as made:
        yield made


@pytest.fixture(params=mysql_names())
def mysql_with(servers: Servers, request: pytest.FixtureRequest) -> Callable[..., AnyMySQL]:
    """Give a server with settings of the test's choice, such as ``mysql_with(**{"max-connections": "7"})``."""
    return lambda **settings: provide_mysql(servers, request.param, settings)


@pytest.fixture
def dynamodb_server(servers: Servers) -> AnyDynamoDB:
    """DynamoDB Local at work, its tables in memory."""
    return provide_dynamodb(servers)


@pytest.fixture
async def dynamodb(dynamodb_server: AnyDynamoDB) -> AsyncIterator[DynamoDBScratch]:
    """Tables of the test's own."""
    async with dynamodb_scratch(dynamodb_server) as made:
        yield made


@pytest.fixture
async def dynamodb_on_disk(servers: Servers) -> AsyncIterator[DynamoDBScratch]:
    """The same on a server whose tables outlive a stop or a kill."""
    async with dynamodb_scratch(provide_dynamodb(servers, is_on_disk=True)) as made:
        yield made


@pytest.fixture
def pgbouncer(servers: Servers, postgres_server: AnyPostgres) -> PgBouncer:
    """PgBouncer in transaction mode, before the server that ``postgres`` is on."""
    return provide_pgbouncer(servers, postgres_server)


@pytest.fixture
def standby(servers: Servers, postgres_server: AnyPostgres) -> Iterator[PostgresServer]:
    """A hot standby of the server that ``postgres`` is on."""
    with fresh_standby(servers, postgres_server) as made:
        yield made


@pytest.fixture
def tls_postgres(servers: Servers) -> TlsPostgres:
    """A PostgreSQL server that speaks TLS."""
    return provide_tls_postgres(servers)


@pytest.fixture
def small_disk_folder(servers: Servers, postgres_server: AnyPostgres) -> Iterator[Path]:
    """The folder of a file system of a few megabytes, for the server that ``postgres`` is on."""
    with small_disk(servers.site, postgres_server.elsewhere) as folder:
        yield folder


@pytest.fixture(autouse=True)
def _drivers_may_forget(request: pytest.FixtureRequest) -> None:
    """Let drivers leave to nobody what only they know of.

    asyncpg the error of a lost connection, as it does in the midst of a COPY; aiosqlite the task that closes a
    connection: if it is told to stop meanwhile, as SQLAlchemy does when its own wait for that is cancelled, the task
    waits for a second stop of a thread that has ended.
    """
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("_forgiving_loop")


@pytest.fixture
async def _forgiving_loop(_watched_loop: None) -> None:
    loop = asyncio.get_running_loop()
    strict = loop.get_exception_handler()

    def forgive(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A task's is worded otherwise: ours are to look at their errors.
        is_forgotten = context["message"] == "Future exception was never retrieved"
        # It says so in its own words, or, of a connection that was still being opened, in Python's.
        is_lost = isinstance(context.get("exception"), asyncpg.PostgresConnectionError | ConnectionError)
        task = context.get("task")
        is_closing = task is not None and task.get_coro().__qualname__ == _AIOSQLITE_CLOSES
        if strict is not None and not (is_forgotten and is_lost) and not is_closing:
            strict(loop, context)

    loop.set_exception_handler(forgive)


@pytest.fixture
async def mysql_wire(mysql_server: AnyMySQL) -> AsyncIterator[Wire]:
    """A wire to the server that ``mysql`` is on, which breaks where the test says."""
    async with Wire(mysql_server.host, mysql_server.port, MySQLDialect) as made:
        yield made


@pytest.fixture
async def wire(postgres_server: AnyPostgres) -> AsyncIterator[Wire]:
    """A wire to the server that ``postgres`` is on, which breaks where the test says."""
    async with Wire(postgres_server.host, postgres_server.port) as made:
        yield made

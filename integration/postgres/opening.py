"""The list of what can be wrong when a writer is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.postgres import PostgresBackend
from integration.postgres.faults import problem
from integration.postgres.scenarios.others import role_setting
from integration.servers.ports import free_port
from integration.servers.standby import fresh_standby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.faults.stage import Stage


def _backend(stage: Stage, url: str = "", table: str = "items", **options: Any) -> PostgresBackend:
    return PostgresBackend(url or stage.scratch.url, stage.scratch.name(table), **options)


@problem("ConnectionRefusedError|OSError")
async def nobody_listens(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """Nobody listens at the address."""
    yield _backend(stage, stage.server.url(port=free_port()))


@problem("gaierror|nonesuch")
async def unknown_host(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """The host has no address."""
    yield _backend(stage, "postgresql://writer@nonesuch.invalid/bulkwriter")


@problem("password authentication failed")
async def wrong_password(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """The password is wrong."""
    yield _backend(stage, stage.scratch.url.replace("writer's", "nobody's"))


@problem("password authentication failed")
async def unknown_role(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """There is no such role."""
    yield _backend(stage, stage.scratch.url.replace("//writer", "//nobody"))


@problem("nonesuch")
async def unknown_database(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """There is no such database."""
    yield _backend(stage, stage.server.url(database="nonesuch"))


@problem("nonesuch")
async def unknown_table(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """There is no such table."""
    yield _backend(stage, table="nonesuch")


@problem("nonesuch")
async def unknown_schema(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """There is no such schema."""
    yield PostgresBackend(stage.scratch.url, "nonesuch.items")


@problem("nonesuch")
async def unknown_column(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """`columns=` names a column that is not there."""
    yield _backend(stage, columns=("id", "nonesuch"))


@problem("nonesuch")
async def unknown_conflict_column(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """`conflict_columns=` names a column that is not there."""
    yield _backend(stage, on_conflict="skip", conflict_columns=("nonesuch",))


@problem("amount")
async def no_unique_index(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """`conflict_columns=` names columns without a unique index."""
    yield _backend(stage, on_conflict="skip", conflict_columns=("amount",))


@problem("nonesuch")
async def unknown_returned_column(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """`returning=` names a column that is not there."""
    yield _backend(stage, returning=("nonesuch",))


@problem("permission|privilege")
async def no_permission(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """The role may not insert into the table."""
    await stage.scratch.execute("REVOKE INSERT ON items FROM writer")
    yield _backend(stage)


@problem("permission|privilege")
async def no_permission_to_update(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """The role may insert and not update, and `on_conflict="update"`."""
    await stage.scratch.execute("REVOKE UPDATE ON items FROM writer")
    yield _backend(stage, on_conflict="update", conflict_columns=("id",))


@problem("permission|privilege|schema")
async def no_permission_on_schema(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """The role may not use the table's schema."""
    schema = stage.scratch.schema
    await stage.scratch.execute(f"ALTER SCHEMA {schema} OWNER TO postgres", role="superuser")
    try:
        yield _backend(stage)
    finally:
        await stage.scratch.execute(f"ALTER SCHEMA {schema} OWNER TO writer", role="superuser")


@problem("ledger|schema|permission")
async def ledger_cannot_be_made(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """`ledger=True`, the ledger is not there, and the role may not create it."""
    schema = stage.scratch.schema
    await stage.scratch.execute(f"ALTER SCHEMA {schema} OWNER TO postgres", role="superuser")
    await stage.scratch.execute(f"GRANT USAGE ON SCHEMA {schema} TO writer", role="superuser")
    try:
        yield _backend(stage, ledger=True)
    finally:
        await stage.scratch.execute(f"ALTER SCHEMA {schema} OWNER TO writer", role="superuser")


@problem("read-only|25006|standby")
async def hot_standby(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """The server is a standby, which takes no writes."""
    with fresh_standby(stage.servers, stage.server) as standby:
        yield _backend(stage, standby.url())


@problem("read-only|25006|standby")
async def read_only(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """The role's transactions are read-only."""
    async with role_setting(stage, "default_transaction_read_only", "on"):
        yield _backend(stage)


@problem("too many connections")
async def too_many_connections(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """There is no place for another connection."""
    await stage.scratch.execute("ALTER ROLE writer CONNECTION LIMIT 0", role="superuser")
    try:
        yield _backend(stage)
    finally:
        await stage.scratch.execute("ALTER ROLE writer CONNECTION LIMIT -1", role="superuser")


@problem("Timeout|57P03|starting")
async def paused(stage: Stage) -> AsyncIterator[PostgresBackend]:
    """The server does not answer within `connect_timeout`."""
    stage.server.pause()
    try:
        yield _backend(stage, connect_timeout=1.0)
    finally:
        stage.server.resume()

"""The list of what can be wrong when a writer is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkwriter.backends.postgres import PostgresBackend
from integration.faults.scenarios import opening
from integration.postgres.faults import problem
from integration.postgres.scenarios.others import role_setting
from integration.servers.ports import free_port
from integration.servers.standby import fresh_standby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.backend import Backend
    from integration.faults.stage import Stage


@problem("ConnectionRefusedError|OSError")
async def nobody_listens(stage: Stage) -> AsyncIterator[Backend]:
    """Nobody listens at the address."""
    yield stage.backend(stage.server.url(port=free_port()))


@problem("gaierror|nonesuch")
async def unknown_host(stage: Stage) -> AsyncIterator[Backend]:
    """The host has no address."""
    yield stage.backend("postgresql://writer@nonesuch.invalid/bulkwriter")


@problem("password authentication failed")
async def wrong_password(stage: Stage) -> AsyncIterator[Backend]:
    """The password is wrong."""
    yield stage.backend(stage.scratch.url.replace("writer's", "nobody's"))


@problem("password authentication failed")
async def unknown_role(stage: Stage) -> AsyncIterator[Backend]:
    """There is no such role."""
    yield stage.backend(stage.scratch.url.replace("//writer", "//nobody"))


@problem("nonesuch")
async def unknown_database(stage: Stage) -> AsyncIterator[Backend]:
    """There is no such database."""
    yield stage.backend(stage.server.url(database="nonesuch"))


problem("nonesuch")(opening.unknown_table)


@problem("nonesuch")
async def unknown_schema(stage: Stage) -> AsyncIterator[Backend]:
    """There is no such schema."""
    yield PostgresBackend(stage.scratch.url, "nonesuch.items")


problem("nonesuch")(opening.unknown_column)
problem("nonesuch")(opening.unknown_conflict_column)


@problem("amount")
async def no_unique_index(stage: Stage) -> AsyncIterator[Backend]:
    """`conflict_columns=` names columns without a unique index."""
    yield stage.backend(on_conflict="skip", conflict_columns=("amount",))


problem("nonesuch")(opening.unknown_returned_column)


@problem("permission|privilege")
async def no_permission(stage: Stage) -> AsyncIterator[Backend]:
    """The role may not insert into the table."""
    await stage.scratch.execute("REVOKE INSERT ON items FROM writer")
    yield stage.backend()


@problem("permission|privilege")
async def no_permission_to_update(stage: Stage) -> AsyncIterator[Backend]:
    """The role may insert and not update, and `on_conflict="update"`."""
    await stage.scratch.execute("REVOKE UPDATE ON items FROM writer")
    yield stage.backend(on_conflict="update", conflict_columns=("id",))


@problem("permission|privilege|schema")
async def no_permission_on_schema(stage: Stage) -> AsyncIterator[Backend]:
    """The role may not use the table's schema."""
    schema = stage.scratch.schema
    await stage.scratch.execute(f"ALTER SCHEMA {schema} OWNER TO postgres", role="superuser")
    try:
        yield stage.backend()
    finally:
        await stage.scratch.execute(f"ALTER SCHEMA {schema} OWNER TO writer", role="superuser")


@problem("ledger|schema|permission")
async def ledger_cannot_be_made(stage: Stage) -> AsyncIterator[Backend]:
    """`ledger=True`, the ledger is not there, and the role may not create it."""
    schema = stage.scratch.schema
    await stage.scratch.execute(f"ALTER SCHEMA {schema} OWNER TO postgres", role="superuser")
    await stage.scratch.execute(f"GRANT USAGE ON SCHEMA {schema} TO writer", role="superuser")
    try:
        yield stage.backend(ledger=True)
    finally:
        await stage.scratch.execute(f"ALTER SCHEMA {schema} OWNER TO writer", role="superuser")


@problem("read-only|25006|standby")
async def hot_standby(stage: Stage) -> AsyncIterator[Backend]:
    """The server is a standby, which takes no writes."""
    with fresh_standby(stage.servers, stage.server) as standby:
        yield stage.backend(standby.url())


@problem("read-only|25006|standby")
async def read_only(stage: Stage) -> AsyncIterator[Backend]:
    """The role's transactions are read-only."""
    async with role_setting(stage, "default_transaction_read_only", "on"):
        yield stage.backend()


@problem("too many connections")
async def too_many_connections(stage: Stage) -> AsyncIterator[Backend]:
    """There is no place for another connection."""
    await stage.scratch.execute("ALTER ROLE writer CONNECTION LIMIT 0", role="superuser")
    try:
        yield stage.backend()
    finally:
        await stage.scratch.execute("ALTER ROLE writer CONNECTION LIMIT -1", role="superuser")


problem("Timeout|57P03|starting")(opening.paused)

"""The list of what can be wrong when a writer is opened."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pymysql

from bulkwriter.backends.mysql import MySQLBackend
from integration.mysql.faults import problem
from integration.mysql.scenarios.others import server_setting
from integration.servers.mysql import ROLES
from integration.servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.faults.stage import Stage

WRITER = ROLES["writer"][0]


def _backend(stage: Stage, url: str = "", table: str = "items", **options: Any) -> MySQLBackend:
    return MySQLBackend(url or stage.scratch.url, table, **options)


@problem("2003|ConnectionRefusedError|OSError")
async def nobody_listens(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """Nobody listens at the address."""
    yield _backend(stage, stage.server.url(port=free_port(), database=stage.scratch.database))


@problem("2003|gaierror|nonesuch")
async def unknown_host(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The host has no address."""
    yield _backend(stage, "mysql://writer@nonesuch.invalid/bulkwriter")


@problem("1045")
async def wrong_password(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The password is wrong."""
    yield _backend(stage, stage.scratch.url.replace("writer%27s", "nobody%27s"))


@problem("1045")
async def unknown_user(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """There is no such user."""
    yield _backend(stage, stage.scratch.url.replace("//writer", "//nobody"))


@problem("nonesuch|1044|1049")
async def unknown_database(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """There is no such database, or the user has no business there, which sounds the same (1044)."""
    yield _backend(stage, stage.server.url(database="nonesuch"))


@problem("database")
async def no_database(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """Neither the address nor the table's name has a database."""
    yield _backend(stage, stage.server.url())


@problem("nonesuch")
async def unknown_table(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """There is no such table."""
    yield _backend(stage, table="nonesuch")


@problem("nonesuch")
async def unknown_column(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """`columns=` names a column that is not there."""
    yield _backend(stage, columns=("id", "nonesuch"))


@problem("nonesuch")
async def unknown_conflict_column(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """`conflict_columns=` names a column that is not there."""
    yield _backend(stage, on_conflict="skip", conflict_columns=("nonesuch",))


@problem("amount")
async def no_unique_key(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """`conflict_columns=` names columns without a unique key."""
    yield _backend(stage, on_conflict="skip", conflict_columns=("amount",))


@problem("nonesuch")
async def unknown_returned_column(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """`returning=` names a column that is not there."""
    yield _backend(stage, returning=("nonesuch",))


@problem("MyISAM")
async def no_transactions(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The table's engine has no transactions."""
    await stage.scratch.execute("ALTER TABLE items ENGINE = MyISAM")
    yield _backend(stage)


@problem("MyISAM")
async def view_without_transactions(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The table is a view, of a view, of a table whose engine has no transactions."""
    await stage.scratch.execute(
        "CREATE TABLE `od``d` LIKE items",
        "ALTER TABLE `od``d` ENGINE = MyISAM",
        "CREATE VIEW inner_items AS SELECT o.id, i.name, i.amount, i.note FROM items AS i STRAIGHT_JOIN `od``d` AS o",
        "CREATE VIEW outer_items AS SELECT * FROM inner_items WHERE id > (SELECT COALESCE(MIN(id), 0) FROM items) - 1",
    )
    yield _backend(stage, table="outer_items")


@problem("SHOW VIEW|1345")
async def view_not_to_be_seen(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The table is a view, and the user may not see what it is made of."""
    await stage.scratch.execute("CREATE VIEW seen_items AS SELECT * FROM items")
    await _revoke(stage, "SHOW VIEW")
    yield _backend(stage, table="seen_items")


@problem("1142|permission|privilege")
async def no_permission(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The user may not insert into the table."""
    await _revoke(stage, "INSERT")
    yield _backend(stage)


@problem("1142|permission|privilege")
async def no_permission_to_update(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The user may insert and not update, and `on_conflict="update"`."""
    await _revoke(stage, "UPDATE")
    yield _backend(stage, on_conflict="update", conflict_columns=("id",))


@problem("ledger|1142|permission")
async def ledger_cannot_be_made(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """`ledger=True`, the ledger is not there, and the user may not create it."""
    await _revoke(stage, "CREATE")
    yield _backend(stage, ledger=True)


@problem("read.only|1290")
async def read_only(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The server takes no writes, as a replica does."""
    async with server_setting(stage, "read_only", 1):
        yield _backend(stage)


@problem("1040|too many connections")
async def too_many_connections(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """There is no place for another connection."""
    async with contextlib.AsyncExitStack() as stack:
        with contextlib.suppress(pymysql.OperationalError):
            while True:
                await stack.enter_async_context(stage.scratch.connect("superuser"))
        yield _backend(stage)


@problem("within 1 second")
async def paused(stage: Stage) -> AsyncIterator[MySQLBackend]:
    """The server does not answer within `connect_timeout`."""
    stage.server.pause()
    try:
        yield _backend(stage, connect_timeout=1.0)
    finally:
        stage.server.resume()


async def _revoke(stage: Stage, privilege: str) -> None:
    await stage.scratch.execute(f"REVOKE {privilege} ON {stage.scratch.database}.* FROM {WRITER}", role="superuser")

"""The list of what can be wrong when a writer is opened."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pymysql

from integration.faults.scenarios import opening
from integration.mysql.faults import problem
from integration.mysql.scenarios.others import server_setting
from integration.servers.mysql import ROLES
from integration.servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.backend import Backend
    from integration.faults.stage import Stage

WRITER = ROLES["writer"][0]


@problem("2003|ConnectionRefusedError|OSError")
async def nobody_listens(stage: Stage) -> AsyncIterator[Backend]:
    """Nobody listens at the address."""
    yield stage.backend(stage.server.url(port=free_port(), database=stage.scratch.database))


@problem("2003|gaierror|nonesuch")
async def unknown_host(stage: Stage) -> AsyncIterator[Backend]:
    """The host has no address."""
    yield stage.backend("mysql://writer@nonesuch.invalid/bulkwriter")


@problem("1045")
async def wrong_password(stage: Stage) -> AsyncIterator[Backend]:
    """The password is wrong."""
    yield stage.backend(_with_account(stage.scratch.url, password="wrong"))  # noqa: S106 - see the name


@problem("1045")
async def unknown_user(stage: Stage) -> AsyncIterator[Backend]:
    """There is no such user."""
    yield stage.backend(_with_account(stage.scratch.url, user="nobody"))


@problem("nonesuch|1044|1049")
async def unknown_database(stage: Stage) -> AsyncIterator[Backend]:
    """There is no such database, or the user has no business there, which sounds the same (1044)."""
    yield stage.backend(stage.server.url(database="nonesuch"))


@problem("database")
async def no_database(stage: Stage) -> AsyncIterator[Backend]:
    """Neither the address nor the table's name has a database."""
    yield stage.backend(stage.server.url())


problem("nonesuch")(opening.unknown_table)
problem("nonesuch")(opening.unknown_column)
problem("nonesuch")(opening.unknown_conflict_column)


@problem("amount")
async def no_unique_key(stage: Stage) -> AsyncIterator[Backend]:
    """`conflict_columns=` names columns without a unique key."""
    yield stage.backend(on_conflict="skip", conflict_columns=("amount",))


problem("nonesuch")(opening.unknown_returned_column)


@problem("MyISAM")
async def no_transactions(stage: Stage) -> AsyncIterator[Backend]:
    """The table's engine has no transactions."""
    await stage.scratch.execute("ALTER TABLE items ENGINE = MyISAM")
    yield stage.backend()


@problem("MyISAM")
async def view_without_transactions(stage: Stage) -> AsyncIterator[Backend]:
    """The table is a view, of a view, of a table whose engine has no transactions."""
    await stage.scratch.execute(
        "CREATE TABLE `od``d` LIKE items",
        "ALTER TABLE `od``d` ENGINE = MyISAM",
        "CREATE VIEW inner_items AS SELECT o.id, i.name, i.amount, i.note FROM items AS i STRAIGHT_JOIN `od``d` AS o",
        "CREATE VIEW outer_items AS SELECT * FROM inner_items WHERE id > (SELECT COALESCE(MIN(id), 0) FROM items) - 1",
    )
    yield stage.backend(table="outer_items")


@problem("SHOW VIEW|1345")
async def view_not_to_be_seen(stage: Stage) -> AsyncIterator[Backend]:
    """The table is a view, and the user may not see what it is made of."""
    await stage.scratch.execute("CREATE VIEW seen_items AS SELECT * FROM items")
    await _revoke(stage, "SHOW VIEW")
    yield stage.backend(table="seen_items")


@problem("1142|permission|privilege")
async def no_permission(stage: Stage) -> AsyncIterator[Backend]:
    """The user may not insert into the table."""
    await _revoke(stage, "INSERT")
    yield stage.backend()


@problem("1142|permission|privilege")
async def no_permission_to_update(stage: Stage) -> AsyncIterator[Backend]:
    """The user may insert and not update, and `on_conflict="update"`."""
    await _revoke(stage, "UPDATE")
    yield stage.backend(on_conflict="update", conflict_columns=("id",))


@problem("ledger|1142|permission")
async def ledger_cannot_be_made(stage: Stage) -> AsyncIterator[Backend]:
    """`ledger=True`, the ledger is not there, and the user may not create it."""
    await _revoke(stage, "CREATE")
    yield stage.backend(ledger=True)


@problem("read.only|1290")
async def read_only(stage: Stage) -> AsyncIterator[Backend]:
    """The server takes no writes, as a replica does."""
    async with server_setting(stage, "read_only", 1):
        yield stage.backend()


@problem("1040|too many connections")
async def too_many_connections(stage: Stage) -> AsyncIterator[Backend]:
    """There is no place for another connection."""
    async with contextlib.AsyncExitStack() as stack:
        with contextlib.suppress(pymysql.OperationalError):
            while True:
                await stack.enter_async_context(stage.scratch.connect("superuser"))
        yield stage.backend()


problem("within 1 second")(opening.paused)


async def _revoke(stage: Stage, privilege: str) -> None:
    await stage.scratch.execute(f"REVOKE {privilege} ON {stage.scratch.database}.* FROM {WRITER}", role="superuser")


def _with_account(url: str, *, user: str | None = None, password: str | None = None) -> str:
    """Return a URL with another user, or the same one's other password."""
    parts = urlsplit(url)
    account = f"{user or parts.username}:{password or parts.password or ''}"
    return parts._replace(netloc=f"{account}@{parts.netloc.rpartition('@')[2]}").geturl()

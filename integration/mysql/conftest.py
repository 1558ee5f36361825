"""The stage of a fault on MariaDB and MySQL, and the table of what callers heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkwriter.testing.conformance.scene import Scene
from integration.faults.fault_table import IS_WRITTEN, FaultTable
from integration.faults.stage import Stage
from integration.mysql.faults import FAULTS
from integration.mysql.target import FaultTarget
from integration.servers.mysql_binaries import NAMES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from integration.faults.listing import Way
    from integration.servers.mysql_scratch import MySQLScratch
    from integration.servers.registry import Servers
    from integration.wire import Wire


@pytest.fixture
def ledger() -> bool:
    """Whether writers keep a ledger; a test may be parametrised by it."""
    return False


@pytest.fixture
def way() -> Way:
    """How writers write; a test may be parametrised by it."""
    return "insert"


@pytest.fixture
async def stage(
    mysql: MySQLScratch, mysql_wire: Wire, servers: Servers, *, ledger: bool, way: Way
) -> AsyncIterator[Stage]:
    """A table, a writer to be opened, and a wire to be broken."""
    scene = Scene(FaultTarget(mysql, mysql.server.url(port=mysql_wire.port, database=mysql.database)))
    made = Stage(mysql, mysql_wire, servers, scene, ledger, way)
    await made.create_table()
    yield made
    mysql_wire.thaw()
    mysql.server.revive()
    await scene.close()


@pytest.fixture
def product(mysql: MySQLScratch) -> str:
    """How the documentation calls the server."""
    return NAMES[mysql.product]


@pytest.fixture(scope="session")
def fault_table() -> Iterator[FaultTable]:
    """What the documentation says that callers hear, or is going to say."""
    table = FaultTable(FAULTS, tuple(NAMES.values()))
    yield table
    if IS_WRITTEN:
        table.write()

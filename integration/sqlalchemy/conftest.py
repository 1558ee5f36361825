"""The stage of a fault by way of SQLAlchemy, and the table of what callers heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkwriter.testing.conformance.scene import Scene
from integration.faults.fault_table import IS_WRITTEN, FaultTable
from integration.faults.stage import Stage
from integration.sqlalchemy.faults import FAULTS
from integration.sqlalchemy.places import wired
from integration.sqlalchemy.target import DRIVERS, FaultTarget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from integration.faults.listing import Way
    from integration.servers.registry import Servers


@pytest.fixture
def ledger() -> bool:
    """Whether writers keep a ledger; a test may be parametrised by it."""
    return False


@pytest.fixture
def way() -> Way:
    """How writers write; a test may be parametrised by it."""
    return "insert"


@pytest.fixture(params=DRIVERS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Each dialect and driver in turn."""
    name: str = request.param
    return name


@pytest.fixture
async def stage(servers: Servers, dialect: str, *, ledger: bool, way: Way) -> AsyncIterator[Stage]:
    """A table, a writer to be opened, and a wire to be broken."""
    async with wired(servers, dialect) as (scratch, wire):
        scene = Scene(FaultTarget(scratch, wire, dialect))
        made = Stage(scratch, wire, servers, scene, ledger, way)
        await made.create_table()
        yield made
        wire.thaw()
        scratch.server.revive()
        await scene.close()


@pytest.fixture(scope="session")
def fault_table() -> Iterator[FaultTable]:
    """What the documentation says that callers hear, or is going to say."""
    table = FaultTable(FAULTS, tuple(DRIVERS.values()))
    yield table
    if IS_WRITTEN:
        table.write()

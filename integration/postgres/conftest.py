"""The stage of a fault, and the table of what callers heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkwriter.testing.conformance.scene import Scene
from integration.faults.fault_table import IS_WRITTEN, FaultTable
from integration.faults.stage import Stage
from integration.postgres.faults import FAULTS
from integration.postgres.target import FaultTarget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from integration.faults.listing import Way
    from integration.servers.registry import Servers
    from integration.servers.scratch import Scratch
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
async def stage(postgres: Scratch, wire: Wire, servers: Servers, *, ledger: bool, way: Way) -> AsyncIterator[Stage]:
    """A table, a writer to be opened, and a wire to be broken."""
    scene = Scene(FaultTarget(postgres, postgres.server.url(port=wire.port)))
    made = Stage(postgres, wire, servers, scene, ledger, way)
    await made.create_table()
    yield made
    wire.thaw()
    postgres.server.revive()
    await scene.close()


@pytest.fixture(scope="session")
def fault_table() -> Iterator[FaultTable]:
    """What the documentation says that callers hear, or is going to say."""
    table = FaultTable(FAULTS)
    yield table
    if IS_WRITTEN:
        table.write()

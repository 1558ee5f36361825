"""The wire breaks, hangs or is not there, and the server knows nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.faults.scenarios import connections
from integration.postgres.faults import fault
from integration.wire import copying

if TYPE_CHECKING:
    from integration.faults.stage import Stage

GROUP = "The connection"

fault(GROUP)(connections.cut_while_idle)


@fault(GROUP, ways=("insert",))
async def cut_amid_data(stage: Stage) -> None:
    """The connection is cut in the middle of the rows."""
    await stage.open()
    stage.wire.cut_before(copying(after_bytes=10_000))
    # Few rows do not go by COPY.
    await stage.write(2000)


for happen in (
    connections.cut_before_commit,
    connections.cut_after_commit,
    connections.cut_with_commit_on_its_way,
    connections.answer_never_comes,
    connections.commit_arrives_late,
    connections.network_comes_back,
    connections.network_stays_away,
    connections.cut_after_commit_and_gone,
):
    fault(GROUP)(happen)

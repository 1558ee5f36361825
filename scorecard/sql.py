"""What happens to every SQL database: the stage, and the scenarios that need nothing of one of them."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from integration.wire import commit
from scorecard.calls import make_row, make_rows
from scorecard.stage import Stage
from scorecard.ways import Ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.wire import Wire
    from scorecard.ways import Way

TABLE = "CREATE TABLE items (id bigint {key}, name varchar(100) NOT NULL, amount bigint)"
COLUMNS = ("id", "name", "amount")

# A hundred rows are a batch; of these many, some wait.
_MANY = 500
_SLOW = 0.05


@dataclasses.dataclass(frozen=True)
class Place:
    """Where rows are written to.

    Attributes:
        scratch: A schema or database of its own: a ``Scratch`` of the server's kind.
        wire: A proxy before the server.
    """

    scratch: Any
    wire: Wire


class OursOnSQL(Ours):
    """A ``BulkWriter`` over an SQL database."""

    ledger: ClassVar[bool] = False


class WithLedger(OursOnSQL):
    """The same with a ledger."""

    name = "bulkwriter, `ledger=True`"
    configured = "the same, with a ledger"
    ledger = True


class SQLStage(Stage):
    """A table on a real server, behind a wire that breaks where a scenario says.

    Attributes:
        scratch: Where the table is.
        wire: What ways of writing connect to.
    """

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self.scratch: Any = way.place.scratch
        self.wire: Wire = way.place.wire

    async def open(self, *, has_key: bool = True) -> None:
        """Make the table, and open the way of writing."""
        await self.scratch.execute(TABLE.format(key="PRIMARY KEY" if has_key else ""))
        await self.open_way()

    async def stored(self) -> Iterable[Mapping[str, Any]]:
        """Return what is in the table."""
        rows: list[dict[str, Any]] = await self.scratch.fetch("SELECT * FROM items")
        return rows


async def bad_row(stage: SQLStage) -> None:
    """One row of a hundred has NULL in a column that is NOT NULL."""
    await stage.open()
    rows = make_rows(100)
    rows[57]["name"] = None
    await stage.write(rows)


async def same_key_twice(stage: SQLStage) -> None:
    """Two rows of a batch have the same primary key."""
    await stage.open()
    rows = make_rows(100)
    rows[57]["id"] = 12
    await stage.write(rows)


async def key_is_taken(stage: SQLStage) -> None:
    """The primary key of one row is in the table already, with another row."""
    await stage.open()
    await stage.scratch.execute("INSERT INTO items VALUES (57, 'somebody else', 0)")
    await stage.write()


async def callers_leave(stage: SQLStage) -> None:
    """Ten callers of a batch that is in flight are cancelled, by a timeout of their own, say."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    stage.begin()
    await held.happened()
    await stage.leave(range(0, 100, 10))
    stage.wire.thaw()
    await stage.finish()


async def cut_before_commit(stage: SQLStage) -> None:
    """The connection is cut before COMMIT reaches the server."""
    await stage.open()
    stage.wire.cut_before(commit())
    await stage.write()


async def cut_after_commit(stage: SQLStage) -> None:
    """The connection is cut after COMMIT, before its answer arrives; the table has a primary key."""
    await stage.open()
    stage.wire.cut_after(commit())
    await stage.write()


async def cut_after_commit_without_key(stage: SQLStage) -> None:
    """The connection is cut after COMMIT, before its answer arrives; the table has no key."""
    await stage.open(has_key=False)
    stage.wire.cut_after(commit())
    await stage.write()


async def killed_before_commit(stage: SQLStage) -> None:
    """The server is killed (SIGKILL) before COMMIT arrives, and started again."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    stage.begin()
    await held.happened()
    await _kill_and_start(stage)
    stage.wire.thaw()
    await stage.finish()


async def killed_after_commit(stage: SQLStage) -> None:
    """The server is killed (SIGKILL) after COMMIT, before its answer arrives, and started again."""
    await stage.open()
    swallowed = stage.wire.swallow(commit())
    stage.begin()
    await swallowed.happened()
    await _kill_and_start(stage)
    stage.wire.cut()
    await stage.finish()


async def down_for_a_while(stage: SQLStage) -> None:
    """The server cannot be reached for half a second."""
    await stage.open()
    stage.wire.is_down = True
    stage.wire.cut()
    stage.begin()
    await asyncio.sleep(0.5)
    stage.wire.is_down = False
    await stage.finish()


async def stopped_while_rows_wait(stage: SQLStage) -> None:
    """It is told to stop in good order while rows wait, and the program ends when it has."""
    await stage.open()
    held = stage.wire.freeze_at(commit())
    stage.begin(make_rows(_MANY))
    await held.happened()
    # Each request takes a while: nothing is over before it was waited for.
    stage.wire.delay = _SLOW
    stage.wire.thaw()
    await stage.stop_and_end()


def altered_rows(**columns: Any) -> list[dict[str, Any]]:
    """Return a hundred rows, one of which has other columns."""
    return [*make_rows(57), make_row(57, **columns), *(make_row(number) for number in range(58, 100))]


async def _kill_and_start(stage: SQLStage) -> None:
    await asyncio.to_thread(stage.scratch.server.kill)
    await asyncio.to_thread(stage.scratch.server.start)


SCENARIOS = (
    bad_row,
    same_key_twice,
    key_is_taken,
    callers_leave,
    cut_before_commit,
    cut_after_commit,
    cut_after_commit_without_key,
    killed_before_commit,
    killed_after_commit,
    down_for_a_while,
    stopped_while_rows_wait,
)

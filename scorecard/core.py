"""Without a database: ours, the batcher of async-batcher and a loop by hand, over one function that takes a list."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from benchmarks._seed import Seed
from bulkwriter import AsyncBatcher, NotWrittenError
from scorecard.adapters import Adapted
from scorecard.calls import make_rows
from scorecard.division import Division
from scorecard.loops import Loop
from scorecard.stage import Stage
from scorecard.ways import Way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from integration.servers.registry import Servers
    from scorecard.calls import Row

BATCH = 10
_CONFIGURED = f"`max_batch_size={BATCH}`, all else by default"


class BadItemError(Exception):
    """What the function answers of one item alone."""


class Function:
    """Takes a list of items and 50 ms for it, and notes what it has done.

    Attributes:
        done: The items that it has processed.
        begun: Set when a batch is in flight.
        answer: Makes the answer of a batch's items; may raise.
    """

    def __init__(self) -> None:
        self.done: list[Row] = []
        self.begun = asyncio.Event()
        self.answer: Callable[[list[Row]], list[Any]] = lambda items: [None] * len(items)

    async def __call__(self, items: list[Row]) -> list[Any]:
        """Process a batch."""
        self.begun.set()
        await asyncio.sleep(0.05)
        answer = self.answer(items)
        bad = {place for place, each in enumerate(answer) if isinstance(each, BadItemError)}
        self.done += [item for place, item in enumerate(items) if place not in bad]
        return answer


class _OfItems(Way):
    """What is processed knows of each item; nothing that is raised does."""

    def says_not_stored(self, error: Exception, hearers: int) -> bool:  # noqa: ARG002 - what it says counts
        """Whether it is about this item, or promises that it was not processed."""
        return isinstance(error, BadItemError | NotWrittenError)


class Ours(_OfItems):
    """An ``AsyncBatcher``."""

    name = "bulkwriter: AsyncBatcher"
    configured = _CONFIGURED

    async def open(self) -> None:
        """Make it."""
        self._batcher: AsyncBatcher[Row, Any] = AsyncBatcher(self.place, max_batch_size=BATCH)

    async def insert(self, row: Row) -> None:
        """Hand it over."""
        await self._batcher.process(row)

    async def stop(self) -> None:
        """Stop it in good order."""
        await self._batcher.stop()

    async def force(self) -> None:
        """Stop it at once."""
        await self._batcher.stop(force=True)


class Theirs(_OfItems, Adapted):
    """async-batcher's ``AsyncBatcher``."""

    name = "async-batcher: AsyncBatcher"
    configured = _CONFIGURED

    def batcher(self) -> Any:
        """Return it."""
        return Seed(self.place, max_batch_size=BATCH)

    async def force(self) -> None:
        """Stop it at once."""
        await self._batcher.stop(force=True)


class ByHand(_OfItems, Loop):
    """A queue."""

    name = "a loop"
    configured = "`asyncio.Queue`, 10 items a call; at a stop by force its task is cancelled"
    batch = BATCH

    async def write(self, rows: list[Row]) -> Sequence[Exception | None]:
        """Process them."""
        answers: list[Exception | None] = await self.place(rows)
        return answers

    async def force(self) -> None:
        """Cancel the task."""
        self._task.cancel()


class CoreStage(Stage):
    """A function in place of a table: what it has processed is stored.

    Attributes:
        function: It.
    """

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self.function: Function = way.place

    async def open(self) -> None:
        """Open the way of writing."""
        await self.open_way()
        self.function.begun.clear()

    async def stored(self) -> Iterable[Mapping[str, Any]]:
        """Return what has been processed."""
        return self.function.done


async def bad_item(stage: CoreStage) -> None:
    """The function answers one item of a hundred with an exception."""
    await stage.open()
    stage.function.answer = lambda items: [BadItemError() if item["id"] == 57 else None for item in items]  # noqa: PLR2004
    await stage.write()


async def too_few(stage: CoreStage) -> None:
    """The function processes every item, and answers with one result too few."""
    await stage.open()
    stage.function.answer = lambda items: [None] * (len(items) - 1)
    await stage.write()


async def callers_leave(stage: CoreStage) -> None:
    """One caller of the batch that is in flight is cancelled, by a timeout of his own, say."""
    await stage.open()
    stage.begin()
    await stage.function.begun.wait()
    await stage.leave([0])
    await stage.finish()


async def callers_leave_the_queue(stage: CoreStage) -> None:
    """Ten callers whose items are still waiting are cancelled."""
    await stage.open()
    stage.begin()
    await stage.function.begun.wait()
    await stage.leave(range(50, 60))
    await stage.finish()


async def fails_when_one_has_left(stage: CoreStage) -> None:
    """One caller of the batch that is in flight is cancelled, and then the function raises."""
    await stage.open()
    stage.function.answer = _fail
    stage.begin(make_rows(10))
    await stage.function.begun.wait()
    await stage.leave([0])
    await stage.finish()


async def cancelled_within(stage: CoreStage) -> None:
    """The function raises `CancelledError`, of something that it waited for."""
    await stage.open()
    stage.function.answer = _cancel
    await stage.write(make_rows(10))


async def stopped_while_items_wait(stage: CoreStage) -> None:
    """It is told to stop in good order while items wait, and the program ends when it has."""
    await stage.open()
    stage.begin()
    await stage.function.begun.wait()
    await stage.stop_and_end()


async def forced_while_items_wait(stage: CoreStage) -> None:
    """It is told to stop at once while items wait."""
    await stage.open()
    stage.begin()
    await stage.function.begun.wait()
    forced: Any = stage.way
    await forced.force()
    await stage.finish()


def _fail(_: list[Row]) -> list[Any]:
    message = "the database said no"
    raise RuntimeError(message)


def _cancel(_: list[Row]) -> list[Any]:
    raise asyncio.CancelledError


@contextlib.asynccontextmanager
async def stage(_: Servers, way: type[Way]) -> AsyncIterator[CoreStage]:
    """Make a function for one scenario."""
    yield CoreStage(way(Function()))


CORE = Division(
    "Batchers, without a database",
    "A function that takes a list of items and 50 ms for it; what it has processed counts as stored.",
    (Ours, Theirs, ByHand),
    (
        bad_item,
        too_few,
        callers_leave,
        callers_leave_the_queue,
        fails_when_one_has_left,
        cancelled_within,
        stopped_while_items_wait,
        forced_while_items_wait,
    ),
    stage,
    ("async-batcher",),
)

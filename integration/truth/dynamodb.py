"""DynamoDB Local on disk, a proxy before it, and what can be done to either."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any

from bulkwriter.testing.conformance.told import Telling
from integration.attempts import told
from integration.dynamodb import Chances, FaultProxy
from integration.dynamodb.proxy import KINDS as FAULTS
from integration.truth.callers import KEYS, Callers
from integration.truth.trouble import Trouble

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from integration.dynamodb.http import Answer, Request
    from integration.dynamodb.proxy import Forward
    from integration.servers.dynamodb_scratch import DynamoDBScratch

    Kind = Callable[["DynamoDBTrouble"], Awaitable[int]]

_DELETES = 0.2
_BAD = 0.03
_EVEN = 0.5

POISON: tuple[dict[str, Any], ...] = (
    {"name": set()},
    {"name": "\ud800"},
    {"amount": 10**39 + 1},
    {"note": object()},
    {"note": {"": 1}},
    {"name": "n" * 410_000},
)
"""What makes an item bad."""


class DynamoDBCallers(Callers):
    """Callers whose rows are items: anything goes into an attribute, and an update replaces the whole item."""

    async def go_on(self) -> None:
        """Insert a new row, as if nothing had happened.

        Raises:
            AssertionError: It is not stored.
        """
        telling = Telling({"id": KEYS, "name": "afterwards"}, self._on_conflict)
        await self._ask(telling, None)
        assert told([telling.answer]) == ["stored" if self._on_conflict == "update" else "inserted"], telling.answer

    def _drawn(self) -> Telling:
        chance, key = self._chance, self._chance.randrange(KEYS)
        # Plain inserts keep their order within a batch alone: what a delete among them leaves, nobody could say.
        if self._on_conflict != "error" and chance.random() < _DELETES:
            return Telling({"id": key}, self._on_conflict, is_delete=True)
        row: dict[str, Any] = {"id": key, "name": f"row {len(self.tellings)}", "amount": len(self.tellings)}
        if chance.random() < 1 / 2:
            row["note"] = "noted"
        if chance.random() < _BAD:
            row.update(chance.choice(POISON))
        return Telling(row, self._on_conflict)


class WireProxy(FaultProxy):
    """A proxy of which the wire can be cut and stalled as well.

    Attributes:
        is_down: Whether who connects is turned away.
        refusals: How many were.
    """

    def __init__(self, forward: Forward) -> None:
        super().__init__(forward)
        self.is_down = False
        self.refusals = 0
        self._flows = asyncio.Event()
        self._flows.set()

    def cut(self) -> int:
        """Cut every connection, whatever is under way; return how many there were."""
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)

    def freeze(self) -> None:
        """Let nothing arrive."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let it arrive."""
        self._flows.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            self.refusals += 1
            writer.transport.abort()
            return
        super()._accept(reader, writer)

    async def _respond(self, request: Request) -> Answer | None:
        await self._flows.wait()
        return await super()._respond(request)


class DynamoDBArena:
    """Where callers and trouble meet.

    Args:
        scratch: Where the tables are.
        wire: Between the client and the server.
        client: Given to backends.
    """

    def __init__(self, scratch: DynamoDBScratch, wire: WireProxy, client: Any) -> None:
        self.scratch = scratch
        self.wire = wire
        self.client = client

    @property
    def server(self) -> Any:
        """The server."""
        return self.scratch.server


class DynamoDBTrouble(Trouble):
    """Brings about one kind of trouble after the other: half of them those that have hit least.

    Args:
        arena: Where.
        chance: Draws them.
        hits: How often each has happened so far.
    """

    def __init__(self, arena: DynamoDBArena, chance: random.Random, hits: collections.Counter[str]) -> None:
        self._scene = arena
        self.chance = chance
        self.hits = collections.Counter()
        self._before = hits

    async def last(self, seconds: float) -> None:
        """Go on for so long; then let everything flow again."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + seconds
        while clock() < ends_at:
            name = self._drawn()
            self.hits[name] += await KINDS[name](self)
            await asyncio.sleep(self.chance.uniform(0, 0.05))
        self._scene.wire.thaw()
        self._scene.wire.revive()

    def _drawn(self) -> str:
        if self.chance.random() < _EVEN:
            return min(KINDS, key=lambda name: self._before[name] + self.hits[name])
        return self.chance.choice([name for name in KINDS if name not in _LONG])

    async def requests(self, fault: Any) -> int:
        """Some of the next requests go wrong in one way."""
        wire = self._scene.wire
        before = wire.happened[fault]
        wire.plan(*[fault] * self.chance.choice([1, 2, 5, 10]))
        await asyncio.sleep(self.chance.uniform(0.02, 0.1))
        return wire.happened[fault] - before

    async def storm(self) -> int:
        """For a while, most requests go wrong, each in another way."""
        wire = self._scene.wire
        before = wire.happened.total()
        wire.chances = Chances(**dict.fromkeys(FAULTS, 0.7 / len(FAULTS)), share=self.chance.random())
        await asyncio.sleep(self.chance.uniform(0.1, 0.5))
        wire.chances = Chances()
        return int(wire.happened.total() > before)

    async def full(self) -> int:
        """For a while, the table takes nothing."""
        wire = self._scene.wire
        before = wire.happened["throttled"]
        wire.chances = Chances(throttled=1.0)
        await asyncio.sleep(self.chance.uniform(0.05, 0.3))
        wire.chances = Chances()
        return int(wire.happened["throttled"] > before)

    async def cut(self) -> int:
        """Cut every connection, wherever it is."""
        return int(self._scene.wire.cut() > 0)

    async def stall(self) -> int:
        """Nothing arrives for a while, longer than is waited for at times."""
        self._scene.wire.freeze()
        await asyncio.sleep(self.chance.uniform(0.05, 1.5))
        self._scene.wire.thaw()
        return 1

    async def refuse(self) -> int:
        """Nobody can connect for a while."""
        wire = self._scene.wire
        before = wire.refusals
        wire.is_down = True
        wire.cut()
        await asyncio.sleep(self.chance.uniform(0.05, 0.3))
        wire.is_down = False
        return int(wire.refusals > before)

    async def pause(self) -> int:
        """The server is held, and its connections stay open."""
        self._scene.server.pause()
        await asyncio.sleep(self.chance.uniform(0.05, 1.5))
        self._scene.server.resume()
        return 1

    async def crash(self) -> int:
        """The server is killed, and comes back."""
        await asyncio.to_thread(self._scene.server.kill)
        await asyncio.to_thread(self._scene.server.revive)
        return 1

    async def restart(self) -> int:
        """The server is stopped and started in good order."""
        await asyncio.to_thread(self._scene.server.restart)
        return 1


def _of_requests(fault: Any) -> Kind:
    async def happen(trouble: DynamoDBTrouble) -> int:
        return await trouble.requests(fault)

    return happen


KINDS: dict[str, Kind] = {
    **{f"requests {fault}": _of_requests(fault) for fault in FAULTS},
    "storm": DynamoDBTrouble.storm,
    "table full": DynamoDBTrouble.full,
    "connections cut": DynamoDBTrouble.cut,
    "wire stalled": DynamoDBTrouble.stall,
    "connections refused": DynamoDBTrouble.refuse,
    "server paused": DynamoDBTrouble.pause,
    "server killed": DynamoDBTrouble.crash,
    "server restarted": DynamoDBTrouble.restart,
}

_LONG = frozenset({"server killed", "server restarted"})
"""What takes seconds comes when it is its turn."""

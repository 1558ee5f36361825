"""What goes wrong meanwhile: one thing after the other, drawn by chance, and counted when it has truly hit."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any

from integration.truth.callers import KEYS
from integration.wire import commit, statement

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from bulkwriter import BulkWriter
    from integration.wire import Fault

    Kind = Callable[[Any], Awaitable[int]]

_PATIENCE = 0.5
"""Seconds after which a moment that has not come is waited for no more."""


class Trouble:
    """Brings about one kind of trouble after the other.

    Args:
        arena: Where; it says what can go wrong there.
        chance: Draws them.
        writer: Whose trouble it is.

    Attributes:
        hits: How often each has truly happened.
    """

    def __init__(self, arena: Any, chance: random.Random, writer: BulkWriter[Any]) -> None:
        self.arena: Any = arena
        self.chance = chance
        self.writer = writer
        self.hits: collections.Counter[str] = collections.Counter()

    async def last(self, seconds: float) -> None:
        """Go on for so long; then let everything flow again."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + seconds
        names, weights = list(self.arena.kinds), [weight for weight, _ in self.arena.kinds.values()]
        while clock() < ends_at:
            (name,) = self.chance.choices(names, weights)
            self.hits[name] += await self.arena.kinds[name][1](self)
            await asyncio.sleep(self.chance.uniform(0, 0.1))
        self.arena.calm()


class ServerTrouble(Trouble):
    """What befalls a server and the wire to it."""

    async def _come(self, fault: Fault) -> int:
        """Wait for a fault of the wire, and take it back if its moment does not come."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await fault.happened()
        except TimeoutError:
            pass
        finally:
            self.arena.wire.faults.remove(fault)
        return fault.hits

    async def cut(self) -> int:
        """Cut every connection, wherever it is."""
        return int(self.arena.wire.cut())

    async def cut_before_commit(self) -> int:
        """The server never hears of the COMMIT."""
        return await self._come(self.arena.wire.cut_before(commit()))

    async def cut_after_commit(self) -> int:
        """It has committed, and nobody hears of it."""
        return await self._come(self.arena.wire.cut_after(commit()))

    async def cut_at_commit(self) -> int:
        """Whether it has is a matter of luck."""
        return await self._come(self.arena.wire.cut_at_once(commit()))

    async def cut_amid_rows(self) -> int:
        """Half of a statement arrives."""
        return await self._come(self.arena.wire.cut_amid(statement("INSERT|COPY|DELETE|FROM unnest")))

    async def swallow_commit(self) -> int:
        """It has committed, and the connection stays open and silent."""
        return await self._come(self.arena.wire.swallow(commit()))

    async def stall(self) -> int:
        """Nothing arrives for a while."""
        self.arena.wire.freeze()
        await asyncio.sleep(self.chance.uniform(0.05, 0.4))
        self.arena.wire.thaw()
        return 1

    async def refuse(self) -> int:
        """Nobody can connect for a while."""
        wire = self.arena.wire
        before = wire.refusals
        wire.is_down = True
        wire.cut()
        await asyncio.sleep(self.chance.uniform(0.05, 0.3))
        wire.is_down = False
        return int(wire.refusals > before)

    async def end_sessions(self) -> int:
        """An administrator ends the writer's sessions."""
        return int(await self.arena.end_sessions())

    async def rival(self) -> int:
        """Somebody else locks some of the rows, in the wrong order."""
        keys = sorted(self.chance.sample(range(KEYS), 6), reverse=True)
        return int(await self.arena.lock(keys, self.chance.uniform(0, 0.03)) > 0)

    async def pause(self) -> int:
        """The server is held, and its connections stay open."""
        self.arena.server.pause()
        await asyncio.sleep(self.chance.uniform(0.05, 1.5))
        self.arena.server.resume()
        return 1

    async def crash(self) -> int:
        """The server is killed, and recovers."""
        return int(await self.arena.crash())

    async def restart(self) -> int:
        """The server is stopped and started in good order."""
        await asyncio.to_thread(self.arena.server.restart)
        return 1


SERVER_KINDS: dict[str, tuple[float, Kind]] = {
    "cut": (2, ServerTrouble.cut),
    "cut before COMMIT": (2, ServerTrouble.cut_before_commit),
    "cut after COMMIT": (2, ServerTrouble.cut_after_commit),
    "cut at COMMIT": (2, ServerTrouble.cut_at_commit),
    "cut amid rows": (2, ServerTrouble.cut_amid_rows),
    "COMMIT's answer swallowed": (1, ServerTrouble.swallow_commit),
    "wire stalled": (1, ServerTrouble.stall),
    "connections refused": (1, ServerTrouble.refuse),
    "sessions ended": (2, ServerTrouble.end_sessions),
    "rival's locks": (2, ServerTrouble.rival),
    "server paused": (1, ServerTrouble.pause),
    "server killed": (0.5, ServerTrouble.crash),
    "server restarted": (0.5, ServerTrouble.restart),
}
"""How likely each is, and what it does."""

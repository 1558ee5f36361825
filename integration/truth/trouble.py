"""What goes wrong meanwhile: one thing after the other, drawn by chance, and counted when it has truly hit."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING

from integration.truth.callers import KEYS
from integration.wire import commit, statement

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from integration.truth.arenas import Arena
    from integration.wire import Fault

    Kind = Callable[["Trouble"], Awaitable[int]]

_PATIENCE = 0.5
"""Seconds after which a moment that has not come is waited for no more."""


class Trouble:
    """Brings about one kind of trouble after the other.

    Args:
        arena: Where.
        chance: Draws them.

    Attributes:
        hits: How often each has truly happened.
    """

    def __init__(self, arena: Arena, chance: random.Random) -> None:
        self.arena = arena
        self.chance = chance
        self.hits: collections.Counter[str] = collections.Counter()

    async def last(self, seconds: float) -> None:
        """Go on for so long; then let everything flow again."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + seconds
        names, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
        while clock() < ends_at:
            (name,) = self.chance.choices(names, weights)
            self.hits[name] += await KINDS[name][1](self)
            await asyncio.sleep(self.chance.uniform(0, 0.1))
        self.arena.wire.thaw()

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
        return self.arena.wire.cut()

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
        return await self.arena.end_sessions()

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
        return await self.arena.crash()

    async def restart(self) -> int:
        """The server is stopped and started in good order."""
        await asyncio.to_thread(self.arena.server.restart)
        return 1


KINDS: dict[str, tuple[float, Kind]] = {
    "cut": (2, Trouble.cut),
    "cut before COMMIT": (2, Trouble.cut_before_commit),
    "cut after COMMIT": (2, Trouble.cut_after_commit),
    "cut at COMMIT": (2, Trouble.cut_at_commit),
    "cut amid rows": (2, Trouble.cut_amid_rows),
    "COMMIT's answer swallowed": (1, Trouble.swallow_commit),
    "wire stalled": (1, Trouble.stall),
    "connections refused": (1, Trouble.refuse),
    "sessions ended": (2, Trouble.end_sessions),
    "rival's locks": (2, Trouble.rival),
    "server paused": (1, Trouble.pause),
    "server killed": (0.5, Trouble.crash),
    "server restarted": (0.5, Trouble.restart),
}
"""How likely each is, and what it does."""

"""What is to happen to a connection at a moment, how often, and how often it has."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.wire.moments import Moment


class Action(enum.Enum):
    """What happens to the connection when the moment has come."""

    CUT_BEFORE = "the message is not passed on, and both ends are cut"
    CUT_AMID = "half of the message is passed on, and both ends are cut"
    CUT_AFTER = "the server does it and says so; the answer is not passed on, and both ends are cut"
    CUT_AT_ONCE = "the message is passed on and the client is cut at once; the server hears of it when it has done it"
    SWALLOW = "the server does it and says so; the client never hears anything again, and nothing is cut"
    HOLD = "the message is held until the wire is told to release it; it then arrives, whoever has gone meanwhile"
    FREEZE = "the message is not passed on, and neither is anything after it, until the wire thaws"


class Fault:
    """One thing that is to happen.

    Attributes:
        moment: When.
        action: What.
        times: How often it is still to happen; -1 for whenever the moment comes.
        hits: How often it has happened.
    """

    def __init__(self, moment: Moment, action: Action, times: int) -> None:
        self.moment = moment
        self.action = action
        self.times = times
        self.hits = 0
        self._hit = asyncio.Condition()

    def __repr__(self) -> str:
        return f"<Fault {self.action.name} at {self.moment.name}: {self.hits} hits>"

    def is_due(self) -> bool:
        """Whether it is still to happen, and count one time less if so."""
        if self.times:
            self.times -= 1
            return True
        return False

    async def hit(self) -> None:
        """Count that it has happened, and wake who waits for it."""
        async with self._hit:
            self.hits += 1
            self._hit.notify_all()

    async def happened(self, times: int = 1) -> None:
        """Wait until it has happened so often."""
        async with self._hit:
            await self._hit.wait_for(lambda: self.hits >= times)

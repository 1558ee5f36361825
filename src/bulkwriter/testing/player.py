"""Plays a schedule of faults: what a backend that is seen through a script calls, and what a test waits for."""

from __future__ import annotations

import asyncio
import collections
import functools
from typing import TYPE_CHECKING, Any

from bulkwriter.testing import actions
from bulkwriter.testing.actions import Call
from bulkwriter.testing.parts import Poisons, settle_whole, write_others
from bulkwriter.testing.schedule import During, Schedule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Attempt, Reply


class Player:
    """Lets each call of a backend meet the fault that is due, and counts what has truly happened.

    Attributes:
        attempts: How many attempts have begun.
    """

    def __init__(self) -> None:
        self.attempts: int = 0
        self._schedule = Schedule()
        self._poisons = Poisons()
        self._hits: collections.Counter[str] = collections.Counter()
        # Calls that an outage still lasts for; -1 = for ever.
        self._outage = 0
        self._hanging: list[asyncio.Future[None]] = []
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []

    @property
    def hits(self) -> dict[str, int]:
        """How often each fault has truly happened, by the name of its method."""
        return {fault: times for fault, times in self._hits.items() if times}

    @property
    def is_spent(self) -> bool:
        """Whether every fault of the script has happened: a test of a fault that never came proves nothing."""
        return self._schedule.is_spent and self._poisons.is_spent

    async def wait_for(self, fault: str, times: int = 1) -> None:
        """Wait until a fault has happened so many times in all.

        Args:
            fault: The name of its method, such as ``"hang"``.
            times: How often, counted from the beginning.
        """
        if self._hits[fault] < times:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((fault, times, future))
            await future

    def release(self) -> None:
        """Let every call go on that hangs now."""
        for future in self._hanging:
            if not future.done():
                future.set_result(None)

    async def during_attempt(
        self, backend: Backend, attempt: Attempt, call: Callable[[Attempt], Awaitable[Reply]]
    ) -> Reply:
        """Make an attempt as the script says. For backends that take a script themselves; others are wrapped.

        Args:
            backend: The backend, for errors and for the rows' columns.
            attempt: The attempt.
            call: Makes an attempt as if there were no script.

        Raises:
            Exception: Whatever the script says.
        """
        self.attempts += 1
        write = functools.partial(self._write_around_poison, backend, call)
        befallen = Call(self, backend, functools.partial(write, attempt), attempt, write)
        reply: Reply = await self._befall("attempt", befallen)
        return reply

    async def during_settle(
        self, backend: Backend, attempt: Attempt, call: Callable[[Attempt], Awaitable[Reply]]
    ) -> Reply:
        """Settle an attempt as the script says. For backends that take a script themselves.

        Args:
            backend: The backend, for errors.
            attempt: The attempt.
            call: Settles an attempt as if there were no script.

        Raises:
            Exception: Whatever the script says.
        """
        proceed = functools.partial(settle_whole, self, attempt, call)
        reply: Reply = await self._befall("settle", Call(self, backend, proceed, attempt))
        return reply

    async def during_open(self, backend: Backend, call: Callable[[], Awaitable[None]]) -> None:
        """Open a backend as the script says. For backends that take a script themselves.

        Args:
            backend: The backend, for errors.
            call: Opens it as if there were no script.

        Raises:
            Exception: Whatever the script says.
        """
        await self._befall("open", Call(self, backend, call))

    async def _befall(self, during: During, call: Call) -> Any:
        if self._outage:
            self._outage -= self._outage > 0
            call.fault = "disconnect"
            return await actions.unreachable(call)
        step = self._schedule.take(during)
        if step is None or step.action is None:
            return await call.proceed()
        call.fault = step.fault
        try:
            return await step.action(call)
        finally:
            step.has_hit = step.has_hit or call.has_hit
            if not call.has_hit:
                self._schedule.put_back(during, step)

    async def _write_around_poison(
        self, backend: Backend, call: Callable[[Attempt], Awaitable[Reply]], attempt: Attempt
    ) -> Reply:
        bad = self._poisons.found(backend, attempt)
        if not bad:
            return await call(attempt)
        for _ in bad:
            self._count("poison")
        if not attempt.careful:
            # A bulk statement fails as a whole.
            raise next(iter(bad.values()))
        return await write_others(self, attempt, call, bad)

    def _count(self, fault: str) -> None:
        self._hits[fault] += 1
        for waiter in list(self._waiting):
            name, times, future = waiter
            if name == fault and self._hits[fault] >= times:
                self._waiting.remove(waiter)
                if not future.done():
                    future.set_result(None)

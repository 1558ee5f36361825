"""Time that passes only when nothing else is left to do: a test of timers is exact, and is over at once.

``@virtually`` runs a coroutine test on such a loop. If every task waits for something that nobody will ever bring, the
test fails with ``EverybodyWaitsError`` there and then, instead of hanging.
"""

from __future__ import annotations

import asyncio
import functools
import os
import selectors
import sys
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")


class EverybodyWaitsError(Exception):
    """Nothing is ready, no timer is set, and somebody still waits: it would be for ever."""


class _Clock(selectors.SelectSelector):
    """Where the loop sleeps: the sleep is over at once, and the clock shows that it has been slept."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            message = "nothing is ready and no timer is set, yet somebody waits"
            raise EverybodyWaitsError(message)
        self.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` begins at 0 and moves only by what it would have slept."""

    def __init__(self) -> None:
        self._virtual = _Clock()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._virtual.now

    def turn(self) -> None:
        """Run what is ready now, once."""
        self.call_soon(self.stop)
        self.run_forever()

    def pass_time(self, seconds: float) -> None:
        """Run for so long, in virtual time."""
        self.call_later(seconds, self.stop)
        self.run_forever()


def new_virtual_loop() -> VirtualLoop:
    """Return a loop with virtual time, with eager tasks where the run is one of eager tasks."""
    loop = VirtualLoop()
    if os.environ.get("BULKWRITER_TEST_LOOP") == "eager" and sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` in virtual time; fails if a task is left behind, or an error that nobody looked at."""
    with asyncio.Runner(loop_factory=new_virtual_loop) as runner:
        return runner.run(_watched(main))


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a coroutine test one that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtually(test(*args, **kwargs))

    return run


async def _watched(main: Coroutine[Any, Any, T]) -> T:
    unseen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(f"{context!r}"))
    result = await main
    for _ in range(3):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"the test left tasks behind: {left}"
    assert not unseen, f"nobody saw these errors: {unseen}"
    return result

"""Event loops to run on, and running something on one of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

ResultT = TypeVar("ResultT")


def loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return by name what makes a loop of each kind that is installed."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return factories
    return {**factories, "uvloop": uvloop.new_event_loop}


def run_on(factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine on a new loop."""
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)

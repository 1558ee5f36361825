"""What holds for every test: the kind of event loop, no task left behind, no error that nobody saw.

``BULKWRITER_TEST_LOOP`` chooses the loop of the whole run: ``asyncio`` (the default), ``eager`` (asyncio with eager
tasks, from Python 3.12) or ``uvloop``. A test that is no coroutine and starts a loop of its own takes the fixture
``run``, so that it runs on that kind as well.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

import hypothesis
import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

T = TypeVar("T")

LOOP = os.environ.get("BULKWRITER_TEST_LOOP", "asyncio")

# "ci" draws the same examples each time: what lands must not depend on luck. "thorough" draws new ones, for a night.
hypothesis.settings.register_profile(
    "ci", max_examples=40, stateful_step_count=30, deadline=None, print_blob=True, derandomize=True
)
hypothesis.settings.register_profile("thorough", max_examples=2000, stateful_step_count=60, deadline=None)
hypothesis.settings.load_profile(os.environ.get("BULKWRITER_TEST_PROFILE", "ci"))


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if sys.version_info < (3, 12):
        pytest.exit("eager tasks came with Python 3.12", returncode=2)
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if LOOP == "uvloop":
        import uvloop  # noqa: PLC0415 - not on every platform

        return uvloop.new_event_loop
    return {"asyncio": asyncio.new_event_loop, "eager": _eager_loop}[LOOP]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every coroutine test on the chosen kind of loop."""
    return {LOOP: _loop_factory()}


def pytest_report_header() -> str:
    """Say at the top of the run what is tested on what."""
    return f"bulkwriter {metadata.version('bulkwriter')} on Python {platform.python_version()}, {LOOP} loop"


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """``asyncio.run`` on the chosen kind of loop, for tests that are no coroutines."""

    def run_once(main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(main)

    return run_once


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> None:
    """Watch every coroutine test; the others have no loop to leave anything in."""
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("_watched_loop")


@pytest.fixture
async def _watched_loop() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind, or an error in a task or future that nobody looked at."""
    loop = asyncio.get_running_loop()
    unseen: list[str] = []
    loop.set_exception_handler(lambda _, context: unseen.append(_told(context)))
    before = asyncio.all_tasks()
    yield
    # What was cancelled or finished in the test's last step takes a turn or two to end.
    for _ in range(3):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"the test left tasks behind: {left}"
    assert not unseen, f"nobody saw these errors: {unseen}"


def _told(context: dict[str, Any]) -> str:
    """Return what a loop tells its exception handler, and where the task is that it speaks of."""
    what = context.get("exception") or context.get("task") or context.get("future")
    return f"{context['message']}: {what!r}"

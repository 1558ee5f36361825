"""One batcher, one event loop: a second one is a clear error, and never a wait for ever."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher, MisconfigurationError
from tests.processors import Echo, Held, assert_at_rest, turns

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Run = "Callable[[Coroutine[Any, Any, Any]], Any]"


def test_it_can_be_made_without_a_loop(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """At import time, as module-level objects are: it belongs to the loop on which it is first used."""
    batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)
    assert batcher.statistics().accepted == 0
    assert "0 queued" in repr(batcher)

    async def main() -> int:
        async with batcher:
            return await batcher.process(1)

    assert run(main()) == 1


def test_making_one_starts_nothing(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """No task, no thread, no timer, until the first item comes."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        threads, tasks = threading.active_count(), asyncio.all_tasks(loop)
        batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)
        await turns()
        assert (threading.active_count(), asyncio.all_tasks(loop)) == (threads, tasks)
        assert batcher._loop is None

    run(main())


@pytest.mark.parametrize("is_stopped", [False, True], ids=["left running", "stopped"])
def test_a_second_loop_is_a_clear_error(is_stopped: bool, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:  # noqa: FBT001
    """As with a second ``asyncio.run``: every way in says so at once."""
    batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0, name="orders")

    async def first() -> None:
        assert await batcher.process(1) == 1
        if is_stopped:
            await batcher.stop()

    async def second() -> None:
        message = "^AsyncBatcher orders belongs to another event loop: make a new one for each loop$"
        with pytest.raises(MisconfigurationError, match=message):
            await batcher.process(2)
        with pytest.raises(MisconfigurationError, match=message):
            batcher.submit(2)
        with pytest.raises(MisconfigurationError, match=message):
            await batcher.process_many([2])
        with pytest.raises(MisconfigurationError, match=message):
            await batcher.flush()
        if is_stopped:
            await batcher.stop()
        else:
            with pytest.raises(MisconfigurationError, match=message):
                await batcher.stop()
            with pytest.raises(MisconfigurationError, match=message):
                await batcher.stop(force=True)

    run(first())
    run(second())
    assert batcher.statistics().accepted == 1
    assert batcher.statistics().is_balanced


async def test_a_loop_in_another_thread_is_a_clear_error() -> None:
    """And those who use it on its own loop do not notice."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
        future = batcher.submit(1)
        await turns()

        async def elsewhere() -> None:
            with pytest.raises(MisconfigurationError):
                await batcher.process(2)
            with pytest.raises(MisconfigurationError):
                batcher.submit(2)

        await asyncio.to_thread(asyncio.run, elsewhere())
        held.echo(0)
        assert await future == 1
    assert held.items == [1]
    assert_at_rest(batcher)


async def test_a_thread_without_a_loop_is_a_clear_error() -> None:
    """It would have to use ``run_coroutine_threadsafe``, which works."""
    loop = asyncio.get_running_loop()
    async with AsyncBatcher[int, int](Echo(), max_queue_time=0) as batcher:

        def in_thread() -> int:
            with pytest.raises(RuntimeError, match="no running event loop"):
                batcher.submit(1)
            return asyncio.run_coroutine_threadsafe(batcher.process(2), loop).result(30)

        assert await asyncio.to_thread(in_thread) == 2


async def test_figures_may_be_read_from_anywhere() -> None:
    """A health check in another thread asks nobody to wait."""
    held = Held()
    async with AsyncBatcher[int, int](held, max_queue_time=0) as batcher:
        future = batcher.submit(1)
        await turns()
        figures = await asyncio.to_thread(batcher.statistics)
        assert figures.in_flight == 1
        assert "1 of 1 batches in flight" in await asyncio.to_thread(repr, batcher)
        held.echo(0)
        await future


def test_two_batchers_in_two_loops_do_not_meet(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Nothing is shared between them."""
    for _ in range(3):
        batcher = AsyncBatcher[int, int](Echo(), max_queue_time=0)

        async def main(batcher: AsyncBatcher[int, int]) -> list[int]:
            async with batcher:
                return await asyncio.gather(*map(batcher.process, range(10)))

        assert run(main(batcher)) == list(range(10))

"""Figures that balance at every moment, a ``repr`` that is a dashboard, and logs that hold no item."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import AsyncBatcher, QueueFullError, RowTooLargeError, Statistics
from tests.processors import Echo, Held, Stubborn, assert_at_rest, outcomes, turns
from tests.virtual_time import virtually

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "s3cret"  # noqa: S105 - what no log line and no message may show


class TestStatistics:
    """accepted = every fate + queued + in flight."""

    async def test_each_item_is_counted_where_it_is(self) -> None:
        """From the call to its fate."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=2, max_queue_size=3, when_full="wait")
        assert batcher.statistics() == Statistics()
        tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(7)]
        await turns()
        assert batcher.statistics() == Statistics(
            accepted=7, queued=5, in_flight=2, batches_in_flight=1, batches=1, largest_batch=2
        )
        held.answer(0, [0, ValueError("bad")])
        await turns()
        # It is found when its batch leaves.
        tasks[5].cancel()
        await turns()
        assert batcher.statistics() == Statistics(
            accepted=7,
            succeeded=1,
            failed=1,
            queued=3,
            in_flight=2,
            batches_in_flight=1,
            batches=2,
            largest_batch=2,
        )
        await batcher.stop(force=True)
        await outcomes(list(tasks))
        assert batcher.statistics() == Statistics(
            accepted=7, succeeded=1, failed=1, withdrawn=1, unknown=2, not_written=2, batches=2, largest_batch=2
        )

    async def test_what_is_rejected_at_the_door_counts_as_accepted_and_rejected(self) -> None:
        """And what finds the queue full as neither: it may come again."""
        async with AsyncBatcher[str, str](Echo(), max_queue_time=0, max_queue_bytes=3, max_queue_size=1) as batcher:
            with pytest.raises(RowTooLargeError):
                batcher.submit("four")
            future = batcher.submit("ok")
            with pytest.raises(QueueFullError):
                batcher.submit("no")
            assert batcher.statistics() == Statistics(accepted=2, rejected=1, queued=1, queued_bytes=2)
            await future

    async def test_they_balance_in_every_turn_of_the_loop(self) -> None:
        """Whatever is going on: answers are handed out in turns, callers come and go, and in the end it is forced."""
        held = Held()
        batcher = AsyncBatcher[int, int](
            held, max_queue_time=0, max_batch_size=2500, max_queue_size=3000, when_full="wait", concurrency=2
        )
        running = True
        looks = 0

        async def look() -> None:
            nonlocal looks
            while running:
                figures = batcher.statistics()
                assert figures.is_balanced, figures
                looks += 1
                await asyncio.sleep(0)

        looking = asyncio.ensure_future(look())
        tasks = [asyncio.ensure_future(batcher.process(item)) for item in range(12_000)]
        many = asyncio.ensure_future(batcher.process_many(range(6000)))
        await turns(8)
        held.echo(0)
        held.answer(1, ValueError("bad"))
        await turns(3)
        for task in tasks[6000:9000:2]:
            task.cancel()
        await turns(6)
        held.echo_all()
        await turns(3)
        await batcher.stop(force=True)
        running = False
        await looking
        await outcomes([*tasks, many])
        assert looks > 20
        assert_at_rest(batcher)

    async def test_they_balance_within_a_batch_too(self) -> None:
        """Where process_batch itself looks."""

        async def process_batch(batch: list[int]) -> list[int]:
            figures = batcher.statistics()
            assert figures.is_balanced
            assert figures.in_flight >= len(batch)
            await asyncio.sleep(0)
            assert batcher.statistics().is_balanced
            return batch

        batcher = AsyncBatcher[int, int](process_batch, max_queue_time=0, max_batch_size=3, concurrency=2)
        async with batcher:
            assert await asyncio.gather(*map(batcher.process, range(20))) == list(range(20))

    @virtually
    async def test_a_batch_left_behind_is_counted_once(self) -> None:
        """Also when it ends after all."""
        stubborn = Stubborn()
        batcher = AsyncBatcher[int, int](stubborn, max_queue_time=0)
        batcher.submit(1)
        await turns()
        await batcher.stop(force=True)
        before = batcher.statistics()
        assert before == Statistics(accepted=1, unknown=1, batches=1, largest_batch=1)
        stubborn.released.set()
        await turns()
        assert batcher.statistics() == before

    async def test_a_snapshot_does_not_change(self) -> None:
        """It is of its moment."""
        async with AsyncBatcher[int, int](Echo(), max_queue_time=0) as batcher:
            before = batcher.statistics()
            await batcher.process(1)
            assert before == Statistics()

    async def test_queued_bytes_are_those_in_the_queue(self) -> None:
        """0 where no limit makes them known."""
        held = Held()
        async with AsyncBatcher[str, str](held, max_queue_time=0, max_batch_bytes=5) as batcher:
            futures = [batcher.submit(item) for item in ("abc", "de", "fgh")]
            assert batcher.statistics().queued_bytes == 8
            await turns()
            assert batcher.statistics().queued_bytes == 3
            held.echo_all()
            await turns()
            held.echo_all()
            await outcomes(futures)
            assert batcher.statistics().queued_bytes == 0
        async with AsyncBatcher[str, str](Echo(), max_queue_time=0) as batcher:
            batcher.submit("abc")
            assert batcher.statistics().queued_bytes == 0


class TestRepr:
    """``repr`` is a dashboard."""

    async def test_it_tells_what_is_going_on(self) -> None:
        """In one line, for people."""
        held = Held()
        batcher = AsyncBatcher[int, int](held, max_queue_time=0, max_batch_size=1000, concurrency=2, name="orders")
        assert repr(batcher) == "<AsyncBatcher orders: 0 queued, 0 of 2 batches in flight, 0 succeeded, 0 failed>"
        futures = [batcher.submit(item) for item in range(3500)]
        await turns()
        assert repr(batcher) == "<AsyncBatcher orders: 1,500 queued, 2 of 2 batches in flight, 0 succeeded, 0 failed>"
        held.answer(0, ValueError("bad"))
        stopping = asyncio.ensure_future(batcher.stop())
        await turns()
        assert repr(batcher) == (
            "<AsyncBatcher orders: 500 queued, 2 of 2 batches in flight, 0 succeeded, 1,000 failed, stopping>"
        )
        held.echo_all()
        await turns()
        held.echo_all()
        await stopping
        assert repr(batcher) == (
            "<AsyncBatcher orders: 0 queued, 0 of 2 batches in flight, 2,500 succeeded, 1,000 failed, stopped>"
        )
        await outcomes(futures)

    def test_a_subclass_is_called_by_its_own_name(self) -> None:
        """And unlimited slots are no number."""

        class Mailer(AsyncBatcher[str, None]):
            async def process_batch(self, _: list[str]) -> None:
                """Send them."""

        assert repr(Mailer(concurrency=-1)) == (
            "<Mailer: 0 queued, 0 of unlimited batches in flight, 0 succeeded, 0 failed>"
        )

    async def test_it_shows_no_item(self) -> None:
        """It ends up in other people's systems."""
        held = Held()
        async with AsyncBatcher[str, str](held, max_queue_time=0, max_batch_size=1) as batcher:
            futures = [batcher.submit(SECRET), batcher.submit(SECRET)]
            await turns()
            assert SECRET not in repr(batcher)
            held.echo_all()
            await turns()
            held.echo_all()
            await outcomes(futures)


class TestSecrecy:
    """Neither log lines nor the library's own messages show an item."""

    @pytest.fixture
    def everything(self, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
        """Listen to every logger there is."""
        caplog.set_level(logging.DEBUG)
        yield caplog
        gc.collect()
        assert SECRET not in caplog.text

    @virtually
    async def test_log_lines_show_no_item(self, everything: pytest.LogCaptureFixture) -> None:
        """In whatever goes wrong."""
        asyncio.get_running_loop().set_debug(enabled=True)
        held = Held()
        batcher = AsyncBatcher[str, str](held, max_queue_time=0, max_batch_size=1, max_queue_size=4)
        for _ in range(4):
            batcher.submit(SECRET)
        with pytest.raises(QueueFullError):
            batcher.submit(SECRET)
        for number, end in enumerate([ValueError("bad"), "nonsense", asyncio.CancelledError()]):
            await turns()
            held.answer(number, end)
        await turns()
        await batcher.stop(force=True)
        stubborn = Stubborn()
        batcher = AsyncBatcher[str, str](stubborn, max_queue_time=0)
        batcher.submit(SECRET)
        await turns()
        await batcher.stop(force=True)
        stubborn.released.set()
        await turns()
        assert everything.records

    async def test_messages_show_no_item(self) -> None:
        """They tell names and numbers."""
        held = Held()
        batcher = AsyncBatcher[str, str](
            held, max_queue_time=0, max_batch_size=1, max_queue_size=5, max_queue_bytes=100
        )
        futures = [batcher.submit(SECRET) for _ in range(5)]
        messages: list[Any] = []
        for item in (SECRET, SECRET * 100):
            with pytest.raises((QueueFullError, RowTooLargeError)) as caught:
                batcher.submit(item)
            messages.append(caught.value)
        for number, end in enumerate(["nonsense", [SECRET, SECRET], asyncio.CancelledError()]):
            await turns()
            held.answer(number, end)
        await turns()
        await batcher.stop(force=True)
        messages += await outcomes(futures)
        with pytest.raises(RuntimeError) as stopped:
            batcher.submit(SECRET)
        messages.append(stopped.value)
        assert len(messages) == 8
        assert all(isinstance(message, Exception) for message in messages)
        assert not [message for message in messages if SECRET in f"{message} {message!r}"]


def test_nothing_is_done_to_the_root_logger() -> None:
    """A library that installs a handler there changes every other's output."""
    program = """
import asyncio, logging
from bulkwriter import AsyncBatcher

async def process_batch(batch):
    raise ValueError

async def main():
    batcher = AsyncBatcher(process_batch, max_queue_time=0)
    batcher.submit("item")
    await batcher.stop()

asyncio.run(main())
names = [name for name in logging.Logger.manager.loggerDict if name.startswith("bulkwriter")]
loggers = [logging.getLogger(), *map(logging.getLogger, names)]
assert names, names
assert not any(logger.handlers for logger in loggers), loggers
assert all(logger.level == logging.NOTSET for logger in loggers[1:]), loggers
assert logging.getLogger().level == logging.WARNING
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)  # noqa: S603 - as above
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""The generic core under everything at once: a machine that does what callers, batches and time do, in any order.

Each step is one of the things that can happen to a batcher; after each, what must always hold is looked at; and at the
end everybody must have heard the truth. Time is virtual, so whoever would wait for ever is found at once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bulkwriter import (
    AsyncBatcher,
    BatcherStoppedError,
    OutcomeUnknownError,
    QueueFullError,
    RowTooLargeError,
)
from tests.virtual_time import new_virtual_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDS = ["echo", "none", "partly", "error", "nonsense", "short", "cancelled", "ended"]
MOODS = ["echo", "held", "held", "slow", "stubborn", *ENDS]


class BatchError(Exception):
    """What a whole batch fails with."""


class ItemError(Exception):
    """What one item fails with."""


class TheEnd(BaseException):
    """What no ``except Exception`` catches."""


@dataclasses.dataclass(eq=False)
class Flight:
    """One call of process_batch.

    Attributes:
        items: What it was given.
        future: What it waits for; its result says how it is to end.
        end: How it ended, once it has.
    """

    items: list[int]
    future: asyncio.Future[str]
    end: str | None = None


@dataclasses.dataclass(eq=False)
class Caller:
    """Somebody who waits for items.

    Attributes:
        items: What it has handed in so far.
        waiting: What it waits with.
        is_many: Whether its answer is a list.
    """

    items: list[int]
    waiting: asyncio.Future[Any]
    is_many: bool = False


class Sized(AsyncBatcher[int, Any]):
    """Takes an item for one byte to five."""

    def item_size(self, item: int) -> int:
        """Return the bytes of an item."""
        return 1 + item % 5


class BatcherMachine(RuleBasedStateMachine):
    """Everything that can happen to a batcher."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = new_virtual_loop()
        self.unseen: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.unseen.append(context))
        self.numbers = itertools.count(1)
        self.flights: list[Flight] = []
        self.callers: list[Caller] = []
        self.withdrawn: set[int] = set()
        self.flushes: list[asyncio.Future[None]] = []
        self.stops: list[asyncio.Future[None]] = []
        self.mood = "echo"
        self.was_forced = False
        self.wrong: list[str] = []

    @initialize(
        max_batch_size=st.sampled_from([-1, 1, 2, 3, 5]),
        max_batch_bytes=st.sampled_from([-1, -1, -1, 4, 9]),
        max_queue_time=st.sampled_from([0, 0, 0.01, 1]),
        concurrency=st.sampled_from([1, 1, 2, 3, -1]),
        max_queue_size=st.sampled_from([-1, 1, 2, 4]),
        max_queue_bytes=st.sampled_from([-1, -1, -1, 4, 12]),
        when_full=st.sampled_from(["raise", "wait"]),
    )
    def make(self, **options: Any) -> None:
        """Make the batcher."""
        self.options = options
        self.batcher = Sized(self.process_batch, **options)

    async def process_batch(self, batch: list[int]) -> Any:
        """Do to a batch what the mood says."""
        flight = Flight(list(batch), self.loop.create_future())
        self.flights.append(flight)
        self.look_at(batch)
        try:
            flight.end = await self.how_it_ends(flight)
        except asyncio.CancelledError:
            flight.end = "cancelled"
            raise
        finally:
            # The list is process_batch's own.
            batch.clear()
        return self.reply(flight)

    def look_at(self, batch: list[int]) -> None:
        """Note what is wrong with a batch: an error raised here would count as the batch's own."""
        before = [item for flight in self.flights[:-1] for item in flight.items]
        sizes = [self.batcher.item_size(item) for item in batch]
        if not batch:
            self.wrong.append("an empty batch was sent")
        if 0 < self.options["max_batch_size"] < len(batch):
            self.wrong.append(f"{len(batch)} items are too many")
        if 0 < self.options["max_batch_bytes"] < sum(sizes) and len(batch) > 1:
            self.wrong.append(f"{sum(sizes)} bytes are too many")
        if set(before) & set(batch) or len(set(batch)) < len(batch):
            self.wrong.append(f"sent twice: {batch} after {before}")
        if self.withdrawn & set(batch):
            self.wrong.append(f"sent although nobody waits for it any more: {self.withdrawn & set(batch)}")
        if self.is_in_order and sorted(before + batch) != before + batch:
            self.wrong.append(f"out of order: {batch} after {before}")
        if not self.batcher.statistics().is_balanced:
            self.wrong.append(f"out of balance: {self.batcher.statistics()}")

    @property
    def is_in_order(self) -> bool:
        """Whether items leave in the order in which they were taken: one batch after the other."""
        return bool(self.options["concurrency"] == 1)

    async def how_it_ends(self, flight: Flight) -> str:
        """Wait until the batch is to end, and return how."""
        mood = self.mood
        if mood == "held":
            return await flight.future
        if mood == "slow":
            await asyncio.sleep(0.4)
            return "echo"
        while mood == "stubborn":
            try:
                return await asyncio.shield(flight.future)
            except asyncio.CancelledError:
                continue
        return mood

    def reply(self, flight: Flight) -> Any:
        """Return or raise what the batch ends with."""
        errors = {"error": BatchError("all"), "cancelled": asyncio.CancelledError(), "ended": TheEnd()}
        if flight.end in errors:
            raise errors[flight.end]
        answers = [-item for item in flight.items]
        replies = {
            "none": None,
            "partly": [ItemError(item) if item % 2 else -item for item in flight.items],
            "nonsense": "nonsense",
            "short": answers[1:],
        }
        return replies.get(str(flight.end), answers)

    # What happens.

    def inside(self, call: Callable[[], None]) -> None:
        """Call this on the loop, and let that turn once."""
        self.loop.call_soon(call)
        self.loop.turn()

    @rule(count=st.integers(1, 4))
    def submit(self, count: int) -> None:
        """Submit some items in one turn."""

        def call() -> None:
            for item in itertools.islice(self.numbers, count):
                try:
                    future = self.batcher.submit(item)
                except (QueueFullError, RowTooLargeError, BatcherStoppedError):
                    continue
                self.callers.append(Caller([item], future))

        self.inside(call)

    @rule(count=st.integers(1, 4))
    def process(self, count: int) -> None:
        """Let some tasks process an item each."""

        async def process(caller: Caller) -> Any:
            item = next(self.numbers)
            caller.items.append(item)
            return await self.batcher.process(item)

        def call() -> None:
            for _ in range(count):
                caller = Caller([], self.loop.create_future())
                caller.waiting = self.loop.create_task(process(caller))
                self.callers.append(caller)

        self.inside(call)

    @rule(count=st.integers(0, 9), raises=st.booleans())
    def process_many(self, count: int, raises: bool) -> None:  # noqa: FBT001
        """Let a task process many items; each has its number when it is taken."""
        caller = Caller([], self.loop.create_future(), is_many=True)

        def items() -> Iterator[int]:
            for _ in range(count):
                caller.items.append(next(self.numbers))
                yield caller.items[-1]
            if raises:
                raise LookupError

        def call() -> None:
            caller.waiting = self.loop.create_task(self.batcher.process_many(items()))
            self.callers.append(caller)

        self.inside(call)

    @precondition(lambda self: self.callers)
    @rule(which=st.integers(0), turns=st.integers(0, 1))
    def cancel(self, which: int, turns: int) -> None:
        """Cancel a caller; what it had queued when it heard of that is never sent."""
        caller = self.callers[which % len(self.callers)]
        was_waiting = caller.waiting.cancel()
        for _ in range(1 if isinstance(caller.waiting, asyncio.Task) else turns):
            self.loop.turn()
        if was_waiting and caller.waiting.cancelled():
            departed = {item for batch in self.batcher._flights for item in batch.items}
            self.withdrawn |= set(caller.items) - self.sent - departed

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        """Let the loop turn."""
        for _ in range(turns):
            self.loop.turn()

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.1, 0.5, 3]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.pass_time(seconds)

    @rule(mood=st.sampled_from(MOODS))
    def change_mood(self, mood: str) -> None:
        """Change what becomes of the next batches."""
        self.mood = mood

    @precondition(lambda self: self.waiting_flights)
    @rule(which=st.integers(0), end=st.sampled_from(ENDS))
    def end_flight(self, which: int, end: str) -> None:
        """Let one of the batches in flight end."""
        flights = self.waiting_flights
        flights[which % len(flights)].future.set_result(end)

    @rule()
    def flush(self) -> None:
        """Flush, and see whether it waits for what was accepted before."""

        async def flush() -> None:
            before = self.batcher.statistics()
            counts = await self.batcher.flush()
            if counts.total != before.queued + before.in_flight:
                self.wrong.append(
                    f"a flush counted {counts.total} of {before.queued} queued and {before.in_flight} in flight"
                )

        self.inside(lambda: self.flushes.append(self.loop.create_task(flush())))

    @rule(options=st.sampled_from([{}, {}, {"force": True}, {"timeout": 0}, {"timeout": 0.5}]))
    def stop(self, options: dict[str, Any]) -> None:
        """Ask for the end."""

        async def stop() -> None:
            await self.batcher.stop(**options)

        self.was_forced |= bool(options)
        self.inside(lambda: self.stops.append(self.loop.create_task(stop())))

    @precondition(lambda self: self.stops or self.flushes)
    @rule(which=st.integers(0))
    def cancel_stop_or_flush(self, which: int) -> None:
        """Cancel somebody who waits for an end."""
        waiting = self.stops + self.flushes
        waiting[which % len(waiting)].cancel()

    # What always holds.

    @property
    def sent(self) -> set[int]:
        """Every item that process_batch was given."""
        return {item for flight in self.flights for item in flight.items}

    @property
    def waiting_flights(self) -> list[Flight]:
        """The batches that wait for being told how to end."""
        return [flight for flight in self.flights if flight.end is None and not flight.future.done()]

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Nothing that was noted on the way, nor an error that nobody saw."""
        assert not self.wrong, self.wrong
        assert not self.unseen, self.unseen

    @invariant()
    def the_figures_balance(self) -> None:
        """Every accepted item is in exactly one place."""
        if self.options_known:
            figures = self.batcher.statistics()
            assert figures.is_balanced, figures

    @invariant()
    def the_limits_are_kept(self) -> None:
        """Of the queue, and of the slots."""
        if not self.options_known:
            return
        figures, options = self.batcher.statistics(), self.options
        assert not 0 < options["concurrency"] < figures.batches_in_flight
        assert not 0 < options["max_queue_size"] < self.batcher._queued
        assert not 0 < options["max_queue_bytes"] < figures.queued_bytes

    @property
    def options_known(self) -> bool:
        """Whether the batcher has been made."""
        return hasattr(self, "batcher")

    @invariant()
    def who_was_answered_heard_the_truth(self) -> None:
        """For each item, what its batch made of it."""
        for caller in self.callers:
            if caller.waiting.done() and not caller.waiting.cancelled():
                self.check_answer(caller)

    def check_answer(self, caller: Caller) -> None:
        """Compare what a caller heard with what became of its items."""
        error = caller.waiting.exception()
        if caller.is_many and error is None:
            answers = caller.waiting.result()
            assert len(answers) == len(caller.items)
            for item, answer in zip(caller.items, answers, strict=True):
                self.check_item(item, answer)
        elif caller.is_many:
            assert isinstance(error, LookupError | BatcherStoppedError)
        else:
            self.check_item(caller.items[0], caller.waiting.result() if error is None else error)

    def check_item(self, item: int, answer: Any) -> None:
        """Compare the answer to one item with what its batch ended with."""
        flight = next((flight for flight in self.flights if item in flight.items), None)
        if flight is None:
            # Refused at the door, or given up by force.
            assert isinstance(answer, BatcherStoppedError | QueueFullError | RowTooLargeError)
        elif self.was_forced and isinstance(answer, OutcomeUnknownError):
            pass
        elif flight.end in {"echo", "none"}:
            assert answer == (None if flight.end == "none" else -item)
        elif flight.end == "partly":
            assert answer == -item or (item % 2 and isinstance(answer, ItemError) and answer.args == (item,))
        else:
            kinds = {"error": BatchError, "nonsense": TypeError, "short": ValueError}
            assert isinstance(answer, kinds.get(str(flight.end), OutcomeUnknownError))

    # The end.

    def teardown(self) -> None:
        """Let everything come to its end: nobody may be left waiting."""
        try:
            if self.options_known:
                self.end_everything()
                self.nothing_is_wrong()
                self.who_was_answered_heard_the_truth()
                self.everything_is_accounted_for()
        finally:
            self.loop.close()
        gc.collect()
        assert not self.unseen, self.unseen

    def end_everything(self) -> None:
        """Stop, and run until everybody has been answered; fails if somebody would wait for ever."""

        async def end() -> None:
            stopping = asyncio.ensure_future(self.batcher.stop())
            for _ in range(1000):
                for flight in self.waiting_flights:
                    flight.future.set_result("echo")
                await asyncio.sleep(0.01)
                if stopping.done():
                    break
            assert stopping.done(), f"a stop that never ends: {self.batcher}"
            await stopping
            # Also what was left behind by force.
            for flight in self.waiting_flights:
                flight.future.set_result("echo")
            await asyncio.gather(
                *(caller.waiting for caller in self.callers), *self.stops, *self.flushes, return_exceptions=True
            )
            for _ in range(5):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        self.mood = "echo"
        self.loop.run_until_complete(end())

    def everything_is_accounted_for(self) -> None:
        """What was sent met a fate of what is sent, and everything else one of what is not."""
        figures = self.batcher.statistics()
        assert (figures.queued, figures.in_flight, figures.batches_in_flight, figures.queued_bytes) == (0, 0, 0, 0)
        assert figures.is_balanced
        assert figures.succeeded + figures.failed + figures.unknown == len(self.sent)
        assert figures.batches == len(self.flights)
        assert figures.largest_batch == max((len(flight.items) for flight in self.flights), default=0)
        assert not self.withdrawn & self.sent
        if not self.was_forced:
            ended_badly = ("cancelled", "ended")
            unknown = sum(len(flight.items) for flight in self.flights if flight.end in ended_badly)
            assert figures.unknown == unknown
        assert isinstance(repr(self.batcher), str)


TestBatcherMachine = BatcherMachine.TestCase
TestBatcherMachine.settings = settings(stateful_step_count=40)


def test_the_machine_finds_out_who_waits_for_ever() -> None:
    """Else it would prove nothing: a batch that never ends, and a stop without force."""

    class Stuck(BatcherMachine):
        @property
        def waiting_flights(self) -> list[Flight]:
            return []

    machine = Stuck()
    options = {"max_batch_size": -1, "max_batch_bytes": -1, "max_queue_time": 0, "concurrency": 1}
    machine.make(**options, max_queue_size=-1, max_queue_bytes=-1, when_full="wait")
    machine.change_mood("held")
    machine.submit(2)
    machine.turn(3)
    assert machine.batcher.statistics().in_flight == 2
    with pytest.raises(TimeoutError):
        machine.loop.run_until_complete(asyncio.wait_for(machine.batcher.stop(), 1000))
    machine.loop.run_until_complete(machine.batcher.stop(force=True))
    machine.loop.close()

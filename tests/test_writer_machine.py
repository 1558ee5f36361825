"""Random callers, random failures, random ends: everybody is told the truth, once, in time, and the figures balance.

A state machine over ``MemoryBackend`` in virtual time. After every turn of the loop the figures must balance; in the
end each answer is compared with what the database did, row by row.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import math
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bulkwriter import (
    BatcherStoppedError,
    BulkWriter,
    BulkWriterError,
    OutcomeUnknownError,
    QueueFullError,
    RetryPolicy,
    RowRejectedError,
    WriteResult,
)
from bulkwriter.statistics import FATES, Counts, fate_of
from bulkwriter.testing import FaultScript
from tests import witness
from tests.virtual_time import VirtualLoop, new_virtual_loop
from tests.witness import Call, SplittingWitness, Witness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

Spec: TypeAlias = tuple[int, tuple[str, ...], int]
Faults: TypeAlias = "dict[str, Callable[[FaultScript], Any]]"

KEYS = st.integers(1, 4)
COLUMNS = st.sampled_from([("id", "v"), ("v", "id"), ("id", "v"), ("id", "w"), ("id", "v", "w"), ("w", "v", "id")])
TIMEOUTS = st.sampled_from([None, None, None, 0.3, 2.0, 0.01, 0.0])
TURNS = st.integers(0, 4)
# A key, a set of columns, and whether the row is bad: it is if this is 0.
INSERTS = st.tuples(KEYS, COLUMNS, st.integers(0, 7))

# What is certain all the same, because the database says so.
CERTAIN: Faults = {
    "fail_before_commit": lambda faults: faults.fail_before_commit(),
    "throttle": lambda faults: faults.throttle(),
    "throttle for a while": lambda faults: faults.throttle(0.3, times=2),
    "deadlock": lambda faults: faults.deadlock(),
    "leave one": lambda faults: faults.leave_unprocessed(1),
    "leave two": lambda faults: faults.leave_unprocessed(2, wait=0.1, times=2),
    "hold one back": lambda faults: faults.hold_back(1, times=2),
    "hold back for a while": lambda faults: faults.hold_back(3, wait=0.2, times=3),
    "disconnect": lambda faults: faults.disconnect(1),
    "disconnect for long": lambda faults: faults.disconnect(6),
    "cannot open": lambda faults: faults.disconnect(2, during="open"),
    "opens slowly": lambda faults: faults.delay(0.5, during="open"),
    "delay": lambda faults: faults.delay(0.2),
    "delay several": lambda faults: faults.delay(1.0, times=3),
    "pass": lambda faults: faults.passing(2),
    "lose_request": lambda faults: faults.lose_request(),
    "cancelled inside": lambda faults: faults.raising(asyncio.CancelledError),
    "broken inside": lambda faults: faults.raising(lambda: ValueError("broken")),
}
# What is certain only with a ledger.
LOST: Faults = {
    "lose_acknowledgement": lambda faults: faults.lose_acknowledgement(),
    "fail_after_commit": lambda faults: faults.fail_after_commit(),
    "short_reply": lambda faults: faults.short_reply(),
    "long_reply": lambda faults: faults.short_reply(-1),
    "cancelled after": lambda faults: faults.raising(asyncio.CancelledError, after_commit=True),
    "nonsense": lambda faults: faults.reply("nonsense"),
    "hang": lambda faults: faults.hang(),
    "hang_after_commit": lambda faults: faults.hang(after_commit=True),
}
# What leaves the lost in doubt although there is a ledger.
UNSETTLED: Faults = {
    "refuse_settle": lambda faults: faults.refuse_settle(),
    "refuse_settle_for_good": lambda faults: faults.refuse_settle(for_good=True),
    "settle_hangs": lambda faults: faults.hang(during="settle"),
}


class WriterMachine(RuleBasedStateMachine):
    """One writer with few keys, tight limits and a bad database."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = new_virtual_loop()
        self.unseen: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.unseen.append(repr(context)))
        self.turns = 0
        self.faults = FaultScript()
        self.backend = Witness()
        self.writer: BulkWriter[Any] = BulkWriter(self.backend)
        self.calls: list[Call] = []
        # Of these each hears by itself, and at once; who brought many rows hears when the last is answered.
        self.alone: list[Call] = []
        self.tasks: list[asyncio.Future[Any]] = []
        self.values = 0
        self.is_forced = False
        self.has_lost = False
        self.has_failed = False
        _after_each_turn(self.loop, self.look)

    @initialize(
        on_conflict=st.sampled_from(["update", "update", "skip", "error"]),
        coalesce=st.booleans(),
        ledger=st.booleans(),
        isolates=st.booleans(),
        max_attempts=st.sampled_from([8, 8, 3, 2, 1]),
        concurrency=st.integers(1, 4),
        max_batch_size=st.integers(1, 4),
        max_batch_bytes=st.sampled_from([-1, 200]),
        max_queue_size=st.sampled_from([12, 5, 2, 1]),
        max_queue_bytes=st.sampled_from([-1, -1, 400]),
        max_queue_time=st.sampled_from([0.0, 0.02]),
        timeout=st.sampled_from([None, None, None, 1.0]),
        when_full=st.sampled_from(["wait", "wait", "raise"]),
    )
    def begin(
        self, *, on_conflict: Any, coalesce: bool, ledger: bool, isolates: bool, max_attempts: int, **limits: Any
    ) -> None:
        """Set the scene: a database of some kind, and a writer with tight limits."""
        kind = Witness if isolates else SplittingWitness
        self.backend = kind(
            on_conflict=on_conflict,
            ledger=ledger,
            faults=self.faults,
            checks={"not_negative": lambda row: row.get("v", 0) >= 0},
        )
        self.backend.keeps_keys_apart = on_conflict != "error"
        self.backend.max_batch_size = limits["max_batch_size"]
        self.timeout = limits["timeout"]
        self.concurrency = limits["concurrency"]
        self.writer = BulkWriter(
            self.backend,
            coalesce=coalesce and on_conflict == "update",
            retry=RetryPolicy(max_attempts=max_attempts, max_time=3.0, attempt_timeout=1.0, max_backoff=0.5),
            **limits,
        )

    def look(self) -> None:
        """Say what must hold after every turn."""
        self.turns += 1
        assert self.turns < 3000, "the loop spins"
        figures = self.writer.statistics()
        assert figures.is_balanced, figures
        assert figures.in_flight >= 0
        assert figures.queued >= 0
        assert figures.queued_bytes >= 0

    def do(self, action: Coroutine[Any, Any, Any]) -> Any:
        """Run one step on the loop."""
        self.turns = 0
        return self.loop.run_until_complete(action)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Begin something that goes on beyond this step."""

        async def begin() -> None:
            self.tasks.append(asyncio.ensure_future(coroutine))

        self.do(begin())

    # The callers.

    def call_for(self, spec: Spec, timeout: float | None) -> Call:
        """Note a row that is about to be handed in; no two hold the same value."""
        key, columns, badness = spec
        self.values += 1
        value = -self.values if badness == 0 else self.values
        row = {column: key if column == "id" else value for column in columns}
        call = Call("insert", key, row, self.timeout if timeout is None else timeout, self.loop.time())
        self.calls.append(call)
        return call

    async def hear(self, call: Call, ask: Callable[[], Awaitable[WriteResult]]) -> None:
        """Be the caller of one row."""
        try:
            call.tell(await ask(), self.loop.time())
        except BulkWriterError as error:
            call.tell(error, self.loop.time())
        except asyncio.CancelledError:
            call.has_left = True

    @rule(specs=st.lists(INSERTS, min_size=1, max_size=5), timeout=TIMEOUTS, turns=TURNS)
    def insert(self, specs: list[Spec], timeout: float | None, turns: int) -> None:
        """Let some callers come, each with a row."""
        for spec in specs:
            call = self.call_for(spec, timeout)
            self.alone.append(call)
            self.start(self.hear(call, lambda call=call: self.writer.insert(call.row, timeout=timeout)))  # type: ignore[misc]
        self.turn(turns)

    @rule(specs=st.lists(INSERTS, min_size=1, max_size=5), timeout=TIMEOUTS, turns=TURNS)
    def submit(self, specs: list[Spec], timeout: float | None, turns: int) -> None:
        """Let one caller hand in some rows without waiting."""

        async def submit_all() -> None:
            for spec in specs:
                self.submit_one(self.call_for(spec, timeout), timeout)

        self.do(submit_all())
        self.turn(turns)

    @rule(key=KEYS, columns=COLUMNS, badness=st.lists(st.integers(0, 7), min_size=2, max_size=5), turns=TURNS)
    def hurry(self, key: int, columns: tuple[str, ...], badness: list[int], turns: int) -> None:
        """Let rows of one key and one set of columns come close together: one may stand for the others."""
        self.insert([(key, columns, bad) for bad in badness], timeout=None, turns=turns)

    def submit_one(self, call: Call, timeout: float | None) -> None:
        """Hand in one row without waiting."""
        self.alone.append(call)

        def heard(future: asyncio.Future[WriteResult]) -> None:
            if future.cancelled():
                call.has_left = True
            else:
                call.tell(future.exception() or future.result(), self.loop.time())

        try:
            future = self.writer.submit(call.row, timeout=timeout)
        except BulkWriterError as error:
            call.tell(error, self.loop.time())
        else:
            future.add_done_callback(heard)
            self.tasks.append(future)

    @rule(key=KEYS, timeout=TIMEOUTS, turns=TURNS)
    def delete(self, key: int, timeout: float | None, turns: int) -> None:
        """Let somebody delete a key."""
        effective = self.timeout if timeout is None else timeout
        call = Call("delete", key, None, effective, self.loop.time())
        self.calls.append(call)
        self.alone.append(call)
        self.start(self.hear(call, lambda: self.writer.delete(call.tag, timeout=timeout)))
        self.turn(turns)

    @rule(
        specs=st.lists(INSERTS, max_size=9),
        kind=st.sampled_from(["list", "iterator", "async", "raising"]),
        results=st.booleans(),
    )
    def insert_many(self, specs: list[Spec], kind: str, *, results: bool) -> None:
        """Let somebody come with many rows."""
        # The writer's timeout counts for each of them from when it enters the queue, whenever that is.
        calls = [self.call_for(spec, None if self.timeout is None else math.inf) for spec in specs]
        self.start(self.hear_many(calls, kind, results=results))

    async def hear_many(self, calls: list[Call], kind: str, *, results: bool) -> None:
        """Be the caller of many rows."""
        rows: Any = [call.row for call in calls]
        if kind == "iterator":
            rows = iter(rows)
        elif kind != "list":
            rows = _trickle(calls, raises=kind == "raising")
        try:
            report = await self.writer.insert_many(rows, results=results)
        except (asyncio.CancelledError, ArithmeticError):
            for call in calls:
                call.has_left = True
            return
        except BulkWriterError as error:
            # None of them was taken in.
            for call in calls:
                call.tell(error, self.loop.time())
                self.calls.remove(call)
                witness.check_answer(call)
            return
        answers = dict(enumerate(report.results)) if results else dict(report.errors)
        for index, call in enumerate(calls):
            call.has_left = index not in answers
            if index in answers:
                call.tell(answers[index], self.loop.time())
        assert report.counts.total == len(calls)
        _compare(report.counts, calls)

    @precondition(lambda self: self.tasks)
    @rule(choice=st.integers(0, 1000), many=st.booleans())
    def cancel(self, choice: int, *, many: bool) -> None:
        """Let a caller go, or everybody, or somebody who waits for a flush or a stop."""
        pending = [task for task in self.tasks if not task.done()]
        chosen = pending if many else pending[choice % len(pending) :][:1] if pending else []
        for task in chosen:
            task.cancel()

    # The database.

    @rule(name=st.sampled_from([*CERTAIN, *LOST, *UNSETTLED]))
    def fail(self, name: str) -> None:
        """Let a failure come."""
        {**CERTAIN, **LOST, **UNSETTLED}[name](self.faults)
        self.has_failed = True
        self.has_lost = self.has_lost or name in UNSETTLED or (name in LOST and not self.backend.ledger)

    # Time.

    def turn(self, turns: int) -> None:
        """Let the loop turn a few times."""
        self.turns = 0
        for _ in range(turns):
            self.loop.turn()

    @rule(seconds=st.sampled_from([0.5, 0.005, 0.05, 2.5, 20.0]), release=st.booleans())
    def wait(self, seconds: float, *, release: bool) -> None:
        """Let time pass, or first let go on what hangs."""
        if release:
            self.do(_call(self.faults.release))
        self.turns = 0
        self.loop.pass_time(seconds)

    # The end, or nearly.

    @precondition(lambda self: not self.calls)
    @rule()
    def open(self) -> None:
        """Let somebody open the writer."""
        self.start(_forgiving(self.writer.open()))

    @rule()
    def flush(self) -> None:
        """Let somebody flush: who was accepted before has an answer after."""
        accepted = [call for call in self.alone if call.number is not None and not call.has_left]

        async def flush_and_look() -> None:
            before = self.writer.statistics()
            counts = await self.writer.flush()
            assert counts.total == before.queued + before.in_flight
            # The flush may be told before the callers are: they have their turn first.
            self.loop.call_soon(self.loop.call_soon, _assert_answered, accepted)

        self.start(flush_and_look())

    @precondition(lambda self: len(self.calls) > 50)
    @rule(force=st.booleans(), timeout=st.sampled_from([None, 0.0, 0.5]))
    def stop(self, *, force: bool, timeout: float | None) -> None:
        """Let somebody stop the writer, in one way or another; callers still come."""
        self.is_forced = self.is_forced or force or timeout is not None
        self.start(self.writer.stop(force=force, timeout=timeout))

    def teardown(self) -> None:
        """Stop in good order, and ask for the truth."""
        try:
            self.do(self.finish())
            self.check()
        finally:
            self.clean_up()

    async def finish(self) -> None:
        """Stop in good order, whatever failures are still to come; then nobody can be left waiting."""
        self.faults.release()
        await self.writer.stop()
        # Only who was waiting for the opening may take longer to learn that it was in vain.
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=10)
        waiting = [task for task in self.tasks if not task.done()]
        assert not waiting, waiting
        for task in self.tasks:
            if isinstance(task, asyncio.Task) and not task.cancelled():
                task.result()

    def clean_up(self) -> None:
        """Leave no task behind where the test has failed."""
        self.turns = 0
        self.writer = BulkWriter(Witness())
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        for _ in range(5):
            self.loop.turn()
        self.loop.close()

    # The truth.

    def check(self) -> None:
        """Compare what everybody was told with what was done."""
        assert not self.unseen, self.unseen
        assert not self.backend.wrongs, self.backend.wrongs
        assert not self.backend.is_open
        for call in self.calls:
            witness.check_answer(call)
            witness.check_rejection(call, self.calls)
            witness.check_superseded(call, self.calls)
            self.check_reason(call)
        witness.check_order(self.backend.deeds, of_inserts=self.backend.on_conflict != "error")
        witness.check_table(self.backend, self.calls)
        self.check_figures()
        if not self.has_failed:
            assert self.backend.most_under_way <= self.concurrency

    def check_reason(self, call: Call) -> None:
        """See that bad news has a reason."""
        answer = call.answer
        if isinstance(answer, OutcomeUnknownError):
            assert self.is_forced or self.has_lost or call.timeout is not None, f"{call}: there was no doubt"
        if not self.has_failed and not self.is_forced and call.timeout is None:
            good = WriteResult | RowRejectedError | QueueFullError | BatcherStoppedError | None
            assert isinstance(answer, good), f"{call}: nothing had gone wrong"
        if not isinstance(answer, RowRejectedError) and isinstance(answer, BulkWriterError):
            assert not isinstance(answer.__cause__, RowRejectedError), f"{call} was lost because of {answer.__cause__}"

    def check_figures(self) -> None:
        """See that the statistics count what callers were told."""
        figures = self.writer.statistics()
        assert figures.queued == figures.in_flight == figures.queued_bytes == figures.batches_in_flight == 0
        # Who is refused for want of room is not taken in, and who is refused after the stop is not always.
        heard = [call for call in self.calls if call.answer is not None and not isinstance(call.answer, QueueFullError)]
        perhaps = [call for call in heard if isinstance(call.answer, BatcherStoppedError) and call.number is None]
        told = collections.Counter(fate_of(call.answer) for call in heard if call not in perhaps)
        # What became of a row whose caller has gone is counted too, and known to nobody else.
        more = {fate: getattr(figures, fate) - told[fate] for fate in FATES}
        assert all(rows >= 0 for rows in more.values()), (more, told, figures)
        gone = len(perhaps) + sum(call.has_left for call in self.calls)
        assert sum(more.values()) <= gone, (more, told, figures)


def _after_each_turn(loop: VirtualLoop, look: Callable[[], None]) -> None:
    """Call ``look`` whenever the loop is about to sleep, if only for no time."""
    select = loop._virtual.select

    def look_and_select(timeout: float | None = None) -> Any:
        look()
        return select(timeout)

    loop._virtual.select = look_and_select  # type: ignore[method-assign]


def _compare(counts: Counts, calls: Sequence[Call]) -> None:
    """See that a report counts what was done."""
    deeds = collections.Counter(deed.value for call in calls for deed in call.deeds)
    for fate in ("inserted", "updated", "skipped"):
        assert getattr(counts, fate) <= deeds[fate] <= getattr(counts, fate) + counts.unknown


def _assert_answered(calls: Sequence[Call]) -> None:
    left = [call for call in calls if call.answer is None and not call.has_left]
    assert not left, left


async def _call(function: Callable[[], None]) -> None:
    function()


async def _forgiving(coroutine: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(BulkWriterError):
        await coroutine


async def _trickle(calls: Sequence[Call], *, raises: bool) -> AsyncIterator[Any]:
    for number, call in enumerate(calls):
        if number % 3 == 2:
            await asyncio.sleep(0)
        yield call.row
    if raises:
        message = "the source of the rows has failed"
        raise ArithmeticError(message)


TestWriterMachine = WriterMachine.TestCase

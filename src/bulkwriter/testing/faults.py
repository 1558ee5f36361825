"""``FaultScript``: the failures that a database goes through, written down in the order in which they come."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import random
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from bulkwriter.contract import Attempt
from bulkwriter.errors import (
    BackendUnavailableError,
    CheckViolationError,
    NotWrittenError,
    RowRejectedError,
    ThrottledError,
)
from bulkwriter.testing import actions
from bulkwriter.testing.actions import Action, Call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from typing import Self

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Reply, Verdict

BackendT = TypeVar("BackendT", bound="Backend")
During: TypeAlias = Literal["attempt", "settle", "open"]

RANDOM_FAULTS = (
    "lose_acknowledgement",
    "lose_request",
    "fail_before_commit",
    "fail_after_commit",
    "throttle",
    "deadlock",
    "leave_unprocessed",
)


@dataclasses.dataclass(slots=True, eq=False)
class _Step:
    """A fault and how often it is still to come; -1 = for ever."""

    fault: str
    action: Action | None
    left: int
    has_hit: bool = False


@dataclasses.dataclass(slots=True, eq=False)
class _Poison:
    """Rows that the database refuses, whenever they come."""

    is_bad: Callable[[Mapping[str, Any]], object] | int
    error: type[RowRejectedError]
    has_hit: bool = False


@dataclasses.dataclass(slots=True, eq=False)
class _Part:
    """The token of an attempt of which only some rows were handed on."""

    script: FaultScript
    attempt: Attempt
    decided: Mapping[int, Verdict]


class FaultScript:
    """A database's failures, in order: every method adds a fault and returns the script, so that calls can be chained.

    Faults befall the backend's attempts in the order in which these begin, one each (or ``times`` of them; -1 means
    from there on for ever); after the last one, everything goes well. A fault that can only follow a commit stays
    where it is until an attempt has committed something. ``poison`` has no place in the order: it sticks to its rows.

    ::

        faults = FaultScript().passing(1).throttle(wait=0.1).lose_acknowledgement()
        writer = BulkWriter(faults.wrap(SQLiteBackend("events.db", "events", ledger=True)))
        ...
        assert faults.is_spent
        assert faults.hits == {"throttle": 1, "lose_acknowledgement": 1}

    A script is about one test and one event loop; it does the same every time it meets the same attempts.

    Attributes:
        attempts: How many attempts have begun.
    """

    def __init__(self) -> None:
        self.attempts: int = 0
        self._hits: collections.Counter[str] = collections.Counter()
        self._steps: dict[During, collections.deque[_Step]] = {
            "attempt": collections.deque(),
            "settle": collections.deque(),
            "open": collections.deque(),
        }
        self._poisons: list[_Poison] = []
        self._ordinals: dict[int, int] = {}
        self._seen: list[Any] = []
        self._draw: Callable[[], _Step | None] = lambda: None
        self._outage = 0
        self._hanging: list[asyncio.Future[None]] = []
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        hits = ", ".join(f"{fault} {times}" for fault, times in sorted(self._hits.items())) or "nothing"
        to_come = sum(map(len, self._steps.values()))
        return f"<FaultScript: {self.attempts} attempts, hit {hits}, {to_come} steps to come>"

    # -- in use

    def wrap(self, backend: BackendT) -> BackendT:
        """Return the backend as seen through this script.

        It is the same backend, of a class derived from its own, and shares all its state: open either, close either.

        Args:
            backend: Any backend, also one that is wrapped already.

        Raises:
            TypeError: Its class keeps state in ``__slots__``, which cannot be shared.
        """
        if any(getattr(cls, "__slots__", ()) for cls in type(backend).__mro__):
            message = f"{type(backend).__name__} keeps state in __slots__, which cannot be shared"
            raise TypeError(message)
        wrapped = object.__new__(_with_faults(type(backend), self))
        wrapped.__dict__ = backend.__dict__
        # A backend may end its thread when the object is gone that opened it: each keeps the other alive.
        wrapped.__dict__.setdefault("_seen_through", []).append(wrapped)
        return wrapped

    @property
    def hits(self) -> dict[str, int]:
        """How often each fault has truly happened, by the name of its method."""
        return {fault: times for fault, times in self._hits.items() if times}

    @property
    def is_spent(self) -> bool:
        """Whether every fault of the script has happened: a test of a fault that never came proves nothing."""
        steps = [step for queue in self._steps.values() for step in queue if step.action is not None]
        # A step that is to go on for ever is done when it has happened once.
        return all(step.has_hit and step.left < 0 for step in steps) and all(poison.has_hit for poison in self._poisons)

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

    # -- faults: the write is not done, and the backend knows

    def fail_before_commit(self, *, times: int = 1) -> Self:
        """The connection breaks before anything that could commit was sent: ``NotApplied``."""
        why = "the connection was lost before the commit"
        return self._add("fail_before_commit", actions.not_applied(BackendUnavailableError, why), times)

    def throttle(self, wait: float = 0.0, *, times: int = 1) -> Self:
        """The server asks for a slower pace: ``NotApplied``, with a time to wait.

        Args:
            wait: Seconds to wait at least before the next try.
            times: For how many attempts; -1 = for ever.
        """
        return self._add("throttle", actions.not_applied(ThrottledError, "the server is throttling", wait), times)

    def deadlock(self, *, times: int = 1) -> Self:
        """The database breaks a deadlock by undoing this batch: ``NotApplied``."""
        return self._add("deadlock", actions.not_applied(NotWrittenError, "a deadlock was detected"), times)

    def leave_unprocessed(self, rows: int = 1, *, wait: float = 0.0, times: int = 1) -> Self:
        """The last rows of the batch are left undone (``NotApplied``), the others are written.

        Args:
            rows: How many; all of them if the batch has no more.
            wait: Seconds to wait at least before the next try.
            times: For how many attempts; -1 = for ever.
        """
        return self._add("leave_unprocessed", actions.unprocessed(rows, wait), times)

    def disconnect(self, times: int = 1, *, during: During = "attempt") -> Self:
        """The server cannot be reached: this call and the next ones of any kind raise ``BackendUnavailableError``.

        Args:
            times: How many calls fail, attempts, settling and opening taken together; -1 = for ever.
            during: The kind of call that begins it.
        """
        return self._add("disconnect", actions.outage(times), 1, during)

    def poison(
        self,
        row: Callable[[Mapping[str, Any]], object] | int,
        error: type[RowRejectedError] = CheckViolationError,
    ) -> Self:
        """The database refuses certain rows, whenever they come.

        As a bulk statement fails as a whole, nothing of a batch with such a row is written, unless the engine asks for
        the careful path.

        Args:
            row: A predicate over a row, column by column; or which row, counted from 0 in the order in which rows are
                first handed to the database. Deletes are left alone.
            error: The class of the error.
        """
        self._poisons.append(_Poison(row, error))
        return self

    # -- faults: the backend does not know whether the write is done

    def lose_acknowledgement(self, rows: int = -1, *, times: int = 1) -> Self:
        """The write commits, and its acknowledgement is lost: ``Doubtful``.

        Args:
            rows: For how many of the batch's last rows; -1 = for all.
            times: For how many attempts; -1 = for ever.
        """
        return self._add("lose_acknowledgement", actions.lost(commits=True, raises=False, rows=rows), times)

    def lose_request(self, *, times: int = 1) -> Self:
        """The write never arrives, and the backend cannot know: ``Doubtful`` for every row."""
        return self._add("lose_request", actions.lost(commits=False, raises=False), times)

    def fail_after_commit(self, *, times: int = 1) -> Self:
        """The write commits, and then the attempt raises ``ConnectionError``."""
        return self._add("fail_after_commit", actions.lost(commits=True, raises=True), times)

    def short_reply(self, missing: int = 1, *, times: int = 1) -> Self:
        """The write is done, and the reply has too few verdicts.

        Args:
            missing: How many are missing; a negative number means so many too many.
            times: For how many attempts; -1 = for ever.
        """
        return self._add("short_reply", actions.misreported(missing), times)

    def reply(self, value: Any, *, times: int = 1, during: During = "attempt") -> Self:
        """The call is made, and returns this value, as a broken backend might.

        Args:
            value: What it returns.
            times: For how many calls; -1 = for ever.
            during: The kind of call.
        """
        return self._add("reply", actions.replying(value), times, during)

    def raising(
        self,
        error: BaseException | Callable[[], BaseException],
        *,
        after_commit: bool = False,
        times: int = 1,
        during: During = "attempt",
    ) -> Self:
        """The call raises something of yours.

        Args:
            error: An exception, or a class or function that makes one.
            after_commit: Whether the write is done before.
            times: For how many calls; -1 = for ever.
            during: The kind of call.
        """
        return self._add("raising", actions.raising(error, after_commit=after_commit), times, during)

    def hang(self, *, after_commit: bool = False, times: int = 1, during: During = "attempt") -> Self:
        """The call does not come back until it is cancelled, or let go by ``release``.

        Args:
            after_commit: Whether the write is done before; otherwise it is done when the call is released.
            times: For how many calls; -1 = for ever.
            during: The kind of call.
        """
        return self._add("hang", actions.hanging(after_commit=after_commit), times, during)

    # -- faults: others

    def delay(self, seconds: float, *, times: int = 1, during: During = "attempt") -> Self:
        """The call takes its time, and then goes well.

        Args:
            seconds: How long, at least.
            times: For how many calls; -1 = for ever.
            during: The kind of call.
        """
        return self._add("delay", actions.delayed(seconds), times, during)

    def refuse_settle(self, *, for_good: bool = False, times: int = 1) -> Self:
        """The backend is asked what became of a doubtful attempt, and cannot tell.

        Args:
            for_good: Whether it never will (``Doubtful(can_settle=False)``); otherwise it raises
                ``BackendUnavailableError`` and may be asked again.
            times: For how many calls; -1 = for ever.
        """
        return self._add("refuse_settle", actions.refusing_settle(for_good=for_good), times, "settle")

    def passing(self, times: int = 1, *, during: During = "attempt") -> Self:
        """Nothing happens: what is added next comes so many calls later.

        Args:
            times: How many calls.
            during: The kind of call.
        """
        self._steps[during].append(_Step("passing", None, times))
        return self

    def at_random(
        self, seed: int, *, rate: float = 0.2, faults: Iterable[str] = RANDOM_FAULTS, at_most: int = -1
    ) -> Self:
        """After the ordered faults, let chance decide for each attempt, always in the same way for the same seed.

        Args:
            seed: Where the drawing begins.
            rate: The share of attempts that a fault befalls, from 0 to 1.
            faults: The names of the methods to draw from; each is called without arguments.
            at_most: How many faults to draw; -1 = no limit.

        Raises:
            ValueError: A rate that is none.
        """
        if not 0 <= rate <= 1:
            message = f"rate must be from 0 to 1, not {rate!r}"
            raise ValueError(message)
        choice = random.Random(seed)  # noqa: S311 - reproducible, guards no secret
        drawn = [getattr(FaultScript(), name)()._steps["attempt"][0] for name in faults]  # noqa: SLF001 - its own kind
        self._draw = functools.partial(_drawn, choice, rate, drawn, [at_most])
        return self

    # -- what a backend calls

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
        proceed = functools.partial(self._settle_part, attempt, call)
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

    # -- which fault is next

    def _add(self, fault: str, action: Action, times: int, during: During = "attempt") -> Self:
        self._steps[during].append(_Step(fault, action, times))
        return self

    async def _befall(self, during: During, call: Call) -> Any:
        if self._outage:
            self._outage -= self._outage > 0
            call.fault = "disconnect"
            return await actions.unreachable(call)
        step = self._take(during)
        if step is None or step.action is None:
            return await call.proceed()
        call.fault = step.fault
        try:
            return await step.action(call)
        finally:
            step.has_hit = step.has_hit or call.has_hit
            if not call.has_hit:
                self._put_back(during, step)

    def _take(self, during: During) -> _Step | None:
        """Return the step that is due, and count it as done: calls that run at once each take their own."""
        queue = self._steps[during]
        while queue and queue[0].left == 0:
            queue.popleft()
        if not queue:
            return self._draw() if during == "attempt" else None
        step = queue[0]
        step.left -= step.left > 0
        if step.left == 0:
            queue.popleft()
        return step

    def _put_back(self, during: During, step: _Step) -> None:
        if step.left < 0:
            return
        step.left += 1
        if step not in self._steps[during]:
            self._steps[during].appendleft(step)

    def _count(self, fault: str) -> None:
        self._hits[fault] += 1
        for waiter in list(self._waiting):
            name, times, future = waiter
            if name == fault and self._hits[fault] >= times:
                self._waiting.remove(waiter)
                if not future.done():
                    future.set_result(None)

    # -- attempts of which only some rows are handed on

    async def _write_around_poison(
        self, backend: Backend, call: Callable[[Attempt], Awaitable[Reply]], attempt: Attempt
    ) -> Reply:
        bad = self._poisoned(backend, attempt)
        if not bad:
            return await call(attempt)
        if not attempt.careful:
            raise next(iter(bad.values()))
        return await self._write_some(attempt, call, bad)

    async def _write_others(self, call: Call, decided: Mapping[int, Verdict]) -> Reply:
        if call.attempt is None or call.write is None:
            message = "only an attempt can be made in part"
            raise TypeError(message)
        return await self._write_some(call.attempt, call.write, decided)

    async def _write_some(
        self, attempt: Attempt, call: Callable[[Attempt], Awaitable[Reply]], decided: Mapping[int, Verdict]
    ) -> Reply:
        others = [row for index, row in enumerate(attempt.rows) if index not in decided]
        if not others:
            return list(decided.values())
        part = Attempt(attempt.plan, others, attempt.number, careful=attempt.careful, identity=attempt.identity)
        # Before the call, since an attempt that is given up on never returns.
        attempt.token = _Part(self, part, decided)
        return _merged(await call(part), part, decided)

    async def _settle_part(self, attempt: Attempt, call: Callable[[Attempt], Awaitable[Reply]]) -> Reply:
        token = attempt.token
        if not (isinstance(token, _Part) and token.script is self):
            return await call(attempt)
        return _merged(await self._settle_part(token.attempt, call), token.attempt, token.decided)

    def _poisoned(self, backend: Backend, attempt: Attempt) -> dict[int, RowRejectedError]:
        if not self._poisons or attempt.plan.operation != "insert":
            return {}
        bad: dict[int, RowRejectedError] = {}
        for index, row in enumerate(attempt.rows):
            ordinal = self._ordinal(row)
            mapping = backend.row_mapping(attempt.plan, row)
            for poison in self._poisons:
                if ordinal == poison.is_bad if isinstance(poison.is_bad, int) else poison.is_bad(mapping):
                    poison.has_hit = True
                    self._count("poison")
                    bad[index] = actions.poisoned(poison.error, backend)
                    break
        return bad

    def _ordinal(self, row: Any) -> int:
        if id(row) not in self._ordinals:
            # Kept, so that no other row can get its id.
            self._seen.append(row)
            self._ordinals[id(row)] = len(self._ordinals)
        return self._ordinals[id(row)]


def _merged(reply: Reply, part: Attempt, decided: Mapping[int, Verdict]) -> list[Verdict]:
    verdicts = iter(actions.verdicts_of(reply, len(part.rows)))
    rows = len(part.rows) + len(decided)
    return [decided[index] if index in decided else next(verdicts) for index in range(rows)]


def _drawn(choice: random.Random, rate: float, steps: list[_Step], left: list[int]) -> _Step | None:
    if left[0] == 0 or choice.random() >= rate:
        return None
    left[0] -= left[0] > 0
    drawn = choice.choice(steps)
    # A fault that finds nothing to befall is not put back: it would come first the next time.
    return dataclasses.replace(drawn, left=-1)


def _with_faults(cls: type[BackendT], script: FaultScript) -> type[BackendT]:
    """Return a class derived from the backend's own, so that whatever asks for its class or attributes finds them."""

    class Faulty(cls):  # type: ignore[misc, valid-type]
        async def open(self) -> None:
            await script.during_open(self, super().open)

        async def attempt(self, attempt: Attempt) -> Reply:
            return await script.during_attempt(self, attempt, super().attempt)

        async def settle(self, attempt: Attempt) -> Reply:
            return await script.during_settle(self, attempt, super().settle)

    Faulty.__name__ = Faulty.__qualname__ = f"Faulty{cls.__name__}"
    return Faulty

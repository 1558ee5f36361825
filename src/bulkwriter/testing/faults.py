"""``FaultScript``: the failures that a database goes through, written down in the order in which they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from bulkwriter.errors import (
    BackendUnavailableError,
    CheckViolationError,
    NotWrittenError,
    RowRejectedError,
    ThrottledError,
)
from bulkwriter.testing import actions
from bulkwriter.testing.parts import Poison
from bulkwriter.testing.player import Player
from bulkwriter.testing.schedule import During, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Attempt, Reply
    from bulkwriter.testing.actions import Action

BackendT = TypeVar("BackendT", bound="Backend")

RANDOM_FAULTS = (
    "lose_acknowledgement",
    "lose_request",
    "fail_before_commit",
    "fail_after_commit",
    "throttle",
    "deadlock",
    "leave_unprocessed",
    "hold_back",
)


class FaultScript(Player):
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

    def __repr__(self) -> str:
        hits = ", ".join(f"{fault} {times}" for fault, times in sorted(self._hits.items())) or "nothing"
        return f"<FaultScript: {self.attempts} attempts, hit {hits}, {len(self._schedule)} steps to come>"

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

    def hold_back(self, rows: int = 1, *, wait: float = 0.0, times: int = 1) -> Self:
        """The backend keeps to a limit of its own: the last rows of the batch are not sent, the others are written.

        Those hear ``NotApplied`` with ``was_tried=False``: they go back to their place in the queue.

        Args:
            rows: How many; all of them if the batch has no more.
            wait: Seconds before the next batch may leave.
            times: For how many attempts; -1 = for ever.
        """
        return self._add("hold_back", actions.unprocessed(rows, wait, was_tried=False), times)

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
        self._poisons.add(Poison(row, error))
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
        self._schedule.add(during, Step("passing", None, times))
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
        drawn = [getattr(FaultScript(), name)()._schedule.steps("attempt")[0] for name in faults]  # noqa: SLF001
        self._schedule.then_draw(seed, rate, drawn, at_most)
        return self

    def _add(self, fault: str, action: Action, times: int, during: During = "attempt") -> Self:
        self._schedule.add(during, Step(fault, action, times))
        return self


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

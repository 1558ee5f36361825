"""How many batches may be in flight: fewer while the database pushes back, one probe while it is away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from bulkwriter.contract import NotApplied, Uniform
from bulkwriter.errors import BackendUnavailableError, RowRejectedError, ThrottledError
from bulkwriter.results import WriteResult

if TYPE_CHECKING:
    from bulkwriter.delivery import Answer
    from bulkwriter.errors import NotWrittenError
    from bulkwriter.retry import RetryPolicy

# What a throttled batch leaves of the limit. Vector's sinks chose 0.9 over 0.5 for throughput; ours are fewer and
# larger requests, so we stand between the two.
DECREASE = 0.7


class Pace:
    """The adaptive limit on batches in flight.

    Throttling lowers it multiplicatively and success raises it by one for as many batches as it allows (AIMD). While
    the database is away only one batch at a time probes it, after a back-off that grows with each failure: so one
    reconnects for all, and nobody waits retry time times queue length. So it is with a database that throttles
    whatever comes, once that has lasted as long as a row is tried.

    Rows that a backend holds back say nothing of the database: for as long as it asks for, no batch leaves, and then as
    many at once as it has let through before: one less for each that was held back as a whole.

    Args:
        policy: Where the back-off comes from.
        most: The writer's ``concurrency``.

    Attributes:
        outage: Why nothing gets through; ``None`` while something does.
    """

    def __init__(self, policy: RetryPolicy, most: float) -> None:
        self._policy = policy
        self._most = most
        self._limit = most
        self._room = most
        self._failures = 0
        self._opens_at = 0.0
        self._held_until = 0.0
        self._shut_since: float | None = None
        self.outage: NotWrittenError | None = None

    def note(self, reply: Uniform | list[Answer], now: float) -> None:
        """Learn from what became of a batch, at this time of the loop's clock."""
        # Of a batch that went well there is nothing to look at.
        is_good = isinstance(reply, Uniform) or set(map(type, reply)) == {WriteResult}
        answers: list[Answer] = [] if is_good else cast("list[Answer]", reply)
        held = [answer.wait for answer in answers if isinstance(answer, NotApplied) and not answer.was_tried]
        if held:
            if now >= self._held_until:
                # Who is held back next is told to wait for longer, behind those that may go by then.
                self._held_until = now + min(held)
            answers = [answer for answer in answers if not isinstance(answer, NotApplied) or answer.was_tried]
            if not answers:
                self._room = max(1.0, min(self._room, 1000.0) - 1.0)
                return
        push_back = _push_back(answers)
        is_through = not answers or any(isinstance(answer, WriteResult | RowRejectedError) for answer in answers)
        if push_back is None:
            # Deadlocks and lost answers say nothing of how the database is.
            if is_through:
                self._failures = 0
                self.outage = self._shut_since = None
                self._opens_at = 0.0
                self._limit = min(self._most, self._limit + 1.0 / self._limit)
                self._room = min(self._most, self._room + 1.0 / self._room)
            return
        self._failures += 1
        if isinstance(push_back.error, BackendUnavailableError):
            self.outage = push_back.error
        else:
            self._note_throttled(push_back.error, now, is_through=is_through)
            if held:
                # The backend has a pace of its own.
                return
            self._limit = max(1.0, min(self._limit, 1000.0) * DECREASE)
            if is_through:
                # Some rows went through: the database is slow, not shut. The others wait by themselves.
                return
        self._opens_at = now + max(push_back.wait, self._policy.backoff(self._failures))

    def _note_throttled(self, error: NotWrittenError, now: float, *, is_through: bool) -> None:
        """Take a database that throttles everything, for as long as a row is tried, for one that is away."""
        if is_through:
            self.outage = self._shut_since = None
        elif self._shut_since is None:
            self._shut_since = now
        elif now - self._shut_since > self._policy.max_time:
            self.outage = error

    def slots(self, now: float) -> tuple[float, float | None]:
        """Return how many batches may be in flight now, and when more may be if that is a matter of time."""
        opens_at = max(self._opens_at, self._held_until)
        if now < opens_at:
            return 0, opens_at
        if self.outage is not None:
            return 1, None
        slots = min(self._limit, self._room)
        return max(1.0, slots // 1 if math.isfinite(slots) else slots), None


def _push_back(reply: list[Answer]) -> NotApplied | None:
    """Return the first sign that the database is away or overloaded."""
    for answer in reply:
        if isinstance(answer, NotApplied) and isinstance(answer.error, BackendUnavailableError | ThrottledError):
            return answer
    return None

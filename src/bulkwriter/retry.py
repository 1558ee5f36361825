"""When to try again, and when to stop trying."""

from __future__ import annotations

from bulkwriter.limits import is_integer, require_seconds
from bulkwriter.values import Value


class RetryPolicy(Value):
    """How long a row that is proven not stored is tried again.

    The wait before try ``n + 1`` is drawn at random between 0 and ``min(max_backoff, initial_backoff * 2**(n - 1))``
    seconds ("full jitter"), so that writers that failed together do not come back together. Whichever of
    ``max_attempts`` and ``max_time`` is reached first ends the trying.

    Attributes:
        max_attempts: Tries a row is given, the first included; 1 never retries.
        max_time: Seconds from the row's acceptance after which no further try begins. Where the database throttles and
            takes others meanwhile, they count from its first try, and without those in the queue: one that is worked
            off slowly is no failure. Settling a doubtful attempt may take as long again.
        attempt_timeout: Seconds after which an attempt is given up and settled on another connection; ``None`` waits
            for as long as it takes.
        initial_backoff: Seconds that bound the first wait.
        max_backoff: Seconds that bound every wait.

    Raises:
        ValueError: For a number outside its range; the message says what would be right.
    """

    __slots__ = ("max_attempts", "max_time", "attempt_timeout", "initial_backoff", "max_backoff")

    max_attempts: int
    max_time: float
    attempt_timeout: float | None
    initial_backoff: float
    max_backoff: float

    def __init__(
        self,
        *,
        max_attempts: int = 10,
        max_time: float = 30.0,
        attempt_timeout: float | None = 60.0,
        initial_backoff: float = 0.05,
        max_backoff: float = 2.0,
    ) -> None:
        if not is_integer(max_attempts) or max_attempts < 1:
            message = f"max_attempts must be an integer of 1 or more, not {max_attempts!r}"
            raise ValueError(message)
        require_seconds("max_time", max_time)
        require_seconds("initial_backoff", initial_backoff)
        require_seconds("max_backoff", max_backoff)
        if attempt_timeout is not None:
            require_seconds("attempt_timeout", attempt_timeout, may_be_zero=False)
        self._hold(max_attempts=max_attempts, max_time=max_time, attempt_timeout=attempt_timeout)
        self._hold(initial_backoff=initial_backoff, max_backoff=max_backoff)

    def backoff(self, attempts: int) -> float:
        """Return the seconds to wait after ``attempts`` failed tries, drawn at random."""
        import random  # noqa: PLC0415 - a millisecond of importing the library, for when something has gone wrong

        # 2.0**1000 is still a float; an unbounded exponent would overflow after a long outage.
        bound = min(self.max_backoff, self.initial_backoff * 2.0 ** min(attempts - 1, 1000))
        return random.uniform(0.0, bound)  # noqa: S311 - spreads load, guards no secret

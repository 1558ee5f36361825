"""The numbers a batcher or writer is built with, checked at the door."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from bulkwriter.values import Value

WhenFull: TypeAlias = Literal["raise", "wait"]
UNLIMITED = -1


class QueueLimits(Value):
    """When a batch is full, when it leaves, and how much may wait.

    Attributes:
        max_batch_size: Rows that fill a batch; -1 = no limit.
        max_batch_bytes: Bytes that fill a batch; -1 = no limit.
        max_queue_time: Seconds after which a batch leaves although it is not full, counted from its oldest row; 0
            batches naturally.
        concurrency: Batches in flight at once; -1 = no limit.
        max_queue_size: Rows that may be queued; -1 = no limit.
        max_queue_bytes: Bytes that may be queued; -1 = no limit.
        when_full: Whether a caller that finds the queue full hears so, or waits for a place.

    Raises:
        ValueError: For a number outside its range; the message says what would be right.
    """

    __slots__ = (
        "max_batch_size",
        "max_batch_bytes",
        "max_queue_time",
        "concurrency",
        "max_queue_size",
        "max_queue_bytes",
        "when_full",
    )

    max_batch_size: int
    max_batch_bytes: int
    max_queue_time: float
    concurrency: int
    max_queue_size: int
    max_queue_bytes: int
    when_full: WhenFull

    def __init__(
        self,
        *,
        max_batch_size: int = UNLIMITED,
        max_batch_bytes: int = UNLIMITED,
        max_queue_time: float = 0.01,
        concurrency: int = 1,
        max_queue_size: int = UNLIMITED,
        max_queue_bytes: int = UNLIMITED,
        when_full: WhenFull = "raise",
    ) -> None:
        numbers = {
            "max_batch_size": max_batch_size,
            "max_batch_bytes": max_batch_bytes,
            "concurrency": concurrency,
            "max_queue_size": max_queue_size,
            "max_queue_bytes": max_queue_bytes,
        }
        for name, value in numbers.items():
            require_limit(name, value)
        require_seconds("max_queue_time", max_queue_time)
        if when_full not in ("raise", "wait"):
            message = f'when_full must be "raise" or "wait", not {when_full!r}'
            raise ValueError(message)
        self._hold(**numbers, max_queue_time=max_queue_time, when_full=when_full)

    @property
    def counts_bytes(self) -> bool:
        """Whether the size of a row matters at all."""
        return self.max_batch_bytes != UNLIMITED or self.max_queue_bytes != UNLIMITED


def require_limit(name: str, value: int) -> None:
    """Raise ``ValueError`` unless ``value`` is a positive integer or -1."""
    if not is_integer(value) or (value < 1 and value != UNLIMITED):
        message = f"{name} must be an integer of 1 or more, or -1 for no limit, not {value!r}"
        raise ValueError(message)


def is_integer(value: object) -> bool:
    """Whether it is a whole number, and not a truth value that passes for one."""
    return isinstance(value, int) and not isinstance(value, bool)


def require_seconds(name: str, value: float, *, may_be_zero: bool = True) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite number of seconds, 0 or more."""
    if not _is_duration(value) or (value == 0 and not may_be_zero):
        least = "0 or more seconds" if may_be_zero else "more than 0 seconds"
        message = f"{name} must be {least}, not {value!r}"
        raise ValueError(message)


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0

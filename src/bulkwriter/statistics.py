"""The figures: how many rows met which fate, and the identity that must hold between them at every moment."""

from __future__ import annotations

import collections
import operator
from typing import TYPE_CHECKING, Any, cast

from bulkwriter.errors import NotWrittenError, OutcomeUnknownError, RowRejectedError
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

FATES: tuple[str, ...] = (
    "inserted",
    "updated",
    "stored",
    "skipped",
    "unchanged",
    "superseded",
    "deleted",
    "rejected",
    "not_written",
    "unknown",
    "withdrawn",
    "succeeded",
    "failed",
)


class Counts(Value):
    """How many rows (items, in the generic core) met each fate.

    Attributes:
        inserted: New rows stored.
        updated: Rows that replaced what was there.
        stored: Rows stored where the database cannot tell the two apart.
        skipped: Rows whose key was already there (``on_conflict="skip"``).
        unchanged: Updates that changed nothing.
        superseded: Rows replaced by a later one of the same batch (``coalesce=True``).
        deleted: Keys that are absent now.
        rejected: Rows refused because of what they hold, at the door or by the database.
        not_written: Rows certainly not stored through no fault of their own.
        unknown: Rows that may or may not be stored.
        withdrawn: Rows whose caller was cancelled while they were queued; never sent.
        succeeded: Items of a generic ``AsyncBatcher`` that were given a result.
        failed: Items of a generic ``AsyncBatcher`` that were given an exception by ``process_batch``.
    """

    __slots__ = FATES

    inserted: int
    updated: int
    stored: int
    skipped: int
    unchanged: int
    superseded: int
    deleted: int
    rejected: int
    not_written: int
    unknown: int
    withdrawn: int
    succeeded: int
    failed: int

    def __init__(self, **figures: Any) -> None:
        # Whatever is not named is 0.
        self._hold(**{**dict.fromkeys(self.__match_args__, 0), **figures})

    @property
    def total(self) -> int:
        """All rows counted here."""
        return sum(self.fates().values())

    def fates(self) -> dict[str, int]:
        """Return how many rows met each fate, by its name."""
        return {name: getattr(self, name) for name in FATES}

    @property
    def written(self) -> int:
        """Rows that this writer changed the table with: inserted, updated, stored and deleted."""
        return self.inserted + self.updated + self.stored + self.deleted

    @property
    def failures(self) -> int:
        """Rows whose caller heard an error: rejected, not written, unknown and failed."""
        return self.rejected + self.not_written + self.unknown + self.failed


class Statistics(Counts):
    """A snapshot of a batcher or writer.

    At every moment ``accepted`` equals ``total`` plus ``queued`` plus ``in_flight``: no row is ever in two places, or
    in none.

    Attributes:
        accepted: Rows taken in, among them those refused at the door.
        queued: Rows accepted and not yet in a batch: in the queue, waiting for a place in it, behind an earlier row
            of the same key, or awaiting a retry.
        in_flight: Rows of batches handed to the database whose answer is outstanding.
        queued_bytes: Size of what is queued, in bytes, where a byte limit makes sizes known; else 0.
        batches_in_flight: Batches handed to the database whose answer is outstanding.
        batches: Batches begun so far.
        retries: Rows that went back to the queue for another attempt, counted each time.
        largest_batch: Rows of the largest batch so far.
        paths: For each way of writing the backend has, how many attempts took it.
    """

    __slots__ = (
        "accepted",
        "queued",
        "in_flight",
        "queued_bytes",
        "batches_in_flight",
        "batches",
        "retries",
        "largest_batch",
        "paths",
    )

    accepted: int
    queued: int
    in_flight: int
    queued_bytes: int
    batches_in_flight: int
    batches: int
    retries: int
    largest_batch: int
    paths: dict[str, int]

    def __init__(self, *, paths: dict[str, int] | None = None, **figures: int) -> None:
        super().__init__(**figures, paths={} if paths is None else paths)

    @property
    def is_balanced(self) -> bool:
        """Whether every accepted row is in exactly one place."""
        return self.accepted == self.total + self.queued + self.in_flight


class Tally:
    """The running figures behind ``Counts``, of the rows accepted between two flushes."""

    __slots__ = ("accepted", "settled", *FATES)

    inserted: int
    updated: int
    stored: int
    skipped: int
    unchanged: int
    superseded: int
    deleted: int
    rejected: int
    not_written: int
    unknown: int
    withdrawn: int
    succeeded: int
    failed: int

    def __init__(self) -> None:
        self.accepted: int = 0
        self.settled: int = 0
        for name in FATES:
            setattr(self, name, 0)

    def add(self, fate: str, rows: int = 1) -> None:
        """Count ``rows`` more that met ``fate``."""
        setattr(self, fate, getattr(self, fate) + rows)
        self.settled += rows

    def merge(self, other: Tally) -> None:
        """Take over what ``other`` counted."""
        self.accepted += other.accepted
        self.settled += other.settled
        for name in FATES:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, int]:
        """Return the fates by name, as the keywords of ``Counts`` and ``Statistics``."""
        return {name: getattr(self, name) for name in FATES}


_FATE_OF_OUTCOME = {outcome: outcome.value for outcome in Outcome}


_OUTCOME_BY_ID = {id(outcome): outcome for outcome in Outcome}
_outcome_of = operator.attrgetter("outcome")


def fates_of(answers: Iterable[WriteResult]) -> dict[str, int]:
    """Return how many of many good answers stand for each fate."""
    # By the id: to ask a member of an enumeration for its hash takes longer than all the rest.
    counted = collections.Counter(map(id, map(_outcome_of, answers)))
    return {_FATE_OF_OUTCOME[_OUTCOME_BY_ID[outcome]]: rows for outcome, rows in counted.items()}


def fate_of(answer: object) -> str:
    """Return the name of the fate that a row's final answer stands for."""
    # By its type: in the generic core a result may be anything, also what fails when it is asked for its class.
    kind = type(answer)
    if issubclass(kind, WriteResult):
        return _FATE_OF_OUTCOME[cast("WriteResult", answer).outcome]
    if issubclass(kind, RowRejectedError):
        return "rejected"
    if issubclass(kind, NotWrittenError):
        return "not_written"
    if issubclass(kind, OutcomeUnknownError):
        return "unknown"
    return "failed" if issubclass(kind, BaseException) else "succeeded"

"""A database that remembers what it truly did, to be compared with what callers were told.

Every call of a test is a ``Call``, and its key carries it along to the database. So each deed in the table is known to
be this or that call's, whichever batch, attempt or retry brought it there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import TYPE_CHECKING, Any, ClassVar

from bulkwriter.contract import NotApplied, Uniform
from bulkwriter.errors import (
    BulkWriterError,
    CheckViolationError,
    DeadlineExceededError,
    NotWrittenError,
    OutcomeUnknownError,
    RowRejectedError,
    UniqueViolationError,
)
from bulkwriter.results import Outcome, WriteResult
from bulkwriter.testing import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from bulkwriter.contract import Attempt, Capabilities, Operation, Plan, Reply


class Key(int):
    """A key that knows the call it belongs to; for the table it is a number."""

    call: Call

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


@dataclasses.dataclass(eq=False)
class Call:
    """One row that a test has handed to a writer, or one key to delete.

    Attributes:
        operation: What is asked for.
        key: The row's key.
        row: The row; ``None`` for a delete.
        timeout: Its deadline in seconds from the call; ``None`` for none.
        called_at: When it was called.
        number: Its place in the order of acceptance; ``None`` as long as it has not been accepted.
        tries: How many attempts had it in them so far.
        answer: What its caller was told; ``None`` if nothing yet.
        answered_at: When.
        tries_told: How many tries there had been by then.
        has_left: Whether nobody waits for its answer any more.
        deeds: What truly became of it in the table: more than one would be a double write.
    """

    operation: Operation
    key: int
    row: dict[str, Any] | None = None
    timeout: float | None = None
    called_at: float = 0.0
    number: int | None = None
    tries: int = 0
    answer: WriteResult | BaseException | None = None
    answered_at: float = 0.0
    tries_told: int = 0
    has_left: bool = False
    deeds: list[Outcome] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.tag = Key(self.key)
        self.tag.call = self
        if self.row is not None:
            self.row = {column: self.tag if column == "id" else value for column, value in self.row.items()}

    def __repr__(self) -> str:
        told = self.answer.outcome if isinstance(self.answer, WriteResult) else repr(self.answer)
        return f"<{self.operation} {self.row or self.key}, number {self.number}, told {told}, did {self.deeds}>"

    def tell(self, answer: WriteResult | BaseException, now: float) -> None:
        """Note what the caller was told."""
        assert self.answer is None, f"{self} was answered twice: {answer!r}"
        self.answer = answer
        self.answered_at = now
        self.tries_told = self.tries

    @property
    def is_stored(self) -> bool:
        """Whether the table is changed by it, as far as its caller was told."""
        return isinstance(self.answer, WriteResult) and self.answer.outcome in STORING

    @property
    def columns(self) -> frozenset[str]:
        """The columns it gives."""
        return frozenset(self.row or ())


STORING = {Outcome.INSERTED, Outcome.UPDATED, Outcome.DELETED}


class Witness(MemoryBackend):
    """A ``MemoryBackend`` that writes down whose row it stored when, and what no backend should ever be handed."""

    keeps_keys_apart: bool = False
    max_batch_size: int = 1000

    def __init__(self, **options: Any) -> None:
        super().__init__("events", **options)
        self.deeds: list[Call] = []
        self.wrongs: list[str] = []
        self.under_way = 0
        self.most_under_way = 0
        self._numbers = itertools.count()
        self._keys_under_way: list[Key] = []

    def prepare(self, plan: Plan, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Number the call: a row is prepared at the moment it is accepted."""
        call = call_of(plan, values)
        if call.number is None:
            call.number = next(self._numbers)
        return super().prepare(plan, values)

    async def attempt(self, attempt: Attempt) -> Reply:
        """Make the attempt, and look whether it should have been made."""
        calls = [call_of(attempt.plan, row) for row in attempt.rows]
        self._inspect(calls)
        for call in calls:
            call.tries += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            reply = await super().attempt(attempt)
            for call in _held_back(calls, reply):
                call.tries -= 1
            return reply
        finally:
            self.under_way -= 1
            for call in calls:
                self._keys_under_way.remove(call.tag)

    def _inspect(self, calls: list[Call]) -> None:
        if not 0 < len(calls) <= self.max_batch_size:
            self.wrongs.append(f"a batch of {len(calls)} rows")
        for call in calls:
            if self.keeps_keys_apart and call.key in self._keys_under_way:
                self.wrongs.append(f"{call} is sent while another of its key is under way")
            self._keys_under_way.append(call.tag)

    def _transact(self, attempt: Attempt) -> Reply:
        is_known = self.ledger and attempt.identity in self.store.ledger
        reply = super()._transact(attempt)
        assert isinstance(reply, list)
        if not is_known:
            for row, verdict in zip(attempt.rows, reply, strict=True):
                if isinstance(verdict, WriteResult):
                    call = call_of(attempt.plan, row)
                    call.deeds.append(verdict.outcome)
                    self.deeds.append(call)
        return reply


class SplittingWitness(Witness):
    """One that cannot find bad rows by itself."""

    capabilities: ClassVar[Capabilities] = MemoryBackend.capabilities.but(isolates=False)


def _held_back(calls: list[Call], reply: Any) -> list[Call]:
    """Return the calls that were in an attempt and not sent."""
    if isinstance(reply, Uniform):
        return calls if _is_held_back(reply.verdict) else []
    # A reply may be of any length, or nonsense.
    pairs = zip(calls, reply, strict=False) if isinstance(reply, list) else ()
    return [call for call, verdict in pairs if _is_held_back(verdict)]


def _is_held_back(verdict: object) -> bool:
    return isinstance(verdict, NotApplied) and not verdict.was_tried


def call_of(plan: Plan, values: Iterable[Any]) -> Call:
    """Return the call that a prepared row or key belongs to."""
    key = dict(zip(plan.columns, values, strict=True))["id"]
    assert isinstance(key, Key)
    return key.call


def check_answer(call: Call) -> None:
    """See that what one caller was told is what is true."""
    answer = call.answer
    assert len(call.deeds) <= 1, f"{call} was written more than once"
    if answer is None:
        assert call.has_left, f"{call} was never answered"
        return
    if isinstance(answer, WriteResult):
        expected = [] if answer.outcome is Outcome.SUPERSEDED else [answer.outcome]
        assert call.deeds == expected, f"{call}: the answer is not what was done"
    elif isinstance(answer, RowRejectedError | NotWrittenError):
        assert not call.deeds, f"{call} was written all the same"
    else:
        assert isinstance(answer, OutcomeUnknownError), f"{call} heard something that is no answer"
    check_attempts(call, answer)
    check_deadline(call, answer)


def check_attempts(call: Call, answer: WriteResult | BulkWriterError) -> None:
    """See that the attempts a caller was told are those that were made."""
    if isinstance(answer, WriteResult) and answer.outcome is Outcome.SUPERSEDED:
        return
    message = f"{call}: {answer.attempts} attempts told, {call.tries_told} made"
    if isinstance(answer, OutcomeUnknownError) and answer.__cause__ is None:
        # Told while its batch was under way, which may have been attempted several times already.
        assert 1 <= answer.attempts <= max(call.tries_told, 1), message
    else:
        assert answer.attempts == call.tries_told, message


def check_deadline(call: Call, answer: WriteResult | BulkWriterError) -> None:
    """See that nobody waited beyond the deadline, nor was told of one that was none."""
    if call.timeout is None:
        assert not isinstance(answer, DeadlineExceededError), f"{call} had no deadline"
    else:
        waited = call.answered_at - call.called_at
        assert waited <= call.timeout + 1e-6, f"{call} waited {waited} seconds"


def check_rejection(call: Call, others: Iterable[Call]) -> None:
    """See that a row was rejected for what it is, and not for what befell its batch."""
    answer = call.answer
    if not isinstance(answer, RowRejectedError):
        return
    if isinstance(answer, UniqueViolationError):
        rivals = [other for other in others if other.key == call.key and Outcome.INSERTED in other.deeds]
        assert rivals, f"{call}: there was no other row of its key"
    else:
        assert isinstance(answer, CheckViolationError)
        assert is_bad(call), f"{call} is not bad"


def check_order(deeds: Iterable[Call], *, of_inserts: bool) -> None:
    """See that rows of one key were written in the order in which they were accepted.

    Args:
        deeds: The calls in the order in which they were written.
        of_inserts: Whether that holds between two inserts too; between an insert and a delete it always does.
    """
    written: dict[int, list[Call]] = {}
    for call in deeds:
        for earlier in written.setdefault(call.key, []):
            if of_inserts or "delete" in (call.operation, earlier.operation):
                assert earlier.number is not None
                assert call.number is not None
                assert earlier.number < call.number, f"{call} was written after {earlier}"
        written[call.key].append(call)


def check_superseded(call: Call, calls: Iterable[Call]) -> None:
    """See that a later row of the same columns truly stands for a superseded one, and none of another kind between."""
    if not (isinstance(call.answer, WriteResult) and call.answer.outcome is Outcome.SUPERSEDED):
        return
    assert call.number is not None
    later = [other for other in calls if other.key == call.key and (other.number or -1) > call.number and other.deeds]
    assert later, f"{call} is superseded by nobody"
    first = min(later, key=lambda other: other.number or 0)
    assert first.operation == "insert", f"{call} is superseded across {first}"
    assert first.columns == call.columns, f"{call} is superseded by {first}, which has other columns"


def check_table(backend: MemoryBackend, calls: Iterable[Call]) -> None:
    """Look into the table: what callers were told must add up to what is there, where nothing is in doubt."""
    stored = {row["id"]: row for row in backend.rows}
    by_key: dict[int, list[Call]] = {}
    for call in calls:
        by_key.setdefault(call.key, []).append(call)
    for key, mine in by_key.items():
        if any(call.answer is None or isinstance(call.answer, OutcomeUnknownError) for call in mine):
            continue
        expected: dict[str, Any] | None = None
        for call in sorted((call for call in mine if call.is_stored), key=lambda call: call.number or 0):
            expected = None if call.row is None else {**(expected or {}), **call.row}
        assert stored.get(key) == expected, f"key {key} holds {stored.get(key)}, told was {expected}: {mine}"


def is_bad(call: Call) -> bool:
    """Whether the table refuses a call's row."""
    return call.row is not None and call.row.get("v", 0) < 0


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Wait until all of these have ended, however they did."""
    if tasks:
        await asyncio.wait(tasks)

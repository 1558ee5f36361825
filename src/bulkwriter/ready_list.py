"""The delivery engine over one ready list: what ``Backend.process_batch`` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from bulkwriter.contract import NotApplied, Uniform
from bulkwriter.delivery import Delivery
from bulkwriter.errors import BulkWriterError, MisconfigurationError, ThrottledError
from bulkwriter.patience import open_patiently
from bulkwriter.plans import PlanBook, complete
from bulkwriter.results import WriteResult

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Plan
    from bulkwriter.delivery import Answer
    from bulkwriter.retry import RetryPolicy


class _Entry:
    """One row of the list, and where its answer belongs."""

    __slots__ = ("attempts", "index", "plan", "row", "tried_at", "tries")

    def __init__(self, index: int, plan: Plan, row: Any) -> None:
        self.index = index
        self.plan = plan
        self.row = row
        # Attempts that had this row in them, and rounds of retrying.
        self.attempts = 0
        self.tries = 0
        # When it was back from the first of them, and later by all the time for which it was held back since.
        self.tried_at: float | None = None


async def deliver_all(
    backend: Backend, rows: list[Any], policy: RetryPolicy, identity: str | None
) -> list[WriteResult | BulkWriterError]:
    """Write a list of rows and return the answer to each; see ``Backend.process_batch``."""
    if identity is not None and not backend.ledger:
        message = f"{backend.name} table {backend.table}: an identity needs ledger=True, where it is kept"
        raise MisconfigurationError(message, backend=backend.name, table=backend.table)
    work = _Work(backend, policy, identity, len(rows))
    if rows:
        await work.run(rows)
    return cast("list[WriteResult | BulkWriterError]", work.answers)


class _Work:
    """One list on its way."""

    def __init__(self, backend: Backend, policy: RetryPolicy, identity: str | None, rows: int) -> None:
        self.answers: list[WriteResult | BulkWriterError | None] = [None] * rows
        self._backend = backend
        self._policy = policy
        self._identity = identity
        self._parts = 0
        self._delivery = Delivery(backend, policy)
        self._began_at = asyncio.get_running_loop().time()
        # When the database last took a row of this list.
        self._taken_at = self._began_at

    async def run(self, rows: list[Any]) -> None:
        refused = await open_patiently(self._backend, self._policy)
        if refused is not None:
            self.answers = [refused.for_row(None, attempts=0) for _ in rows]
            return
        for turn in self._turns(self._entries(rows)):
            for batch in self._batches(turn):
                await self._write(batch)

    def _entries(self, rows: list[Any]) -> list[_Entry]:
        """Read and prepare the rows; those that cannot be have their answer."""
        book = PlanBook(self._backend)
        entries = []
        for index, row in enumerate(rows):
            try:
                entries.append(_Entry(index, *book.prepare(*book.read(row))))
            except BulkWriterError as error:
                self.answers[index] = error
        return entries

    def _turns(self, entries: list[_Entry]) -> Iterable[list[_Entry]]:
        """Divide the rows so that no key comes twice in a turn: the turns are written one after the other."""
        if self._backend.on_conflict == "error":
            return [entries]
        turns: list[list[_Entry]] = [[]]
        seen: dict[Hashable, int] = {}
        for entry in entries:
            key = self._backend.row_key(entry.plan, entry.row)
            turn = 0
            if key is not None:
                turn = seen.get(key, 0)
                seen[key] = turn + 1
            if turn == len(turns):
                turns.append([])
            turns[turn].append(entry)
        return turns

    def _batches(self, entries: list[_Entry]) -> Iterator[list[_Entry]]:
        """Divide rows into batches of one plan, within what the database takes."""
        limits = self._backend.limits
        by_plan: dict[int, list[_Entry]] = {}
        for entry in entries:
            by_plan.setdefault(id(entry.plan), []).append(entry)
        for alike in by_plan.values():
            batch: list[_Entry] = []
            size = 0
            for entry in alike:
                mine = self._backend.row_size(entry.plan, entry.row) if limits.max_batch_bytes > 0 else 0
                if batch and (len(batch) >= limits.max_batch_size or size + mine > limits.max_batch_bytes > 0):
                    yield batch
                    batch, size = [], 0
                batch.append(entry)
                size += mine
            if batch:
                yield batch

    async def _write(self, batch: list[_Entry]) -> None:
        """Write one batch, and what is left of it, until every row of it has its answer."""
        name = None if self._identity is None else f"{self._identity}/{self._parts}"
        self._parts += 1
        while batch:
            tries = 1 + max([entry.tries for entry in batch])
            reply = await self._delivery.deliver(
                batch[0].plan, [entry.row for entry in batch], number=tries, identity=name
            )
            answers = cast("list[Answer]", [reply.verdict] * len(batch)) if isinstance(reply, Uniform) else reply
            if any(isinstance(answer, WriteResult) for answer in answers):
                self._taken_at = self._now()
            left, wait = self._divide(batch, answers, tries)
            if left and len(left) < len(batch) and name is not None:
                # The others of this batch are in the ledger under its name.
                name = f"{name}+{tries}"
            batch = left
            if batch:
                await asyncio.sleep(wait)

    def _divide(self, batch: list[_Entry], answers: list[Answer], tries: int) -> tuple[list[_Entry], float]:
        """Note the answers to one try; return the rows that are to be tried again, and the seconds to wait before."""
        left: list[_Entry] = []
        held: list[_Entry] = []
        wait, backoff = 0.0, self._policy.backoff(tries)
        for entry, answer in zip(batch, answers, strict=True):
            if isinstance(answer, NotApplied):
                mine = max(answer.wait, backoff) if answer.was_tried else answer.wait
                if self._may_retry(entry, answer, mine):
                    entry.attempts += answer.error.attempts
                    left.append(entry)
                    if not answer.was_tried:
                        held.append(entry)
                    wait = max(wait, mine)
                    continue
            self.answers[entry.index] = self._final(entry, answer)
        for entry in held:
            # What it is held back for is no time of its retries.
            if entry.tried_at is not None:
                entry.tried_at += wait
        return left, wait

    def _may_retry(self, entry: _Entry, answer: NotApplied, wait: float) -> bool:
        """Note what came of a row, and return whether the policy allows another try."""
        now = self._now()
        if answer.was_tried:
            entry.tries += 1
            entry.tried_at = now if entry.tried_at is None else entry.tried_at
            if not answer.retry or entry.tries >= self._policy.max_attempts:
                return False
        since = self._began_at
        if isinstance(answer.error, ThrottledError):
            # A long list has its time, as long as the database takes some of it.
            since = self._taken_at if entry.tried_at is None else min(self._taken_at, entry.tried_at)
        return now + wait - since <= self._policy.max_time

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _final(self, entry: _Entry, answer: Answer) -> WriteResult | BulkWriterError:
        if isinstance(answer, WriteResult):
            return answer.after(entry.attempts)
        error = answer.error if isinstance(answer, NotApplied) else answer
        return complete(self._backend, error, entry.plan, entry.row, attempts=error.attempts + entry.attempts)

"""The delivery engine: attempt, isolate, settle, until every row of a batch has its verdict.

Written once for all backends. The first attempt is the fast path and pays nothing for what may go wrong. What it
leaves open is settled first, then bad rows are looked for: a batch that may be stored must not be split and sent again.
Retrying is not decided here: ``NotApplied`` goes back to the caller, which packs such rows with new ones and waits
without holding a slot.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from bulkwriter.contract import Attempt, Capabilities, Doubtful, NotApplied, Plan, Reply, Suspect, Uniform, Verdict
from bulkwriter.errors import BackendUnavailableError, NotWrittenError, OutcomeUnknownError, RowRejectedError
from bulkwriter.results import WriteResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkwriter.retry import RetryPolicy

logger: logging.Logger = logging.getLogger("bulkwriter")

Answer: TypeAlias = WriteResult | RowRejectedError | OutcomeUnknownError | NotApplied
"""A row's verdict once nothing is doubtful or suspect any more."""


class Target(Protocol):
    """The part of a backend that the engine talks to."""

    @property
    def name(self) -> str:
        """Its name in errors."""

    @property
    def table(self) -> str:
        """The target's name."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    async def attempt(self, attempt: Attempt) -> Reply:
        """Try to write one batch, once."""

    async def settle(self, attempt: Attempt) -> Reply:
        """Find out what became of an attempt."""


class Delivery:
    """Brings batches to one backend.

    Args:
        backend: Where the rows go. It must be open.
        policy: How long an attempt may take, and how long a doubtful one is asked after.
    """

    def __init__(self, backend: Target, policy: RetryPolicy) -> None:
        self._backend = backend
        self._policy = policy

    async def deliver(
        self,
        plan: Plan,
        rows: Sequence[Any],
        *,
        number: int = 1,
        identity: str | None = None,
        on_settling: Callable[[], None] | None = None,
    ) -> Uniform | list[Answer]:
        """Attempt one batch, and find out what became of every row of it.

        Args:
            plan: What to do with the rows.
            rows: The prepared rows; never empty.
            number: Counts the tries of the row that was tried most often, this one included.
            identity: Names the batch in the ledger; by default it is unique.
            on_settling: Called once, if the answer has to be waited for beyond the attempt itself: others may write.

        Returns:
            An answer for each row, in order, whose ``attempts`` counts the tries made here; or one for all that went
            well on the first try.
        """
        attempt = Attempt(plan, rows, number)
        if identity is not None:
            attempt.identity = identity
        reply = await self._try(attempt)
        if isinstance(reply, Uniform):
            if isinstance(reply.verdict, WriteResult):
                return reply
            reply = [reply.verdict] * len(rows)
        elif set(map(type, reply)) == {WriteResult}:
            # The backend may keep its list and use it again, before everybody has been told.
            return cast("list[Answer]", list(reply))
        return await self._resolve(attempt, reply, 1, on_settling)

    # --- attempt ------------------------------------------------------------------------------------------------

    async def _try(self, attempt: Attempt) -> Reply:
        """Make one attempt; whatever happens becomes a verdict."""
        try:
            async with asyncio.timeout(self._policy.attempt_timeout):
                reply = await self._backend.attempt(attempt)
        except RowRejectedError as error:
            reply = Uniform(Suspect(error), len(attempt.rows))
        except NotWrittenError as error:
            # What is misconfigured stays so: another try would only delay the news.
            reply = Uniform(NotApplied(error, retry=error.safe_to_retry), len(attempt.rows))
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            # Something inside the backend was cancelled, not we: what it had sent may have been applied.
            reply = Uniform(Doubtful(error), len(attempt.rows))
        except Exception as error:  # noqa: BLE001 - a timeout, a lost connection, a defect: none of them is proof
            reply = Uniform(Doubtful(error), len(attempt.rows))
        return _checked(reply, len(attempt.rows))

    async def _resolve(
        self, attempt: Attempt, verdicts: Sequence[Verdict], tries: int, on_settling: Callable[[], None] | None
    ) -> list[Answer]:
        """Turn the verdicts of one attempt into answers: settle what is doubtful, then isolate what is suspect."""
        final: list[Verdict] = list(verdicts)
        if any(isinstance(verdict, Doubtful) for verdict in final):
            settled = await self._settle(attempt, final, on_settling)
            for place, verdict in enumerate(final):
                if isinstance(verdict, Doubtful):
                    final[place] = _second_look(verdict, settled[place])
        answers = self._answers(final, tries)
        suspects = [place for place, verdict in enumerate(final) if isinstance(verdict, Suspect)]
        if suspects:
            found = await self._isolate(attempt, suspects, final, tries, on_settling)
            for place, answer in zip(suspects, found, strict=True):
                answers[place] = answer
        return answers

    def _answers(self, verdicts: Sequence[Verdict], tries: int) -> list[Any]:
        """Return the verdicts as answers; rows that share a verdict share the answer until each is told its own."""
        made: dict[int, Any] = {}
        for verdict in verdicts:
            if id(verdict) not in made:
                made[id(verdict)] = self._answer(verdict, tries)
        return [made[id(verdict)] for verdict in verdicts]

    def _answer(self, verdict: Verdict, tries: int) -> Answer | None:
        """Return a verdict with the number of tries it took; ``None`` for a suspect, which has none yet."""
        if isinstance(verdict, WriteResult):
            return verdict if tries == 1 else WriteResult(verdict.outcome, verdict.returned, tries)
        # Errors are copied: a backend may keep one and give it again, and the count of another try would follow.
        if isinstance(verdict, RowRejectedError):
            return verdict.for_row(None, attempts=tries)
        if isinstance(verdict, NotApplied):
            # A row that was held back was in the tries before, if there were any, and not in this one.
            made = tries if verdict.was_tried else tries - 1
            error = verdict.error.for_row(None, attempts=made)
            return NotApplied(error, verdict.wait, retry=verdict.retry, was_tried=verdict.was_tried)
        if isinstance(verdict, Doubtful):
            return self._unknown(verdict.cause, tries)
        return None

    def _unknown(self, cause: BaseException | None, tries: int) -> OutcomeUnknownError:
        backend = self._backend
        why = f" ({type(cause).__name__})" if cause is not None else ""
        error = OutcomeUnknownError(
            f"{backend.name} table {backend.table}: the row may or may not be stored: no acknowledgement came{why}",
            attempts=tries,
            backend=backend.name,
            table=backend.table,
        )
        error.__cause__ = cause
        return error

    # --- isolate ------------------------------------------------------------------------------------------------

    async def _isolate(
        self,
        attempt: Attempt,
        suspects: list[int],
        verdicts: list[Verdict],
        tries: int,
        on_settling: Callable[[], None] | None,
    ) -> list[Answer]:
        """Find the bad rows among the suspects, and have the good ones stored."""
        rows = [attempt.rows[place] for place in suspects]
        if len(rows) == 1:
            suspect = verdicts[suspects[0]]
            assert isinstance(suspect, Suspect)
            return [suspect.error.for_row(None, attempts=tries)]
        if self._backend.capabilities.isolates and not attempt.careful:
            return await self._again(attempt, rows, tries, on_settling, part="careful")
        # The engine's own resort. Halves go one after the other: rows of one key keep their order.
        middle = len(rows) // 2
        first = await self._again(attempt, rows[:middle], tries, on_settling, part="1")
        away = _outage(first)
        if away is not None:
            # The database has gone in the middle of the search: the rest is not stored, and is not searched now.
            rest = NotApplied(away.error.for_row(None, attempts=tries), away.wait, retry=away.retry)
            return [*first, *[rest] * (len(rows) - middle)]
        return first + await self._again(attempt, rows[middle:], tries, on_settling, part="2")

    async def _again(
        self,
        attempt: Attempt,
        rows: list[Any],
        tries: int,
        on_settling: Callable[[], None] | None,
        *,
        part: str,
    ) -> list[Answer]:
        """Attempt a part of a batch whose first attempt was not applied because of a bad row."""
        again = Attempt(
            attempt.plan,
            rows,
            attempt.number + 1,
            careful=attempt.careful or part == "careful",
            # A second run of the same work is split in the same way, and must find its parts in the ledger.
            identity=f"{attempt.identity}.{part}",
        )
        reply = await self._try(again)
        verdicts = [reply.verdict] * len(rows) if isinstance(reply, Uniform) else reply
        return await self._resolve(again, verdicts, tries + 1, on_settling)

    # --- settle -------------------------------------------------------------------------------------------------

    async def _settle(
        self, attempt: Attempt, verdicts: list[Verdict], on_settling: Callable[[], None] | None
    ) -> list[Verdict]:
        """Ask what became of a doubtful attempt, until it is known, cannot be known, or took too long."""
        if not any(isinstance(verdict, Doubtful) and verdict.can_settle for verdict in verdicts):
            return verdicts
        if on_settling is not None:
            # Nobody waits for a slot that is only waiting for an answer.
            on_settling()
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self._policy.max_time
        asked = 0
        while True:
            reply = await self._ask(attempt)
            asked += 1
            found = [reply.verdict] * len(attempt.rows) if isinstance(reply, Uniform) else reply
            if not any(
                isinstance(before, Doubtful) and isinstance(after, Doubtful) and after.can_settle
                for before, after in zip(verdicts, found, strict=True)
            ):
                return found
            wait = self._policy.backoff(asked)
            if clock() + wait > ends_at:
                return found
            await asyncio.sleep(wait)

    async def _ask(self, attempt: Attempt) -> Reply:
        """Ask once. Not being able to ask leaves the attempt as doubtful as it was."""
        rows = len(attempt.rows)
        try:
            async with asyncio.timeout(self._policy.attempt_timeout):
                reply = await self._backend.settle(attempt)
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            return Uniform(Doubtful(error), rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, it proves nothing about the attempt
            logger.debug("%s: settling failed with %s", self._backend.name, type(error).__name__)
            return Uniform(Doubtful(error), rows)
        return _checked(reply, rows)


def _second_look(before: Doubtful, after: Verdict) -> Verdict:
    """Return what settling found. A row that stays unknown keeps the cause it was lost for."""
    if isinstance(after, Doubtful) and before.cause is not None:
        return before
    return after


def _outage(answers: list[Answer]) -> NotApplied | None:
    """Return what says that the database is away."""
    for answer in answers:
        if isinstance(answer, NotApplied) and isinstance(answer.error, BackendUnavailableError):
            return answer
    return None


def _checked(reply: Reply, rows: int) -> Reply:
    """Return a reply that answers every row, or doubt about all of them: a short reply is never believed."""
    if not _is_verdicts([reply.verdict] if isinstance(reply, Uniform) else reply):
        return Uniform(Doubtful(TypeError(f"the backend replied with {type(reply).__name__}, not with verdicts")), rows)
    told = reply.rows if isinstance(reply, Uniform) else len(reply)
    if told != rows:
        return Uniform(Doubtful(ValueError(f"the backend answered for {told} rows of {rows}")), rows)
    return reply


def _is_verdicts(reply: object) -> bool:
    """Whether it is what a backend should reply with; its author may not have used a type checker."""
    return isinstance(reply, list) and all(issubclass(kind, _VERDICTS) for kind in set(map(type, reply)))


_VERDICTS = (WriteResult, RowRejectedError, NotApplied, Suspect, Doubtful)


def _is_being_cancelled() -> bool:
    """Whether somebody cancelled this very task, rather than something it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

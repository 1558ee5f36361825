"""Attempts made by hand, as the engine would make them, and what they tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.contract import Attempt, NotApplied, Uniform
from bulkwriter.errors import BulkWriterError
from bulkwriter.results import WriteResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Operation, Reply


async def write(
    backend: Backend,
    columns: str,
    rows: Sequence[tuple[Any, ...]],
    operation: Operation = "insert",
    *,
    careful: bool = False,
) -> list[Any]:
    """Make one attempt, and return each row's verdict."""
    plan = backend.plan(operation, tuple(columns.split()))
    return verdicts(await backend.attempt(Attempt(plan, list(rows), careful=careful)))


def verdicts(reply: Reply) -> list[Any]:
    """Return a verdict for each row."""
    return [reply.verdict] * reply.rows if isinstance(reply, Uniform) else list(reply)


def told(answers: Sequence[Any]) -> list[str]:
    """Return what each row was told, in a word."""
    return [answer.outcome.value if isinstance(answer, WriteResult) else word(answer) for answer in answers]


def word(answer: Any) -> str:
    """Return the name of an error, also of one inside ``NotApplied``."""
    error = answer.error if isinstance(answer, NotApplied) else answer
    return type(error).__name__.removesuffix("Error") if isinstance(error, BulkWriterError) else type(error).__name__

"""What callers heard, and what the table holds: where the two differ, somebody was told what is not so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter import NotWrittenError, OutcomeUnknownError, WriteResult
from bulkwriter.testing.conformance import MismatchError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def check_stored(stored: Any, expected: Any) -> None:
    """Check that the table holds what callers, whose answers were checked before, were told.

    Raises:
        MismatchError: It does not.
    """
    if stored != expected:
        message = f"callers were told of {expected}, and stored is {stored}"
        raise MismatchError(message)


def check_numbered(answers: Sequence[Any], stored: Collection[int]) -> None:
    """Check that what was told of each row is so; rows are numbered from 0.

    Raises:
        MismatchError: A row is there that was told not to be, or is not there that was told to be.
    """
    there = set(stored)
    for number, answer in enumerate(answers):
        if isinstance(answer, WriteResult | NotWrittenError):
            if isinstance(answer, WriteResult) != (number in there):
                message = f"row {number} was told {answer!r}, and stored is {sorted(there)}"
                raise MismatchError(message)
        else:
            assert isinstance(answer, OutcomeUnknownError), answer

"""A row of the ledger, and what it must agree with."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import TYPE_CHECKING, Final

from bulkwriter.errors import MisconfigurationError
from bulkwriter.ledger.answers import decode_answers
from bulkwriter.ledger.sql import LONGEST_IDENTITY

if TYPE_CHECKING:
    from bulkwriter.contract import Operation, Reply

PRUNED_AT_ONCE: Final = 1024
"""Rows that one batch deletes at most: four times as many as come in the meantime, so that a backlog shrinks."""
PRUNED_EVERY: Final = 256
"""Batches."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What a batch is, beside its identity: what a repeated identity must agree with.

    Attributes:
        digest: Of table, operation, columns and policy.
        row_count: Rows of the batch.
    """

    digest: str
    row_count: int


@functools.lru_cache(maxsize=256)
def digest_of(table: str, operation: Operation, columns: tuple[str, ...], on_conflict: str) -> str:
    """Return a digest of what is done to which columns of which table; the order of the columns does not matter."""
    what = json.dumps([table, operation, sorted(columns), on_conflict if operation == "insert" else ""])
    return hashlib.sha256(what.encode()).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger, as ``look_up`` gives it.

    Attributes:
        token: Drawn when it was written.
        digest: What the batch was.
        row_count: Its rows.
        answers: What its callers heard; ``None`` in a tombstone.
    """

    token: str
    digest: str
    row_count: int
    answers: str | None

    @property
    def is_tombstone(self) -> bool:
        """Whether it only bars the tries that came before it."""
        return self.answers is None

    def reply(self, identity: str, work: Work) -> Reply:
        """Return what the callers of the batch heard.

        Args:
            identity: The batch's identity, for the message.
            work: What the caller takes the batch to be.

        Raises:
            MisconfigurationError: The identity belongs to another piece of work, so that nothing has been written for
                this one.
        """
        if (self.digest, self.row_count) != (work.digest, work.row_count):
            message = (
                f"the ledger has identity {identity!r} for another piece of work, of {self.row_count} rows: "
                "give each piece of work an identity of its own"
            )
            raise MisconfigurationError(message)
        assert self.answers is not None
        return decode_answers(self.answers, self.row_count)


class PruneCounter:
    """Says when to prune: with the first batch, and then every so often."""

    def __init__(self) -> None:
        self._batches = 0

    def is_due(self) -> bool:
        """Count a batch, and say whether it is to take old rows with it."""
        is_due = self._batches % PRUNED_EVERY == 0
        self._batches += 1
        return is_due


def check_identity(identity: str) -> None:
    """Check that an identity fits into the ledger.

    Raises:
        MisconfigurationError: It is empty, too long, or ends with a space.
    """
    if not 0 < len(identity) <= LONGEST_IDENTITY:
        message = f"an identity must have 1 to {LONGEST_IDENTITY} characters, not {len(identity)}"
        raise MisconfigurationError(message)
    if identity[-1].isspace():
        # Some databases take it for the same without.
        message = "an identity must not end with a space"
        raise MisconfigurationError(message)

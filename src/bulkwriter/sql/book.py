"""What goes into the ledger, and what is made of what is found there; executing it is each backend's own."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from bulkwriter.contract import NotApplied, Uniform
from bulkwriter.errors import MisconfigurationError
from bulkwriter.ledger import Entry, PruneCounter, Work, check_identity, digest_of, encode_answers

if TYPE_CHECKING:
    from bulkwriter.contract import Attempt, Reply
    from bulkwriter.errors import NotWrittenError
    from bulkwriter.options import CommonOptions

_DRAWN: Final = re.compile(r"[0-9a-f]{32}")
"""What ``Attempt`` names itself, where its caller has no name for it."""


class BookKeeping:
    """The part of a ledger that is the same on every database.

    Args:
        backend: The backend's name.
        options: What the caller asked for.
    """

    def __init__(self, backend: str, options: CommonOptions) -> None:
        self._backend = backend
        self._table = options.table
        self._on_conflict = options.on_conflict
        self._retention = options.ledger_retention
        self._prune = PruneCounter()

    def may_know(self, attempt: Attempt) -> bool:
        """Whether it is worth looking first: an identity that was drawn at random is new.

        Raises:
            MisconfigurationError: No ledger could hold this identity.
        """
        check_identity(attempt.identity)
        return _DRAWN.fullmatch(attempt.identity) is None

    def reply(self, entry: Entry, attempt: Attempt) -> Reply:
        """Return what the callers heard when the work of this identity was done.

        Raises:
            MisconfigurationError: It was another piece of work.
        """
        try:
            return entry.reply(attempt.identity, self._work(attempt))
        except MisconfigurationError as error:
            error.backend, error.table = self._backend, self._table
            raise

    def settled(self, entry: Entry, attempt: Attempt, undone: NotWrittenError) -> Reply:
        """Return what became of an attempt, by what the ledger has of it once nobody can add to that any more.

        Args:
            entry: The attempt's own, or the tombstone that was put in its place.
            attempt: The attempt.
            undone: What its callers hear if it was not committed.

        Raises:
            MisconfigurationError: It was another piece of work.
        """
        if entry.is_tombstone:
            return Uniform(NotApplied(undone), len(attempt.rows))
        return self.reply(entry, attempt)

    def recorded(self, attempt: Attempt, reply: Reply) -> tuple[str, str, str, int, str]:
        """Return the parameters of ``Statements.record``.

        Raises:
            MisconfigurationError: A returned value cannot be kept.
        """
        return (*self.barred(attempt), encode_answers(reply))

    def replacing(self, attempt: Attempt, reply: Reply, tombstone: Entry) -> tuple[str, str, int, str, str, str]:
        """Return the parameters of ``Statements.replace``.

        Raises:
            MisconfigurationError: A returned value cannot be kept.
        """
        identity, token, work, row_count, answers = self.recorded(attempt, reply)
        return (token, work, row_count, answers, identity, tombstone.token)

    def barred(self, attempt: Attempt) -> tuple[str, str, str, int]:
        """Return the parameters of ``Statements.bar``."""
        work = self._work(attempt)
        return (attempt.identity, secrets.token_hex(16), work.digest, work.row_count)

    def _work(self, attempt: Attempt) -> Work:
        plan = attempt.plan
        digest = digest_of(self._table, plan.operation, plan.columns, self._on_conflict)
        return Work(digest, len(attempt.rows))

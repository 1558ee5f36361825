"""Moments of a conversation between a client and a server, for a test to say when something is to happen."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from integration.wire.postgres import completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.wire.messages import Message


@dataclasses.dataclass(frozen=True)
class Moment:
    """A message of the client's that a fault waits for, and how the server's answer to it is known.

    Attributes:
        name: For messages.
        comes_with: Whether a client's message is the one, given how many bytes of data the connection has sent since
            its last statement.
        is_answered_by: Whether a server's message says that it has been done.
    """

    name: str
    comes_with: Callable[[Message, int], bool]
    is_answered_by: Callable[[Message], bool]


def commit() -> Moment:
    """Return the moment when a transaction is committed: by a COMMIT, or on MySQL by a statement of its own."""
    return Moment("COMMIT", lambda message, _: message.commits, lambda message: message.commits)


def statement(pattern: str) -> Moment:
    """Return the moment when a statement is run whose SQL matches a pattern, at any place and in any case."""
    return Moment(
        f"statement {pattern}",
        lambda message, _: re.search(pattern, message.sql, re.IGNORECASE) is not None,
        # Ready for the next one: what it did by itself, outside of a transaction, is committed by then.
        lambda message: message.kind == b"Z",
    )


def copying(after_bytes: int = 1) -> Moment:
    """Return the moment in a COPY when so many bytes of data have been sent, those of the message included."""
    return Moment(
        f"COPY after {after_bytes} bytes",
        lambda message, sent: message.kind == b"d" and sent >= after_bytes,
        lambda message: completed(message).startswith("COPY"),
    )


def copied() -> Moment:
    """Return the moment when the client says that a COPY is complete: it commits, where no transaction was begun."""
    return Moment(
        "end of COPY",
        lambda message, _: message.kind == b"c",
        lambda message: completed(message).startswith("COPY"),
    )

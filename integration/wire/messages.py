"""What a wire reads: messages, whatever the protocol, and the two directions of a connection that they come from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message of either side.

    Attributes:
        kind: What it is, by the letter that PostgreSQL has for it: of a client's ``b"Q"`` a statement, ``b"d"`` data
            and ``b"c"`` their end; of a server's ``b"E"`` an error, ``b"N"`` a notice and ``b"Z"`` the end of its
            answer. Others are of no concern.
        payload: What follows the length.
        raw: What is passed on.
        sql: The statement that it makes the server run; empty where it runs none.
        commits: Of a client's, whether the server commits something when it has done this; of a server's, whether it
            says that it has.
        answer: What the wire itself answers; the message is not passed on.
        cancels: Whether it asks for the end of what another connection does.
    """

    kind: bytes
    payload: bytes
    raw: bytes
    sql: str = ""
    commits: bool = False
    answer: bytes = b""
    cancels: bool = False


class Dialect(Protocol):
    """Reads both directions of one connection. Encryption is refused, or else there would be nothing to read."""

    def from_client(self, data: bytes) -> Iterator[Message]:
        """Yield the client's messages that are complete now."""

    def from_server(self, data: bytes) -> Iterator[Message]:
        """Yield the server's messages that are complete now."""

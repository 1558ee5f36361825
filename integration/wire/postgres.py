"""PostgreSQL's wire protocol, as far as a proxy must read it: where a message begins and ends, and which SQL it runs.

The formats are those of chapter "Frontend/Backend Protocol" of PostgreSQL's manual.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from typing import TYPE_CHECKING

from integration.wire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

# A first packet has no type; these numbers stand where a start-up message has its version.
CANCEL_REQUEST = 80877102
ENCRYPTION_REQUESTS = (80877103, 80877104)

_LENGTH = struct.Struct("!I")
# At the end of what is sent: a block of PL/pgSQL has an END too.
_COMMIT = re.compile(r"(?i)(^|;)\s*(commit|end)\s*;?\s*$")


class PostgresDialect:
    """Reads both directions of one connection."""

    def __init__(self) -> None:
        self._client = Framer(has_first_packet=True)
        self._server = Framer(has_first_packet=False)
        self._statements = Statements()
        self._pipeline = Pipeline()

    def from_client(self, data: bytes) -> Iterator[Message]:
        """Yield the client's messages that are complete now."""
        for message in self._client.feed(data):
            code = 0 if message.kind else first_packet_code(message)
            if code in ENCRYPTION_REQUESTS:
                self._client.expect_first_packet()
                yield dataclasses.replace(message, answer=b"N")
            elif code == CANCEL_REQUEST:
                yield dataclasses.replace(message, cancels=True)
            else:
                read = self._statements.read(message)
                commits = self._pipeline.ends_with(read) or _COMMIT.search(read.sql) is not None
                yield dataclasses.replace(read, commits=commits)

    def from_server(self, data: bytes) -> Iterator[Message]:
        """Yield the server's messages that are complete now."""
        for message in self._server.feed(data):
            commits = self._pipeline.is_answered_by(message) or completed(message) == "COMMIT"
            yield dataclasses.replace(message, commits=commits)


class Framer:
    """Cuts one direction's stream of bytes into messages.

    Args:
        has_first_packet: Whether the stream begins with a packet without a type, as a client's does.
    """

    def __init__(self, *, has_first_packet: bool) -> None:
        self._buffer = bytearray()
        self._expects_first_packet = has_first_packet

    def expect_first_packet(self) -> None:
        """Hear that another packet without a type follows, as after a request for encryption that was refused."""
        self._expects_first_packet = True

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete now."""
        self._buffer += data
        while True:
            start = 0 if self._expects_first_packet else 1
            if len(self._buffer) < start + _LENGTH.size:
                return
            end = start + _LENGTH.unpack_from(self._buffer, start)[0]
            if len(self._buffer) < end:
                return
            raw = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._expects_first_packet = False
            yield Message(raw[:start], raw[start + _LENGTH.size :], raw)


class Statements:
    """Knows which SQL a message of a client runs: an Execute names a portal, and that a statement parsed before."""

    def __init__(self) -> None:
        self._parsed: dict[bytes, str] = {}
        self._bound: dict[bytes, str] = {}

    def read(self, message: Message) -> Message:
        """Return the message with the SQL that it runs."""
        if message.kind == b"Q":
            return dataclasses.replace(message, sql=_text(message.payload))
        if message.kind == b"P":
            name, query, _ = message.payload.split(b"\0", 2)
            self._parsed[name] = query.decode(errors="replace")
        elif message.kind == b"B":
            portal, name, _ = message.payload.split(b"\0", 2)
            self._bound[portal] = self._parsed.get(name, "")
        elif message.kind == b"E":
            return dataclasses.replace(message, sql=self._bound.get(message.payload.partition(b"\0")[0], ""))
        return message


class Pipeline:
    """Knows where several commands that were sent together, without a BEGIN among them, are committed: at the Sync.

    One by itself is not looked at: what it does is of no transaction that a test could want to break.
    """

    def __init__(self) -> None:
        self._commands: list[str] = []
        self._is_ending = False

    def ends_with(self, message: Message) -> bool:
        """Whether a message of the client's, with the SQL that it runs, commits such commands."""
        if message.kind == b"E":
            self._commands.append(message.sql)
        if message.kind != b"S":
            return False
        sent, self._commands = self._commands, []
        self._is_ending = len(sent) > 1 and not any(sql.upper().startswith("BEGIN") for sql in sent)
        return self._is_ending

    def is_answered_by(self, message: Message) -> bool:
        """Whether a message of the server's says that it has committed them."""
        was_ending = self._is_ending
        # An error undoes them all; what follows it is the answer to the Sync all the same.
        self._is_ending = was_ending and message.kind not in {b"E", b"Z"}
        return was_ending and message.kind == b"Z"


def first_packet_code(message: Message) -> int:
    """Return the number that tells what kind of first packet it is."""
    return int(_LENGTH.unpack_from(message.payload)[0])


def completed(message: Message) -> str:
    """Return the tag of a statement that the server has completed, such as ``"COMMIT"``; empty for other messages."""
    return _text(message.payload) if message.kind == b"C" else ""


def _text(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode(errors="replace")

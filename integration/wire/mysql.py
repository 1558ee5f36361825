"""The wire protocol of MySQL and MariaDB, as far as a proxy must read it: packets, statements, and where answers end.

The formats are those of "The MySQL Client/Server Protocol" in MySQL's source documentation.
"""

from __future__ import annotations

import collections
import re
import struct
from typing import TYPE_CHECKING

from integration.wire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = 4
# A packet of this length goes on in the next one.
_FULL = 0xFFFFFF
_QUERY = 0x03
_OK, _EOF, _ERROR = 0x00, 0xFE, 0xFF
_IN_TRANSACTION, _AUTOCOMMIT, _MORE_RESULTS = 0x0001, 0x0002, 0x0008

_COMPRESSED, _ENCRYPTED, _WITHOUT_EOF, _ZSTD = 0x20, 0x800, 0x1000000, 0x4000000
_NOT_READ = _COMPRESSED | _ENCRYPTED | _WITHOUT_EOF | _ZSTD
"""What a server could do and a client is not to know of: it could then not be read, or not by what is here."""

_COMMIT = re.compile(r"(?i)(^|;)\s*commit\s*;?\s*$")
_ROLLBACK = re.compile(r"(?i)(^|;)\s*rollback\s*;?\s*$")
_BEGIN = re.compile(r"(?i)(^|;)\s*(begin|start\s+transaction)\s*(;|$)")
_WRITE = re.compile(r"(?i)(^|;)\s*(insert|update|delete|replace)\b")


class MySQLDialect:
    """Reads both directions of one connection."""

    def __init__(self) -> None:
        self._client = _Framer()
        self._server = _Framer()
        self._greeting: bytes | None = None
        self._answers = _Answers()
        self._has_written = False
        # Of each request that is not answered yet whether it commits: a client may send several at once.
        self._asked: collections.deque[bool] = collections.deque()

    def from_client(self, data: bytes) -> Iterator[Message]:
        """Yield the client's messages that are complete now."""
        for raw, payload in self._client.feed(data):
            message = Message(b"", payload, raw)
            if payload and payload[0] == _QUERY and not self._answers.is_logging_in:
                sql = payload[1:].decode(errors="replace")
                message = Message(b"Q", payload, raw, sql, commits=self._commits(sql))
            if not self._answers.is_logging_in:
                self._asked.append(message.commits)
            yield message

    def from_server(self, data: bytes) -> Iterator[Message]:
        """Yield the server's messages that are complete now."""
        for raw, payload in self._server.feed(data):
            if self._greeting is None:
                self._greeting = _without_what_cannot_be_read(raw)
                yield Message(b"", payload, self._greeting)
            else:
                kind = self._answers.read(payload)
                has_committed = kind in {b"E", b"Z"} and bool(self._asked) and self._asked.popleft()
                yield Message(kind, payload, raw, commits=has_committed and kind == b"Z")

    def _commits(self, sql: str) -> bool:
        """Whether something is committed by a statement: at its COMMIT, or by itself outside of a transaction.

        A COMMIT after nothing that writes, such as some drivers say to be on the safe side, is of no concern.
        """
        self._has_written = self._has_written or _WRITE.search(sql) is not None
        if _COMMIT.search(sql):
            has_written, self._has_written = self._has_written, False
            return has_written
        if _ROLLBACK.search(sql):
            self._has_written = False
        is_by_itself = self._answers.commits_by_itself and not _BEGIN.search(sql)
        return is_by_itself and _WRITE.search(sql) is not None


class _Framer:
    """Cuts one direction's stream of bytes into messages: one packet each, or several where the first ones are full."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        # How far the buffer has been looked through, and what was found there.
        self._seen = 0
        self._payload: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the messages that are complete now: as they came over the wire, and without headers."""
        self._buffer += data
        while len(self._buffer) >= self._seen + _HEADER:
            length = int.from_bytes(self._buffer[self._seen : self._seen + 3], "little")
            end = self._seen + _HEADER + length
            if len(self._buffer) < end:
                return
            self._payload.append(bytes(self._buffer[self._seen + _HEADER : end]))
            self._seen = end
            if length < _FULL:
                raw, payload = bytes(self._buffer[:end]), b"".join(self._payload)
                del self._buffer[:end]
                self._seen, self._payload = 0, []
                yield raw, payload


class _Answers:
    """Follows the server's answers, to know where each ends and whether a transaction is open then.

    Attributes:
        is_logging_in: Whether the client is not in yet.
    """

    def __init__(self) -> None:
        self.is_logging_in = True
        self._status = _AUTOCOMMIT
        # How many more times the server is to say "end of these" before the result set is over: columns, then rows.
        self._ends_to_come = 0

    @property
    def commits_by_itself(self) -> bool:
        """Whether a statement that changes something would commit it."""
        return bool(self._status & _AUTOCOMMIT) and not self._status & _IN_TRANSACTION

    def read(self, payload: bytes) -> bytes:
        """Return what a packet is: an error, the end of an answer, or something else."""
        first = payload[0] if payload else _OK
        if first == _ERROR:
            self._ends_to_come = 0
            return b"E"
        if self.is_logging_in:
            if first == _OK:
                self.is_logging_in = False
                self._status = _status_of_ok(payload)
            return b""
        if self._ends_to_come:
            return self._within_rows(payload)
        if first == _OK:
            self._status = _status_of_ok(payload)
            return self._end()
        # What begins with anything else is the number of columns of a result set.
        self._ends_to_come = 2
        return b""

    def _within_rows(self, payload: bytes) -> bytes:
        # A row may begin with the same byte, and is longer than an EOF packet then.
        if payload[0] != _EOF or len(payload) > 5:
            return b""
        self._ends_to_come -= 1
        if self._ends_to_come:
            return b""
        (self._status,) = struct.unpack_from("<H", payload, 3)
        return self._end()

    def _end(self) -> bytes:
        return b"" if self._status & _MORE_RESULTS else b"Z"


def _status_of_ok(payload: bytes) -> int:
    """Return the flags of an OK packet, which stand behind two numbers of variable length."""
    place = 1
    for _ in range(2):
        place += {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(payload[place], 1)
    (status,) = struct.unpack_from("<H", payload, place)
    return int(status)


def _without_what_cannot_be_read(raw: bytes) -> bytes:
    """Return a server's greeting without the abilities that would hide the conversation from a proxy."""
    changed = bytearray(raw)
    if changed[_HEADER] == _ERROR:
        # It greets nobody: there are too many connections.
        return raw
    # The abilities stand in two halves behind the version, which ends with a zero.
    low = changed.index(0, _HEADER + 1) + 14
    for place, shift in ((low, 0), (low + 5, 16)):
        (flags,) = struct.unpack_from("<H", changed, place)
        struct.pack_into("<H", changed, place, flags & ~(_NOT_READ >> shift) & 0xFFFF)
    return bytes(changed)

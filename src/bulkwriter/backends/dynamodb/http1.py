"""As much of HTTP/1.1 as DynamoDB speaks: a request with a body, and one answer, over a connection that is kept.

https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_HEAD: Final = 2**16
_INTERIM: Final = 200
"""Statuses below are of answers before the answer."""

_WITHOUT_CONTENT: Final = frozenset({204, 304})


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: The status of HTTP.
        headers: By their names in small letters.
        content: The content.
        is_last: Whether nothing more may be asked over this connection.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    is_last: bool


class BadAnswerError(ValueError):
    """What came back is no answer."""


class AnswerReader:
    """Puts one answer together from the pieces in which it comes."""

    def __init__(self) -> None:
        self._read = b""
        self._head: tuple[int, dict[str, str]] | None = None

    def feed(self, data: bytes) -> Answer | None:
        """Take the next piece; return the answer when it is whole.

        Raises:
            BadAnswerError: It is none, or more comes than it has.
        """
        self._read = self._read + data if self._read else data
        while self._head is None:
            end = self._read.find(b"\r\n\r\n")
            if end < 0:
                if len(self._read) > _LONGEST_HEAD:
                    message = "the head of the answer does not end"
                    raise BadAnswerError(message)
                return None
            head = _parsed_head(self._read[:end])
            self._read = self._read[end + 4 :]
            if head[0] >= _INTERIM:
                self._head = head
        status, headers = self._head
        content = self._content(status, headers)
        if content is None:
            return None
        return Answer(status, headers, content, headers.get("connection", "").lower() == "close")

    def _content(self, status: int, headers: Mapping[str, str]) -> bytes | None:
        """Return the content, if all of it is there.

        Raises:
            BadAnswerError: There is more than that.
        """
        if "transfer-encoding" in headers:
            return self._chunks(headers["transfer-encoding"])
        length = 0 if status in _WITHOUT_CONTENT else _length(headers)
        if len(self._read) > length:
            message = "more came than the answer"
            raise BadAnswerError(message)
        return self._read if len(self._read) == length else None

    def _chunks(self, encoding: str) -> bytes | None:
        """Return the content that comes in chunks, if all of it is there.

        Raises:
            BadAnswerError: It is encoded in another way, or is no sequence of chunks.
        """
        if encoding.lower() != "chunked":
            message = f"an answer in {encoding} was not asked for"
            raise BadAnswerError(message)
        chunks: list[bytes] = []
        start = 0
        while (end := self._read.find(b"\r\n", start)) >= 0:
            length = _number(self._read[start:end].partition(b";")[0].decode("latin-1"), base=16)
            start = end + 2 + length + 2
            if len(self._read) < start:
                return None
            if self._read[start - 2 : start] != b"\r\n" or (length == 0 and len(self._read) > start):
                # No trailers were asked for.
                message = "the answer is no sequence of chunks, or more came than that"
                raise BadAnswerError(message)
            if length == 0:
                return b"".join(chunks)
            chunks.append(self._read[end + 2 : start - 2])
        return None


def _parsed_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
        message = "what came is no answer of HTTP/1"
        raise BadAnswerError(message)
    if version == "HTTP/1.0":
        headers["connection"] = "close"
    return int(status), headers


def _length(headers: Mapping[str, str]) -> int:
    if "content-length" not in headers:
        message = "the answer does not say how long it is"
        raise BadAnswerError(message)
    return _number(headers["content-length"], base=10)


def _number(text: str, *, base: int) -> int:
    # int() takes signs, spaces and underscores, too.
    if not (text.isascii() and text.isalnum()):
        message = "the answer does not say how long it is"
        raise BadAnswerError(message)
    try:
        return int(text, base)
    except ValueError:
        message = "the answer does not say how long it is"
        raise BadAnswerError(message) from None


def request_bytes(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as it is sent."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body

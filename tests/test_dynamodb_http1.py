"""Answers of HTTP/1.1 are read as they come, and nothing else is taken for one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkwriter.backends.dynamodb.http1 import Answer, AnswerReader, BadAnswerError, request_bytes

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 413 \r\ncontent-length:0\r\nConnection: close\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN


def read(*pieces: bytes) -> Answer | None:
    """Return what comes of some pieces."""
    reader = AnswerReader()
    answer = None
    for piece in pieces:
        assert answer is None
        answer = reader.feed(piece)
    return answer


@pytest.mark.parametrize("sent", [PLAIN, CHUNKED, CONTINUED], ids=["plain", "in chunks", "after an interim one"])
@given(data=st.data())
def test_an_answer_is_whole_when_its_last_byte_is_there(sent: bytes, data: st.DataObject) -> None:
    """However it is cut into pieces, and not before."""
    places = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=8)))
    pieces = [sent[start:stop] for start, stop in zip([0, *places], [*places, len(sent)], strict=True)]
    answer = read(*pieces)
    assert answer is not None
    assert (answer.status, answer.content, answer.is_last) == (200, b"hello", False)


def test_an_answer_without_content_is_whole_at_once() -> None:
    """And says whether the connection ends with it."""
    answer = read(EMPTY)
    assert answer is not None
    assert (answer.status, answer.content, answer.is_last) == (413, b"", True)


def test_an_older_server_ends_the_connection() -> None:
    """Before HTTP/1.1, that went without saying."""
    answer = read(PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert answer is not None
    assert answer.is_last


@pytest.mark.parametrize(
    "sent",
    [
        b"\x15\x03\x01\x00\x02\x02\r\n\r\n",
        b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        PLAIN + b"more",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
        CHUNKED + b"more",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,
    ],
    ids=lambda sent: repr(sent[-30:]),
)
def test_what_is_no_answer_is_not_taken_for_one(sent: bytes) -> None:
    """Nor is one that is followed by what was not asked for."""
    with pytest.raises(BadAnswerError):
        read(sent)


@given(st.binary(max_size=200))
def test_whatever_comes_is_an_answer_or_none(sent: bytes) -> None:
    """And nothing else goes wrong."""
    with contextlib.suppress(BadAnswerError):
        read(b"HTTP/1.1 200 OK\r\n" + sent)


def test_a_request_is_sent_in_one_piece() -> None:
    """Its headers as they are."""
    assert request_bytes("/", {"Host": "a:1", "X": "y"}, b"{}") == b"POST / HTTP/1.1\r\nHost: a:1\r\nX: y\r\n\r\n{}"

"""Commands that travel in front of a statement leave with it, in one piece."""

from __future__ import annotations

from typing import Any

import pytest

from bulkwriter.backends.postgres import ahead


class Transport:
    """Keeps what is written to it; like asyncio's, and unlike uvloop's, it takes attributes."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send at once."""
        self.sent.append(bytes(data))


class ClosedTransport:
    """One that takes no attributes."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send at once."""
        self.sent.append(bytes(data))


class Connection:
    """Has a transport, as asyncpg's connections do."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport


class Statement:
    """Writes when it is asked for its rows, as asyncpg's do, or refuses a value before."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    async def fetch(self, *args: Any) -> list[Any]:
        """Send something, and return the parameters."""
        if None in args:
            message = "planned"
            raise ValueError(message)
        self._transport.write(memoryview(b"statement"))
        self._transport.write(b"more")
        return [args]


@pytest.mark.parametrize("kind", [Transport, ClosedTransport])
async def test_commands_come_first(kind: type[Any]) -> None:
    """Whatever the transport, nothing is lost, and nothing comes twice."""
    transport = kind()
    rows = await ahead.fetch(Connection(transport), ahead.beginning("; SET x = 1"), Statement(transport), [1])  # type: ignore[arg-type]
    sent = b"".join(transport.sent)
    assert rows == [(1,)]
    assert sent.startswith(b"P")
    assert sent.index(b"BEGIN") < sent.index(b"SET x = 1") < sent.index(b"statement") < sent.index(b"more")
    assert (sent.count(b"BEGIN"), sent.count(b"statement"), sent.count(b"more")) == (1, 1, 1)


async def test_they_leave_with_the_statement() -> None:
    """A packet of their own would cost as much as the whole statement; what follows is sent as it comes."""
    transport = Transport()
    await ahead.fetch(Connection(transport), ahead.beginning(""), Statement(transport), [1])  # type: ignore[arg-type]
    assert len(transport.sent) == 2
    assert transport.sent[0].endswith(b"statement")
    assert transport.sent[1] == b"more"


async def test_nothing_is_left_behind_by_a_value_that_is_refused() -> None:
    """Else the next thing that is sent would begin a transaction that nobody knows of."""
    transport = Transport()
    with pytest.raises(ValueError, match="planned"):
        await ahead.fetch(Connection(transport), ahead.beginning(""), Statement(transport), [None])  # type: ignore[arg-type]
    transport.write(b"next")
    assert transport.sent == [b"next"]

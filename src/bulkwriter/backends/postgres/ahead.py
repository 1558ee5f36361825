"""Commands that travel in front of a statement: they begin its transaction without a round trip of their own.

asyncpg waits for the answer to each command before it sends the next. What is written to its transport in front of a
prepared statement arrives with that, and the server answers both at once:
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING. asyncpg passes over the answers to
commands that return no rows; an error of theirs it raises as the statement's own, which the server then leaves out.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bulkwriter.backends.postgres.driver import Connection, Row, Statement


def can_send(connection: Connection) -> bool:
    """Whether the transport of a connection can be reached, which asyncpg keeps to itself."""
    return callable(getattr(getattr(connection, "_transport", None), "write", None))


async def fetch(connection: Connection, messages: bytes, statement: Statement, values: Sequence[Any]) -> list[Row]:
    """Run commands and then a prepared statement, in one round trip.

    Without a BEGIN among them they are a transaction by themselves, all together.

    Args:
        connection: The connection; nothing may be on its way.
        messages: What to run first: some ``command``s.
        statement: The statement.
        values: Its parameters.

    Returns:
        The rows of the statement.
    """
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 - see can_send
    if not hasattr(transport, "__dict__"):
        # uvloop's: what is written in one turn of its loop leaves together.
        transport.write(messages)
        return await statement.fetch(*values)

    def write(data: bytes) -> None:
        del transport.write
        transport.write(messages + data)

    # asyncio sends at once what is written: by themselves, the commands would cost a call of the system and a packet.
    transport.write = write
    try:
        return await statement.fetch(*values)
    finally:
        # It is still there if asyncpg refused a value: then nothing has been sent.
        vars(transport).pop("write", None)


@functools.cache
def beginning(settings: str) -> bytes:
    """Return what begins a transaction with these settings, each behind a semicolon."""
    return b"".join(map(command, f"BEGIN{settings}".split(";")))


def command(sql: str) -> bytes:
    """Return the messages that run a command, without the Sync that would ask for the answer and end an error."""
    # Unnamed, without parameters: https://www.postgresql.org/docs/current/protocol-message-formats.html
    parse = b"\0" + sql.strip().encode() + b"\0" + struct.pack("!h", 0)
    return _message(b"P", parse) + bound("", ())


def bound(name: str, parameters: Sequence[str]) -> bytes:
    """Return the messages that run a statement which was prepared under this name, with parameters as text."""
    values = [text.encode() for text in parameters]
    counted = [struct.pack("!i", len(value)) + value for value in values]
    head = b"\0" + name.encode() + b"\0" + struct.pack("!hh", 0, len(values))
    return _message(b"B", head + b"".join(counted) + struct.pack("!h", 0)) + _EXECUTE


def _message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!i", 4 + len(payload)) + payload


# The unnamed portal, to its end.
_EXECUTE: Final = _message(b"E", b"\0" + struct.pack("!i", 0))

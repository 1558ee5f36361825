"""The part of aiomysql and PyMySQL that is used here. They have no types for it, so that is described."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiomysql
from pymysql import err
from pymysql.connections import TEXT_TYPES
from pymysql.constants import CLIENT
from pymysql.converters import through
from pymysql.protocol import FieldDescriptorPacket

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

Error: type[Exception] = err.MySQLError
"""Whatever PyMySQL and aiomysql raise."""

ERRORS: tuple[type[Exception], ...] = (err.MySQLError, OSError, EOFError)

OPENING_ERRORS: tuple[type[Exception], ...] = (*ERRORS, ValueError, RuntimeError)
"""While connecting, an authentication that cannot be done is a ``RuntimeError``."""

CertificateError: type[Exception] = ssl.SSLCertVerificationError
"""A server that is not who it says."""

LOST: Final = 2013
"""PyMySQL's number for a connection that was lost, which no server says."""

_BINARY: Final = 63
"""The number of the character set of what is no text."""


class LostConnectionError(err.OperationalError):
    """The connection is lost, or has been given up.

    Args:
        why: What happened.
    """

    def __init__(self, why: str) -> None:
        super().__init__(LOST, why)


class Connection(Protocol):
    """A connection of aiomysql's: what speaks over it here reads and writes its stream itself."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    client_flag: int
    server_status: int
    server_version: str
    decoders: dict[int, Any]

    @property
    def closed(self) -> bool:
        """Whether it is closed."""

    def close(self) -> None:
        """Drop it."""

    async def ensure_closed(self) -> None:
        """End the session."""

    def thread_id(self) -> int:
        """Return the number of the session on the server."""


async def connect(**options: Any) -> Connection:
    """Return a new connection."""
    connection: Connection = await aiomysql.connect(**options)
    return connection


def counts_found_rows(connection: Connection) -> bool:
    """Whether the server counts a row that an update leaves as it is as one that is changed."""
    return bool(connection.client_flag & CLIENT.FOUND_ROWS)


def may_send_several(connection: Connection) -> bool:
    """Whether one command may hold several statements."""
    return bool(connection.client_flag & CLIENT.MULTI_STATEMENTS)


def is_encrypted(connection: Connection) -> bool:
    """Whether nobody on the way can read what is said."""
    return connection._writer.get_extra_info("ssl_object") is not None  # noqa: SLF001 - aiomysql falls back in silence


def server_error(packet: bytes) -> Exception:
    """Return the error that an error packet stands for, with its SQLSTATE."""
    try:
        err.raise_mysql_exception(packet)
    except err.MySQLError as error:
        has_state = packet[3:4] == b"#"
        # Versions of PyMySQL before 1.2 throw it away.
        vars(error)["sqlstate"] = packet[4:9].decode("ascii", "replace") if has_state else None
        return error.with_traceback(None)
    message = "PyMySQL took an error for none"
    raise AssertionError(message)


def converter_for(connection: Connection, packet: bytes) -> Callable[[bytes], Any]:
    """Return what makes a Python value of the bytes of a result's column, given the packet that describes it."""
    field: Any = FieldDescriptorPacket(packet, "utf8")
    decode = connection.decoders.get(field.type_code)
    if field.type_code in TEXT_TYPES:
        return bytes if field.charsetnr == _BINARY else bytes.decode
    if decode is None or decode is through:
        return bytes.decode
    return lambda data: decode(data.decode())

"""The part of asyncpg that is used here. It has no types of its own for this, so its few calls are described."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import asyncpg

from bulkwriter.backends.postgres.sql import quoted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

Row: TypeAlias = Any
"""A row of a result, by place and by name."""

ServerError: type[Exception] = asyncpg.PostgresError
"""Whatever the server answers that is an error."""

WrongAddressError: type[Exception] = asyncpg.ClientConfigurationError
"""A URL, or an option beside it, with which nobody can connect."""

CLIENT_ERRORS: tuple[type[Exception], ...] = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What asyncpg raises by itself, mostly of a connection that is lost."""

ERRORS: tuple[type[Exception], ...] = (ServerError, *CLIENT_ERRORS)

OPENING_ERRORS: tuple[type[Exception], ...] = (*ERRORS, ValueError)
"""While connecting, a URL that cannot be read is a ``ValueError``."""


class Connection(Protocol):
    """A connection, one's own or a pool's."""

    async def execute(self, query: str, *args: Any) -> str:
        """Run commands; return the tag of the last one."""

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        """Return the rows of a query."""

    async def fetchrow(self, query: str, *args: Any) -> Row | None:
        """Return the first row of a query."""

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Return the first value of a query."""

    async def executemany(self, command: str, args: Sequence[Sequence[Any]]) -> None:
        """Run a command once for each set of arguments."""

    async def prepare(self, query: str) -> Statement:
        """Prepare a statement."""

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: AsyncIterator[bytes],
        columns: Sequence[str],
        schema_name: str,
        format: str,  # noqa: A002 - asyncpg's name
    ) -> str:
        """Send the rows of a COPY."""

    async def reload_schema_state(self) -> None:
        """Forget what was learned of types and statements."""

    async def close(self, *, timeout: float | None = None) -> None:
        """End the session."""

    def terminate(self) -> None:
        """Drop the connection."""

    def is_closed(self) -> bool:
        """Whether it is closed, or lost."""

    def get_server_pid(self) -> int:
        """Return the process that serves it."""


class Statement(Protocol):
    """A prepared statement."""

    async def fetch(self, *args: Any) -> list[Row]:
        """Return the rows of it."""

    def get_name(self) -> str:
        """Return the name under which the server knows it."""


class Pool(Protocol):
    """A user's pool."""

    async def acquire(self) -> Connection:
        """Borrow a connection."""

    async def release(self, connection: Connection) -> None:
        """Give a connection back."""


def is_unsendable(error: BaseException) -> bool:
    """Whether asyncpg refused to send a value: its own ``DataError``, which has the name of a server's in public."""
    return isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)


def is_of_another_loop(pool: Pool) -> bool:
    """Whether a pool was made on another event loop than this one. It does not say so itself, and would break down."""
    loop = getattr(pool, "_loop", None)
    return loop is not None and loop is not asyncio.get_running_loop()


async def connect(dsn: str, **options: Any) -> Connection:
    """Return a new connection."""
    connection: Connection = await asyncpg.connect(dsn, **options)
    return connection


_PARAMETERS: Final = ("self", "copy_stmt", "reader", "data", "records", "record_stmt", "timeout")


def can_begin_with_copy(connection: Connection) -> bool:
    """Whether commands can be put before a COPY, in one string and one round trip.

    asyncpg's public ``copy_to_table`` writes the COPY statement itself. What it calls for that takes any string.
    """
    protocol = getattr(connection, "_protocol", None)
    copy_in = getattr(protocol, "copy_in", None)
    try:
        known = tuple(inspect.signature(copy_in).parameters) if copy_in is not None else ()
    except (TypeError, ValueError):
        # Compiled, and without a signature: its documentation begins with one, if it has any.
        known = tuple(re.findall(r"(\w+)(?=[,)])", getattr(copy_in, "__doc__", None) or ""))
        return known in {(), _PARAMETERS, _PARAMETERS[1:]}
    return known in {_PARAMETERS, _PARAMETERS[1:]}


async def copy(
    connection: Connection, before: str, table: tuple[str, str], columns: Sequence[str], source: AsyncIterator[bytes]
) -> int:
    """Run commands and then a binary COPY, in one round trip where that is possible.

    Args:
        connection: The connection.
        before: Commands to run first.
        table: Schema and name.
        columns: The columns that are sent.
        source: What is sent.

    Returns:
        How many rows the server has taken.
    """
    if can_begin_with_copy(connection):
        names = ", ".join(map(quoted, columns))
        sql = f"{before}; COPY {quoted(table[0])}.{quoted(table[1])} ({names}) FROM STDIN (FORMAT binary)"
        protocol = connection._protocol  # type: ignore[attr-defined]  # noqa: SLF001 - see can_begin_with_copy
        status = await protocol.copy_in(sql, source, None, None, None, None)
        tag = status.decode() if isinstance(status, bytes) else str(status)
    else:
        await connection.execute(before)
        tag = await connection.copy_to_table(
            table[1], source=source, columns=columns, schema_name=table[0], format="binary"
        )
    return int(tag.rpartition(" ")[2])


def server_error(code: str, fields: dict[str, str | None]) -> Exception:
    """Return the error that asyncpg would have raised, had the server not noted it but sent it.

    Args:
        code: The SQLSTATE.
        fields: By asyncpg's names, what the server said.
    """
    letters = {"message": "M", "detail": "D", "constraint_name": "n", "column_name": "c"}
    said = {letters[name]: value for name, value in fields.items() if value}
    error: Exception = asyncpg.PostgresError.new({"S": "ERROR", "V": "ERROR", "C": code, "M": "", **said})
    return error

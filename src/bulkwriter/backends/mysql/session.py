"""One connection, and the transaction on it, of which it is always known whether its COMMIT has been sent."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.mysql import driver
from bulkwriter.backends.mysql.errors import NOT_UNDONE, NotUndoneError, refuse
from bulkwriter.backends.mysql.sql import literal
from bulkwriter.backends.mysql.wire import Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bulkwriter.backends.mysql.driver import Connection
    from bulkwriter.backends.mysql.options import Options

_OLDEST: Final = {"MySQL": (5, 7), "MariaDB": (10, 3)}
_WITH_ROW_ALIAS: Final = (8, 0, 19)
_WITH_RETURNING: Final = (10, 5)

_PROBE: Final = (
    "SELECT @@version, @@version_comment, @@max_allowed_packet, @@innodb_read_only, UNIX_TIMESTAMP(), "
    "CONNECTION_ID(), CONCAT(@@hostname, ':', @@port, ':', @@server_id)"
)
_PROBE_PINNED: Final = "SELECT @@auto_increment_increment, @@sql_mode"
"""What the caller's own settings may have changed."""

# Room for what a statement has beside its rows.
_MARGIN: Final = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """What is known of the server at the other end.

    Attributes:
        kind: ``"MySQL"`` or ``"MariaDB"``.
        version: Its version, as numbers.
        is_genuine: Whether it is one of these two, and not something else that speaks as they do.
        most_bytes: The bytes that one command may have.
        is_read_only: Whether nobody can write to it now.
        place: Where it is, by its own account: no other server says the same.
        increment: How far generated keys are apart.
        rounds: Whether it rounds fractions of seconds for which a column has no room, and does not cut them off.
    """

    kind: str
    version: tuple[int, ...]
    is_genuine: bool
    most_bytes: int
    is_read_only: bool
    place: str
    increment: int = 1
    rounds: bool = True

    @property
    def is_mariadb(self) -> bool:
        """Whether it is MariaDB."""
        return self.kind == "MariaDB"

    @property
    def has_row_alias(self) -> bool:
        """Whether the row that is inserted can be given a name: ``VALUES (...) AS excluded``."""
        return not self.is_mariadb and self.version >= _WITH_ROW_ALIAS

    @property
    def has_returning(self) -> bool:
        """Whether an INSERT can give its rows back."""
        return self.is_mariadb and self.version >= _WITH_RETURNING


class Session:
    """A connection in use.

    Args:
        connection: The connection.
        options: What the caller asked for.

    Attributes:
        server: What is at the other end; known from ``enter`` on.
        number: The session's number on the server; 0 if something in between has made it up.
        began_at: When it began, in seconds since 1970 by the server's clock.
        is_ending: Whether a COMMIT has been sent that has not been answered: until then nothing can be committed.
        is_at_rest: Whether no transaction is open, and nothing is on its way.
    """

    server: Server

    def __init__(self, connection: Connection, options: Options) -> None:
        self._connection = connection
        self._options = options
        self._wire = Wire(connection, options.read_timeout)
        self.number: int = 0
        self.began_at: int = 0
        self.is_ending: bool = False
        self.is_at_rest: bool = True

    async def enter(self) -> None:
        """Pin the settings on which it depends what is stored, and look who is at the other end.

        Raises:
            MisconfigurationError: The server is too old, or the connection unfit.
        """
        if driver.counts_found_rows(self._connection):
            refuse("the connection must not be opened with CLIENT.FOUND_ROWS", self._options.table)
        if not driver.may_send_several(self._connection):
            refuse("the connection must be opened with CLIENT.MULTI_STATEMENTS", self._options.table)
        rows = (await self.run(_PROBE)).rows
        assert rows is not None
        version, comment, most_bytes, read_only, self.began_at, number, place = rows[0]
        self.server = _server(str(version), str(comment), int(most_bytes), str(place), is_read_only=bool(read_only))
        # A proxy greets with a number of its own, by which the server knows somebody else.
        self.number = number if number == self._connection.thread_id() else 0
        if self.server.version < _OLDEST[self.server.kind]:
            oldest = ".".join(map(str, _OLDEST[self.server.kind]))
            refuse(f"{self.server.kind} must be at least version {oldest}, not {version}", self._options.table)
        for statement in _pins(self._options):
            await self.run(statement)
        rows = (await self.run(_PROBE_PINNED)).rows
        assert rows is not None
        increment, mode = rows[0]
        rounds = "TIME_ROUND_FRACTIONAL" in mode if self.server.is_mariadb else "TIME_TRUNCATE_FRACTIONAL" not in mode
        self.server = dataclasses.replace(self.server, increment=max(1, int(increment)), rounds=rounds)
        self.is_at_rest = True

    @property
    def has_backslashes(self) -> bool:
        """Whether a backslash in a literal escapes what follows."""
        return self._wire.has_backslashes

    @property
    def is_usable(self) -> bool:
        """Whether it can be lent again."""
        return self.is_at_rest and self._wire.is_usable

    def literals(self, values: Iterable[str | int | None]) -> tuple[str, ...]:
        """Return values as literals for this session."""
        return tuple([literal(value, has_backslashes=self.has_backslashes) for value in values])

    def send(self, statement: str | bytes) -> None:
        """Send a command whose answer will be read later.

        Raises:
            LostConnectionError: The connection is closed; nothing has been sent.
        """
        self.is_at_rest = False
        self._wire.send(statement.encode() if isinstance(statement, str) else statement)

    def flush(self) -> None:
        """Let what was sent leave, that the server may begin with it."""
        self._wire.flush()

    async def answers(self, count: int) -> list[Answer | Exception]:
        """Read the answers to commands of one statement each; an error that the server raised is one of them.

        Raises:
            LostConnectionError: The connection is lost.
        """
        return await self._wire.answers(count)

    async def run(self, statement: str | bytes) -> Answer:
        """Send a command and read its answer.

        Raises:
            Error: The server refused it, or the connection is lost.
        """
        self.send(statement)
        return await self._wire.answer()

    async def server_began_at(self) -> int:
        """Return when the server was started, in seconds since 1970 by its own clock."""
        uptime = (await self.run("SHOW GLOBAL STATUS LIKE 'Uptime'")).rows
        now = (await self.run("SELECT UNIX_TIMESTAMP()")).rows
        await self.rollback()
        assert uptime, "every server has this figure"
        assert now, "and a clock"
        return int(now[0][0]) - int(uptime[0][1])

    async def run_all(self, statements: Sequence[str | bytes]) -> list[Answer | Exception]:
        """Send commands at once, and read their answers.

        Raises:
            LostConnectionError: The connection is lost.
        """
        for statement in statements:
            self.send(statement)
        return await self.answers(len(statements))

    async def commit(self, before: str = "") -> None:
        """Commit. When this returns, it is certain.

        Args:
            before: A statement to run first, in the same packet: if it is refused, nothing is committed.

        Raises:
            Error: It is not, or it is not known: see ``is_ending``.
        """
        # Sent is sent, from here on: nothing comes in between.
        self.send(f"{before}; COMMIT" if before else "COMMIT")
        self.is_ending = True
        await self._wire.answer()
        self.is_ending = False
        self.is_at_rest = True

    async def rollback(self) -> None:
        """Undo what is open.

        Raises:
            NotUndoneError: Not all of it could be undone.
            Error: The connection is lost, which undoes it as well.
        """
        if self.is_at_rest:
            return
        answer = await self.run("ROLLBACK")
        told = (await self.run("SHOW WARNINGS")).rows if answer.warnings else None
        self.is_ending = False
        self.is_at_rest = True
        check_undone(told or ())

    def drop(self) -> None:
        """Drop the connection, whatever it is doing."""
        self.is_at_rest = False
        self._wire.drop()

    async def close(self) -> None:
        """End the session politely."""
        await self._connection.ensure_closed()


def check_undone(warnings: Iterable[Sequence[Any]]) -> None:
    """See that a ROLLBACK that told these warnings has undone everything.

    Raises:
        NotUndoneError: It has not.
    """
    if any(int(code) == NOT_UNDONE for _, code, _ in warnings):
        message = "the table has been changed to an engine without transactions: what was written stands"
        raise NotUndoneError(message)


def _pins(options: Options) -> list[str]:
    zone = [] if options.time_zone is None else [f"time_zone = {_plain(options.time_zone)}"]
    chosen = [f"{name} = {value}" for name, value in options.session.items()]
    # What a statement says of itself is read here: in English, and with its notes.
    spoken = ["lc_messages = 'en_US'", "sql_notes = 1"]
    settings = ["autocommit = 0", *spoken, f"sql_mode = {_plain(options.sql_mode)}", *zone, *chosen]
    return [
        "SET NAMES utf8mb4",
        f"SET SESSION {', '.join(settings)}",
        f"SET SESSION TRANSACTION ISOLATION LEVEL {options.isolation}",
        "COMMIT",
    ]


def _plain(text: str) -> str:
    # Options of the caller's own, and words at that; whether backslashes mean anything is not settled yet.
    return "'" + text.replace("\\", "").replace("'", "''") + "'"


def _server(version: str, comment: str, most_bytes: int, place: str, *, is_read_only: bool) -> Server:
    kind = "MariaDB" if "mariadb" in version.lower() else "MySQL"
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    numbers = tuple(int(number) for number in found.groups() if number) if found else (0,)
    others = ("tidb", "vitess", "planetscale", "oceanbase", "singlestore", "memsql", "starrocks", "doris", "clickhouse")
    said = f"{version} {comment}".lower()
    is_genuine = not any(name in said for name in others)
    return Server(kind, numbers, is_genuine, most_bytes - _MARGIN, is_read_only, place)

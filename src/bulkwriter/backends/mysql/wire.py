"""Commands to the server, and its answers: many may be sent before the first answer is read.

aiomysql sends one command and waits for its answer, throws away what the server says beside its counts, and waits for
ever. Here the answers of many commands cost one round trip, and each has its SQLSTATE, its warnings, and a time limit.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.mysql import driver
from bulkwriter.backends.mysql.driver import LostConnectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backends.mysql.driver import Connection

_QUERY: Final = b"\x03"
_LARGEST_PART: Final = 2**24 - 1
_OK, _LOCAL_FILE, _END, _ERROR = 0x00, 0xFB, 0xFE, 0xFF
_NULL: Final = 0xFB
# A packet that ends a list of rows is shorter than one that begins with a long value.
_LONGEST_END: Final = 9

NO_BACKSLASH_ESCAPES: Final = 0x0200
_MORE_RESULTS: Final = 0x0008

# Bytes: a system call for each of a thousand commands costs more than all else of them.
_ENOUGH: Final = 64 * 1024

# What is read in one turn of the loop where all of it is there already, answers or rows of one: under 1 ms of work.
_ANSWERS_A_TURN: Final = 64
_ROWS_A_TURN: Final = 256

# "Records: 3  Duplicates: 1  Warnings: 0", in whatever language the server speaks.
_DUPLICATES: Final = re.compile(rb"\D+(\d+)\D+(\d+)\D+\d+")


@dataclasses.dataclass(slots=True)
class Answer:
    """What the server says of one statement.

    Attributes:
        affected: The rows it changed, as MySQL counts them: an update of a row that was there counts two.
        insert_id: The first key that it generated; 0 if it generated none.
        warnings: How many there are.
        duplicates: The rows that were there and have been changed, where the statement had several.
        rows: What it gives back; ``None`` if it is no query.
    """

    affected: int = 0
    insert_id: int = 0
    warnings: int = 0
    duplicates: int = 0
    rows: list[tuple[Any, ...]] | None = None


class Wire:
    """The stream of one connection.

    Args:
        connection: The connection, which nobody else uses.
        timeout: Seconds to wait for the answers to what was sent at once, after which the connection is dropped.
    """

    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection = connection
        # aiomysql forgets them when it closes, also while an answer is being read.
        self._reader: Any = connection._reader  # noqa: SLF001 - what aiomysql reads itself it reads one by one
        self._writer = connection._writer  # noqa: SLF001
        self._timeout = timeout
        self._status = connection.server_status
        self._unsent = bytearray()

    @property
    def has_backslashes(self) -> bool:
        """Whether a backslash in a literal escapes what follows."""
        return not self._status & NO_BACKSLASH_ESCAPES

    @property
    def is_usable(self) -> bool:
        """Whether the other end is there, as far as is known: it may have said goodbye while nobody was listening."""
        if self._is_closed:
            return False
        # An error packet that nobody asked for is how MySQL 8 ends an idle session.
        return not (self._reader.at_eof() or getattr(self._reader, "_buffer", b""))

    @property
    def _is_closed(self) -> bool:
        return self._connection.closed or self._writer.is_closing()

    def drop(self) -> None:
        """Drop the connection, whatever it is doing; what waits to be sent never will be."""
        self._writer.transport.abort()
        self._connection.close()

    def send(self, statement: bytes) -> None:
        """Send one command: small ones leave together, at the latest when an answer is asked for.

        Raises:
            LostConnectionError: The connection is closed; nothing has been sent.
        """
        if self._is_closed:
            message = "the connection is closed"
            raise LostConnectionError(message)
        if len(statement) < _ENOUGH:
            self._unsent += (len(statement) + 1).to_bytes(4, "little")
            self._unsent += _QUERY
            self._unsent += statement
        else:
            self.flush()
            self._send_large(statement)
        if len(self._unsent) >= _ENOUGH:
            self.flush()

    def _send_large(self, statement: bytes) -> None:
        """Send a command that is not worth copying, in as many packets as it needs."""
        number, start, head = 0, 0, _QUERY
        while True:
            part = statement[start : start + _LARGEST_PART - len(head)]
            length = len(head) + len(part)
            self._writer.write(length.to_bytes(3, "little") + bytes((number,)) + head)
            self._writer.write(part)
            if length < _LARGEST_PART:
                return
            number, start, head = (number + 1) % 256, start + len(part), b""

    def flush(self) -> None:
        """Let what was sent leave, that the server may begin with it."""
        if self._unsent and not self._is_closed:
            self._writer.write(bytes(self._unsent))
            self._unsent.clear()

    async def answers(self, count: int) -> list[Answer | Exception]:
        """Read the answers to commands of one statement each; an error that the server raised is one of them.

        Raises:
            LostConnectionError: The connection is lost: none of the answers still to come ever will.
        """
        if count == 0:
            return []
        self.flush()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._all_answers(count)
        except TimeoutError as error:
            self.drop()
            message = f"no answer within {self._timeout:g} seconds"
            raise LostConnectionError(message) from error
        except (EOFError, OSError) as error:
            self.drop()
            raise LostConnectionError(str(error) or type(error).__name__) from error
        except asyncio.CancelledError:
            # Half an answer has been read, perhaps.
            self.drop()
            raise

    async def answer(self) -> Answer:
        """Read the answer to one command; that of the last statement, if it has several.

        Raises:
            LostConnectionError: The connection is lost.
            Error: The server refused the statement, and has not begun with those behind it.
        """
        (answer,) = await self.answers(1)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _all_answers(self, count: int) -> list[Answer | Exception]:
        read: list[Answer | Exception] = []
        while len(read) < count:
            if read:
                await asyncio.sleep(0)
            read += [await self._answer() for _ in range(min(count - len(read), _ANSWERS_A_TURN))]
        return read

    async def _answer(self) -> Answer | Exception:
        try:
            while True:
                answer, has_more = await self._one()
                if not has_more:
                    return answer
        except LostConnectionError:
            raise
        except driver.Error as error:
            return error

    async def _one(self) -> tuple[Answer, bool]:
        packet = await self._packet()
        head = packet[0]
        if head == _OK:
            return self._done(packet)
        if head == _LOCAL_FILE:
            # Nobody here has asked for it: a server that wants to read files of ours is none of ours.
            self.drop()
            message = "the server asked for a file"
            raise LostConnectionError(message)
        return await self._result(packet)

    def _done(self, packet: bytes) -> tuple[Answer, bool]:
        affected, place = _number(packet, 1)
        insert_id, place = _number(packet, place)
        self._status = int.from_bytes(packet[place : place + 2], "little")
        warnings = int.from_bytes(packet[place + 2 : place + 4], "little")
        said = _DUPLICATES.search(packet, place + 4)
        answer = Answer(affected, insert_id, warnings, int(said[2]) if said else 0)
        return answer, bool(self._status & _MORE_RESULTS)

    async def _result(self, packet: bytes) -> tuple[Answer, bool]:
        columns, _ = _number(packet, 0)
        decode = [driver.converter_for(self._connection, await self._packet()) for _ in range(columns)]
        await self._packet()  # the end of the columns
        rows: list[tuple[Any, ...]] = []
        while True:
            packet = await self._packet()
            if packet[0] == _END and len(packet) < _LONGEST_END:
                warnings = int.from_bytes(packet[1:3], "little")
                self._status = int.from_bytes(packet[3:5], "little")
                return Answer(len(rows), 0, warnings, 0, rows), bool(self._status & _MORE_RESULTS)
            rows.append(_row(packet, decode))
            if len(rows) % _ROWS_A_TURN == 0:
                await asyncio.sleep(0)

    async def _packet(self) -> bytes:
        """Read one packet.

        Raises:
            Error: It holds an error.
        """
        read = self._reader.readexactly
        whole = b""
        while True:
            head = await read(4)
            length = int.from_bytes(head[:3], "little")
            part: bytes = await read(length)
            whole = whole + part if whole else part
            if length < _LARGEST_PART:
                break
        if whole[0] == _ERROR:
            raise driver.server_error(whole)
        return whole


def _number(packet: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length, and the place behind it."""
    first = packet[place]
    if first < _NULL:
        return first, place + 1
    length = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(packet[place + 1 : place + 1 + length], "little"), place + 1 + length


def _row(packet: bytes, decode: Sequence[Any]) -> tuple[Any, ...]:
    place = 0
    values: list[Any] = []
    for convert in decode:
        if packet[place] == _NULL:
            values.append(None)
            place += 1
            continue
        length, place = _number(packet, place)
        values.append(convert(packet[place : place + length]))
        place += length
    return tuple(values)

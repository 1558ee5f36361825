"""Rows as SQL: a column at a time, in turns that do not hold the event loop, in commands that the server takes."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from bulkwriter.backends.mysql.errors import BACKEND
from bulkwriter.backends.mysql.kinds import UnfitError
from bulkwriter.errors import RowTooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from bulkwriter.backends.mysql.kinds import Kind
    from bulkwriter.errors import RowRejectedError

# Values, and bytes, that are encoded in one turn of the loop: less than 1 ms of work.
_VALUES_A_STRETCH: Final = 1500
_BYTES_A_STRETCH: Final = 128 * 1024
# The server begins with a statement when it has all of it, and works while the next one is made. In these sizes it has
# enough to do, and what each statement costs it of its own is hardly seen: 50 us beside the 5 ms of so many rows.
_ENOUGH_BYTES: Final = 64 * 1024

Unfit: TypeAlias = "dict[int, RowRejectedError]"
"""What the callers of rows hear that cannot be sent, by their place."""


class Shape(Protocol):
    """What surrounds the rows: ``Statements`` and ``Lookup`` have it."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    head: str
    template: str
    between: str
    tail: str

    def refused(self, message: str, column: str | None) -> RowRejectedError:
        """Return what the caller hears of a value that its column cannot hold."""


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A statement for some of the rows.

    Attributes:
        sql: The command.
        places: Which rows it has.
    """

    sql: bytes
    places: Sequence[int]


class Builder:
    """Builds statements.

    Args:
        statements: What surrounds the rows.
        most_bytes: The bytes that one command may have.
        has_backslashes: Whether a backslash in a literal escapes what follows.
        table: The target's name, for messages.
    """

    def __init__(self, statements: Shape, most_bytes: int, *, has_backslashes: bool, table: str) -> None:
        self._statements = statements
        self._head = statements.head.encode()
        self._tail = statements.tail.encode()
        self._between = statements.between.encode()
        self._most = most_bytes - len(self._head) - len(self._tail)
        self._has_backslashes = has_backslashes
        self._table = table
        self._step = max(1, _VALUES_A_STRETCH // len(statements.kinds))

    async def pieces(self, rows: Sequence[Any], places: Sequence[int], unfit: Unfit) -> AsyncIterator[Piece]:
        """Yield statements for rows, each as soon as it is made; the first is short, for until then the server is idle.

        Args:
            rows: The rows of the attempt.
            places: Which of them.
            unfit: Where to note those that cannot be sent.
        """
        parts: list[bytes] = []
        held: list[int] = []
        size, enough = 0, 0
        async for part, there in self._stretches(rows, places, unfit):
            if parts and size + len(part) > self._most:
                yield self._piece(parts, held)
                parts, held, size = [], [], 0
            parts.append(part)
            held.extend(there)
            size += len(part) + len(self._between)
            if size >= enough:
                yield self._piece(parts, held)
                parts, held, size, enough = [], [], 0, _ENOUGH_BYTES
        if parts:
            yield self._piece(parts, held)

    async def groups(self, rows: Sequence[Any], places: Sequence[int], size: int, unfit: Unfit) -> list[Piece]:
        """Return a statement for every so many rows.

        Args:
            rows: The rows of the attempt.
            places: Which of them.
            size: How many rows a statement.
            unfit: Where to note those that cannot be sent.
        """
        found: list[Piece] = []
        step = max(size, self._step // 2 // size * size)  # each statement of its own has its overhead
        for start in range(0, len(places), step):
            texts, there = self._texts(rows, places[start : start + step], unfit)
            for first in range(0, len(there), size):
                found += self._small_pieces(texts[first : first + size], there[first : first + size], unfit)
            await asyncio.sleep(0)
        return found

    def _small_pieces(self, texts: Sequence[str], places: Sequence[int], unfit: Unfit) -> list[Piece]:
        part = self._statements.between.join(texts).encode()
        if len(part) <= self._most:
            return [Piece(self._head + part + self._tail, places)]
        if len(places) == 1:
            unfit[places[0]] = _too_large(self._table, len(part), self._most)
            return []
        singles = zip(texts, places, strict=True)
        return [piece for text, place in singles for piece in self._small_pieces([text], [place], unfit)]

    def _piece(self, parts: list[bytes], places: Sequence[int]) -> Piece:
        return Piece(self._head + self._between.join(parts) + self._tail, places)

    async def _stretches(
        self, rows: Sequence[Any], places: Sequence[int], unfit: Unfit
    ) -> AsyncIterator[tuple[bytes, Sequence[int]]]:
        start, step = 0, self._step
        while start < len(places):
            some = places[start : start + step]
            start += len(some)
            for part, there in self._fitting(rows, some, unfit):
                # Rows that turn out to be large are taken fewer at a time.
                step = max(1, min(self._step, _BYTES_A_STRETCH * len(there) // (len(part) + 1)))
                yield part, there
            if start < len(places):
                await asyncio.sleep(0)

    def _fitting(self, rows: Sequence[Any], places: Sequence[int], unfit: Unfit) -> list[tuple[bytes, Sequence[int]]]:
        """Return the rows encoded: together, or in parts where they are too long for one command."""
        part, there = self._encoded(rows, places, unfit)
        if len(part) <= self._most:
            return [(part, there)] if there else []
        if len(there) == 1:
            unfit[there[0]] = _too_large(self._table, len(part), self._most)
            return []
        middle = len(there) // 2
        return self._fitting(rows, there[:middle], unfit) + self._fitting(rows, there[middle:], unfit)

    def _encoded(self, rows: Sequence[Any], places: Sequence[int], unfit: Unfit) -> tuple[bytes, Sequence[int]]:
        """Return those of the rows that are fit, with what stands between them."""
        try:
            return self._quick_text(rows, places).encode(), places
        except _UNFIT:
            texts, there = self._slow_texts(rows, places, unfit)
            return self._statements.between.join(texts).encode(), there

    def _texts(self, rows: Sequence[Any], places: Sequence[int], unfit: Unfit) -> tuple[list[str], Sequence[int]]:
        """Return those of the rows that are fit, each by itself."""
        try:
            texts = list(self._quick_texts(rows, places))
            "".join(texts).encode()
        except _UNFIT:
            return self._slow_texts(rows, places, unfit)
        return texts, places

    def _slow_texts(self, rows: Sequence[Any], places: Sequence[int], unfit: Unfit) -> tuple[list[str], list[int]]:
        texts, there = [], []
        for place in places:
            try:
                texts.append(self._single(rows[place]))
                there.append(place)
            except _UNFIT as error:
                unfit[place] = self._refused(rows[place], error)
        return texts, there

    def _quick_text(self, rows: Sequence[Any], places: Sequence[int]) -> str:
        # One template for all of them: Python is quickest at putting many values into one text.
        template, columns = self._columns(rows, places)
        values: list[Any] = [None] * (len(columns) * len(places))
        for place, column in enumerate(columns):
            values[place :: len(columns)] = column
        return self._statements.between.join([template] * len(places)) % tuple(values)

    def _quick_texts(self, rows: Sequence[Any], places: Sequence[int]) -> Iterable[str]:
        template, columns = self._columns(rows, places)
        return map(template.__mod__, zip(*columns, strict=True))

    def _columns(self, rows: Sequence[Any], places: Sequence[int]) -> tuple[str, Sequence[Iterable[Any]]]:
        """Return the template of a row, and column by column what fills it."""
        given = rows[places.start : places.stop] if isinstance(places, range) else [rows[place] for place in places]
        encoded = [
            kind.encode(column, has_backslashes=self._has_backslashes)
            for kind, column in zip(self._statements.kinds, zip(*given, strict=True), strict=True)
        ]
        template = self._statements.template % tuple([piece for piece, _ in encoded])
        return template, [values for _, values in encoded]

    def _single(self, row: Any) -> str:
        pairs = zip(self._statements.kinds, row, strict=True)
        texts = [kind.literal(value, has_backslashes=self._has_backslashes) for kind, value in pairs]
        return self._statements.template % tuple(["%s"] * len(texts)) % tuple(texts)

    def _refused(self, row: Any, error: Exception) -> RowRejectedError:
        for kind, name, value in zip(self._statements.kinds, self._statements.names, row, strict=True):
            try:
                kind.literal(value, has_backslashes=self._has_backslashes)
            except _UNFIT as unfit:
                return self._statements.refused(_why(unfit), name)
        return self._statements.refused(_why(error), None)


_UNFIT: Final = (UnfitError, ValueError, OverflowError, TypeError)
"""What a value may be refused with; beside our own, such as an integer of more digits than Python makes text of."""


def _why(error: Exception) -> str:
    """Return what may be told of an error about a value: never the value itself."""
    return str(error) if isinstance(error, UnfitError) else f"encoding it failed with {type(error).__name__}"


def _too_large(table: str, size: int, most: int) -> RowTooLargeError:
    message = f"table {table}: the row has {size} bytes as SQL, and max_allowed_packet leaves {most}"
    return RowTooLargeError(message, backend=BACKEND, table=table)

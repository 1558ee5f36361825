"""Rows as binary COPY reads them: one function for each set of columns, made for it.

Values of fixed width come first, whatever the order of a row's columns, so that a single call of ``struct`` packs all
of them; then texts, so that all of them are encoded by a single call. That is what makes it quicker than asyncpg's own
``copy_records_to_table``, together with sending while it encodes.
"""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import struct
import uuid
from typing import TYPE_CHECKING, Any, Final, NoReturn

from bulkwriter.backends.postgres import binary
from bulkwriter.backends.postgres.kinds import Kind, dumps
from bulkwriter.backends.postgres.texts import UnfitError, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    # Encodes rows up to the first odd one, appends the pieces, and returns how many rows those are.
    Stretch: TypeAlias = Callable[[Sequence[Sequence[Any]], list[bytes]], int]

_SPARSE_SHARE: Final = 8
"""One row with a None in so many is enough to expect more of them: asking for None costs less than one exception."""
_MOST_STRETCHES: Final = 64


class Encoder:
    """Encodes rows of one set of columns.

    Args:
        columns: The columns' names.
        kinds: The kind of each.

    Attributes:
        columns: Their names in the order in which they are written.
    """

    def __init__(self, columns: Sequence[str], kinds: Sequence[Kind]) -> None:
        # Those of fixed width, then the others, then texts; each in the order of the row.
        self._order = sorted(range(len(kinds)), key=lambda place: (kinds[place].is_fixed is None, kinds[place].is_text))
        self.columns: tuple[str, ...] = tuple(columns[number] for number in self._order)
        self._kinds = tuple(kinds)
        # By the columns in which None is looked for: to do so in all of them would cost each value as much again.
        self._stretches: dict[frozenset[int], Stretch] = {}
        self._optional: frozenset[int] = frozenset()
        self._head = struct.pack(">h", len(self._kinds))

    def encode(self, rows: Sequence[Sequence[Any]], start: int, unfit: dict[int, tuple[str, str]]) -> bytes:
        """Return rows as COPY reads them, without those that cannot be encoded.

        Args:
            rows: The rows.
            start: The index of the first of them in its batch.
            unfit: Where to note rows that cannot be encoded: by index, the column at fault, and why.
        """
        pieces: list[bytes] = []
        place = odd = 0
        missing: set[int] = set()
        while place < len(rows):
            # What the quick way stops at is encoded by itself; then it goes on behind it.
            place += self._stretch()(rows[place:] if place else rows, pieces)
            if place < len(rows):
                row = rows[place]
                odd += 1
                missing.update([number for number, value in enumerate(row) if value is None])
                self._encode_odd(row, start + place, pieces, unfit)
                place += 1
                if odd * _SPARSE_SHARE > place:
                    self._optional |= missing
        if not odd and self._optional and not any(None in row for row in rows):
            self._optional = frozenset()
        return b"".join(pieces)

    def _stretch(self) -> Stretch:
        """Return what encodes rows up to the first odd one."""
        known = self._stretches.get(self._optional)
        if known is None:
            if len(self._stretches) >= _MOST_STRETCHES:
                self._stretches.clear()
            known = self._stretches[self._optional] = _generated(self._kinds, self._order, self._optional)
        return known

    def _encode_odd(
        self, row: Sequence[Any], index: int, pieces: list[bytes], unfit: dict[int, tuple[str, str]]
    ) -> None:
        """Encode a row value by value."""
        assert len(row) == len(self._kinds), "each row has a value for each column"
        fields = [self._head]
        for column, number in zip(self.columns, self._order, strict=True):
            kind, value = self._kinds[number], row[number]
            try:
                fields.append(binary.NULL if value is None else binary.field(kind.binary(value)))
            except Exception as error:  # noqa: BLE001 - a value's own methods are the caller's code
                unfit[index] = (column, why_unfit(error))
                return
        pieces += fields


def why_unfit(error: Exception) -> str:
    """Return what may be told of an error about a value: never the value itself."""
    return str(error) if isinstance(error, UnfitError) else f"encoding it failed with {kind_of(error)}"


def _dumps(value: Any) -> str:
    """Return a value as JSON; ``None`` is no JSON here but NULL, and left to the slower way."""
    return _refuse(value) if value is None else dumps(value)


def _refuse(value: Any) -> NoReturn:
    raise UnfitError(kind_of(value))


_LENGTHS: Final = tuple(f"\0\0\0{chr(length)}" for length in range(128))
"""What stands before a text of ASCII that is so long: it is ASCII itself, and so encoded together with it."""


def _texts(*values: str) -> bytes:
    """Return texts of any length and alphabet, each with its length before it."""
    return b"".join([binary.field(value.encode()) for value in values])


def _generated(kinds: Sequence[Kind], order: Sequence[int], optional: frozenset[int]) -> Stretch:
    """Return a function that encodes rows up to the first odd one, and returns how many those are.

    Args:
        kinds: The kind of each column.
        order: The order in which the columns are written.
        optional: The columns in which None is nothing odd.
    """
    names = {
        "refuse": _refuse,
        "dumps": _dumps,
        "date": dt.date,
        "UUID": uuid.UUID,
        "Decimal": decimal.Decimal,
        "numeric": binary.numeric,
        "EPOCH": binary.EPOCH,
        "NAIVE_EPOCH": binary.NAIVE_EPOCH,
        "NULL": binary.NULL,
        "I": struct.Struct(">i").pack,
        "LENGTHS": _LENGTHS,
        "texts": _texts,
        "join": "".join,
    }
    writer = _Writer(kinds, order, names, optional)
    variables = ", ".join(f"v{number}" for number in range(len(kinds)))
    source = (
        "def encode(rows, pieces):\n"
        "    done = 0\n"
        "    try:\n"
        f"        for {variables}, in rows:\n"
        + "".join(f"            {line}\n" for line in writer.lines)
        + f"            pieces += ({', '.join(writer.pieces)},)\n"
        "            done += 1\n"
        "    except Exception:\n"
        "        pass\n"
        "    return done\n"
    )
    # Made of the kinds' own templates and of numbers: nothing of a caller's is in it, not even a column's name.
    exec(source, names)  # noqa: S102
    made: Stretch = names["encode"]  # type: ignore[assignment]
    return made


class _Writer:
    """Writes the body of the generated function."""

    def __init__(
        self, kinds: Sequence[Kind], order: Sequence[int], names: dict[str, Any], optional: frozenset[int]
    ) -> None:
        self._names = names
        self._format = "h"
        self._arguments = [str(len(kinds))]
        self.lines: list[str] = []
        self.pieces: list[str] = []
        # Texts that follow one another and are all there. The order stays, for the server has been told of it.
        for together, run in itertools.groupby(order, lambda number: kinds[number].is_text and number not in optional):
            numbers = list(run)
            # One by itself is encoded as quickly without a look at it.
            if together and len(numbers) > 1:
                self._add_texts(numbers)
                continue
            for number in numbers:
                if number in optional:
                    self._add_optional(number, kinds[number])
                else:
                    self._add(number, kinds[number])
        self._flush()

    def _expression(self, number: int, kind: Kind) -> str:
        if kind.fast is None:
            self._names[f"k{number}"] = kind.binary
            return f"k{number}(v{number})"
        self._names[f"c{number}"] = kind.canonical
        return kind.fast.format(v=f"v{number}", canonical=f"c{number}")

    def _add(self, number: int, kind: Kind) -> None:
        expression = self._expression(number, kind)
        if kind.is_fixed is not None:
            code, width = kind.is_fixed
            self._format += f"i{code}"
            self._arguments += [str(width), expression]
            return
        self.lines.append(f"d{number} = {expression}")
        self._format += "i"
        self._arguments.append(f"len(d{number})")
        self._flush()
        self.pieces.append(f"d{number}")

    def _add_texts(self, numbers: Sequence[int]) -> None:
        self._flush()
        self.lines += [f"n{number} = len(v{number})" for number in numbers]
        parts = ", ".join(f"LENGTHS[n{number}], v{number}" for number in numbers)
        values = ", ".join(f"v{number}" for number in numbers)
        # A class of text may say of itself that it is of another length than it is.
        are_plain = " is ".join([*(f"type(v{number})" for number in numbers), "str"])
        are_short = f"{' | '.join(f'n{number}' for number in numbers)} < {len(_LENGTHS)}"
        is_ascii = f"(t := join(({parts}))).isascii()"
        self.pieces.append(f"t.encode() if {are_plain} and {are_short} and {is_ascii} else texts({values})")

    def _add_optional(self, number: int, kind: Kind) -> None:
        expression = self._expression(number, kind)
        self._flush()
        if kind.is_fixed is not None:
            code, width = kind.is_fixed
            self._names[f"p{number}"] = struct.Struct(f">i{code}").pack
            self.pieces.append(f"NULL if v{number} is None else p{number}({width}, {expression})")
            return
        self.lines.append(f"d{number} = None if v{number} is None else {expression}")
        self.pieces.append(f"NULL if d{number} is None else I(len(d{number})) + d{number}")

    def _flush(self) -> None:
        if not self._format:
            return
        name = f"s{len(self.pieces)}"
        self._names[name] = struct.Struct(f">{self._format}").pack
        self.pieces.append(f"{name}({', '.join(self._arguments)})")
        self._format, self._arguments = "", []

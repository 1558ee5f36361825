"""Rows as binary COPY reads them: one function for each set of columns, made for it.

Between the values of fixed width that follow one another, everything is packed by a single call of ``struct``. That
is what makes it quicker than asyncpg's own ``copy_records_to_table``, together with sending while it encodes.
"""

from __future__ import annotations

import datetime as dt
import decimal
import struct
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
    """

    def __init__(self, columns: Sequence[str], kinds: Sequence[Kind]) -> None:
        self._columns = tuple(columns)
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
            known = self._stretches[self._optional] = _generated(self._kinds, self._optional)
        return known

    def _encode_odd(
        self, row: Sequence[Any], index: int, pieces: list[bytes], unfit: dict[int, tuple[str, str]]
    ) -> None:
        """Encode a row value by value."""
        assert len(row) == len(self._kinds), "each row has a value for each column"
        fields = [self._head]
        for column, kind, value in zip(self._columns, self._kinds, row, strict=True):
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


def _generated(kinds: Sequence[Kind], optional: frozenset[int]) -> Stretch:
    """Return a function that encodes rows up to the first odd one, and returns how many those are.

    Args:
        kinds: The kind of each column.
        optional: The columns in which None is nothing odd.
    """
    names = {
        "refuse": _refuse,
        "dumps": _dumps,
        "date": dt.date,
        "Decimal": decimal.Decimal,
        "numeric": binary.numeric,
        "EPOCH": binary.EPOCH,
        "NAIVE_EPOCH": binary.NAIVE_EPOCH,
        "NULL": binary.NULL,
        "I": struct.Struct(">i").pack,
    }
    writer = _Writer(kinds, names, optional)
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

    def __init__(self, kinds: Sequence[Kind], names: dict[str, Any], optional: frozenset[int]) -> None:
        self._names = names
        self._format = "h"
        self._arguments = [str(len(kinds))]
        self.lines: list[str] = []
        self.pieces: list[str] = []
        for number, kind in enumerate(kinds):
            if number in optional:
                self._add_optional(number, kind)
            else:
                self._add(number, kind)
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

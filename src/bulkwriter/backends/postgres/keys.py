"""A row's key, equal for two rows if PostgreSQL takes them for one; where it is not certain, rather too equal."""

from __future__ import annotations

import decimal
import re
import struct
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.postgres import kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from bulkwriter.backends.postgres.kinds import Kind
    from bulkwriter.backends.postgres.target import Column

_SOMETHING: Final = ("something",)
_SCALE: Final = re.compile(r"numeric\(\d+,(-?\d+)\)")


class KeyReader:
    """Reads the key of a row's values.

    Where PostgreSQL's own notion of equality cannot be had here (citext, other extensions' types, a collation that is
    not deterministic), all values pass for equal, or more of them than PostgreSQL takes for equal: their rows are then
    written one after the other, in order. That two equal ones passed for different could turn them around.

    Args:
        columns: The columns of the key.
        places: Where they are among a row's values.
    """

    def __init__(self, columns: Sequence[Column], places: Sequence[int]) -> None:
        self._parts = [(place, _folder(column)) for place, column in zip(places, columns, strict=True)]
        # Of a key that is a single column whose values are their own keys, in the usual case.
        self._plain: Kind | None = columns[0].kind if len(columns) == 1 and _is_plain(columns[0]) else None

    def read(self, values: Sequence[Any]) -> Hashable | None:
        """Return the key; ``None`` for a row that is like no other, since a part of its key is NULL or unfit."""
        if len(self._parts) == 1:
            place, fold = self._parts[0]
            return _folded(fold, values[place])
        key = tuple([_folded(fold, values[place]) for place, fold in self._parts])
        return None if None in key else key

    def read_all(self, rows: Sequence[Sequence[Any]]) -> list[Hashable | None]:
        """Return the key of each row, for less than asking for each where they are usual."""
        if self._plain is not None:
            place = self._parts[0][0]
            values = [row[place] for row in rows]
            if self._plain.are_sent_as_they_are(values):
                return values
        return [self.read(row) for row in rows]


def is_exact(columns: Sequence[Column]) -> bool:
    """Whether keys of these columns are equal exactly where PostgreSQL takes them for equal."""
    return all(_is_known(column) and column.receive != "citextrecv" for column in columns)


def are_told(columns: Sequence[Column]) -> bool:
    """Whether a key of these columns that the database gives back is read as the key of the row it was given."""
    told = kinds.Integer | kinds.Text | kinds.Bytes | kinds.Uuid | kinds.Date | kinds.Boolean
    return is_exact(columns) and all(isinstance(column.kind, told) for column in columns)


def _is_plain(column: Column) -> bool:
    own = isinstance(column.kind, kinds.Integer | kinds.Text | kinds.Bytes)
    return own and _folder(column) == column.kind.canonical


def _is_known(column: Column) -> bool:
    known = kinds.Integer | kinds.Floating | kinds.Boolean | kinds.Text | kinds.Bytes | kinds.Uuid
    also_known = kinds.Date | kinds.Moment | kinds.Timestamp | kinds.Time | kinds.Numeric | kinds.Interval
    if not isinstance(column.kind, known | also_known) or not column.is_deterministic:
        return False
    # A precision in brackets, or that of a domain, rounds what is stored; of numeric it is known how.
    rounded = kinds.Moment | kinds.Timestamp | kinds.Time | kinds.Interval
    return not isinstance(column.kind, rounded) or column.full_type == column.type_name


def _folder(column: Column) -> Callable[[Any], Hashable]:
    """Return what makes of a value something that is equal where PostgreSQL's value is."""
    if column.receive == "citextrecv":
        return lambda value: column.kind.canonical(value).casefold()
    if not _is_known(column):
        return lambda _: _SOMETHING
    if isinstance(column.kind, kinds.Floating):
        return _float_folder(column)
    if isinstance(column.kind, kinds.Numeric):
        return _rounder(column)
    if column.receive == "bpcharrecv" or column.full_type.startswith("character varying("):
        # Of char, spaces at the end do not count; of varchar(n), those that are too many are cut off.
        return lambda value: column.kind.canonical(value).rstrip(" ")
    return column.kind.canonical


def _float_folder(column: Column) -> Callable[[Any], Hashable]:
    """PostgreSQL takes NaN for equal to itself, and both zeros for one; a real has fewer digits than a float."""
    unpack = struct.Struct(f">{'f' if column.receive == 'float4recv' else 'd'}").unpack

    def fold(value: Any) -> Hashable:
        (number,) = unpack(column.kind.binary(value))
        return "NaN" if number != number else float(number)  # noqa: PLR0124 - true of NaN alone

    return fold


def _rounder(column: Column) -> Callable[[Any], Hashable]:
    scale = _SCALE.fullmatch(column.full_type)
    if scale is None and column.full_type != column.type_name:
        return lambda _: _SOMETHING
    step = None if scale is None else decimal.Decimal(1).scaleb(-int(scale[1]))
    context = decimal.Context(prec=200_000, rounding=decimal.ROUND_HALF_UP)

    def fold(value: Any) -> Hashable:
        number: decimal.Decimal = column.kind.canonical(value)
        if number.is_nan():
            return "NaN"
        return number if step is None or not number.is_finite() else number.quantize(step, context=context)

    return fold


def _folded(fold: Callable[[Any], Hashable], value: Any) -> Hashable | None:
    if value is None:
        return None
    try:
        return fold(value)
    except Exception:  # noqa: BLE001 - the attempt will reject the row, and say why
        return None

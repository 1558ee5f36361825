"""A row's key, equal for two rows if PostgreSQL takes them for one; where it is not certain, rather too equal."""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.postgres import kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

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

    def read(self, values: Sequence[Any]) -> Hashable | None:
        """Return the key; ``None`` for a row that is like no other, since a part of its key is NULL or unfit."""
        if len(self._parts) == 1:
            place, fold = self._parts[0]
            return _folded(fold, values[place])
        key = tuple([_folded(fold, values[place]) for place, fold in self._parts])
        return None if None in key else key


def is_exact(columns: Sequence[Column]) -> bool:
    """Whether keys of these columns are equal exactly where PostgreSQL takes them for equal."""
    return all(_is_known(column) and column.receive != "citextrecv" for column in columns)


def _is_known(column: Column) -> bool:
    known = kinds.Integer | kinds.Floating | kinds.Boolean | kinds.Text | kinds.Bytes | kinds.Uuid
    also_known = kinds.Date | kinds.Moment | kinds.Timestamp | kinds.Time | kinds.Numeric | kinds.Interval
    if not isinstance(column.kind, known | also_known):
        return False
    return column.is_deterministic and not (_is_limited(column) and column.receive != "numeric_recv")


def _is_limited(column: Column) -> bool:
    """Whether a precision in brackets may change the value that is stored."""
    return isinstance(column.kind, kinds.Numeric | kinds.Moment | kinds.Timestamp | kinds.Time | kinds.Interval) and (
        "(" in column.full_type or column.full_type != column.type_name
    )


def _folder(column: Column) -> Callable[[Any], Hashable]:
    kind, receive = column.kind, column.receive
    if receive == "citextrecv":
        return lambda value: kind.canonical(value).casefold()
    if not _is_known(column):
        return lambda _: _SOMETHING
    if receive == "bpcharrecv":
        return lambda value: kind.canonical(value).rstrip(" ")
    if receive == "varcharrecv" and "(" in column.full_type:
        # Too many spaces at the end are cut off; anything else that is too long is an error.
        return lambda value: kind.canonical(value).rstrip(" ")
    if receive == "float4recv":
        return lambda value: _number(kind.binary(value))
    if isinstance(kind, kinds.Floating):
        return lambda value: _not_a_number(kind.canonical(value))
    if isinstance(kind, kinds.Numeric):
        return _rounder(column)
    return kind.canonical


def _number(data: bytes) -> Hashable:
    # Negative and positive zero are equal.
    return b"\0\0\0\0" if data == b"\x80\0\0\0" else data


def _not_a_number(value: float) -> Hashable:
    return "NaN" if value != value else value  # noqa: PLR0124 - PostgreSQL takes NaN for equal to itself


def _rounder(column: Column) -> Callable[[Any], Hashable]:
    scale = _SCALE.fullmatch(column.full_type)
    if scale is None and column.full_type != column.type_name:
        return lambda _: _SOMETHING
    step = None if scale is None else decimal.Decimal(1).scaleb(-int(scale[1]))
    context = decimal.Context(prec=200_000, rounding=decimal.ROUND_HALF_UP)

    def fold(value: Any) -> Hashable:
        number = column.kind.canonical(value)
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

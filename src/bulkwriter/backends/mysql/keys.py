"""A row's key, equal for two rows if MySQL takes them for one; where it is not certain, rather too equal."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import struct
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.mysql import kinds
from bulkwriter.sql.collations import customs_of, folded

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from bulkwriter.backends.mysql.target import Column

_SOMETHING: Final = ("something",)

# Less than 1 ms of work, whatever the key.
_KEYS_A_TURN: Final = 200

_MICROSECONDS: Final = 6
"""The precision of a moment that Python's are kept with."""


class KeyReader:
    """Reads the key of a row's values.

    Text that a collation compares by more than its characters passes for equal also where a few of MySQL's hundreds of
    collations would tell it apart: its rows are then written one after the other, in order.

    Args:
        columns: The columns of the key.
        places: Where they are among a row's values.
    """

    def __init__(self, columns: Sequence[Column], places: Sequence[int]) -> None:
        self._parts = [(place, folder(column)) for place, column in zip(places, columns, strict=True)]

    def read(self, values: Sequence[Any]) -> Hashable | None:
        """Return the key; ``None`` for a row that is like no other, since a part of its key is NULL or unfit."""
        if len(self._parts) == 1:
            place, fold = self._parts[0]
            return _folded(fold, values[place])
        key = tuple([_folded(fold, values[place]) for place, fold in self._parts])
        return None if None in key else key


async def in_turns(read: Callable[[Sequence[Any]], Hashable | None], rows: Sequence[Any]) -> list[Hashable | None]:
    """Return the key of each row, and let the loop do other things meanwhile."""
    keys = list(map(read, rows[:_KEYS_A_TURN]))
    for start in range(_KEYS_A_TURN, len(rows), _KEYS_A_TURN):
        await asyncio.sleep(0)
        keys += map(read, rows[start : start + _KEYS_A_TURN])
    return keys


def is_exact(columns: Sequence[Column]) -> bool:
    """Whether keys of these columns are equal exactly where MySQL takes them for equal."""
    return all(_is_known(column) for column in columns)


def _is_known(column: Column) -> bool:
    if isinstance(column.kind, kinds.DateTime | kinds.Time):
        # Of what is beyond its precision, one server rounds and the other cuts it off.
        return column.precision == _MICROSECONDS
    return isinstance(column.kind, kinds.Integer | kinds.Bytes | kinds.Date | kinds.Decimal)


def folder(column: Column) -> Callable[[Any], Hashable]:
    """Return what makes of a value something that is equal where MySQL's value is."""
    make = _FOLDERS.get(type(column.kind))
    return (lambda _: _SOMETHING) if make is None else make(column)


def _as_it_is(column: Column) -> Callable[[Any], Hashable]:
    return column.kind.canonical


def _without_zeros(column: Column) -> Callable[[Any], Hashable]:
    if column.type_name != "binary":
        return column.kind.canonical
    # BINARY(n) fills up with zeros.
    return lambda value: column.kind.canonical(value).rstrip(b"\0")


def _text_folder(column: Column) -> Callable[[Any], Hashable]:
    if column.collation is None:
        return lambda _: _SOMETHING
    if column.collation.endswith("_bin"):
        return _fold_exactly(column.kind)
    canonical, customs = column.kind.canonical, customs_of(column.collation)
    return lambda value: folded(canonical(value), customs)


def _fold_exactly(kind: kinds.Kind) -> Callable[[Any], Hashable]:
    # Collations that pad take no notice of spaces at the end.
    return lambda value: kind.canonical(value).rstrip(" ")


def _rounder(column: Column) -> Callable[[Any], Hashable]:
    kind, step = column.kind, 10 ** (6 - (column.precision or 0))
    more = step // 2 if column.rounds else 0

    def fold(value: Any) -> Hashable:
        held = kind.canonical(value)
        span = held - dt.datetime(1, 1, 1) if isinstance(held, dt.datetime) else held  # noqa: DTZ001 - it has no zone
        microseconds = span // dt.timedelta(microseconds=1)
        # Half a step is rounded away from zero; what is cut off is cut off towards it.
        steps: int = (abs(microseconds) + more) // step
        return steps if microseconds >= 0 else -steps

    return fold


def _quantizer(column: Column) -> Callable[[Any], Hashable]:
    kind, step = column.kind, decimal.Decimal(1).scaleb(-(column.scale or 0))
    context = decimal.Context(prec=1000, rounding=decimal.ROUND_HALF_UP)

    def fold(value: Any) -> Hashable:
        number: decimal.Decimal = kind.canonical(value)
        return number.quantize(step, context=context)

    return fold


def _floater(column: Column) -> Callable[[Any], Hashable]:
    """A FLOAT column has fewer digits than a float."""
    pack = struct.Struct(">f" if column.type_name == "float" else ">d")

    def fold(value: Any) -> Hashable:
        (held,) = pack.unpack(pack.pack(column.kind.canonical(value)))
        return float(held)

    return fold


_FOLDERS: Final[dict[type[kinds.Kind], Callable[[Column], Callable[[Any], Hashable]]]] = {
    kinds.Integer: _as_it_is,
    kinds.Year: _as_it_is,
    kinds.Date: _as_it_is,
    kinds.Bytes: _without_zeros,
    kinds.Text: _text_folder,
    kinds.DateTime: _rounder,
    kinds.Time: _rounder,
    kinds.Decimal: _quantizer,
    kinds.Floating: _floater,
}


def _folded(fold: Callable[[Any], Hashable], value: Any) -> Hashable | None:
    if value is None:
        return None
    try:
        return fold(value.value if isinstance(value, enum.Enum) else value)
    except Exception:  # noqa: BLE001 - the attempt will reject the row, and say why
        return None

"""Values as PostgreSQL's receive functions read them.

The formats are those of the server's own sources (``numeric_recv``, ``array_recv`` and so on); PostgreSQL promises to
keep them: https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES.
"""

from __future__ import annotations

import datetime as dt
import functools
import struct
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres.texts import UnfitError

if TYPE_CHECKING:
    import decimal
    from collections.abc import Callable, Sequence

EPOCH: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
NAIVE_EPOCH: Final = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - of the timestamps without time zone
EPOCH_DAY: Final = dt.date(2000, 1, 1).toordinal()

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
"""Of a binary COPY: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4."""
TRAILER: Final = struct.pack(">h", -1)
NULL: Final = struct.pack(">i", -1)

_MOST_INTEGER_DIGITS: Final = 131_072
_MOST_FRACTION_DIGITS: Final = 16_383
_DIGITS: Final = 4
"""Decimal digits in each of a numeric's digits."""
_THREE_GROUPS: Final = struct.Struct(">hhHh3H").pack
_TOO_MANY_DIGITS: Final = "the number has more digits than a numeric can hold"


def field(data: bytes | None) -> bytes:
    """Return a value with its length before it."""
    return NULL if data is None else struct.pack(">i", len(data)) + data


def microseconds(span: dt.timedelta) -> bytes:
    """Return a span of time as PostgreSQL keeps timestamps."""
    return struct.pack(">q", span.days * 86_400_000_000 + span.seconds * 1_000_000 + span.microseconds)


class _Groups(dict[str, bytes]):
    """Of up to four decimal digits, the numeric's digit that they make: no more than 11,110, made as they are met."""

    def __missing__(self, digits: str) -> bytes:
        if len(digits) > _DIGITS or not digits.isdecimal():
            raise KeyError
        made = self[digits] = struct.pack(">H", int(digits))
        return made


class _Fractions(dict[str, tuple[bytes, bytes]]):
    """Of up to four decimal digits behind the point, what stands before all digits, and the last of the digits."""

    def __missing__(self, digits: str) -> tuple[bytes, bytes]:
        last = _groups_of[digits.ljust(_DIGITS, "0")]
        made = self[digits] = (struct.pack(">hhHh", 2, 0, 0, len(digits)), last)
        return made


_groups_of = _Groups()
_fractions_of = _Fractions()


def numeric(number: decimal.Decimal) -> bytes:
    """Return a decimal number, with all the digits that it has.

    Raises:
        UnfitError: It has more digits than PostgreSQL keeps.
    """
    # A price, a share: up to four digits before the point and behind it. In a quarter of the time. Digits that are 0 at
    # either end are dropped by PostgreSQL itself.
    before, _, after = str(number).partition(".")
    try:
        head, last = _fractions_of[after]
        return head + _groups_of[before] + last
    except KeyError:
        return _usual_numeric(before, after) or _any_numeric(number)


def _usual_numeric(before: str, after: str) -> bytes | None:
    """Return a number of up to eight digits before the point and four behind it, with its sign; ``None`` for others."""
    is_negative = before[0] == "-"
    whole = before[is_negative:]
    if len(whole) > 2 * _DIGITS or len(after) > _DIGITS or not (whole + after).isdecimal():
        return None
    groups = int(whole[:-_DIGITS] or 0), int(whole[-_DIGITS:]), int(after.ljust(_DIGITS, "0"))
    return _THREE_GROUPS(3, 1, 0x4000 * is_negative, len(after), *groups)


def _any_numeric(number: decimal.Decimal) -> bytes:
    if not number.is_finite():
        special = 0xC000 if number.is_nan() else 0xF000 if number < 0 else 0xD000
        return struct.pack(">hhHh", 0, 0, special, 0)
    if not -_MOST_FRACTION_DIGITS <= number.adjusted() < _MOST_INTEGER_DIGITS:
        raise UnfitError(_TOO_MANY_DIGITS)
    # As text all digits are exact, whatever precision the decimal context has.
    text = format(number, "f")
    sign = text[0] == "-"
    whole, _, fraction = text[sign:].partition(".")
    scale = len(fraction)
    if scale > _MOST_FRACTION_DIGITS:
        raise UnfitError(_TOO_MANY_DIGITS)
    groups = _groups(whole.zfill(-(-len(whole) // _DIGITS) * _DIGITS))
    weight = len(groups) - 1
    groups += _groups(fraction + "0" * (-scale % _DIGITS))
    while groups and not groups[-1]:
        groups.pop()
    first = next((place for place, group in enumerate(groups) if group), 0)
    weight = weight - first if groups else 0
    return _packed(len(groups) - first)(len(groups) - first, weight, 0x4000 * sign, scale, *groups[first:])


def _groups(digits: str) -> list[int]:
    """Return the numbers that each four digits make."""
    if len(digits) == _DIGITS:
        return [int(digits)]
    return [int(digits[place : place + _DIGITS]) for place in range(0, len(digits), _DIGITS)]


@functools.lru_cache(maxsize=64)
def _packed(groups: int) -> Callable[..., bytes]:
    """Return what packs a numeric of so many groups; PostgreSQL keeps no more than some ten thousand."""
    return struct.Struct(f">hhHh{groups}H").pack


def array(element_oid: int, shape: Sequence[int], elements: Sequence[bytes | None]) -> bytes:
    """Return an array.

    Args:
        element_oid: The type of its elements.
        shape: The lengths of its dimensions; none for an empty array.
        elements: Each element, one row after the other; ``None`` for NULL.
    """
    head = struct.pack(">iiI", len(shape), None in elements, element_oid)
    dimensions = b"".join(struct.pack(">ii", length, 1) for length in shape)
    return head + dimensions + b"".join(map(field, elements))

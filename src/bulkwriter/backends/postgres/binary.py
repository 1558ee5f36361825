"""Values as PostgreSQL's receive functions read them.

The formats are those of the server's own sources (``numeric_recv``, ``array_recv`` and so on); PostgreSQL promises to
keep them: https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES.
"""

from __future__ import annotations

import datetime as dt
import struct
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres.texts import UnfitError

if TYPE_CHECKING:
    import decimal
    from collections.abc import Sequence

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


def field(data: bytes | None) -> bytes:
    """Return a value with its length before it."""
    return NULL if data is None else struct.pack(">i", len(data)) + data


def microseconds(span: dt.timedelta) -> bytes:
    """Return a span of time as PostgreSQL keeps timestamps."""
    return struct.pack(">q", span.days * 86_400_000_000 + span.seconds * 1_000_000 + span.microseconds)


def numeric(number: decimal.Decimal) -> bytes:
    """Return a decimal number, with all the digits that it has.

    Raises:
        UnfitError: It has more digits than PostgreSQL keeps.
    """
    if not number.is_finite():
        special = 0xC000 if number.is_nan() else 0xF000 if number < 0 else 0xD000
        return struct.pack(">hhHh", 0, 0, special, 0)
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    if exponent < -_MOST_FRACTION_DIGITS or number.adjusted() >= _MOST_INTEGER_DIGITS:
        message = "the number has more digits than a numeric can hold"
        raise UnfitError(message)
    text = "".join(map(str, digits)) + "0" * max(0, exponent)
    scale = max(0, -exponent)
    # The point must come between two groups of four.
    text += "0" * (-scale % _DIGITS)
    text = text.zfill(len(text) + -len(text) % _DIGITS)
    groups = [int(text[place : place + _DIGITS]) for place in range(0, len(text), _DIGITS)]
    weight = len(groups) - -(-scale // _DIGITS) - 1
    first = next((place for place, group in enumerate(groups) if group), len(groups))
    groups = groups[first:]
    weight = weight - first if groups else 0
    while groups and not groups[-1]:
        groups.pop()
    return struct.pack(f">hhHh{len(groups)}H", len(groups), weight, 0x4000 if sign else 0, scale, *groups)


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

"""How large an item is, by DynamoDB's own count: the limit of 400 KB is of these bytes, not of those of JSON.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html, and for what that page
leaves open (numbers, lists, maps), the rule that DynamoDB Local was seen to follow to the byte.
"""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST: Final = 409_600
"""Bytes of an item."""

UNIT: Final = 1024
"""Bytes that a unit of write capacity writes."""

_CONTAINER: Final = 3
_MEMBER: Final = 1


def item_size(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the bytes of an item, given as DynamoDB's JSON."""
    return sum([_text_size(name) + value_size(value) for name, value in item.items()])


def value_size(value: Mapping[str, Any]) -> int:
    """Return the bytes of a value, given as DynamoDB's JSON, with bytes as base64 or as they are."""
    ((kind, content),) = value.items()
    return _SIZES[kind](content)


def number_size(digits: str) -> int:
    """Return the bytes of a number: two digits a byte, counted from the decimal point, and one more; one for a sign."""
    sign, given, exponent = decimal.Decimal(digits).as_tuple()
    text = "".join(map(str, given)).lstrip("0")
    significant = text.rstrip("0")
    if not significant or not isinstance(exponent, int):
        return 1
    lowest = exponent + len(text) - len(significant)
    return (len(significant) + lowest % 2 + 1) // 2 + 1 + sign


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _binary_size(content: str | bytes) -> int:
    if isinstance(content, bytes):
        return len(content)
    return len(content) // 4 * 3 - content[-2:].count("=")


def _list_size(values: list[Any]) -> int:
    return _CONTAINER + sum([_MEMBER + value_size(value) for value in values])


def _map_size(values: Mapping[str, Any]) -> int:
    return _CONTAINER + sum([_MEMBER + _text_size(name) + value_size(value) for name, value in values.items()])


_SIZES: Final[dict[str, Callable[[Any], int]]] = {
    "S": _text_size,
    "N": number_size,
    "B": _binary_size,
    "BOOL": lambda _: 1,
    "NULL": lambda _: 1,
    "SS": lambda members: sum(map(_text_size, members)),
    "NS": lambda members: sum(map(number_size, members)),
    "BS": lambda members: sum(map(_binary_size, members)),
    "L": _list_size,
    "M": _map_size,
}

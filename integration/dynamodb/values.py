"""DynamoDB's rules for a value: what it may be, how large it is, and which of two are equal."""

from __future__ import annotations

import base64
import binascii
import decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MOST_BYTES = 400 * 1024
"""Of one item, by DynamoDB's own measure."""

_MOST_NAME_BYTES = 65535
_MOST_NESTING = 32
_MOST_DIGITS = 38
_LARGEST_EXPONENT, _SMALLEST_EXPONENT = 125, -130
# What one container takes, and beside it each member.
_CONTAINER_BYTES, _MEMBER_BYTES = 3, 1
_EXACT = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


class RuleError(Exception):
    """A value breaks a rule; the message is as DynamoDB words it."""


def check_item(item: Mapping[str, Any]) -> None:
    """Refuse an item that breaks a rule for values; keys are another matter.

    Raises:
        RuleError: It does.
    """
    for name, value in item.items():
        _check_name(name)
        _check(value, 1)
    if size_of(item) > MOST_BYTES:
        message = "Item size has exceeded the maximum allowed size"
        raise RuleError(message)


def size_of(item: Mapping[str, Any]) -> int:
    """Return how large an item is, in bytes, by DynamoDB's own measure."""
    return sum(_text_bytes(name) + _value_bytes(value) for name, value in item.items())


def identity(value: Mapping[str, Any]) -> tuple[str, Any]:
    """Return what two values have in common that are equal: numbers by value, sets in any order."""
    ((kind, content),) = value.items()
    return kind, _IDENTITY.get(kind, _same)(content)


def number(text: Any) -> decimal.Decimal:
    """Return the value of a number.

    Raises:
        RuleError: It is none, or one that DynamoDB cannot hold.
    """
    if not isinstance(text, str) or text != text.strip() or "_" in text:
        raise RuleError(_NOT_A_NUMBER)
    try:
        found = decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise RuleError(_NOT_A_NUMBER) from None
    if not found.is_finite():
        raise RuleError(_NOT_A_NUMBER)
    trimmed = found.normalize(_EXACT)
    if not trimmed:
        return decimal.Decimal(0)
    if trimmed.adjusted() > _LARGEST_EXPONENT:
        message = "Number overflow. Attempting to store a number with magnitude larger than supported range"
        raise RuleError(message)
    if trimmed.adjusted() < _SMALLEST_EXPONENT:
        message = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
        raise RuleError(message)
    if len(trimmed.as_tuple().digits) > _MOST_DIGITS:
        message = "DynamoDB only supports precision up to 38 digits"
        raise RuleError(message)
    return trimmed


_NOT_A_NUMBER = "A value provided cannot be converted into a number"


def _check(value: Any, depth: int) -> None:
    if not isinstance(value, dict) or not value:
        message = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
        raise RuleError(message)
    if len(value) > 1:
        message = (
            "Supplied AttributeValue has more than one datatypes set, "
            "must contain exactly one of the supported datatypes"
        )
        raise RuleError(message)
    ((kind, content),) = value.items()
    if kind in _CHECKS:
        _CHECKS[kind](content)
    elif kind in {"L", "M"}:
        _check_container(content, depth)
    elif kind not in {"S", "BOOL"}:
        message = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
        raise RuleError(message)


def _check_container(content: Any, depth: int) -> None:
    if depth >= _MOST_NESTING:
        message = (
            "Nesting Levels have exceeded supported limits: "
            "Attributes in the item have nested levels beyond supported limit"
        )
        raise RuleError(message)
    if isinstance(content, dict):
        for name in content:
            _check_name(name)
    for value in content.values() if isinstance(content, dict) else content:
        _check(value, depth + 1)


def _check_name(name: str) -> None:
    if not name:
        message = "Empty attribute name"
        raise RuleError(message)
    if _text_bytes(name) > _MOST_NAME_BYTES:
        message = "Attribute name is too large, must be less than 65536 bytes"
        raise RuleError(message)


def _check_binary(content: Any) -> None:
    try:
        _bytes(content)
    except binascii.Error:
        message = "Invalid base64"
        raise RuleError(message) from None


def _check_set(name: str, of: Callable[[Any], Any]) -> Callable[[Any], None]:
    def check(contents: Any) -> None:
        if not contents:
            message = f"One or more parameter values were invalid: An {name} set  may not be empty"
            raise RuleError(message)
        if len({of(content) for content in contents}) < len(contents):
            message = f"{_DUPLICATES[name]} contains duplicates"
            raise RuleError(message)

    return check


_DUPLICATES = {
    "string": "One or more parameter values were invalid: Input collection",
    "number": "Input collection",
    "binary": "One or more parameter values were invalid: Input collection of type BS",
}


def _check_null(content: Any) -> None:
    if content is not True:
        message = "One or more parameter values were invalid: Null attribute value types must have the value of true"
        raise RuleError(message)


def _bytes(content: Any) -> bytes:
    return base64.b64decode(content, validate=True)


def _same(content: Any) -> Any:
    return content


def _text_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    return _BYTES[kind](content)


def _number_bytes(text: str) -> int:
    """Return half a byte a digit, in pairs of digits before and after the point, and one or two more."""
    value = number(text)
    if not value:
        return 1
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    pairs = (len(digits) + exponent % 2 + 1) // 2
    return pairs + 1 + sign


def _container_bytes(members: Iterable[int]) -> int:
    return _CONTAINER_BYTES + sum(_MEMBER_BYTES + member for member in members)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "N": number,
    "B": _check_binary,
    "NULL": _check_null,
    "SS": _check_set("string", _same),
    "NS": _check_set("number", number),
    "BS": _check_set("binary", _bytes),
}
_BYTES: dict[str, Callable[[Any], int]] = {
    "S": _text_bytes,
    "N": _number_bytes,
    "B": lambda content: len(_bytes(content)),
    "BOOL": lambda _: 1,
    "NULL": lambda _: 1,
    "SS": lambda contents: sum(map(_text_bytes, contents)),
    "NS": lambda contents: sum(map(_number_bytes, contents)),
    "BS": lambda contents: sum(len(_bytes(content)) for content in contents),
    "L": lambda contents: _container_bytes(map(_value_bytes, contents)),
    "M": lambda contents: _container_bytes(_text_bytes(name) + _value_bytes(of) for name, of in contents.items()),
}
_IDENTITY: dict[str, Callable[[Any], Any]] = {
    "N": number,
    "B": _bytes,
    "SS": frozenset,
    "NS": lambda contents: frozenset(map(number, contents)),
    "BS": lambda contents: frozenset(map(_bytes, contents)),
    "L": lambda contents: tuple(map(identity, contents)),
    "M": lambda contents: frozenset((name, identity(of)) for name, of in contents.items()),
}

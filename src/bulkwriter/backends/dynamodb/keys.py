"""A row's key, equal for two rows exactly if DynamoDB takes them for one: numbers by value, text by its code points."""

from __future__ import annotations

import decimal
import enum
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.dynamodb.encoding import BadValueError, is_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from bulkwriter.backends.dynamodb.target import KeyAttribute, Table


def checked_key(attribute: KeyAttribute, value: Any) -> Hashable:
    """Return what stands for a key's value. Python compares an ``int`` and a ``Decimal`` by value, as DynamoDB does.

    Raises:
        BadValueError: It cannot be part of this key.
    """
    if type(value) is str and attribute.kind == "S" and 0 < len(value) <= attribute.longest // 4:
        # As nearly every key: of each character, four bytes at most.
        return value
    while isinstance(value, enum.Enum):
        value = value.value
    if is_binary(value):
        value = value.value
    return _READERS[attribute.kind](attribute, value)


def key_of(table: Table, item: Mapping[str, Any]) -> Hashable:
    """Return the key of an item that DynamoDB gives back."""
    parts = tuple(_told(item[name]) for name in table.key_names)
    return parts[0] if len(parts) == 1 else parts


def _told(value: Any) -> Hashable:
    if not isinstance(value, dict):
        # By the client of a resource, which makes Python's own values of all answers.
        key: Hashable = bytes(value.value) if is_binary(value) else value
        return key
    ((kind, content),) = value.items()
    if kind == "N":
        return decimal.Decimal(content)
    if kind == "B":
        return bytes(content) if isinstance(content, bytes | bytearray) else a2b_base64(content)
    return str(content)


def _text(attribute: KeyAttribute, value: Any) -> Hashable:
    if not isinstance(value, str):
        raise _wrong_type(attribute, "text", value)
    # Of each character, four bytes at most.
    if not value or len(value) > attribute.longest // 4:
        _check_length(attribute, len(value.encode(errors="surrogatepass")))
    return str.__str__(value)


def _number(attribute: KeyAttribute, value: Any) -> Hashable:
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
        raise _wrong_type(attribute, "a number", value)
    return decimal.Decimal(repr(float(value))) if isinstance(value, float) else value


def _binary(attribute: KeyAttribute, value: Any) -> Hashable:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _wrong_type(attribute, "bytes", value)
    _check_length(attribute, len(value))
    return bytes(value)


_READERS: Final[dict[str, Callable[[KeyAttribute, Any], Hashable]]] = {"S": _text, "N": _number, "B": _binary}


def _check_length(attribute: KeyAttribute, length: int) -> None:
    if length == 0:
        message = f"must not be empty: it is part of {_whose(attribute)}"
        raise BadValueError(message)
    if length > attribute.longest:
        message = f"must have at most {attribute.longest:,} bytes: it is part of {_whose(attribute)}"
        raise BadValueError(message)


def _wrong_type(attribute: KeyAttribute, wanted: str, value: object) -> BadValueError:
    return BadValueError(f"must be {wanted}, not {type(value).__qualname__}: it is part of {_whose(attribute)}")


def _whose(attribute: KeyAttribute) -> str:
    return "the key" if attribute.index is None else f"the key of index {attribute.index}"

"""A value as it is now: what the caller does to its object afterwards changes nothing."""

from __future__ import annotations

import copy
import sys
from typing import Any

from bulkwriter.errors import InvalidValueError

IMMUTABLE: set[type] = {type(None), bool, int, float, complex, str, bytes, range}
"""Types whose values cannot change. It grows by the types below as they are met, and by nothing else.

Checking a value's type costs 15 to 25 ns. ``hash(values)`` would answer the same for a whole row at a third of that, but
reads every byte: 1 KB of text costs more than the rest of the row.
"""

# By name, so that nothing is imported for their sake.
_ALSO_IMMUTABLE = {
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "ipaddress": ("IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network"),
    "uuid": ("UUID",),
    "asyncpg.pgproto.pgproto": ("UUID",),
}

# How other packages say, with a value, that there is none.
_LEFT_OUT = (("msgspec", "UNSET"), ("pydantic_core", "MISSING"))


def is_immutable(kind: type) -> bool:
    """Whether values of this type can never change; a type that is so is not asked about again."""
    if kind in IMMUTABLE:
        return True
    names = _ALSO_IMMUTABLE.get(kind.__module__, ())
    if kind.__name__ in names and getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind:
        IMMUTABLE.add(kind)
        return True
    return False


def is_left_out(value: object) -> bool:
    """Whether a value is a package's way of saying that there is none, such as ``msgspec.UNSET``."""
    for module, name in _LEFT_OUT:
        loaded = sys.modules.get(module)
        if loaded is not None and value is getattr(loaded, name, _LEFT_OUT):
            return True
    return False


def taken(column: str, value: Any) -> Any:
    """Return a value that nobody else can change: itself where it is immutable, else a deep copy.

    A hashable value counts as immutable, by Python's own convention. ``bytearray`` and ``memoryview`` become ``bytes``.

    Raises:
        InvalidValueError: The value can be changed, and cannot be copied.
    """
    if is_immutable(type(value)):
        return value
    try:
        return _frozen(value)
    except Exception as error:
        message = f"the value of column {column!r} can be changed later and cannot be copied: {type_name(type(value))}"
        raise InvalidValueError(message, column_name=column) from error


def type_name(kind: type) -> str:
    """Return the name by which a message calls a type."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _frozen(value: Any) -> Any:
    kind = type(value)
    # Plain dicts and lists are what JSON columns and arrays are made of: copy.deepcopy takes five times as long.
    if kind is dict:
        return {key: item if type(item) in IMMUTABLE else _frozen(item) for key, item in value.items()}
    if kind is list:
        return [item if type(item) in IMMUTABLE else _frozen(item) for item in value]
    # Before asking for a hash: a read-only memoryview has one, but its owner may release it at any time.
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return value if _is_hashable(value) else copy.deepcopy(value)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True

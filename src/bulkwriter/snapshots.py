"""A value as it is now: what the caller does to its object afterwards changes nothing."""

from __future__ import annotations

import sys
from typing import Any

from bulkwriter.errors import InvalidValueError

IMMUTABLE: set[type] = {type(None), bool, int, float, complex, str, bytes, range}
"""Types whose values cannot change. It grows by the types below as they are met, and by nothing else.

Asking ``hash(values)`` instead would be quicker for integers and short texts, and ten times as slow for a Decimal or a
datetime with a time zone; and it reads every byte of a text.
"""

LEFT_OUT: Any = object()
"""What ``taken`` returns for a value that stands for none, such as ``msgspec.UNSET``."""

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


def taken(column: str, value: Any) -> Any:
    """Return a value that nobody else can change: itself where it is immutable, else a deep copy.

    A hashable value counts as immutable, by Python's own convention. ``bytearray`` and ``memoryview`` become ``bytes``.

    Raises:
        InvalidValueError: The value can be changed, and cannot be copied.
    """
    kind = type(value)
    if kind in IMMUTABLE:
        return value
    try:
        # What JSON is made of never stands for no value; to ask takes longer than to copy a short list.
        return LEFT_OUT if kind is not list and kind is not dict and _is_left_out(value) else _frozen(value)
    except Exception as error:
        message = f"the value of column {column!r} can be changed later and cannot be copied: {type_name(type(value))}"
        raise InvalidValueError(message, column_name=column) from error


def type_name(kind: type) -> str:
    """Return the name by which a message calls a type."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _frozen(value: Any) -> Any:
    kind = type(value)
    # Plain dicts and lists are what JSON columns and arrays are made of: copy.deepcopy takes several times as long.
    if kind is dict:
        return {key: item if type(item) in IMMUTABLE else _frozen(item) for key, item in value.items()}
    if kind is list:
        return [item if type(item) in IMMUTABLE else _frozen(item) for item in value]
    # Before asking for a hash: a read-only memoryview has one, but its owner may release it at any time.
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if is_immutable(kind) or _is_hashable(value):
        return value
    import copy  # noqa: PLC0415 - it looks for Jython first, and would take a tenth of importing the library

    return copy.deepcopy(value)


def is_immutable(kind: type) -> bool:
    """Whether nobody can change a value of this type; it is remembered."""
    if kind in IMMUTABLE:
        return True
    names = _ALSO_IMMUTABLE.get(kind.__module__, ())
    if kind.__name__ in names and getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind:
        IMMUTABLE.add(kind)
        return True
    return False


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_left_out(value: object) -> bool:
    for module, name in _LEFT_OUT:
        loaded = sys.modules.get(module)
        if loaded is not None and value is getattr(loaded, name, _LEFT_OUT):
            return True
    return False

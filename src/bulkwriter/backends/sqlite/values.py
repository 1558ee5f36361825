"""Values as SQLite can hold them: which Python type is stored as what, and what is refused because it would be a lie.

====================================  ==============================================================================
``None``, ``int``, ``float``,         as they are, except an integer beyond 64 bits and NaN, which SQLite would store
``str``, ``bytes``                    as NULL: both are refused. Infinity is stored.
``bool``, ``IntEnum``, ``StrEnum``    as the integer or the text they are
``Enum``                              its value, by these same rules
``datetime``                          ISO 8601 with a space, ``2024-01-31 12:30:00.5+00:00``, as Python's sqlite3
                                      always has, and as SQLite's own date functions read and write it
``date``, ``time``                    ISO 8601
``Decimal``                           its text: exact in a TEXT column, while a NUMERIC column makes a REAL of it.
                                      NaN and infinity are refused.
``UUID``                              its text of 36 characters
``dict``, ``list``                    JSON text
other integers and floats             the exact ``int`` or ``float``, such as numpy's
a type with a registered adapter      what ``sqlite3.register_adapter`` or ``__conform__`` makes of it
anything else                         refused, by the name of its type
====================================  ==============================================================================

The rules come before the adapters, so that a program that registers one for ``datetime`` changes nothing here.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import numbers
import operator
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Rule: TypeAlias = Callable[[Any], Any]
"""Makes of a value what SQLite stores; raises for one that it cannot store."""


class UnfitError(ValueError):
    """A value that must not be stored. The message says why, without the value: any other error's might hold it."""


_NATIVE: Final = (int, str, bytes, bytearray, memoryview)


def find_unfit(flat: list[Any], width: int) -> dict[int, tuple[int, str]]:
    """Convert in place what is not native to SQLite, and find what must not be stored.

    The common batch, columns of one native type each, costs 15 ns a value here: ``sum`` and ``str.join`` look at the
    type of each element in C, and NaN, alone of all floats, makes the sum NaN. (``set(map(type, ...))`` costs 60.)

    Args:
        flat: The values of all rows, one row after the other.
        width: How many values make a row.

    Returns:
        For each row that must not be stored, by its place among the rows: the place of the column, and why.
    """
    unfit: dict[int, tuple[int, str]] = {}
    for place in range(width):
        column = flat[place::width]
        if not _is_plain(column):
            flat[place::width] = _converted(column, place, unfit)
    return unfit


def _is_plain(column: list[Any]) -> bool:
    """Whether it is certain that all values of a column can be bound as they are."""
    kind = type(column[0])
    try:
        if kind is str:
            return type("".join(column)) is str
        if kind is int or kind is float:
            # An int or float that is exactly one comes only of ints, floats and bools. NaN alone differs from itself.
            total = sum(column)
            return (type(total) is int or type(total) is float) and total == total  # noqa: PLR0124
    except (TypeError, OverflowError):
        pass
    return False


def _converted(column: list[Any], place: int, unfit: dict[int, tuple[int, str]]) -> list[Any]:
    kinds = set(map(type, column))
    rules = {kind: rule_for(kind) for kind in kinds}
    if not any(rules.values()):
        return column
    if kinds <= _OPTIONAL_NUMBERS and not _has_nan(column):
        return column
    for index, value in enumerate(column):
        rule = rules[type(value)]
        if rule is None:
            continue
        try:
            column[index] = rule(value)
        except Exception as error:  # noqa: BLE001 - an adapter, or an encoder, is the caller's code
            unfit.setdefault(index, (place, _why(error)))
    return column


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, UnfitError) else f"converting it failed with {type(error).__name__}"


_OPTIONAL_NUMBERS: Final = frozenset({float, int, bool, type(None)})


def _has_nan(column: list[Any]) -> bool:
    total = sum(filter(None, column))
    return bool(total != total)  # noqa: PLR0124 - true of NaN alone


# -- the rules


def rule_for(kind: type) -> Rule | None:
    """Return what converts values of a type; ``None`` if sqlite3 binds them as they are."""
    try:
        return _RULES[kind]
    except KeyError:
        return _RULES.setdefault(kind, _new_rule(kind)) if len(_RULES) < _MOST_RULES else _new_rule(kind)


def _new_rule(kind: type) -> Rule | None:
    if issubclass(kind, _NATIVE):
        return None
    for base, rule in _BY_BASE:
        if issubclass(kind, base):
            return rule
    return _adapted


def _number(value: float) -> float:
    if value != value:  # noqa: PLR0124 - true of NaN alone
        message = "NaN cannot be stored: SQLite would make NULL of it"
        raise UnfitError(message)
    return float(value)


def _other_number(value: Any) -> float:
    number = float(value)
    if number != value and value == value:  # noqa: PLR0124
        message = f"a value of type {type(value).__name__} does not fit into a 64-bit float"
        raise UnfitError(message)
    return _number(number)


def _member(value: enum.Enum) -> Any:
    return by_rule(value.value)


def _moment(value: dt.datetime) -> str:
    if value != value:  # noqa: PLR0124 - true of pandas' NaT, which is a datetime by inheritance
        message = "a missing time must be None"
        raise UnfitError(message)
    return value.isoformat(" ")


def _exact_decimal(value: decimal.Decimal) -> str:
    if not value.is_finite():
        message = "a Decimal that is NaN or infinite cannot be stored"
        raise UnfitError(message)
    return str(value)


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        message = "a dict or list cannot be written as JSON"
        raise UnfitError(message) from error


def _adapted(value: object) -> Any:
    adapted = sqlite3.adapt(value, sqlite3.PrepareProtocol, None)
    if not isinstance(adapted, _NATIVE) and type(adapted) is not float:
        message = f"values of type {type(value).__module__}.{type(value).__qualname__} cannot be stored"
        raise UnfitError(message)
    return adapted if type(adapted) is not float else _number(adapted)


def by_rule(value: Any) -> Any:
    """Return a single value as SQLite stores it.

    Raises:
        Exception: It cannot be stored.
    """
    rule = rule_for(type(value))
    return value if rule is None else rule(value)


_BY_BASE: Final[tuple[tuple[type, Rule], ...]] = (
    (enum.Enum, _member),
    (float, _number),
    (dt.datetime, _moment),
    (dt.date, dt.date.isoformat),
    (dt.time, dt.time.isoformat),
    (decimal.Decimal, _exact_decimal),
    (uuid.UUID, str),
    (dict, _json),
    (list, _json),
    (numbers.Integral, operator.index),
    # Not fractions: what is no binary float at all would rarely become one without loss.
    (numbers.Rational, _adapted),
    (numbers.Real, _other_number),
)

# Grows by the types that are met. Bounded, since a program may make classes on the fly.
_MOST_RULES: Final = 1000
_RULES: Final[dict[type, Rule | None]] = {type(None): None, **dict.fromkeys(_NATIVE), bool: None, float: _number}

"""How many bytes a row counts for the byte limits: an estimate that costs little and grows with whatever can grow.

Text and bytes count their length, anything else a fixed sum or, for containers, what is in them. ``sys.getsizeof`` of
every value would be a little nearer to the truth and take twice as long, for each row of every writer.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

OF_VALUE = 40
"""Bytes that every value counts beside its length: about what Python keeps for a small object and a reference to it."""

_SIZED = {str, bytes}
_SIZED_OR_NONE = {*_SIZED, type(None)}
# Types whose values all count the same; it grows by those that are met.
_constant: dict[type, int] = dict.fromkeys((type(None), bool, int, float), OF_VALUE)
# Types that are known to be no containers, and whose values differ in size.
_plain: set[type] = set()
# How rows of these types are measured: a fixed sum, and the places whose length comes on top; None is one by one.
_known: dict[tuple[type, ...], tuple[int, tuple[int, ...]] | None] = {}
# Rows of ever new types must not fill the memory.
_MOST_KNOWN = 1000


def row_size(values: Sequence[Any]) -> int:
    """Return the bytes that a row with these values counts."""
    kinds = tuple(map(type, values))
    try:
        known = _known[kinds]
    except KeyError:
        return _learn(kinds, values)
    if known is None:
        return sum(map(value_size, values))
    size, sized = known
    for place in sized:
        size += len(values[place])
    return size


def measure_of(kinds: tuple[type, ...]) -> tuple[int, tuple[int, ...]] | None:
    """Return how a row of these types is measured, once ``row_size`` has met one.

    Returns:
        A fixed sum, and the places whose length comes on top; None if it is not known, or goes value by value.
    """
    return _known.get(kinds)


def constant_size(kind: type) -> int | None:
    """Return the bytes that every value of a type counts, if that is known and all count the same."""
    return _constant.get(kind)


def run_size(rows: Sequence[Sequence[Any]]) -> int:
    """Return the bytes that these rows count together: the sum of their ``row_size``, in less time."""
    return sum([column_size(column, set(map(type, column))) for column in zip(*rows, strict=True)])


def column_size(values: Sequence[Any], kinds: set[type]) -> int:
    """Return the bytes that values count together: the sum of their ``value_size``.

    Args:
        values: The values.
        kinds: Their types.
    """
    if len(kinds) == 1 and kinds <= _constant.keys():
        return len(values) * value_size(values[0])
    if kinds <= _SIZED:
        return OF_VALUE * len(values) + sum(map(len, values))
    if kinds <= _SIZED_OR_NONE:
        # What is empty counts as much as what is missing.
        return OF_VALUE * len(values) + sum(map(len, filter(None, values)))
    if kinds <= _constant.keys():
        return sum(map(_constant.__getitem__, map(type, values)))
    if kinds <= _plain:
        with contextlib.suppress(Exception):  # a caller's own code: then value by value
            return sum(map(max, map(sys.getsizeof, values), itertools.repeat(OF_VALUE)))
    return sum(map(value_size, values))


def value_size(value: Any) -> int:
    """Return the bytes that one value counts."""
    kind = type(value)
    constant = _constant.get(kind)
    if constant is not None:
        return constant
    if kind in _SIZED:
        return OF_VALUE + len(value)
    try:
        return _measured(value)
    except Exception:  # noqa: BLE001 - a caller's own code, or deeper than Python goes: it is an estimate
        return OF_VALUE


def _measured(value: Any) -> int:
    """Return the bytes that a value counts of which its type does not tell them.

    Raises:
        Exception: Whatever a caller's own container does, or ``RecursionError``.
    """
    kind = type(value)
    # What JSON is made of, first: whether it is a Mapping takes Python as long as all the rest.
    if kind is list:
        return OF_VALUE + _sum(value)
    if kind is dict:
        return OF_VALUE + _sum(value) + _sum(value.values())
    if kind in _plain:
        return max(OF_VALUE, sys.getsizeof(value))
    if isinstance(value, Mapping):
        return OF_VALUE + _sum(value.keys()) + _sum(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return OF_VALUE + _sum(value)
    size = max(OF_VALUE, sys.getsizeof(value))
    if len(_constant) + len(_plain) < _MOST_KNOWN:
        # Values without a size of their own, such as datetimes, all take the same.
        has_own: Any = kind.__sizeof__
        if kind.__itemsize__ == 0 and has_own is object.__sizeof__:
            _constant[kind] = size
        else:
            _plain.add(kind)
    return size


def _sum(values: Iterable[Any]) -> int:
    measure: Callable[[Any], int] = value_size
    return sum(map(measure, values))


def _learn(kinds: tuple[type, ...], values: Sequence[Any]) -> int:
    """Measure a row, and note how rows of these types are measured."""
    size = sum(map(value_size, values))
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    sized = tuple([place for place, kind in enumerate(kinds) if kind in _SIZED])
    is_simple = all(kind in _SIZED or kind in _constant for kind in kinds)
    _known[kinds] = (size - sum([len(values[place]) for place in sized]), sized) if is_simple else None
    return size

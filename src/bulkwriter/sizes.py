"""How many bytes a row counts for the byte limits: an estimate that costs little and grows with whatever can grow.

Text and bytes count their length, anything else a fixed sum or, for containers, what is in them. ``sys.getsizeof`` of
every value would be a little nearer to the truth and take twice as long, for each row of every writer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

OF_VALUE = 40
"""Bytes that every value counts beside its length: about what Python keeps for a small object and a reference to it."""

_SIZED = {str, bytes}
_SMALL = {type(None), bool, int, float}
_SIZED_OR_NONE = {*_SIZED, type(None)}

Known: TypeAlias = "tuple[int, tuple[int, ...]] | None"
_known: dict[tuple[type, ...], Known] = {}
# Rows of ever new types must not fill the memory.
_MOST_KNOWN = 1000


def row_size(values: Sequence[Any]) -> int:
    """Return the bytes that a row with these values counts."""
    kinds = tuple(map(type, values))
    try:
        known = _known[kinds]
    except KeyError:
        known = _learn(kinds)
    if known is None:
        return sum(map(value_size, values))
    size, sized = known
    for place in sized:
        size += len(values[place])
    return size


def run_size(rows: Sequence[Sequence[Any]]) -> int:
    """Return the bytes that these rows count together: the sum of their ``row_size``, in less time."""
    return sum([column_size(column, set(map(type, column))) for column in zip(*rows, strict=True)])


def column_size(values: Sequence[Any], kinds: set[type]) -> int:
    """Return the bytes that values count together: the sum of their ``value_size``.

    Args:
        values: The values.
        kinds: Their types.
    """
    if kinds <= _SMALL:
        return OF_VALUE * len(values)
    if kinds <= _SIZED:
        return OF_VALUE * len(values) + sum(map(len, values))
    if kinds <= _SIZED_OR_NONE:
        # What is empty counts as much as what is missing.
        return OF_VALUE * len(values) + sum(map(len, filter(None, values)))
    return sum(map(value_size, values))


def value_size(value: Any) -> int:
    """Return the bytes that one value counts."""
    kind = type(value)
    if kind in _SMALL:
        return OF_VALUE
    if kind in _SIZED:
        return OF_VALUE + len(value)
    if isinstance(value, Mapping):
        return OF_VALUE + _sum(value.keys()) + _sum(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return OF_VALUE + _sum(value)
    return max(OF_VALUE, sys.getsizeof(value))


def _sum(values: Iterable[Any]) -> int:
    measure: Callable[[Any], int] = value_size
    return sum(map(measure, values))


def _learn(kinds: tuple[type, ...]) -> Known:
    """Note how rows of these types are measured: a fixed sum, and the places whose length comes on top."""
    known: Known = None
    if all(kind in _SMALL or kind in _SIZED for kind in kinds):
        known = (OF_VALUE * len(kinds), tuple([place for place, kind in enumerate(kinds) if kind in _SIZED]))
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[kinds] = known
    return known

"""A row's key, equal for two rows if the database takes them for one; where it is not certain, rather too equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from bulkwriter.sql.collations import customs_of, folded

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from bulkwriter.backends.sqlalchemy.slots import Slot
    from bulkwriter.backends.sqlalchemy.target import Target

_SOMETHING: Final = ("something",)
"""Stands for every value of a column of which nobody here knows which are equal: one of them is written at a time."""

_EXACT: Final = (sa.Integer, sa.LargeBinary, sa.Uuid, sa.Date)


class KeyReader:
    """Reads the key of a row's values, or of what a query gives back.

    Args:
        target: The table.
        slots: The columns of the key.
        places: Where they are among a row's values.
    """

    def __init__(self, target: Target, slots: Sequence[Slot], places: Sequence[int]) -> None:
        self._parts = [(place, slot, folder(target, slot.name)) for place, slot in zip(places, slots, strict=True)]

    def read(self, values: Sequence[Any]) -> Hashable | None:
        """Return the key of a row as its caller gave it; ``None`` if a part of it is NULL, or cannot be sent."""
        key = tuple([_read(slot, fold, values[place]) for place, slot, fold in self._parts])
        return None if None in key else key

    def read_sent(self, values: Sequence[Any]) -> Hashable | None:
        """Return the key of values as the driver is given them."""
        key = tuple([None if values[place] is None else fold(values[place]) for place, _, fold in self._parts])
        return None if None in key else key

    def read_back(self, values: Sequence[Any]) -> Hashable | None:
        """Return the key of what the driver gave back: the columns of the key, in order."""
        parts = zip(values, self._parts, strict=True)
        return tuple([None if value is None else fold(value) for value, (_, _, fold) in parts])


def is_exact(target: Target, names: Sequence[str]) -> bool:
    """Whether keys of these columns are equal exactly where the database takes them for equal."""
    return all(isinstance(target.stored[name], _EXACT) for name in names)


def folder(target: Target, name: str) -> Callable[[Any], Hashable]:
    """Return what makes of a value, as a driver takes or gives it, something that is equal where the column's is."""
    kind = target.stored[name]
    if isinstance(kind, sa.Integer):
        return _whole_number
    if isinstance(kind, sa.Uuid):
        return lambda value: str(value).replace("-", "").lower()
    if isinstance(kind, sa.LargeBinary):
        return bytes
    if isinstance(kind, sa.Date):
        return lambda value: str(value)[:10]
    if isinstance(kind, sa.String) and name not in target.strange_texts:
        customs = customs_of(target.collations.get(name, ""))
        # SQLite's NOCASE looks no further than the first NUL.
        return lambda value: folded(str(value).partition("\0")[0], customs)
    return lambda _: _SOMETHING


def _whole_number(value: Any) -> Hashable:
    if isinstance(value, int):
        return int(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _SOMETHING
    return int(number) if number.is_integer() else number


def _read(slot: Slot, fold: Callable[[Any], Hashable], value: Any) -> Hashable | None:
    if value is None:
        return None
    try:
        return fold(slot.sent(value))
    except Exception:  # noqa: BLE001 - the attempt will reject the row, and say why
        return None

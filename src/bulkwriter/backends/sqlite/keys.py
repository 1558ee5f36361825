"""A row's key, equal for two rows if and only if SQLite takes them for one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.sqlite.values import by_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from bulkwriter.backends.sqlite.target import Table, UniqueKey

_BUILT_IN: Final = frozenset({"BINARY", "NOCASE", "RTRIM"})
_SOME_TEXT: Final = ("text",)
_UPPER_TO_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class KeyReader:
    """Reads the key of a row's values.

    Python compares an ``int``, a ``float`` and a ``bool`` as SQLite does, by their exact number, and ``str`` and
    ``bytes`` apart, as SQLite does. What remains is the column's affinity, which may turn text into a number or a
    number into text before it is compared, and its collation. What is rare is asked of SQLite itself.

    Args:
        table: The target.
        key: What identifies a row.
        places: Where the key's columns are among the values, in the key's order.
    """

    def __init__(self, table: Table, key: UniqueKey, places: Sequence[int]) -> None:
        self._parts = [
            _Part(table.columns[name.lower()].affinity if name.lower() in table.columns else "INTEGER", collation)
            for name, collation in zip(key.columns, key.collations, strict=True)
        ]
        self._places = tuple(places)
        self.read: Callable[[Sequence[Any]], Hashable | None] = self._read_one if len(places) == 1 else self._read_many

    def read_all(self, columns: Sequence[list[Any]]) -> list[Any]:
        """Return the keys of many rows.

        Args:
            columns: For each column of the key, in its order, its values.
        """
        folded = [part.folded_all(values) for part, values in zip(self._parts, columns, strict=True)]
        if len(folded) == 1:
            return folded[0]
        return [None if None in key else key for key in zip(*folded, strict=True)]

    def _read_one(self, values: Sequence[Any]) -> Hashable | None:
        value = values[self._places[0]]
        part = self._parts[0]
        return value if type(value) in part.as_is else part.folded(value)

    def _read_many(self, values: Sequence[Any]) -> Hashable | None:
        key = []
        for place, part in zip(self._places, self._parts, strict=True):
            value = values[place]
            folded = value if type(value) in part.as_is else part.folded(value)
            if folded is None:
                return None  # NULL is equal to nothing: the whole key is like no other
            key.append(folded)
        return tuple(key)


def is_exact(key: UniqueKey) -> bool:
    """Whether a key's collations are SQLite's own; what another considers equal, nobody here can know."""
    return all(collation is None or collation.upper() in _BUILT_IN for collation in key.collations)


class _Part:
    """One column of a key.

    Attributes:
        as_is: Types whose values are their own key.
    """

    def __init__(self, affinity: str, collation: str | None) -> None:
        self._affinity = affinity
        self._collation = (collation or "BINARY").upper()
        self._oracle: _Oracle | None = None
        native: set[type] = {type(None), bytes}
        if affinity != "TEXT":
            native |= {bool, float}
        if affinity in {"INTEGER", "NUMERIC", "BLOB"}:
            native.add(int)  # a REAL column makes a float of it, and two of more than 53 bits may become one
        if affinity in {"TEXT", "BLOB"} and self._collation == "BINARY":
            native.add(str)
        self._is_known = self._collation in _BUILT_IN
        self.as_is = frozenset(native)

    def folded_all(self, values: list[Any]) -> list[Any]:
        """Return what stands for each of many values."""
        if self.as_is.issuperset(map(type, values)):
            return values
        return [value if type(value) in self.as_is else self.folded(value) for value in values]

    def folded(self, value: Any) -> Hashable | None:
        """Return what stands for a value; ``None`` for NULL, and for what cannot be stored."""
        try:
            stored = self._stored(by_rule(value))
        except Exception:  # noqa: BLE001 - the attempt will reject the row, and say why
            return None
        if isinstance(stored, str):
            return self._collated(stored)
        return bytes(stored) if isinstance(stored, bytearray | memoryview) else stored

    def _stored(self, value: Any) -> Any:
        """Return a value as a column of this affinity holds it."""
        if type(value) in self.as_is or (type(value) is str and self._affinity in {"TEXT", "BLOB"}):
            return value
        if self._affinity == "REAL" and isinstance(value, int):
            return float(value)
        if self._oracle is None:
            self._oracle = _Oracle(self._affinity)
        return self._oracle.ask(value)

    def _collated(self, text: str) -> Hashable:
        if not self._is_known:
            # Nobody here knows which texts are equal. That two equal ones passed for different could change the order
            # in which they are applied; that all pass for one only makes the batches small.
            return _SOME_TEXT
        if self._collation == "RTRIM":
            return text.rstrip(" ")
        if self._collation != "NOCASE":
            return text
        # ASCII letters only, and as far as the first NUL; beyond it, only the length in bytes counts:
        # nocaseCollatingFunc() in SQLite's main.c.
        compared, nul, _ = text.partition("\0")
        folded = compared.lower() if compared.isascii() else compared.translate(_UPPER_TO_LOWER)
        return (folded, len(text.encode())) if nul else folded


class _Oracle:
    """A column of some affinity, in memory, that says what becomes of a value in it."""

    def __init__(self, affinity: str) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"CREATE TABLE oracle (id INTEGER PRIMARY KEY, value {affinity})")

    def ask(self, value: Any) -> Any:
        self._connection.execute("REPLACE INTO oracle VALUES (1, ?)", (value,))
        return self._connection.execute("SELECT value FROM oracle").fetchone()[0]

    def __del__(self) -> None:
        self._connection.close()

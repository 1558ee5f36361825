"""Readers of rows made for their columns and the types of their values, as dataclasses make their ``__init__``.

To read a row is to ask for each of its values, to see that it is of a type that nobody can change, and to measure
it. Done for rows of any kind that takes several calls a row; done by a function that was written for these rows, none:
half of the time. Of many rows at once, each of these steps is done in C for all of them, and that is quicker still.
"""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bulkwriter.sizes import OF_VALUE, constant_size, value_size
from bulkwriter.snapshots import is_immutable, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkwriter.row_kinds import Columns, Values

    By: TypeAlias = Literal["key", "place", "attribute"]
    Read: TypeAlias = Callable[[Any], tuple[Columns, Values, int]]

MOST_COLUMNS = 40
"""Of wider rows none are read in this way: to compile a function takes 50 us a column, in one turn of the loop."""

_MOST_KINDS = 4
_NONE = type(None)
_TEXTS = {str, bytes}
# What JSON is made of can be changed, and is copied; the copy is of the same type.
_COPIED = {list, dict}
_SOURCE = """
def read(row):
    if type(row) is kind{and_fits}:
        try:
            {taken}
        except Exception:
            return otherwise(row)
        if {are_known}:
            {copied}
            return columns, {values}, {size}
    return otherwise(row)
"""


class CompiledReader:
    """Reads rows of one type and one set of columns, as long as their values are of types that it has met.

    Args:
        kind: The type.
        by: How its values are found.
        columns: The columns, which ``can_compile``.
        otherwise: Reads one row of any other kind.

    Attributes:
        read: Returns the columns, the values and the bytes of a row.
    """

    __slots__ = ("_by", "_columns", "_is_fit", "_kind", "_kinds", "_otherwise", "read")

    def __init__(self, kind: type, by: By, columns: Columns, otherwise: Read) -> None:
        self._kind = kind
        self._by = by
        self._columns = columns
        self._is_fit = True
        self._otherwise = otherwise
        # In the order in which they were met, so that what is written here does not depend on anybody's hash.
        self._kinds: list[dict[type, None]] = [{} for _ in columns]
        self.read: Read = otherwise

    def learn(self, values: Values) -> None:
        """Read rows with values of these types, too, from here on."""
        is_new = False
        for known, value in zip(self._kinds, values, strict=True):
            kind = type(value)
            if kind not in known:
                known[kind] = None
                is_new = True
                # What else can be changed may become something else as it is copied; of ever new types there is no end.
                is_fit = is_immutable(kind) or kind in _COPIED
                self._is_fit = self._is_fit and is_fit and len(known) <= _MOST_KINDS
                if self._is_fit:
                    # Whether all values of the type count the same is found out when the first is measured.
                    value_size(value)
        if is_new:
            self._compile()

    def _compile(self) -> None:
        if not self._is_fit:
            self.read = self._otherwise
            return
        names: dict[str, Any] = {"kind": self._kind, "columns": self._columns, "otherwise": self._otherwise}
        names["value_size"] = value_size
        conditions = [_condition(place, list(kinds), names) for place, kinds in enumerate(self._kinds)]
        sizes = [_size(place, list(kinds)) for place, kinds in enumerate(self._kinds)]
        fixed = sum(size for size in sizes if isinstance(size, int))
        variables = [f"v{place}" for place in range(len(self._columns))]
        # Measured as they are kept: a copy may be of another size.
        copied = [
            f"{variable} = taken({column!r}, {variable})"
            for variable, column, kinds in zip(variables, self._columns, self._kinds, strict=True)
            if _COPIED.intersection(kinds)
        ]
        names["taken"] = taken
        source = _SOURCE.format(
            and_fits=f" and len(row) == {len(self._columns)}" if self._by == "key" else "",
            taken=_taking(self._by, variables, self._columns),
            are_known=" and ".join(conditions),
            copied="; ".join(copied) or "pass",
            values="row" if self._kind is tuple and not copied else f"({', '.join(variables)},)",
            size=" + ".join([str(fixed), *(size for size in sizes if isinstance(size, str))]),
        )
        exec(source, names)  # noqa: S102 - what is a caller's in it are names: literals, or checked by can_compile
        self.read = names["read"]


def can_compile(by: By, columns: Columns) -> bool:
    """Whether a reader can be made that finds the values of these columns in this way."""
    if len(columns) > MOST_COLUMNS:
        return False
    # The compiler takes other letters for those of ASCII that look like them.
    return by != "attribute" or all(
        name.isascii() and name.isidentifier() and not keyword.iskeyword(name) for name in columns
    )


def _taking(by: By, variables: Sequence[str], columns: Columns) -> str:
    """Return what takes the values out of a row."""
    if by == "place":
        return f"{', '.join(variables)}, = row"
    found = "row[{!r}]" if by == "key" else "row.{}"
    pairs = zip(variables, columns, strict=True)
    return "; ".join([f"{variable} = {found.format(name)}" for variable, name in pairs])


def _condition(place: int, kinds: list[type], names: dict[str, Any]) -> str:
    """Return what is true of a value if it is of one of these types, and put the names that it uses among the names."""
    others = [kind for kind in kinds if kind is not _NONE]
    if not others:
        return f"v{place} is None"
    if len(others) > 1:
        names[f"k{place}"] = frozenset(kinds)
        return f"type(v{place}) in k{place}"
    names[f"k{place}"] = others[0]
    condition = f"type(v{place}) is k{place}"
    return condition if len(kinds) == 1 else f"({condition} or v{place} is None)"


def _size(place: int, kinds: list[type]) -> int | str:
    """Return the bytes that a value of one of these types counts, or what computes them."""
    constants = {constant_size(kind) for kind in kinds}
    if len(constants) == 1 and None not in constants:
        return constants.pop() or 0
    others = set(kinds) - {_NONE}
    if others <= _TEXTS:
        # What is empty counts as much as what is missing.
        missing = "" if _NONE not in kinds else " or b''"
        return f"{OF_VALUE} + len(v{place}{missing})"
    return f"value_size(v{place})"

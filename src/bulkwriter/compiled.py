"""Readers of dicts made for their columns and the types of their values, as dataclasses make their ``__init__``.

To read a row is to ask for each value by its name, to see that it is of a type that nobody can change, and to measure
it. Done for rows of any kind that takes several calls a row; done by a function that was written for these rows, none:
half of the time. Of many rows at once, each of these steps is done in C for all of them, and that is quicker still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from bulkwriter.sizes import OF_VALUE, constant_size, value_size
from bulkwriter.snapshots import is_immutable

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkwriter.row_kinds import Columns, Values

    Read: TypeAlias = Callable[[Any], tuple[Columns, Values, int]]

MOST_COLUMNS = 64
"""Of wider rows none are read in this way: to compile a function takes 50 us a column, in one turn of the loop."""

_MOST_KINDS = 4
_NONE = type(None)
_TEXTS = {str, bytes}
_SOURCE = """
def read(row):
    if type(row) is dict and len(row) == {width}:
        try:
            {taken}
        except Exception:
            return otherwise(row)
        if {are_known}:
            return columns, ({values},), {size}
    return otherwise(row)
"""


class CompiledReader:
    """Reads dicts of one set of columns, as long as their values are of types that it has met.

    Args:
        columns: The columns, at most ``MOST_COLUMNS``.
        otherwise: Reads one row of any other kind.

    Attributes:
        read: Returns the columns, the values and the bytes of a row.
    """

    __slots__ = ("_columns", "_is_fit", "_kinds", "_otherwise", "read")

    def __init__(self, columns: Columns, otherwise: Read) -> None:
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
                # What can be changed has to be copied, and of ever new types there is no end.
                self._is_fit = self._is_fit and is_immutable(kind) and len(known) <= _MOST_KINDS
                if self._is_fit:
                    # Whether all values of the type count the same is found out when the first is measured.
                    value_size(value)
        if is_new:
            self._compile()

    def _compile(self) -> None:
        if not self._is_fit:
            self.read = self._otherwise
            return
        names: dict[str, Any] = {"columns": self._columns, "otherwise": self._otherwise, "value_size": value_size}
        conditions = [_condition(place, list(kinds), names) for place, kinds in enumerate(self._kinds)]
        sizes = [_size(place, list(kinds)) for place, kinds in enumerate(self._kinds)]
        variables = [f"v{place}" for place in range(len(self._columns))]
        fixed = sum(size for size in sizes if isinstance(size, int))
        source = _SOURCE.format(
            width=len(variables),
            # Names of columns are in it as literals, which is the only thing of a caller's that is.
            taken="; ".join(
                [f"{name} = row[{column!r}]" for name, column in zip(variables, self._columns, strict=True)]
            ),
            are_known=" and ".join(conditions),
            values=", ".join(variables),
            size=" + ".join([str(fixed), *(size for size in sizes if isinstance(size, str))]),
        )
        exec(source, names)  # noqa: S102 - see above
        self.read = names["read"]


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

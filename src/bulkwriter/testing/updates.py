"""What an update makes of a stored row: the options ``update_columns`` and ``update_where`` of a ``MemoryBackend``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from bulkwriter.errors import InvalidValueError

Row: TypeAlias = Mapping[str, Any]
Compute: TypeAlias = Callable[[Row, Row], Any]


class Updates:
    """Which columns of a stored row an update changes, and to what.

    Args:
        columns: Names, or by column a function of the stored and the new row; ``None`` for all that the new row has.
        where: A function of the stored and the new row that says whether to update at all.
    """

    def __init__(self, columns: Iterable[str] | Mapping[str, Compute] | None, where: Compute | None) -> None:
        self._columns = _as_functions(columns)
        self._where = where

    @property
    def is_whole(self) -> bool:
        """Whether an update sets all that the new row has, always."""
        return self._columns is None and self._where is None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are named."""
        return tuple(self._columns or ())

    @property
    def is_python(self) -> bool:
        """Whether everything to be computed is a function."""
        return all(map(callable, (*(self._columns or {}).values(), self._where or bool)))

    def applied(self, stored: Row, new: Row, given: Row, key: tuple[str, ...]) -> dict[str, Any] | None:
        """Return the stored row as it is after the update; ``None`` if it is declined.

        Args:
            stored: The stored row.
            new: The new row, with what it gets for the columns that it leaves out.
            given: The new row as it was given.
            key: The columns by which both are the same.

        Raises:
            InvalidValueError: A function raised something.
        """
        try:
            if self._where is not None and not self._where(stored, new):
                return None
            if self._columns is None:
                return {**stored, **{column: new[column] for column in given if column not in key}}
            return {**stored, **{column: compute(stored, new) for column, compute in self._columns.items()}}
        except Exception as error:
            # An exception that escaped would leave the whole batch in doubt for one row's sake.
            message = f"computing the update raised {type(error).__name__}"
            raise InvalidValueError(message) from error


def _as_functions(columns: Iterable[str] | Mapping[str, Compute] | None) -> dict[str, Compute] | None:
    if columns is None or isinstance(columns, Mapping):
        return None if columns is None else dict(columns)
    return {column: functools.partial(_new_value, column) for column in columns}


def _new_value(column: str, stored: Row, new: Row) -> Any:  # noqa: ARG001 - as any function of update_columns
    return new[column]

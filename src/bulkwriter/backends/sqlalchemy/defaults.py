"""Defaults that SQLAlchemy knows and the database does not: ``Column(default=...)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import sqlalchemy as sa


class RowContext:
    """What a default that asks for its context is told: the row, and no more.

    Args:
        row: The row as its caller gave it, by the keys of its columns.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.current_parameters: dict[str, Any] = dict(row)

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - SQLAlchemy's own signature
        """Return the row, by the keys of its columns."""
        return self.current_parameters


class PythonDefault:
    """A default that is a value, or a function that is called once for each row of an attempt.

    Args:
        column: The column.

    Attributes:
        name: The column's name.
    """

    def __init__(self, column: sa.Column[Any]) -> None:
        default: Any = column.default
        self.name: str = column.name
        self._value = default.arg
        self._is_called = default.is_callable

    def value(self, row: Sequence[Any], keys: Sequence[str]) -> Any:
        """Return the value for a row whose columns have these keys.

        Raises:
            Exception: The function's own.
        """
        if not self._is_called:
            return self._value
        make: Callable[[Any], Any] = self._value
        return make(RowContext(dict(zip(keys, row, strict=True))))


def is_python(column: sa.Column[Any]) -> bool:
    """Whether a column has a default that is a value or a function."""
    default: Any = column.default
    return default is not None and (default.is_scalar or default.is_callable)


def as_sql(column: sa.Column[Any], dialect: sa.Dialect) -> str | None:
    """Return a default that is an SQL expression, or a sequence, as SQL; ``None`` if the column has no such."""
    default: Any = column.default
    if default is None or is_python(column):
        return None
    expression = default.next_value() if default.is_sequence else default.arg
    return str(expression.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))

"""One column of a row on its way into a statement and back, by SQLAlchemy's own types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable

MARK: Final = "\0"
"""Stands for a value until a statement knows how many it has."""

_PLACEHOLDER: Final = re.compile(r"\$1(?!\d)|%\(p\)s|%s|\?")


class UnfitError(ValueError):
    """A value cannot be stored as it is; the message says why, and does not show it."""


class Slot:
    """A column whose values are sent.

    Attributes:
        column: The column, as the caller or the database has defined it.
        name: Its name.
        template: What stands for a value of it in a statement: ``MARK``, perhaps in an expression of its type.
        bind: What makes of a Python value what the driver takes; ``None`` if it takes it as it is.
        kind: Its type, as the dialect implements it.
    """

    def __init__(self, column: sa.Column[Any], dialect: sa.Dialect, sendable: frozenset[type] | None = None) -> None:
        """Find out how values of a column are sent.

        Args:
            column: The column.
            dialect: The dialect.
            sendable: The only types of which the driver sends the values; ``None`` if it refuses others by itself.
        """
        self.column = column
        self.name: str = column.name
        self.kind: sa.types.TypeEngine[Any] = column.type.dialect_impl(dialect)
        self.bind: Callable[[Any], Any] | None = self.kind.bind_processor(dialect)
        compiled = str(sa.bindparam("p", type_=column.type).compile(dialect=dialect))
        self.template: str = _PLACEHOLDER.sub(MARK, compiled, count=1)
        self._dialect = dialect
        self._sendable = sendable

    def refuse_zero(self) -> None:
        """Take no 0 any more: the database would store another number."""
        bind = self.bind

        def bind_other_numbers(value: Any) -> Any:
            if value == 0:
                message = "the database would give a number of its own for 0: sql_mode lacks NO_AUTO_VALUE_ON_ZERO"
                raise UnfitError(message)
            return value if bind is None else bind(value)

        self.bind = bind_other_numbers

    def sent(self, value: Any) -> Any:
        """Return a value as the driver is given it.

        Raises:
            Exception: The column's type does not take it.
        """
        sent = value if self.bind is None else self.bind(value)
        if self._sendable is not None and type(sent) not in self._sendable:
            message = f"the driver does not know values of type {type(sent).__name__}, and would send them as text"
            raise UnfitError(message)
        return sent

    def sent_all(self, values: list[Any]) -> list[Any]:
        """Return values as the driver is given them, for less than one by one.

        Raises:
            Exception: The column's type does not take one of them.
        """
        sent = values if self.bind is None else list(map(self.bind, values))
        if self._sendable is not None and not self._sendable.issuperset(map(type, sent)):
            return list(map(self.sent, values))
        return sent

    @property
    def is_plain(self) -> bool:
        """Whether every value is given to the driver as it is."""
        return self.bind is None and self._sendable is None

    def received(self, values: list[Any], coltype: Any) -> list[Any]:
        """Return values of the driver as Python is to have them.

        Args:
            values: As the driver gives them.
            coltype: What the driver calls their type.
        """
        process = self.kind.result_processor(self._dialect, coltype)
        return values if process is None else [process(value) for value in values]

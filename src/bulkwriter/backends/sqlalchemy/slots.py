"""One column of a row on its way into a statement and back, by SQLAlchemy's own types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy.errors import refuse
from bulkwriter.backends.sqlalchemy.unfit import UnfitError, check_for

if TYPE_CHECKING:
    from collections.abc import Callable

MARK: Final = "\0"
"""Stands for a value until a statement knows how many it has."""

_PLACEHOLDER: Final = re.compile(r"\$1(?!\d)|%\(p\)s|%s|\?")


class Slot:
    """A column whose values are sent.

    Attributes:
        column: The column, as the caller or the database has defined it.
        name: Its name.
        template: What stands for a value of it in a statement: ``MARK``, perhaps in an expression of its type.
        bind: What makes of a Python value what the driver takes; ``None`` if it takes it as it is.
        kind: Its type, as the dialect implements it.
    """

    def __init__(self, column: sa.Column[Any], dialect: sa.Dialect) -> None:
        """Find out how values of a column are sent.

        Args:
            column: The column.
            dialect: The dialect.

        Raises:
            MisconfigurationError: Its type wants values of its own in statements.
        """
        self.column = column
        self.name: str = column.name
        self.kind: sa.types.TypeEngine[Any] = column.type.dialect_impl(dialect)
        self.bind: Callable[[Any], Any] | None = self.kind.bind_processor(dialect)
        compiled: Any = sa.bindparam("p", type_=column.type).compile(dialect=dialect)
        if set(compiled.binds) != {"p"}:
            message = (
                f"column {self.name!r}: the bind_expression of its type has values of its own, which are not sent: "
                "write them by literal_column()"
            )
            refuse(message, column.table.fullname)
        self.template: str = _PLACEHOLDER.sub(MARK, str(compiled), count=1)
        self._dialect = dialect
        self._check = check_for(dialect, self.kind)

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
        if self._check is not None and type(sent) is not int:
            self._check((sent,))
        return sent

    def sent_all(self, values: list[Any]) -> list[Any]:
        """Return values as the driver is given them, for less than one by one.

        Raises:
            Exception: The column's type does not take one of them.
        """
        sent = values if self.bind is None else list(map(self.bind, values))
        if self._check is not None:
            self._check(sent)
        return sent

    @property
    def is_plain(self) -> bool:
        """Whether every value is given to the driver as it is."""
        return self.bind is None and self._check is None

    def received(self, values: list[Any], coltype: Any) -> list[Any]:
        """Return values of the driver as Python is to have them.

        Args:
            values: As the driver gives them.
            coltype: What the driver calls their type.
        """
        process = self.kind.result_processor(self._dialect, coltype)
        return values if process is None else [process(value) for value in values]

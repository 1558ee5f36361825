"""Values that a driver would not refuse, but send as something else than they are."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import TYPE_CHECKING, Any, Final, NoReturn

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Check = Callable[[Sequence[Any]], None]


class UnfitError(ValueError):
    """A value cannot be stored as it is; the message says why, and does not show it."""


def check_for(dialect: sa.Dialect, kind: sa.types.TypeEngine[Any]) -> Check | None:
    """Return what raises ``UnfitError`` if any value of a column is unfit; ``None`` where the driver can be trusted.

    Args:
        dialect: The dialect.
        kind: The column's type.
    """
    if dialect.name in {"mysql", "mariadb"}:
        return _check_for_mysql
    if dialect.name == "sqlite" and isinstance(kind, (sa.Numeric, sa.Float, sa.types.NullType)):
        return _check_for_sqlite
    if dialect.driver == "psycopg" and isinstance(kind, sa.Integer):
        return _check_for_psycopg
    return None


# Of anything else, PyMySQL and its like send str(value).
_SENT_BY_MYSQL: Final = frozenset(
    {type(None), bool, int, float, str, bytes, decimal.Decimal, dt.date, dt.datetime, dt.time, dt.timedelta}
)


def _check_for_mysql(values: Sequence[Any]) -> None:
    kinds = set(map(type, values))
    for kind in kinds - _SENT_BY_MYSQL:
        _refuse(f"the driver does not know values of type {kind.__name__}, and would send them as text")
    if float in kinds and not all(math.isfinite(value) for value in values if type(value) is float):
        # asyncmy writes -inf into the statement, where it is the name of a column.
        _refuse("a number must be finite here")
    if decimal.Decimal in kinds and not all(value.is_finite() for value in values if type(value) is decimal.Decimal):
        _refuse("a number must be finite here")
    if str in kinds:
        # The drivers take a lone surrogate for a byte that could not be read once, and send that.
        "".join([value for value in values if type(value) is str]).encode()


def _check_for_sqlite(values: Sequence[Any]) -> None:
    if any(value != value for value in values):  # noqa: PLR0124 - true of NaN alone
        _refuse("SQLite would store NULL for NaN")


def _check_for_psycopg(values: Sequence[Any]) -> None:
    kinds = set(map(type, values))
    if float in kinds or decimal.Decimal in kinds:
        # Of what is not finite, there is no remainder.
        for value in values:
            if isinstance(value, (float, decimal.Decimal)) and value % 1 != 0:
                _refuse("a fraction would be rounded to a whole number")


def _refuse(message: str) -> NoReturn:
    raise UnfitError(message)

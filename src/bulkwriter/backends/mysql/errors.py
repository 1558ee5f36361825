"""The errors of MySQL and MariaDB, as aiomysql raises them, told in the library's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkwriter.backends.mysql import driver
from bulkwriter.errors import (
    BackendUnavailableError,
    InvalidValueError,
    MisconfigurationError,
    NotWrittenError,
    RowRejectedError,
    UniqueViolationError,
)
from bulkwriter.sql import Signature
from bulkwriter.sql import mysql_numbers as numbers
from bulkwriter.sql.errors import undone

if TYPE_CHECKING:
    from collections.abc import Collection

    from bulkwriter.contract import NotApplied

BACKEND: Final = "mysql"

_signature: Final = Signature(BACKEND)
signed: Final = _signature.signed
misconfigured: Final = _signature.misconfigured
refuse: Final = _signature.refuse
refused: Final = _signature.refused
lost: Final = _signature.lost

MAY_BE_STALE: Final = frozenset({1054, 1136, 1146, 1364, 1785, 1906, 3105})
"""What can be told of a table that has changed: it is looked up again. 1785 is told of one that has lost its
transactions, by a server that keeps to what replication by GTID allows."""

HARMLESS_WARNINGS: Final = frozenset({1287, 1592, 1681, 1831, 3719, 3778, 3170})
"""Of statements that are old-fashioned, slow, or hard to replicate: nothing that is stored is another for it."""
DUPLICATE: Final = numbers.DUPLICATE
SEVERAL_ROWS: Final = numbers.SEVERAL_ROWS
NOT_COMMITTED: Final = numbers.NOT_COMMITTED
NOT_UNDONE: Final = 1196
"""A warning at a ROLLBACK: a table was among those written to that has no transactions."""


class NotUndoneError(Exception):
    """What was written before a ROLLBACK stands: nobody knows which rows that are."""


class LedgerMovedError(Exception):
    """Somebody else has taken the place of the ledger's entry that was to be replaced."""


def number_of(error: BaseException) -> int:
    """Return the number of an error; 0 if it has none."""
    number = error.args[0] if isinstance(error, driver.Error) and error.args else 0
    return number if isinstance(number, int) else 0


def state_of(error: BaseException) -> str:
    """Return an error's SQLSTATE."""
    return getattr(error, "sqlstate", None) or "HY000"


def is_row_fault(error: BaseException) -> bool:
    """Whether an error certainly means that a row is bad, whatever the state of the database."""
    return numbers.is_row_fault(number_of(error), state_of(error))


def is_session_over(error: BaseException) -> bool:
    """Whether another session may fare better: this one is gone, or may no longer write."""
    return number_of(error) in numbers.SESSION_ENDED | numbers.READ_ONLY or not isinstance(error, driver.Error)


def rejected(error: BaseException, table: str, json_columns: Collection[str] = ()) -> RowRejectedError:
    """Return what the caller of a bad row hears, from what the server raised for this row alone.

    Args:
        error: That.
        table: The target's name.
        json_columns: The columns of which a constraint of their name, on MariaDB, says that they hold no JSON.
    """
    number, state = number_of(error), state_of(error)
    said = str(error.args[1]) if len(error.args) > 1 else ""
    constraint, column = numbers.names_in(number, said)
    checked = (constraint or "").rpartition(".")[2]
    if number == numbers.MARIADB_CHECK and checked in json_columns:
        number, constraint, column = numbers.BAD_JSON, None, checked
    kind = numbers.rejection(number, state)
    answer = kind(
        f"table {table}: {numbers.what_failed(number, kind, constraint, column)} ({number_of(error)}, {state})",
        sqlstate=state,
        constraint_name=constraint,
        column_name=column,
        # It may hold the value, as in: Duplicate entry 'x' for key 'code'.
        detail=said or None,
    )
    return signed(answer, table, error)


def mangled(number: int, said: str, table: str) -> InvalidValueError:
    """Return what the caller hears of a row whose value the server would have changed, with no more than a warning."""
    _, column = numbers.names_in(number, said)
    where = "its column" if column is None else f"column {column}"
    message = f"table {table}: a value would have been changed to fit into {where} ({number})"
    return InvalidValueError(message, sqlstate="01000", column_name=column, detail=said, backend=BACKEND, table=table)


def hits_another(error: BaseException, table: str) -> UniqueViolationError:
    """Return what the caller hears of a row that met another one, but not by the key that it is known by."""
    message = f"table {table}: another row has one of the row's unique values, under another key ({DUPLICATE}, 23000)"
    answer = UniqueViolationError(message, sqlstate="23000")
    signed(answer, table, error)
    return answer


def not_written(error: BaseException, table: str, doing: str = "writing") -> NotWrittenError:
    """Return what every caller hears of an error that is no row's fault."""
    if isinstance(error, NotWrittenError):
        return error
    number = number_of(error)
    if number == 0:
        kind = MisconfigurationError if _is_wrong_address(error) else BackendUnavailableError
        # PyMySQL's own words, where a package is missing without which a password cannot be sent.
        said = f": {error}" if isinstance(error, RuntimeError) else ""
        return signed(kind(f"table {table}: {doing} failed with {type(error).__name__}{said}"), table, error)
    if isinstance(error.__cause__, driver.CertificateError):
        message = f"table {table}: {doing} failed: the server's certificate is not trusted"
        return signed(MisconfigurationError(message), table, error)
    return signed(numbers.failure(number)(f"table {table}: {doing} failed: {_said(error, number)}"), table, error)


def not_applied(error: BaseException, table: str) -> NotApplied:
    """Return the verdict for every row of an attempt of which it is certain that it was rolled back."""
    return undone(not_written(error, table))


def _said(error: BaseException, number: int) -> str:
    if numbers.may_be_quoted(number) and len(error.args) > 1:
        return f"{error.args[1]} ({number})"
    return f"error {number}, {state_of(error)}"


def _is_wrong_address(error: BaseException) -> bool:
    """Whether it can never be connected to what the URL or an option names."""
    return isinstance(error, ValueError | RuntimeError | TypeError)

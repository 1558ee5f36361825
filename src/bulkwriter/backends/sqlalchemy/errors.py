"""What the drivers raise beneath SQLAlchemy, told in the library's own errors, by each database's own codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy.options import BACKEND
from bulkwriter.errors import (
    BackendUnavailableError,
    InvalidValueError,
    MisconfigurationError,
    NotWrittenError,
    RowRejectedError,
    RowTooLargeError,
)
from bulkwriter.sql import Signature, mysql_numbers, sqlite_codes, sqlstates
from bulkwriter.sql.errors import undone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bulkwriter.contract import NotApplied
    from bulkwriter.ledger import Dialect

_signature: Final = Signature(BACKEND)
signed: Final = _signature.signed
refuse: Final = _signature.refuse
refused: Final = _signature.refused
swallowed: Final = _signature.swallowed

_UNBINDABLE: Final = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What drivers, and types of the caller's own, raise about a value that they cannot send."""

_ABOUT_VALUES: Final = (sa.exc.ProgrammingError, sa.exc.DataError, sa.exc.NotSupportedError, sa.exc.InterfaceError)
"""What drivers raise about it in their own classes, without a code of the database."""

_UNFIT: Final = "a value cannot be sent to the database"

_WRONG_AT_OPENING: Final = (sa.exc.ArgumentError, sa.exc.InvalidRequestError, sa.exc.CompileError)

_LOST_IN_MIDST: Final = (sa.exc.ResourceClosedError, sa.exc.PendingRollbackError)
"""Of the same kind as what is wrong, but about a connection that is gone."""


_EITHER: Final[Mapping[Dialect, Collection[str]]] = {"sqlite": {"SQLITE_ERROR"}, "postgresql": {"42804", "42846"}}
"""A malformed value, or a missing table; a type that the column is not of, or the column has got another."""


class LedgerMovedError(Exception):
    """Somebody else has written the ledger's entry, or taken the place of the one that was to be replaced."""


class Told(NamedTuple):
    """What the database said.

    Attributes:
        code: Its SQLSTATE, number or name; empty if the error is not the database's own.
        state: Its SQLSTATE.
        message: Its message, which may quote values.
        constraint: The constraint that it names.
        column: The column that it names.
    """

    code: str = ""
    state: str = ""
    message: str = ""
    constraint: str | None = None
    column: str | None = None


def cause_of(error: BaseException) -> BaseException:
    """Return the driver's own error: SQLAlchemy's show the values of rows as text."""
    found = error.orig if isinstance(error, sa.exc.StatementError) and error.orig is not None else error
    # The dialect of asyncpg puts classes of its own around asyncpg's.
    is_adapted = type(found).__module__.startswith("sqlalchemy.") and found.__cause__ is not None
    return found.__cause__ if is_adapted and found.__cause__ is not None else found


def told_by(error: BaseException, language: Dialect, columns: Sequence[str] = ()) -> Told:
    """Return what the database said by an error."""
    cause: Any = cause_of(error)
    if language == "sqlite":
        code = sqlite_codes.code_of(cause) or ""
        constraint, column = sqlite_codes.names_in(str(cause), columns)
        return Told(code, code, str(cause), constraint, column)
    if language == "mysql":
        number = cause.args[0] if isinstance(error, sa.exc.DBAPIError) and cause.args else 0
        message = str(cause.args[1]) if len(cause.args) > 1 else ""
        if not isinstance(number, int) or not number:
            return Told()
        return Told(str(number), _state_of_number(cause, number), message, *mysql_numbers.names_in(number, message))
    state = getattr(cause, "sqlstate", None) or ""
    details = getattr(cause, "diag", cause)
    said = [getattr(details, name, None) for name in ("message_primary", "message", "message_detail", "detail")]
    constraint, column = (getattr(details, name, None) or None for name in ("constraint_name", "column_name"))
    return Told(state, state, " ".join(filter(None, said)) or str(cause), constraint, column)


def _state_of_number(cause: Any, number: int) -> str:
    """Return the SQLSTATE where a driver keeps it; else that of the class which the number is known to be of."""
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        return state
    return "23000" if number in mysql_numbers.DUPLICATES else "HY000"


def is_row_fault(error: BaseException, language: Dialect) -> bool:
    """Whether an error certainly means that a row is bad, whatever the state of the database."""
    told = told_by(error, language)
    if not told.code:
        is_lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
        return not is_lost and (isinstance(error, _ABOUT_VALUES) or isinstance(cause_of(error), _UNBINDABLE))
    if language == "sqlite":
        return sqlite_codes.is_row_fault(told.code)
    if language == "mysql":
        return mysql_numbers.is_row_fault(int(told.code), told.state)
    return sqlstates.is_row_fault(told.code)


def is_duplicate(error: BaseException, language: Dialect) -> bool:
    """Whether a row has met another in a unique column."""
    code = told_by(error, language).code
    if language == "mysql":
        return code.isdigit() and int(code) in mysql_numbers.DUPLICATES
    return code in {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}


def may_be_value(error: BaseException, language: Dialect) -> bool:
    """Whether an error is about a value, or else about the statement.

    SQLite has one code for both, and so has PostgreSQL where the driver names the type of each value.
    """
    code = told_by(error, language).code
    return code in _EITHER.get(language, ())


def rejected(error: BaseException, language: Dialect, table: str, columns: Sequence[str]) -> RowRejectedError:
    """Return what the caller of a bad row hears, from what was raised for this row alone."""
    told = told_by(error, language, columns)
    kind, what = _rejection(told, language)
    answer = kind(
        f"table {table}: {what}{f' ({told.code})' if told.code else ''}",
        sqlstate=told.state or None,
        constraint_name=told.constraint,
        column_name=told.column,
        # It may hold the value, as in: Duplicate entry 'x' for key 'code'.
        detail=told.message or str(cause_of(error)),
    )
    return signed(answer, table, cause_of(error))


def too_large(table: str, most_bytes: int) -> RowTooLargeError:
    """Return what the caller of a row hears that is larger than a statement may be."""
    message = f"table {table}: the row is larger than max_allowed_packet, {most_bytes:,} bytes"
    return RowTooLargeError(message, backend=BACKEND, table=table)


def _rejection(told: Told, language: Dialect) -> tuple[type[RowRejectedError], str]:
    if not told.code:
        return InvalidValueError, _UNFIT
    if language == "sqlite":
        return sqlite_codes.rejection(told.code), sqlite_codes.what_failed(told.code, told.constraint)
    if language == "mysql":
        number = int(told.code)
        kind = mysql_numbers.rejection(number, told.state)
        return kind, mysql_numbers.what_failed(number, kind, told.constraint, told.column)
    if told.code in _EITHER["postgresql"]:
        return InvalidValueError, _UNFIT
    return sqlstates.rejection(told.code), sqlstates.what_failed(told.code, told.constraint, told.column)


def not_written(error: BaseException, language: Dialect, table: str, doing: str = "writing") -> NotWrittenError:
    """Return what every caller hears of an error that is no row's fault."""
    if isinstance(error, NotWrittenError):
        return error
    told = told_by(error, language)
    kind, may_be_quoted = _failure(error, told, language)
    said = f"{told.message} ({told.code})" if may_be_quoted else told.code or type(cause_of(error)).__name__
    return signed(kind(f"table {table}: {doing} failed: {said}"), table, cause_of(error))


def _failure(error: BaseException, told: Told, language: Dialect) -> tuple[type[NotWrittenError], bool]:
    if not told.code:
        is_wrong = isinstance(error, _WRONG_AT_OPENING) and not isinstance(error, _LOST_IN_MIDST)
        return (MisconfigurationError if is_wrong else BackendUnavailableError), False
    if language == "sqlite":
        is_wrong = sqlite_codes.is_misconfiguration(told.code)
        return (MisconfigurationError if is_wrong else BackendUnavailableError), True
    if language == "mysql":
        return mysql_numbers.failure(int(told.code)), mysql_numbers.may_be_quoted(int(told.code))
    return sqlstates.failure(told.code), sqlstates.may_be_quoted(told.code)


def not_applied(error: BaseException, language: Dialect, table: str) -> NotApplied:
    """Return the verdict for every row of an attempt of which it is certain that it was rolled back."""
    return undone(not_written(error, language, table))


def is_refused_commit(error: BaseException, language: Dialect) -> bool:
    """Whether a COMMIT was answered in such a way that nothing of the transaction is stored."""
    code = told_by(error, language).code
    if language == "sqlite":
        return code.startswith(("SQLITE_CONSTRAINT", "SQLITE_BUSY", "SQLITE_FULL"))
    if language == "mysql":
        return code.isdigit() and int(code) in mysql_numbers.NOT_COMMITTED
    # Whatever else the server says of a transaction ends it; these may be said of the connection, or of the server.
    return bool(code) and not code.startswith(("08", "53", "57", "58", "XX", "40003"))


def unavailable(message: str, table: str, cause: BaseException | None = None) -> BackendUnavailableError:
    """Return what every caller hears of a batch that was rolled back for the time being."""
    error = BackendUnavailableError(message, backend=BACKEND, table=table)
    error.__cause__ = cause
    return error

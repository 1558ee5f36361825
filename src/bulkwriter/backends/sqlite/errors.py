"""SQLite's errors, as ``sqlite3`` raises them, told in the library's own."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from bulkwriter.errors import (
    BackendUnavailableError,
    InvalidValueError,
    MisconfigurationError,
    NotWrittenError,
    RowRejectedError,
    RowTooLargeError,
)
from bulkwriter.sql import Signature
from bulkwriter.sql import sqlite_codes as codes
from bulkwriter.sql.errors import undone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.contract import NotApplied

BACKEND: Final = "sqlite"

_signature: Final = Signature(BACKEND)
signed: Final = _signature.signed
misconfigured: Final = _signature.misconfigured
refuse: Final = _signature.refuse
refused: Final = _signature.refused
swallowed: Final = _signature.swallowed
code_of: Final = codes.code_of
is_busy: Final = codes.is_busy

_BINDABLE: Final = (int, float, str, bytes, bytearray, memoryview, type(None))

MAX_INT: Final = 2**63 - 1
MIN_INT: Final = -(2**63)
_MOST_BYTES: Final = 2**31 - 1


def is_row_fault(error: Exception) -> bool:
    """Whether an error certainly means that a row is bad, whatever the state of the database."""
    code = code_of(error)
    if code is None:
        return _is_binding_error(error)
    return codes.is_row_fault(code)


def _is_binding_error(error: Exception) -> bool:
    """Whether Python could not bind a value: an integer beyond 64 bits, a lone surrogate, a type SQLite has not."""
    is_about_type = isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError)
    return isinstance(error, OverflowError | UnicodeError) or (is_about_type and "binding parameter" in str(error))


def rejected(error: Exception, table: str, columns: Sequence[str], values: Sequence[object]) -> RowRejectedError:
    """Return what the caller of a bad row hears.

    Args:
        error: What sqlite3 raised for this row alone.
        table: The target's name.
        columns: The row's columns.
        values: Its values, in the same order.
    """
    code = code_of(error)
    if code is None:
        answer = _unbindable(error, table, columns, values)
    else:
        kind = codes.rejection(code)
        constraint, column = codes.names_in(str(error), columns)
        message = f"table {table}: {codes.what_failed(code, constraint)} ({code})"
        answer = kind(message, sqlstate=code, constraint_name=constraint, column_name=column, detail=str(error))
    return signed(answer, table, error)


def not_written(error: Exception, table: str, doing: str = "writing") -> NotWrittenError:
    """Return what every caller hears of an error that is no row's fault."""
    # SQLite's own messages name tables and columns; those of anything else may hold what they are about.
    said = f"{error} ({code_of(error)})" if isinstance(error, sqlite3.Error) else type(error).__name__
    kind = MisconfigurationError if codes.is_misconfiguration(code_of(error)) else BackendUnavailableError
    return signed(kind(f"table {table}: {doing} failed: {said}"), table, error)


def not_applied(error: Exception, table: str) -> NotApplied:
    """Return the verdict for every row of an attempt that was rolled back because of this error."""
    return undone(not_written(error, table))


def _unbindable(error: Exception, table: str, columns: Sequence[str], values: Sequence[object]) -> RowRejectedError:
    """Find out which value could not be bound, since Python does not say."""
    for column, value in zip(columns, values, strict=True):
        if isinstance(value, int) and not MIN_INT <= value <= MAX_INT:
            message = f"table {table}: an integer in column {column} does not fit into 64 bits"
            return InvalidValueError(message, column_name=column, detail=str(error))
        if isinstance(value, str) and not is_encodable(value):
            message = f"table {table}: text in column {column} holds a lone surrogate, which UTF-8 cannot"
            return InvalidValueError(message, column_name=column)
        if isinstance(value, str | bytes) and len(value) > _MOST_BYTES:
            return RowTooLargeError(f"table {table}: column {column} holds more than 2 GiB", column_name=column)
        if not isinstance(value, _BINDABLE):
            message = f"table {table}: column {column}: values of type {type(value).__qualname__} cannot be stored"
            return InvalidValueError(message, column_name=column)
    return InvalidValueError(f"table {table}: a value cannot be given to SQLite", detail=str(error))


def is_encodable(text: str) -> bool:
    """Whether text can be encoded in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""SQLite's errors told in the library's own: one table, used everywhere."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Final

from bulkwriter.errors import (
    BackendUnavailableError,
    CheckViolationError,
    ForeignKeyViolationError,
    InvalidValueError,
    MisconfigurationError,
    NotNullViolationError,
    NotWrittenError,
    RowRejectedError,
    RowTooLargeError,
    UniqueViolationError,
)
from bulkwriter.sql import Signature
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

# https://www.sqlite.org/rescode.html
_ROW_ERRORS: Final[dict[str, type[RowRejectedError]]] = {
    "SQLITE_CONSTRAINT_UNIQUE": UniqueViolationError,
    "SQLITE_CONSTRAINT_PRIMARYKEY": UniqueViolationError,
    "SQLITE_CONSTRAINT_ROWID": UniqueViolationError,
    "SQLITE_CONSTRAINT_NOTNULL": NotNullViolationError,
    "SQLITE_CONSTRAINT_FOREIGNKEY": ForeignKeyViolationError,
    "SQLITE_CONSTRAINT_CHECK": CheckViolationError,
    "SQLITE_CONSTRAINT_TRIGGER": CheckViolationError,
    "SQLITE_CONSTRAINT_DATATYPE": InvalidValueError,
    "SQLITE_MISMATCH": InvalidValueError,
    "SQLITE_TOOBIG": RowTooLargeError,
}

# The first word after SQLITE_: what no further try can help with. Everything else may pass.
_MISCONFIGURED: Final = frozenset(
    {"ERROR", "READONLY", "CANTOPEN", "NOTADB", "CORRUPT", "AUTH", "PERM", "SCHEMA", "FORMAT", "MISUSE", "NOLFS"}
)

_FAILED: Final = re.compile(r"(?:UNIQUE|NOT NULL|CHECK) constraint failed: (.+)", re.DOTALL)
_COLUMN_AT_END: Final = re.compile(r" column (.+)$", re.DOTALL)
_BINDABLE: Final = (int, float, str, bytes, bytearray, memoryview, type(None))

_UNNAMED: Final = {3091: "SQLITE_CONSTRAINT_DATATYPE"}
_PRIMARY: Final = {
    number: f"SQLITE_{name}"
    for number, name in {
        1: "ERROR", 2: "INTERNAL", 3: "PERM", 4: "ABORT", 5: "BUSY", 6: "LOCKED", 7: "NOMEM", 8: "READONLY",
        9: "INTERRUPT", 10: "IOERR", 11: "CORRUPT", 12: "NOTFOUND", 13: "FULL", 14: "CANTOPEN", 15: "PROTOCOL",
        17: "SCHEMA", 18: "TOOBIG", 19: "CONSTRAINT", 20: "MISMATCH", 21: "MISUSE", 22: "NOLFS", 23: "AUTH",
        25: "RANGE", 26: "NOTADB",
    }.items()
}  # fmt: skip

MAX_INT: Final = 2**63 - 1
MIN_INT: Final = -(2**63)
_MOST_BYTES: Final = 2**31 - 1


def code_of(error: BaseException) -> str | None:
    """Return SQLite's name for an error, such as ``"SQLITE_BUSY"``; ``None`` if it is not SQLite's."""
    name: str | None = getattr(error, "sqlite_errorname", None)
    if name is None or name.startswith("SQLITE_"):
        return name
    # A Python that is older than the error code calls it "unknown".
    number = getattr(error, "sqlite_errorcode", 0)
    return _UNNAMED.get(number) or _PRIMARY.get(number & 0xFF, "SQLITE_ERROR")


def is_busy(error: BaseException) -> bool:
    """Whether somebody else holds the lock: trying again soon may succeed."""
    code = code_of(error) or ""
    return code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_row_fault(error: Exception) -> bool:
    """Whether an error certainly means that a row is bad, whatever the state of the database."""
    code = code_of(error)
    if code is None:
        return _is_binding_error(error)
    return code in _ROW_ERRORS or code.startswith("SQLITE_CONSTRAINT")


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
        kind = InvalidValueError if code == "SQLITE_ERROR" else _ROW_ERRORS.get(code, RowRejectedError)
        constraint, column = _names_in(str(error), columns)
        message = f"table {table}: {_what_failed(code, constraint)} ({code})"
        answer = kind(message, sqlstate=code, constraint_name=constraint, column_name=column, detail=str(error))
    return signed(answer, table, error)


def not_written(error: Exception, table: str, doing: str = "writing") -> NotWrittenError:
    """Return what every caller hears of an error that is no row's fault."""
    # SQLite's own messages name tables and columns; those of anything else may hold what they are about.
    said = f"{error} ({code_of(error)})" if isinstance(error, sqlite3.Error) else type(error).__name__
    kind = MisconfigurationError if is_misconfiguration(error) else BackendUnavailableError
    return signed(kind(f"table {table}: {doing} failed: {said}"), table, error)


def not_applied(error: Exception, table: str) -> NotApplied:
    """Return the verdict for every row of an attempt that was rolled back because of this error."""
    return undone(not_written(error, table))


def is_misconfiguration(error: Exception) -> bool:
    """Whether an error will be the same at the next try."""
    code = code_of(error)
    return code is not None and code.split("_")[1] in _MISCONFIGURED


def _names_in(message: str, columns: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the constraint and the column that a message names.

    SQLite names a CHECK by its name or its expression, and UNIQUE and NOT NULL by their columns: ``t.a, t.b``.
    """
    failed = _FAILED.match(message)
    at_end = _COLUMN_AT_END.search(message)
    named = failed.group(1) if failed else at_end.group(1) if at_end else None
    if named is None:
        return None, None
    column = next((name for name in columns if named.lower().endswith(f".{name.lower()}") and ", " not in named), None)
    return (named if failed else None), column


def _what_failed(code: str, constraint: str | None) -> str:
    what = code.removeprefix("SQLITE_").removeprefix("CONSTRAINT_")
    known = {
        "TRIGGER": "a trigger refused the row",
        "MISMATCH": "a value is not of the type that its column requires",
        "DATATYPE": "a value is not of the type that its column requires",
        "TOOBIG": "the row, or a value of it, is larger than SQLite allows",
        "ERROR": "an expression of the table cannot be computed for the row",
        "FOREIGNKEY": "a foreign key refers to a row that is not there, or the row is still referred to",
    }
    if what in known:
        return known[what]
    return f"constraint {what}{'' if constraint is None else f' {constraint}'} failed"


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

"""SQLite's error codes: what each means for a row, whoever holds the connection.

https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bulkwriter.errors import (
    CheckViolationError,
    ForeignKeyViolationError,
    InvalidValueError,
    NotNullViolationError,
    RowRejectedError,
    RowTooLargeError,
    UniqueViolationError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def is_row_fault(code: str) -> bool:
    """Whether a code certainly means that a row is bad, whatever the state of the database."""
    return code in _ROW_ERRORS or code.startswith("SQLITE_CONSTRAINT")


def rejection(code: str) -> type[RowRejectedError]:
    """Return what the caller of a bad row hears."""
    return InvalidValueError if code == "SQLITE_ERROR" else _ROW_ERRORS.get(code, RowRejectedError)


def is_misconfiguration(code: str | None) -> bool:
    """Whether an error will be the same at the next try."""
    return code is not None and code.split("_")[1] in _MISCONFIGURED


def names_in(message: str, columns: Sequence[str]) -> tuple[str | None, str | None]:
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


def what_failed(code: str, constraint: str | None) -> str:
    """Return in words what is wrong with a row."""
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

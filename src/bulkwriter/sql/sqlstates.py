"""PostgreSQL's SQLSTATEs: what each means for a row, whichever driver brings it.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from typing import Final

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
    ThrottledError,
    UniqueViolationError,
)

_ROW_ERRORS: Final[dict[str, type[RowRejectedError]]] = {
    "23505": UniqueViolationError,
    "23P01": UniqueViolationError,  # an exclusion constraint
    "23502": NotNullViolationError,
    "23503": ForeignKeyViolationError,
    "23001": ForeignKeyViolationError,  # ON DELETE RESTRICT
    "23514": CheckViolationError,
    "44000": CheckViolationError,  # a view's WITH CHECK OPTION
    "54000": RowTooLargeError,  # an index entry or a row is larger than a page can hold
    "54001": RowTooLargeError,  # a value is nested too deeply
    "42501": CheckViolationError,  # a row security policy; what else it may mean is told apart before
}

# The first two characters of what is about the statement, the session or the server, and never about a row.
NEVER_A_ROWS: Final = (
    "03", "08", "09", "0A", "0B", "0L", "0P", "20", "24", "25", "26", "28", "2B", "2D", "2F", "34", "3B", "3D", "3F",
    "40", "42", "53", "54", "55", "57", "58", "72", "F0", "HV", "XX", "21",
)  # fmt: skip

SEQUENCE_AT_ITS_END: Final = "2200H"
"""Of class 22, which is about values else."""

ROW_TOO_LARGE: Final = ("54000", "54001")
"""Of class 54, where the server's other limits are, those that a single row may pass."""

_MISCONFIGURED: Final = ("0A", "0P", "26", "28", "3D", "3F", "42", "F0")


def is_row_fault(code: str | None, *, has_row_security: bool = False) -> bool:
    """Whether a code certainly means that a row is bad, whatever the state of the database."""
    if code is None:
        return False
    if code in ROW_TOO_LARGE or (code == "42501" and has_row_security):
        return True
    return not code.startswith(NEVER_A_ROWS) and code != SEQUENCE_AT_ITS_END


def rejection(code: str) -> type[RowRejectedError]:
    """Return what the caller of a bad row hears."""
    return _ROW_ERRORS.get(code) or (InvalidValueError if code.startswith("22") else _other_rejection(code))


def _other_rejection(code: str) -> type[RowRejectedError]:
    # A trigger's RAISE has P0001, or whatever code its author gave it.
    return RowRejectedError if code.startswith(("23", "27", "38", "39")) else CheckViolationError


_WHAT_FAILED: Final = {
    "42501": "a row security policy refused the row",
    "44000": "the row is outside of the view's WITH CHECK OPTION",
    "54000": "the row, or an index entry of it, is larger than PostgreSQL allows",
    "54001": "a value is nested more deeply than the server can follow",
}


def what_failed(code: str, constraint: str | None, column: str | None) -> str:
    """Return in words what is wrong with a row."""
    if constraint is not None:
        return f"constraint {constraint} is violated"
    if code == "23502":
        return f"column {column} must not be null"
    if code.startswith("22"):
        return "a value cannot be stored in its column" if column is None else f"column {column} cannot hold the value"
    usual = "a constraint is violated" if code.startswith("23") else "a trigger or function refused the row"
    return _WHAT_FAILED.get(code, usual)


def failure(code: str) -> type[NotWrittenError]:
    """Return what every caller hears of an error that is no row's fault."""
    if code.startswith("40") or code == "55P03":
        # A deadlock, a transaction that could not be serialized, a lock not had in time: the database is well.
        return NotWrittenError
    if code == "53300":
        return ThrottledError  # too many connections
    is_wrong = code.startswith(_MISCONFIGURED) and code not in {"42P05", "26000", "0A000"}
    return MisconfigurationError if is_wrong else BackendUnavailableError


def may_be_quoted(code: str) -> bool:
    """Whether the message names tables, columns, roles and limits, and never a value."""
    return code.startswith((SEQUENCE_AT_ITS_END, "42", "28", "3D", "3F", "53", "57", "08", "25", "40", "55"))

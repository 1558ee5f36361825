"""PostgreSQL's errors told in the library's own: one table, by SQLSTATE, used everywhere.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres.driver import ServerError, WrongAddressError
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
from bulkwriter.sql import Signature
from bulkwriter.sql.errors import undone

if TYPE_CHECKING:
    from bulkwriter.contract import NotApplied

BACKEND: Final = "postgres"

_signature: Final = Signature(BACKEND)
signed: Final = _signature.signed
misconfigured: Final = _signature.misconfigured
refuse: Final = _signature.refuse
refused: Final = _signature.refused
swallowed: Final = _signature.swallowed

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

# What can be told of a table that has changed: it is looked up again. 0A000 is COPY into a table that has got row
# security meanwhile, and 42501 an INSERT into one; 08P01 is a COPY of fewer bytes than the column's type has now.
_MAY_BE_STALE: Final = frozenset(
    {"0A000", "42501", "42703", "42804", "42809", "42P01", "42P10", "428C9", "42846", "08P01"}
)


class RolledBackError(Exception):
    """COMMIT was answered with ROLLBACK: the transaction had failed before."""


class StaleTableError(RolledBackError):
    """The table is no longer what it was when it was looked up."""


class LedgerMovedError(RolledBackError):
    """Somebody else has taken the place of the ledger's entry that was to be replaced."""


def code_of(error: BaseException) -> str | None:
    """Return an error's SQLSTATE; ``None`` if it is not the server's."""
    return getattr(error, "sqlstate", None) if isinstance(error, ServerError) else None


def may_be_stale(error: BaseException) -> bool:
    """Whether an error may come of a table that is no longer what it was when it was looked up."""
    return isinstance(error, StaleTableError) or code_of(error) in _MAY_BE_STALE


def is_about_session(error: BaseException) -> bool:
    """Whether another session may fare better: this one is read-only, say since its server has become a standby."""
    code = code_of(error) or ""
    return (code.startswith(("08", "57P")) and code != "08P01") or code in {"25006", "25P03"}


def is_row_fault(error: BaseException, *, has_row_security: bool = False) -> bool:
    """Whether an error certainly means that a row is bad, whatever the state of the database."""
    code = code_of(error)
    if code is None:
        return False
    if code in ROW_TOO_LARGE or (code == "42501" and has_row_security):
        return True
    return not code.startswith(NEVER_A_ROWS) and code != SEQUENCE_AT_ITS_END


def rejected(error: BaseException, table: str) -> RowRejectedError:
    """Return what the caller of a bad row hears, from what the server raised for this row alone."""
    code = code_of(error) or ""
    constraint: str | None = getattr(error, "constraint_name", None) or None
    column: str | None = getattr(error, "column_name", None) or None
    # Its message too may hold the value, as in: invalid input syntax for type integer: "x".
    said = [getattr(error, name, None) for name in ("message", "detail")]
    kind = _ROW_ERRORS.get(code) or (InvalidValueError if code.startswith("22") else _other_kind(code))
    answer = kind(
        f"table {table}: {_what_failed(code, constraint, column)} ({code})",
        sqlstate=code,
        constraint_name=constraint,
        column_name=column,
        detail=" ".join(filter(None, said)) or None,
    )
    return signed(answer, table, error)


def _other_kind(code: str) -> type[RowRejectedError]:
    # A trigger's RAISE has P0001, or whatever code its author gave it.
    return RowRejectedError if code.startswith(("23", "27", "38", "39")) else CheckViolationError


_WHAT_FAILED: Final = {
    "42501": "a row security policy refused the row",
    "44000": "the row is outside of the view's WITH CHECK OPTION",
    "54000": "the row, or an index entry of it, is larger than PostgreSQL allows",
    "54001": "a value is nested more deeply than the server can follow",
}


def _what_failed(code: str, constraint: str | None, column: str | None) -> str:
    if constraint is not None:
        return f"constraint {constraint} is violated"
    if code == "23502":
        return f"column {column} must not be null"
    if code.startswith("22"):
        return "a value cannot be stored in its column" if column is None else f"column {column} cannot hold the value"
    usual = "a constraint is violated" if code.startswith("23") else "a trigger or function refused the row"
    return _WHAT_FAILED.get(code, usual)


def not_written(error: BaseException, table: str, doing: str = "writing") -> NotWrittenError:
    """Return what every caller hears of an error that is no row's fault."""
    if isinstance(error, NotWrittenError):
        return error
    code = code_of(error)
    if code is None:
        kind = MisconfigurationError if _is_wrong_address(error) else BackendUnavailableError
        return signed(kind(f"table {table}: {doing} failed with {type(error).__name__}"), table, error)
    return signed(_kind_for(code)(f"table {table}: {doing} failed: {_said(error, code)}"), table, error)


def not_opened(error: BaseException, table: str) -> NotWrittenError:
    """Return what is heard of an error at opening: without rows, a bad value is that of an option or a setting."""
    code = code_of(error) or ""
    if not code.startswith("22"):
        return not_written(error, table, "opening it")
    message = f"table {table}: opening it failed: {getattr(error, 'message', '') or error} ({code})"
    return signed(MisconfigurationError(message), table, error)


def not_applied(error: BaseException, table: str) -> NotApplied:
    """Return the verdict for every row of an attempt of which it is certain that it was rolled back."""
    return undone(not_written(error, table))


def _kind_for(code: str) -> type[NotWrittenError]:
    if code.startswith("40") or code == "55P03":
        # A deadlock, a transaction that could not be serialized, a lock not had in time: the database is well.
        return NotWrittenError
    if code == "53300":
        return ThrottledError  # too many connections
    is_wrong = code.startswith(_MISCONFIGURED) and code not in {"42P05", "26000", "0A000"}
    return MisconfigurationError if is_wrong else BackendUnavailableError


def _said(error: BaseException, code: str) -> str:
    # Messages of these classes name tables, columns, roles and limits. Any other may quote a value.
    if code.startswith((SEQUENCE_AT_ITS_END, "42", "28", "3D", "3F", "53", "57", "08", "25", "40", "55")):
        return f"{getattr(error, 'message', '') or error} ({code})"
    return code


def _is_wrong_address(error: BaseException) -> bool:
    """Whether it can never be connected to what the URL or an option names."""
    return isinstance(error, ValueError | WrongAddressError) and not isinstance(error, OSError)

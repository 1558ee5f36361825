"""PostgreSQL's errors, as asyncpg raises them, told in the library's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres.driver import ServerError, WrongAddressError
from bulkwriter.errors import (
    BackendUnavailableError,
    MisconfigurationError,
    NotWrittenError,
    RowRejectedError,
)
from bulkwriter.sql import Signature, sqlstates
from bulkwriter.sql.errors import undone

if TYPE_CHECKING:
    from bulkwriter.contract import NotApplied

BACKEND: Final = "postgres"

_signature: Final = Signature(BACKEND)
signed: Final = _signature.signed
misconfigured: Final = _signature.misconfigured
refuse: Final = _signature.refuse
refused: Final = _signature.refused
lost: Final = _signature.lost
swallowed: Final = _signature.swallowed

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


def is_undoing(error: BaseException) -> bool:
    """Whether an error undoes everything, also in answer to COMMIT.

    What ends the session as well leaves open how far it had come.
    """
    return getattr(error, "severity_en", None) == "ERROR"


def is_about_session(error: BaseException) -> bool:
    """Whether another session may fare better: this one is read-only, say since its server has become a standby."""
    code = code_of(error) or ""
    return (code.startswith(("08", "57P")) and code != "08P01") or code in {"25006", "25P03"}


def is_row_fault(error: BaseException, *, has_row_security: bool = False) -> bool:
    """Whether an error certainly means that a row is bad, whatever the state of the database."""
    return sqlstates.is_row_fault(code_of(error), has_row_security=has_row_security)


def rejected(error: BaseException, table: str) -> RowRejectedError:
    """Return what the caller of a bad row hears, from what the server raised for this row alone."""
    code = code_of(error) or ""
    constraint: str | None = getattr(error, "constraint_name", None) or None
    column: str | None = getattr(error, "column_name", None) or None
    # Its message too may hold the value, as in: invalid input syntax for type integer: "x".
    said = [getattr(error, name, None) for name in ("message", "detail")]
    kind = sqlstates.rejection(code)
    answer = kind(
        f"table {table}: {sqlstates.what_failed(code, constraint, column)} ({code})",
        sqlstate=code,
        constraint_name=constraint,
        column_name=column,
        detail=" ".join(filter(None, said)) or None,
    )
    return signed(answer, table, error)


def not_written(error: BaseException, table: str, doing: str = "writing") -> NotWrittenError:
    """Return what every caller hears of an error that is no row's fault."""
    if isinstance(error, NotWrittenError):
        return error
    code = code_of(error)
    if code is None:
        kind = MisconfigurationError if _is_wrong_address(error) else BackendUnavailableError
        return signed(kind(f"table {table}: {doing} failed with {type(error).__name__}"), table, error)
    return signed(sqlstates.failure(code)(f"table {table}: {doing} failed: {_said(error, code)}"), table, error)


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


def _said(error: BaseException, code: str) -> str:
    if sqlstates.may_be_quoted(code):
        return f"{getattr(error, 'message', '') or error} ({code})"
    return code


def _is_wrong_address(error: BaseException) -> bool:
    """Whether it can never be connected to what the URL or an option names."""
    return isinstance(error, ValueError | WrongAddressError) and not isinstance(error, OSError)

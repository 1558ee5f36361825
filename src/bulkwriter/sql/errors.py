"""Errors in the name of one backend: each says where it comes from."""

from __future__ import annotations

from typing import NoReturn, TypeVar

from bulkwriter.contract import NotApplied
from bulkwriter.errors import (
    BackendUnavailableError,
    CheckViolationError,
    InvalidValueError,
    MisconfigurationError,
    NotWrittenError,
    RowRejectedError,
)

ErrorT = TypeVar("ErrorT", RowRejectedError, NotWrittenError)


class Signature:
    """Makes and completes errors.

    Args:
        backend: The backend's name.
    """

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def signed(self, error: ErrorT, table: str, cause: BaseException) -> ErrorT:
        """Complete an error with where it comes from.

        The cause loses its traceback: that would keep the whole batch in memory for as long as one caller keeps its
        error.
        """
        error.backend = self._backend
        error.table = table
        error.__cause__ = cause.with_traceback(None)
        cause.__context__ = None
        return error

    def misconfigured(self, message: str, table: str) -> MisconfigurationError:
        """Return an error about an option or the target."""
        return MisconfigurationError(message, backend=self._backend, table=table)

    def refuse(self, message: str, table: str, cause: BaseException | None = None) -> NoReturn:
        """Raise an error about an option or the target.

        Raises:
            MisconfigurationError: Always.
        """
        raise self.misconfigured(message, table) from cause

    def refused(self, message: str, table: str, column: str | None = None) -> InvalidValueError:
        """Return what the caller hears of a value that its column cannot hold, and that was never sent."""
        where = "" if column is None else f"column {column}: "
        error = InvalidValueError(f"table {table}: {where}{message}", column_name=column, detail=message)
        error.backend, error.table = self._backend, table
        return error

    def swallowed(self, table: str, doing: str = "writing") -> CheckViolationError:
        """Return what the caller hears of a row that a trigger, or a policy, dropped without a word."""
        message = f"table {table}: the row was swallowed by a trigger: {doing} it changed nothing"
        return CheckViolationError(message, backend=self._backend, table=table)

    def lost(self, table: str) -> BackendUnavailableError:
        """Return what the callers of an attempt hear of which it was found out that it was not committed."""
        message = f"table {table}: the connection was lost, or given up, before the commit"
        return BackendUnavailableError(message, backend=self._backend, table=table)


def undone(told: NotWrittenError) -> NotApplied:
    """Return the verdict for every row of an attempt that was certainly rolled back because of this."""
    return NotApplied(told, retry=told.safe_to_retry)

"""Every error a caller can hear, named by who is at fault.

The three kinds are exact promises: ``RowRejectedError`` and ``NotWrittenError`` are raised only when it is certain
that the row is not stored; whatever is uncertain is ``OutcomeUnknownError``. Messages name the table, the constraint,
the code and counts, and never a row's values: log lines end up in other people's systems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class BulkWriterError(Exception):
    """The base of every error this library raises for a row.

    Attributes:
        row: The row as it was taken at the call, column by column; ``None`` where no row is concerned.
        attempts: How many attempts had this row in them; 0 if it was never handed to the database.
        backend: The backend's name, such as ``"sqlite"``; ``None`` in the generic core.
        table: The target's name; ``None`` in the generic core.
        safe_to_retry: Whether sending the row again as it is can neither store it twice nor fail for the same reason.
    """

    safe_to_retry: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        row: Mapping[str, Any] | None = None,
        attempts: int = 0,
        backend: str | None = None,
        table: str | None = None,
    ) -> None:
        super().__init__(message)
        self.row = row
        self.attempts = attempts
        self.backend = backend
        self.table = table

    def for_row(self, row: Mapping[str, Any] | None, *, attempts: int) -> Self:
        """Return a new error that says the same of one row.

        A shared exception collects other people's tracebacks, so each caller gets an object of its own, raised
        ``from`` the same cause.

        Args:
            row: The row it is about, column by column.
            attempts: How many attempts had this row in them.
        """
        import copy  # noqa: PLC0415 - see snapshots

        mine = copy.copy(self)
        if hasattr(self, "__notes__"):
            # A list, which the copy would share.
            mine.__notes__ = list(self.__notes__)
        mine.row = row
        mine.attempts = attempts
        mine.__cause__ = self.__cause__
        return mine

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own __reduce__ would call the class with positional arguments only; state goes through __dict__.
        # The cause is left behind: a driver's error often cannot be pickled, and must not make ours unpicklable.
        return (_rebuild, (type(self), self.args), self.__dict__)


def _rebuild(cls: type[BulkWriterError], args: tuple[Any, ...]) -> BulkWriterError:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class RowRejectedError(BulkWriterError):
    """The row is certainly not stored, and the row is why: mend it before sending it again.

    Attributes:
        sqlstate: The database's code for the violation: an SQLSTATE, or the nearest thing the database has
            (``"SQLITE_CONSTRAINT_UNIQUE"``); ``None`` if the row was refused before it reached the database.
        constraint_name: The violated constraint, where the database names it.
        column_name: The column at fault, where it is known.
        detail: What else the database said. It may hold values of the row, so it is not part of the message.
    """

    def __init__(
        self,
        message: str = "",
        *,
        sqlstate: str | None = None,
        constraint_name: str | None = None,
        column_name: str | None = None,
        detail: str | None = None,
        row: Mapping[str, Any] | None = None,
        attempts: int = 0,
        backend: str | None = None,
        table: str | None = None,
    ) -> None:
        super().__init__(message, row=row, attempts=attempts, backend=backend, table=table)
        self.sqlstate = sqlstate
        self.constraint_name = constraint_name
        self.column_name = column_name
        self.detail = detail


class UniqueViolationError(RowRejectedError):
    """Another row already holds this key, or this value of a unique column."""


class NotNullViolationError(RowRejectedError):
    """A column that must have a value has none."""


class ForeignKeyViolationError(RowRejectedError):
    """The row refers to one that is not there."""


class CheckViolationError(RowRejectedError):
    """The row breaks a CHECK constraint, or a trigger refused or swallowed it."""


class InvalidValueError(RowRejectedError):
    """A value has a type, range, length or encoding that its column cannot hold, or the row is no row at all."""


class RowTooLargeError(RowRejectedError):
    """The row is larger than the database, or a byte limit of the writer, allows."""


class NotWrittenError(BulkWriterError):
    """The row is certainly not stored, and the row is not why: sending it again is safe."""

    safe_to_retry: ClassVar[bool] = True


class QueueFullError(NotWrittenError):
    """The queue is at its limit, and this call does not wait for a place."""


QueueFullException = QueueFullError


class DeadlineExceededError(NotWrittenError, TimeoutError):
    """The row's deadline came while it was still queued or awaiting a retry."""


class BatcherStoppedError(NotWrittenError, RuntimeError):
    """The batcher or writer has been stopped; what it had not begun to write is not written."""


class BackendUnavailableError(NotWrittenError):
    """The database could not be reached, or could not write (down, full, locked), until the retries were used up."""


class ThrottledError(NotWrittenError):
    """The database asked for a slower pace until the retries were used up."""


class MisconfigurationError(NotWrittenError):
    """No such table or column, no permission, or a wrong URL, option or event loop: retrying will not help."""

    safe_to_retry: ClassVar[bool] = False


class OutcomeUnknownError(BulkWriterError):
    """The row may or may not be stored. Send it again only if writing it twice does no harm."""

"""DynamoDB's errors told in the library's own: one table, by code, used everywhere.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.dynamodb import driver
from bulkwriter.contract import NotApplied
from bulkwriter.errors import (
    BackendUnavailableError,
    InvalidValueError,
    MisconfigurationError,
    NotWrittenError,
    RowRejectedError,
    RowTooLargeError,
    ThrottledError,
    UniqueViolationError,
)
from bulkwriter.sql.errors import Signature

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKEND: Final = "dynamodb"

_signature: Final = Signature(BACKEND)
signed: Final = _signature.signed
refuse: Final = _signature.refuse

CONFLICT: Final = "ConditionalCheckFailedException"

_TOO_MUCH: Final = "413"
"""No code of the service's, but the status with which its front refuses a request of more than 16 MB."""

_ROW_FAULTS: Final = frozenset({"ValidationException", "ItemCollectionSizeLimitExceededException", _TOO_MUCH})

_THROTTLED: Final = frozenset({
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "LimitExceededException",
})  # fmt: skip

_AGAIN: Final = frozenset(
    {"TransactionConflictException", "TransactionInProgressException", "ReplicatedWriteConflictException"}
)

_EXPIRED: Final = frozenset({"ExpiredTokenException", "RequestExpired"})
"""Credentials that are about to be renewed: the next request takes the new ones."""

_SERVER: Final = 500


def code_of(error: BaseException) -> str:
    """Return the code of what the service answered; empty if it was no answer."""
    return str(_answer(error).get("Error", {}).get("Code", ""))


def status_of(error: BaseException) -> int:
    """Return the HTTP status of what the service answered; 0 if it was no answer."""
    return int(_answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def old_item(error: BaseException) -> Mapping[str, Any] | None:
    """Return the item that stood in the way of a conditional put, if it was told."""
    item: Mapping[str, Any] | None = _answer(error).get("Item")
    return item


def _answer(error: BaseException) -> Mapping[str, Any]:
    return getattr(error, "response", {}) if isinstance(error, driver.ServiceError) else {}


def is_certain(error: BaseException) -> bool:
    """Whether an error means that nothing of the request was done.

    The service refuses with 400 before it does anything; what a 500 has done nobody knows.
    """
    if isinstance(error, driver.ServiceError):
        return 0 < status_of(error) < _SERVER
    return driver.was_never_sent(error) or isinstance(error, driver.BEFORE_SENDING)


def is_row_fault(error: BaseException) -> bool:
    """Whether an error means that a row of the request is bad, whichever."""
    return code_of(error) in _ROW_FAULTS and 0 < status_of(error) < _SERVER


def rejected(error: BaseException, table: str) -> RowRejectedError:
    """Return what the caller of a bad row hears, from what was answered for this row alone."""
    code = code_of(error)
    said = str(_answer(error).get("Error", {}).get("Message", ""))
    if code == CONFLICT:
        told: RowRejectedError = UniqueViolationError(f"table {table}: an item with this key is already there")
    elif code == _TOO_MUCH or "size has exceeded" in said or code.startswith("ItemCollectionSize"):
        told = RowTooLargeError(f"table {table}: the item is larger than DynamoDB allows ({code})")
    else:
        told = InvalidValueError(f"table {table}: DynamoDB refuses the item ({code})")
    told.sqlstate = code
    # It may quote what is in the row.
    told.detail = said or None
    return signed(told, table, error)


def not_written(error: BaseException, table: str, doing: str = "writing") -> NotWrittenError:
    """Return what every caller hears of an error that is no row's fault."""
    if isinstance(error, NotWrittenError):
        return error
    code = code_of(error)
    what = f"table {table}: {doing} failed: {code or type(error).__name__}"
    return signed(_kind_for(error, code)(what), table, error)


def _kind_for(error: BaseException, code: str) -> type[NotWrittenError]:
    if not code:
        return MisconfigurationError if driver.is_misconfiguration(error) else BackendUnavailableError
    if code in _THROTTLED:
        return ThrottledError
    if code in _AGAIN:
        return NotWrittenError
    if code in _EXPIRED or status_of(error) >= _SERVER:
        return BackendUnavailableError
    return MisconfigurationError


def not_applied(error: BaseException, table: str) -> NotApplied:
    """Return the verdict for every row of a request of which it is certain that it was refused."""
    told = not_written(error, table)
    return NotApplied(told, retry=told.safe_to_retry)


def unprocessed(table: str) -> NotApplied:
    """Return the verdict for a row that DynamoDB gave back."""
    message = f"table {table}: DynamoDB has left the item unprocessed: its capacity is exceeded"
    return NotApplied(ThrottledError(message, backend=BACKEND, table=table))


def held_back(table: str, wait: float) -> NotApplied:
    """Return the verdict for a row that was not sent, since the table would not have taken it."""
    message = f"table {table}: the item was not sent yet: as much is written as DynamoDB takes"
    return NotApplied(ThrottledError(message, backend=BACKEND, table=table), wait, was_tried=False)


def given_up(table: str) -> NotApplied:
    """Return the verdict for a row of an attempt that was given up before the row was sent."""
    message = f"table {table}: the attempt was given up before the row was sent"
    return NotApplied(BackendUnavailableError(message, backend=BACKEND, table=table))


def not_ready(table: str, status: str) -> BackendUnavailableError:
    """Return what is heard of a table that is being made or deleted."""
    message = f"table {table}: the table is {status} and takes no writes"
    return BackendUnavailableError(message, backend=BACKEND, table=table)


def bad_name(table: str) -> InvalidValueError:
    """Return what the caller hears of a row with an attribute of a name that cannot be."""
    message = f"table {table}: the name of an attribute must be text of 1 to 65,535 bytes"
    return InvalidValueError(message, backend=BACKEND, table=table)

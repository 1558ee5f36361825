"""Write rows one at a time. Store them in bulk. Know what became of each."""

from bulkwriter.batcher import AsyncBatcher
from bulkwriter.connect import connect
from bulkwriter.errors import (
    BackendUnavailableError,
    BatcherStoppedError,
    BulkWriterError,
    CheckViolationError,
    DeadlineExceededError,
    ForeignKeyViolationError,
    InvalidValueError,
    MisconfigurationError,
    NotNullViolationError,
    NotWrittenError,
    OutcomeUnknownError,
    QueueFullError,
    QueueFullException,
    RowRejectedError,
    RowTooLargeError,
    ThrottledError,
    UniqueViolationError,
)
from bulkwriter.results import Outcome, Report, WriteResult
from bulkwriter.retry import RetryPolicy
from bulkwriter.statistics import Counts, Statistics
from bulkwriter.writer import BulkWriter

__all__ = [
    "AsyncBatcher",
    "BackendUnavailableError",
    "BatcherStoppedError",
    "BulkWriter",
    "BulkWriterError",
    "CheckViolationError",
    "Counts",
    "DeadlineExceededError",
    "ForeignKeyViolationError",
    "InvalidValueError",
    "MisconfigurationError",
    "NotNullViolationError",
    "NotWrittenError",
    "Outcome",
    "OutcomeUnknownError",
    "QueueFullError",
    "QueueFullException",
    "Report",
    "RetryPolicy",
    "RowRejectedError",
    "RowTooLargeError",
    "Statistics",
    "ThrottledError",
    "UniqueViolationError",
    "WriteResult",
    "connect",
]

"""What every backend is: the base class that the five shipped ones, and anybody's own, are made from."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

from bulkwriter.contract import Capabilities, Limits, OnConflict, Operation, Plan
from bulkwriter.ready_list import deliver_all
from bulkwriter.retry import RetryPolicy
from bulkwriter.sizes import row_size, run_size

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from bulkwriter.contract import Attempt, Reply
    from bulkwriter.errors import BulkWriterError
    from bulkwriter.results import WriteResult


class Backend(abc.ABC):
    """Translates between the delivery engine and one table of one database.

    A subclass sets the attributes below in its constructor, which opens nothing and starts nothing, and implements
    ``open``, ``close``, ``plan``, ``attempt`` and ``settle``; the rest has working defaults. The instance belongs to
    one event loop from ``open`` to ``close``.

    Attributes:
        name: The backend's name in errors and statistics, such as ``"sqlite"``.
        capabilities: What this kind of backend can do.
        limits: The batch sizes measured best for it.
        table: The target's name, as the caller gave it.
        columns: The columns a plain tuple stands for, and to which object rows are cut; ``None`` if not given.
        on_conflict: What happens to a row whose key is already there.
        key_columns: The columns that identify a row: ``conflict_columns``, else the primary key. Known from ``open``
            on; empty if the table has no key.
        allows_coalescing: Whether a later row of a key may stand for an earlier one of the same columns: not with
            expressions, which build upon what the earlier one left, nor where keys cannot be compared exactly.
        ledger: Whether each batch leaves its identity in the ledger.
        is_open: Whether ``open`` has succeeded and ``close`` has not been called.
        prepares_rows: Whether the class has a ``prepare`` of its own; set by itself.
        sizes_rows: Whether the class has a ``row_size`` of its own; set by itself.
        paths: For each way of writing, how many attempts took it; for ``Statistics.paths``.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities] = Capabilities()
    limits: ClassVar[Limits] = Limits()

    table: str
    columns: tuple[str, ...] | None = None
    on_conflict: OnConflict = "error"
    allows_coalescing: bool = True
    ledger: bool = False
    key_columns: tuple[str, ...] = ()
    is_open: bool = False
    prepares_rows: ClassVar[bool] = False
    sizes_rows: ClassVar[bool] = False

    def __init__(self) -> None:
        self.paths: dict[str, int] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # The default leaves each row as it is: then it need not be called for each of them.
        cls.prepares_rows = cls.prepare is not Backend.prepare
        cls.sizes_rows = cls.row_size is not Backend.row_size

    @abc.abstractmethod
    async def open(self) -> None:
        """Connect and check target, columns and permissions. Sets ``is_open`` and ``key_columns``. Idempotent.

        Raises:
            MisconfigurationError: The target, an option or the credentials are wrong.
            BackendUnavailableError: The database cannot be reached now.
        """

    @abc.abstractmethod
    async def close(self, *, force: bool = False) -> None:
        """Give up what ``open`` took. Idempotent; never raises for a connection that is already dead.

        Args:
            force: Do not wait for statements that are still running.
        """

    @abc.abstractmethod
    def plan(self, operation: Operation, columns: tuple[str, ...]) -> Plan:
        """Return how rows of these columns are written. Called once for each set of columns, after ``open``.

        Raises:
            MisconfigurationError: The table has no such column, or the operation is not possible on it.
        """

    @abc.abstractmethod
    async def attempt(self, attempt: Attempt) -> Reply:
        """Try to write one batch, once.

        Cancelling it means that the engine has given up waiting (``RetryPolicy.attempt_timeout``, or a forced stop):
        the connection must not be used for another batch until the attempt has truly ended.

        Returns:
            A verdict for every row.

        Raises:
            RowRejectedError: The same as ``Suspect`` for every row.
            NotWrittenError: The same as ``NotApplied`` for every row.
            Exception: Anything else is ``Doubtful`` for every row.
        """

    @abc.abstractmethod
    async def settle(self, attempt: Attempt) -> Reply:
        """Find out what became of an attempt that left rows ``Doubtful``.

        May be called again if it could not tell. Once it has said that the attempt was not applied, the attempt must
        not be able to commit any more.

        Returns:
            A verdict for every row of the attempt: ``Doubtful(can_settle=False)`` where nobody can ever tell.

        Raises:
            NotWrittenError: The database cannot be asked now; the engine asks again later.
        """

    def prepare(self, plan: Plan, values: tuple[Any, ...]) -> Any:
        """Validate, and perhaps encode, one row at the door.

        What is returned is what ``attempt`` is handed. Leave it as it is (and it costs nothing) unless the backend
        must look at each value.

        Raises:
            RowRejectedError: The row cannot be stored; ``row``, ``backend`` and ``table`` are filled in by the caller.
        """
        return values

    def prepare_run(self, plan: Plan, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Prepare many rows of one plan: as ``prepare`` does each, perhaps for less than one by one.

        Raises:
            Exception: One of them cannot be stored: each is then prepared by itself, to see which.
        """
        return [self.prepare(plan, row) for row in rows]

    def row_size(self, plan: Plan, row: Any) -> int:
        """Return the bytes that a prepared row counts for ``max_batch_bytes`` and ``max_queue_bytes``.

        By default an estimate of the memory that its values take, which is what a bound on the queue is to guard: 40
        bytes a value, and the length of text and bytes.
        """
        return row_size(row)

    def run_size(self, plan: Plan, rows: Sequence[Any]) -> int:
        """Return the bytes of many prepared rows: the sum of ``row_size``, for less than asking for each."""
        if self.sizes_rows:
            return sum([self.row_size(plan, row) for row in rows])
        return run_size(rows)

    def row_key(self, plan: Plan, row: Any) -> Hashable | None:
        """Return a prepared row's key, equal for two rows if and only if the database takes them for one.

        ``None`` for a row that has no key yet, such as one whose identity the database will generate.
        """
        return None

    def row_keys(self, plan: Plan, rows: Sequence[Any]) -> Sequence[Hashable | None]:
        """Return the keys of many prepared rows: the ``row_key`` of each, perhaps for less than asking for each."""
        return [self.row_key(plan, row) for row in rows]

    def row_plan(self, plan: Plan, row: Any) -> Plan:
        """Return the plan that a prepared row of this lane was made by: its own operation and columns.

        By default the lane itself; a backend whose plans share one asks the row.
        """
        return plan

    def row_mapping(self, plan: Plan, row: Any) -> Mapping[str, Any]:
        """Return a prepared row as the caller gave it, column by column, for ``BulkWriterError.row``."""
        return dict(zip(plan.columns, row, strict=True))

    async def process_batch(
        self, rows: Iterable[Any], *, identity: str | None = None, retry: RetryPolicy | None = None
    ) -> list[WriteResult | BulkWriterError]:
        """Write one ready list, with the whole delivery engine: isolate, settle and retry.

        Opens the backend on first use. Can be called directly, or stand as an ``AsyncBatcher``'s ``process_batch``.

        Args:
            rows: The rows, of any kind that ``BulkWriter.insert`` takes.
            identity: Names this piece of work in the ledger, so that it is stored once however often it is run; needs
                ``ledger=True``. A second run hears what the first one heard.
            retry: How long to try; by default as ``RetryPolicy()`` says.

        Returns:
            For each row, in order, its result or its error. Never raises for a row.

        Raises:
            MisconfigurationError: ``identity`` without ``ledger=True``.
        """
        return await deliver_all(self, list(rows), retry or RetryPolicy(), identity)

"""Amazon DynamoDB as a target."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from bulkwriter.backend import Backend
from bulkwriter.backends.dynamodb import driver, errors
from bulkwriter.backends.dynamodb import options as opt
from bulkwriter.backends.dynamodb.attempting import Attempting
from bulkwriter.backends.dynamodb.encoding import BadValueError, checked_name
from bulkwriter.backends.dynamodb.parts import Parts
from bulkwriter.backends.dynamodb.rows import Row, RowPlan
from bulkwriter.contract import Capabilities, Limits, OnConflict, Operation, Plan, Uniform

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from bulkwriter.contract import Attempt, Reply


class DynamoDBBackend(Backend):
    """Writes items to a table of Amazon DynamoDB, through aiobotocore or aioboto3.

    By default a row is a plain put, 25 to a ``BatchWriteItem``: it stores the item or replaces the one with its key as
    a whole, and its answer is ``STORED``, since DynamoDB does not tell which. Rows are checked, measured and encoded
    when they are handed over, by all the rules that DynamoDB has: it would refuse a whole batch for a bad one, and not
    say which. Items that it leaves unprocessed are told by their keys and sent again.

    ``on_conflict="error"`` and ``"skip"`` are conditional puts, one request a row. Where the answer to one is lost, the
    item that is found in the way later is compared with the row, so that nobody hears of a conflict with himself.

    The backend belongs to the event loop on which it was opened, and does not survive a fork.

    Attributes:
        transport: Who makes the requests, ``"client"`` or ``"direct"``; known from ``open`` on.
        paths: ``"batch"`` attempts, by ``BatchWriteItem``; ``"single"`` ones, with a put of its own for each row; and
            ``"careful"`` ones, in which each row of a batch that was refused was sent by itself.
    """

    name: ClassVar[str] = errors.BACKEND
    capabilities: ClassVar[Capabilities] = Capabilities(
        tells_updated=False,
        expressions=False,
        returning=False,
        ledger=False,
        settles=True,
        isolates=True,
        constraints=False,
        defaults=False,
    )
    limits: ClassVar[Limits] = Limits(
        max_batch_size=25,
        # A partition takes 1 MB a second, and to sign as much takes a millisecond of the loop's.
        max_batch_bytes=2**20,
        concurrency=16,
        max_queue_size=5_000,
        max_queue_bytes=64 * 2**20,
    )

    def __init__(
        self,
        session_or_client: Any,
        table: str,
        *,
        columns: Iterable[str] | None = None,
        on_conflict: OnConflict = "update",
        conflict_columns: Iterable[str] | None = None,
        update_columns: None = None,
        update_where: None = None,
        returning: Iterable[str] = (),
        ledger: bool = False,
        tells_updated: bool = False,
        write_token: str | None = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        max_connections: int = 64,
        transport: opt.Transport = "auto",
    ) -> None:
        """Check the options; nothing is opened.

        Args:
            session_or_client: A session of aioboto3 or aiobotocore, of which a client is made, and closed in the end;
                a client of theirs for DynamoDB, which is used and left open; or ``None`` for the credentials and the
                region of the environment and of AWS's configuration files.
            table: The table's name, or its ARN.
            columns: The attributes that a plain tuple stands for, and to which object rows are cut.
            on_conflict: What happens to a row whose key is already there: ``"update"`` replaces the whole item.
            conflict_columns: The table's key, and nothing else: DynamoDB knows no other.
            update_columns: Refused: a put replaces the whole item.
            update_where: Refused, likewise.
            returning: Refused: DynamoDB computes no attribute.
            ledger: Refused: there are no transactions of this size to keep one in.
            tells_updated: Whether each row is written by a request of its own, which tells ``INSERTED`` from
                ``UPDATED``; one whose answer was lost is still ``STORED``.
            write_token: An attribute in which each item gets a mark of its own, with ``on_conflict="error"`` or
                ``"skip"``. By it a row whose answer was lost is told from another of the same values, so that nothing
                is left unknown.
            region_name: The region; by default the session's.
            endpoint_url: Where the service is; by default as for boto3, ``AWS_ENDPOINT_URL_DYNAMODB`` included.
            connect_timeout: Seconds that connecting may take.
            read_timeout: Seconds to wait for an answer.
            max_connections: Requests at once. A client of the user's has its own number.
            transport: Who makes the requests. ``"client"``: the client, which takes it several times as long.
                ``"direct"``: the backend, which signs them by the client's credentials, as the client does, and sends
                them over connections like the client's; it is refused where that would leave out what somebody has
                added to the client. ``"auto"``: the backend, wherever it is certain that nothing is left out, and
                else the client.

        Raises:
            MisconfigurationError: An option is wrong; the message says what would be right.
        """
        super().__init__()
        self._options = opt.checked(
            session_or_client=session_or_client,
            table=table,
            columns=columns,
            on_conflict=on_conflict,
            conflict_columns=conflict_columns,
            update_columns=update_columns,
            update_where=update_where,
            returning=returning,
            ledger=ledger,
            tells_updated=tells_updated,
            write_token=write_token,
            region_name=region_name,
            endpoint_url=endpoint_url,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_connections=max_connections,
            transport=transport,
        )
        self.table: str = self._options.table
        self.columns: tuple[str, ...] | None = self._options.columns
        self.on_conflict: OnConflict = self._options.on_conflict
        self.transport: opt.Transport = self._options.transport
        self._opening = asyncio.Lock()
        self._parts: Parts | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    async def open(self) -> None:
        """Connect, and ask for the keys of the table and of its indexes.

        Raises:
            MisconfigurationError: The region, the credentials, the table, a permission or an option is wrong.
            BackendUnavailableError: The service cannot be reached now, or the table takes no writes yet.
        """
        async with self._opening:
            if self.is_open:
                self._check_here()
                return
            parts = Parts(self._options, self.paths)
            try:
                await parts.open()
            except driver.ERRORS as error:
                await parts.close()
                told = errors.not_written(error, self.table, "opening it")
                raise told from told.__cause__
            except BaseException:
                await parts.close()
                raise
            self._parts = parts
            self._loop, self._process = asyncio.get_running_loop(), os.getpid()
            self.key_columns: tuple[str, ...] = parts.table.key_names
            self.transport = parts.transport
            self.is_open: bool = True

    async def close(self, *, force: bool = False) -> None:  # noqa: ARG002 - nothing is waited for
        """Close the backend's client; one of the user's stays open. The backend can be opened again."""
        parts, self._parts = self._parts, None
        self.is_open = False
        if parts is not None:
            await parts.close()

    def plan(self, operation: Operation, columns: tuple[str, ...]) -> Plan:
        """Return how rows of these attributes are encoded. They are all written alike, and share batches.

        Raises:
            InvalidValueError: No attribute can have such a name.
            MisconfigurationError: The backend is not open, or ``write_token`` is one of these.
        """
        parts = self._parts
        if parts is None:
            self._refuse("plan() before open()")
        for name in columns:
            try:
                checked_name(name).encode()
            except (BadValueError, UnicodeEncodeError):
                raise errors.bad_name(self.table) from None
        token = self._options.write_token
        if token in columns:
            self._refuse(f"{token} is write_token: a row must not set it")
        return RowPlan(operation, columns, parts.lane, parts.table, token)

    def prepare(self, plan: Plan, values: tuple[Any, ...]) -> Row:
        """Check, measure, key and encode one row.

        Raises:
            RowRejectedError: It cannot be stored; the message says which value is why, and ``detail`` is the path.
        """
        return cast("RowPlan", plan).row(values)

    def prepare_run(self, plan: Plan, rows: Sequence[tuple[Any, ...]]) -> list[Row]:
        """Do the same with many rows.

        Raises:
            Exception: One of them cannot be stored.
        """
        return cast("RowPlan", plan).rows(rows)

    def row_size(self, plan: Plan, row: Row) -> int:  # noqa: ARG002 - rows know
        """Return the bytes that a row takes in a request."""
        return len(row.request)

    def row_key(self, plan: Plan, row: Row) -> Hashable:  # noqa: ARG002
        """Return a row's key: numbers by value, text by its code points."""
        return row.key

    def row_plan(self, plan: Plan, row: Row) -> Plan:  # noqa: ARG002
        """Return what a row was made by: puts and deletes of any attributes share a batch."""
        return row.plan

    def row_mapping(self, plan: Plan, row: Row) -> Mapping[str, Any]:  # noqa: ARG002
        """Return a row as the caller gave it."""
        return row.plan.mapping(row.values)

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write one batch.

        Returns:
            A verdict for every row.

        Raises:
            MisconfigurationError: The backend is closed, or belongs to another event loop or process.
        """
        attempting = attempt.token = Attempting(self._open_parts(), attempt)
        return await attempting.reply()

    async def settle(self, attempt: Attempt) -> Reply:
        """Find out what became of an attempt that left rows doubtful, by sending them again.

        Returns:
            A verdict for every row.

        Raises:
            MisconfigurationError: The backend is closed, or belongs to another event loop or process.
        """
        attempting: Attempting | None = attempt.token
        if attempting is None:
            return Uniform(errors.given_up(self.table), len(attempt.rows))
        self._open_parts()
        return await attempting.settle()

    def _open_parts(self) -> Parts:
        if self._parts is None:
            self._refuse("the backend is not open")
        if asyncio.get_running_loop() is not self._loop:
            self._refuse("the backend belongs to the event loop on which it was opened: open one for each")
        if os.getpid() != self._process:
            self._refuse("the backend was opened before a fork: a connection must not be shared")
        return self._parts

    def _check_here(self) -> None:
        self._open_parts()

    def _refuse(self, message: str) -> NoReturn:
        errors.refuse(message, self.table)

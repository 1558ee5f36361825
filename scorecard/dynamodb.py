"""DynamoDB: ours, aioboto3's batch_writer, async-batcher's adapter, and a loop over aioboto3 by hand."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import aioboto3
from aiobotocore.config import AioConfig
from async_batcher.aws.dynamodb.write import AsyncDynamoDbWriteBatcher, WriteOperation

from bulkwriter.backends.dynamodb import DynamoDBBackend
from integration.dynamodb import FaultProxy, forward_to
from integration.eventually import eventually
from integration.servers.dynamodb_providers import provide_dynamodb
from integration.servers.dynamodb_scratch import dynamodb_scratch
from scorecard.adapters import Adapted
from scorecard.calls import make_row, make_rows
from scorecard.division import Division
from scorecard.loops import Loop
from scorecard.stage import NotApplicableError, Stage
from scorecard.ways import Ours, Way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from integration.dynamodb.proxy import Fault
    from integration.servers.dynamodb_scratch import DynamoDBScratch
    from integration.servers.registry import Servers
    from scorecard.calls import Call, Row

BATCH = 25
_TRIES = 8
_OFTEN = 4

# What AWS's documentation tells to use; the default does not try again after each kind of throttling.
_CONFIG = AioConfig(retries={"mode": "standard", "total_max_attempts": 10})
_RETRIES = '`Config(retries={"mode": "standard", "total_max_attempts": 10})`'


@dataclasses.dataclass(frozen=True)
class Place:
    """Where rows are written to.

    Attributes:
        scratch: Plain requests to the server.
        proxy: Before the server.
        table: The table's name.
        session: A session of aioboto3's.
    """

    scratch: DynamoDBScratch
    proxy: FaultProxy
    table: str
    session: Any

    def resource(self) -> Any:
        """Return a context for aioboto3's resource, as its documentation makes it."""
        return self.session.resource("dynamodb", endpoint_url=self.proxy.endpoint_url, verify=False, config=_CONFIG)


class OursOnDynamoDB(Ours):
    """A ``BulkWriter`` over a ``DynamoDBBackend``."""

    configured = f"`max_batch_size={BATCH}, concurrency=1`; all else by default"
    batch = BATCH

    def backend(self) -> DynamoDBBackend:
        """Return the backend."""
        place = self.place
        return DynamoDBBackend(place.session, place.table, endpoint_url=place.proxy.endpoint_url)


class BatchWriter(Way):
    """aioboto3's ``batch_writer``, used as documented: one task puts the rows; to leave the block is the answer."""

    name = "aioboto3: batch_writer"
    configured = (
        "`async with table.batch_writer(overwrite_by_pkeys=['id'], on_exit_loop_sleep=1)`, one task that puts every "
        f"row; all callers hear what comes of the block. {_RETRIES}"
    )
    has_callers = False

    async def open(self) -> None:
        """Make the resource."""
        self._stack = contextlib.AsyncExitStack()
        resource = await self._stack.enter_async_context(self.place.resource())
        self._table = await resource.Table(self.place.table)

    async def insert(self, row: Row) -> None:
        """Put one row in a block of its own."""
        await self._put_all([row])

    def begin(self, calls: Sequence[Call]) -> list[asyncio.Task[None]]:
        """Put all rows in one block."""
        return [asyncio.get_running_loop().create_task(self._call_all(calls))]

    async def stop(self) -> None:
        """Nothing is to be stopped."""

    async def close(self) -> None:
        """Close the resource."""
        await self._stack.aclose()

    async def _call_all(self, calls: Sequence[Call]) -> None:
        error: Exception | None = None
        try:
            await self._put_all([call.row for call in calls])
        except Exception as raised:  # noqa: BLE001 - whatever it is, it is what the callers hear
            error = raised
        for call in calls:
            call.error, call.has_returned = error, error is None

    async def _put_all(self, rows: Sequence[Row]) -> None:
        async with self._table.batch_writer(overwrite_by_pkeys=["id"], on_exit_loop_sleep=1) as writer:
            for row in rows:
                await writer.put_item(Item=row)


class Adapter(Adapted):
    """async-batcher's adapter."""

    name = "async-batcher: AsyncDynamoDbWriteBatcher"
    configured = "all by default (25 rows a batch), with the same session and configuration"

    def batcher(self) -> Any:
        """Return it."""
        place = self.place
        address = {"endpoint_url": place.proxy.endpoint_url, "verify": False, "config": _CONFIG}
        return AsyncDynamoDbWriteBatcher(aioboto3_session=place.session, **address)

    async def insert(self, row: Row) -> None:
        """Hand it over."""
        await super().insert(WriteOperation(operation="PUT", table_name=self.place.table, data=row))


class ResendingLoop(Loop):
    """A queue, and ``batch_write_item`` until nothing is left unprocessed."""

    name = "a loop: batch_write_item, resending"
    configured = (
        f"`asyncio.Queue`, 25 rows a call, `UnprocessedItems` sent again up to {_TRIES} times with growing pauses, as "
        "AWS's documentation tells; the same session and configuration"
    )
    batch = BATCH

    async def open(self) -> None:
        """Make the resource, and start."""
        self._stack = contextlib.AsyncExitStack()
        self._resource = await self._stack.enter_async_context(self.place.resource())
        await super().open()

    async def close(self) -> None:
        """Close the resource."""
        await self._stack.aclose()

    async def write(self, rows: list[Row]) -> Sequence[Exception | None]:
        """Put them, and those again that are left."""
        table = self.place.table
        puts = [{"PutRequest": {"Item": row}} for row in rows]
        for attempt in range(_TRIES):
            answer = await self._resource.batch_write_item(RequestItems={table: puts})
            puts = answer["UnprocessedItems"].get(table, [])
            if not puts:
                return [None] * len(rows)
            await asyncio.sleep(0.05 * 2**attempt)
        message = f"{len(puts)} items are still unprocessed"
        raise RuntimeError(message)


class DynamoDBStage(Stage):
    """A table on DynamoDB Local, behind a proxy that goes wrong where a scenario says."""

    replaces = True

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self._place: Place = way.place
        self.proxy: FaultProxy = self._place.proxy

    async def open(self) -> None:
        """Open the way of writing."""
        await self.open_way()

    async def stored(self) -> Iterable[Mapping[str, Any]]:
        """Return what is in the table."""
        return await self._place.scratch.rows(self._place.table)

    def plan(self, fault: Fault, times: int = 1) -> None:
        """Let so many requests, from the next on, meet a fault."""
        for _ in range(times):
            self.proxy.plan(fault)


async def bad_row(stage: DynamoDBStage) -> None:
    """One row of a hundred has an empty text for the key of an index, which DynamoDB refuses."""
    await stage.open()
    rows = make_rows(100)
    rows[57]["sort"] = ""
    await stage.write(rows)


async def same_key_twice(stage: DynamoDBStage) -> None:
    """Two rows of a batch have the same key; the later one is to stand."""
    await stage.open()
    await stage.write([*make_rows(12), make_row(3, name="row 3 again"), *(make_row(n) for n in range(12, 99))])


async def unprocessed(stage: DynamoDBStage) -> None:
    """The table is throttled: of the first four requests about half of the rows come back unprocessed (HTTP 200)."""
    await stage.open()
    stage.plan("unprocessed", _OFTEN)
    await stage.write()


async def two_writes_under_throttling(stage: DynamoDBStage) -> None:
    """Fifty keys are written twice while the table is throttled so; the later row of each is to stand."""
    await stage.open()
    stage.plan("unprocessed", _OFTEN)
    again = [make_row(number, name=f"row {number} again") for number in range(50)]
    await stage.write([*make_rows(50), *again])


async def refused(stage: DynamoDBStage) -> None:
    """The first three requests are refused as a whole (400, throttling)."""
    await stage.open()
    stage.plan("throttled", 3)
    await stage.write()


async def error_after(stage: DynamoDBStage) -> None:
    """The first request is applied, and answered by an error of the server (500)."""
    await stage.open()
    stage.plan("error_after")
    await stage.write()


async def reset_after(stage: DynamoDBStage) -> None:
    """The first request is applied, and the connection is cut before the answer."""
    await stage.open()
    stage.plan("reset_after")
    await stage.write()


async def callers_leave(stage: DynamoDBStage) -> None:
    """Ten callers of a batch that is in flight are cancelled, by a timeout of their own, say."""
    if not stage.way.has_callers:
        raise NotApplicableError
    await stage.open()
    requests = stage.proxy.calls["BatchWriteItem"]
    stage.proxy.chances = dataclasses.replace(stage.proxy.chances, slow=1.0, seconds=1.0)
    stage.begin()

    async def has_begun() -> bool:
        return stage.proxy.calls["BatchWriteItem"] > requests

    await eventually(has_begun)
    await stage.leave(range(0, 20, 2))
    await stage.finish()


async def stopped_while_rows_wait(stage: DynamoDBStage) -> None:
    """It is told to stop in good order while rows wait, and the program ends when it has."""
    if not stage.way.has_callers:
        raise NotApplicableError
    await stage.open()
    stage.proxy.chances = dataclasses.replace(stage.proxy.chances, slow=1.0, seconds=0.2)
    stage.begin()
    await asyncio.sleep(0)
    await stage.stop_and_end()


@contextlib.asynccontextmanager
async def stage(servers: Servers, way: type[Way]) -> AsyncIterator[DynamoDBStage]:
    """Make a table and a proxy for one scenario."""
    server = provide_dynamodb(servers)
    session = aioboto3.Session(
        aws_access_key_id="scorecard",
        aws_secret_access_key="scorecard",  # noqa: S106 - nobody checks it
        region_name="eu-central-1",
    )
    async with dynamodb_scratch(server) as made, FaultProxy(forward_to(server.endpoint_url)) as proxy:
        table = await made.create(partition="id:N", index="sort:S")
        yield DynamoDBStage(way(Place(made, proxy, table, session)))


DYNAMODB = Division(
    "DynamoDB",
    "A table with the key `id`, plain puts. A put takes the place of the item with its key: a row that was replaced by "
    "a later one counts as stored.",
    (OursOnDynamoDB, BatchWriter, Adapter, ResendingLoop),
    (
        bad_row,
        same_key_twice,
        unprocessed,
        two_writes_under_throttling,
        refused,
        error_after,
        reset_after,
        callers_leave,
        stopped_while_rows_wait,
    ),
    stage,
    ("aioboto3", "botocore", "async-batcher"),
)

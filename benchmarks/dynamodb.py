"""DynamoDB, side by side with aioboto3: against a stub that answers at once, DynamoDB Local, and a table that is full.

``python -m benchmarks.dynamodb``; what the numbers mean is in ``benchmarks/README.md``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from benchmarks import _raw_dynamodb as raw
from benchmarks._command import main
from benchmarks._loops import run_on
from benchmarks._report import Requirement, Section, compared, required
from benchmarks._rounds import Case, Stopwatch, interleaved
from benchmarks._stub_dynamodb import TABLE, counted, stub_server
from bulkwriter import BulkWriter
from bulkwriter.backends.dynamodb import DynamoDBBackend
from integration.dynamodb import FakeDynamoDB
from integration.servers.addresses import external_url
from integration.servers.dynamodb_binaries import installation
from integration.servers.dynamodb_process import DynamoDBProcess
from integration.servers.dynamodb_scratch import dynamodb_scratch
from integration.servers.site import Site
from tools.servers import install_servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from benchmarks._command import Size
    from benchmarks._rounds import Sample
    from bulkwriter.backends.dynamodb.options import Transport
    from integration.dynamodb.http import Answer, Request
    from integration.servers.dynamodb_scratch import DynamoDBScratch, Endpoint

    Write: TypeAlias = Callable[[Any, Sequence[Any]], Awaitable[None]]
    Access: TypeAlias = Callable[[str], AbstractAsyncContextManager[Any]]

CALLERS = 2000
OVERLOAD = 50

BATCH_WRITER, CLIENT, READY = "aioboto3 batch_writer", "bare client", "bare client, ready bodies"
SIGNED = "aiohttp, signed by hand"
MANY, INSERT = "insert_many", "insert from tasks"
MANY_BY_CLIENT, INSERT_BY_CLIENT = "insert_many, by the client", "insert from tasks, by the client"
SERIALIZER, PREPARED = "boto3 serializer, json.dumps", "prepare: checked, measured, keyed, encoded"


def _writer(transport: Transport) -> Access:
    @contextlib.asynccontextmanager
    async def access(endpoint_url: str) -> AsyncIterator[BulkWriter[Any]]:
        backend = DynamoDBBackend(raw.session(), TABLE, endpoint_url=endpoint_url, transport=transport)
        async with BulkWriter[Any](backend) as writer:
            yield writer

    return access


async def _insert_many(writer: BulkWriter[Any], rows: Sequence[Any]) -> None:
    report = await writer.insert_many(rows)
    assert report.counts.stored == len(rows)


async def _insert(writer: BulkWriter[Any], rows: Sequence[Any]) -> None:
    async def call(part: Sequence[Any]) -> None:
        for each in part:
            await writer.insert(each)

    await asyncio.gather(*(call(rows[place::CALLERS]) for place in range(CALLERS)))


WAYS: dict[str, tuple[Access, Write]] = {
    BATCH_WRITER: (raw.table_of, raw.batch_writers),
    CLIENT: (raw.client_to, raw.through_client),
    READY: (raw.client_to, raw.with_ready_bodies),
    SIGNED: (raw.signed_requests_to, raw.with_signed_requests),
    MANY: (_writer("direct"), _insert_many),
    INSERT: (_writer("direct"), _insert),
    MANY_BY_CLIENT: (_writer("client"), _insert_many),
    INSERT_BY_CLIENT: (_writer("client"), _insert),
}


def stub(size: Size) -> Iterator[Section]:
    """Compare against a stub that answers at once: all of the time is the client's."""
    rows = [raw.row(number) for number in range(size.pick(tiny=200, full=10_000))]
    with stub_server() as endpoint_url:
        cases = [Case(name, _measured(endpoint_url, *way, rows)) for name, way in WAYS.items()]
        measured = interleaved(cases, size.rounds)
    section = compared(measured, {"batch_writer": BATCH_WRITER, "ready": READY, "signed": SIGNED}, "row")
    section.title = f"{len(rows):,} rows of ten attributes, {raw.STREAMS} requests at once, a stub that answers at once"
    for mine, least in ((MANY, 15.0), (INSERT, 15.0), (MANY_BY_CLIENT, 6.0), (INSERT_BY_CLIENT, 6.0)):
        section.requirements.append(required(measured[mine], measured[BATCH_WRITER], least))
    section.requirements.append(required(measured[MANY], measured[SIGNED], 0.8))
    section.requirements.append(required(measured[MANY_BY_CLIENT], measured[READY], 0.8))
    yield section


def preparing(size: Size) -> Iterator[Section]:
    """Compare what is done to a row before it is sent."""
    rows = [raw.row(number) for number in range(size.pick(tiny=200, full=20_000))]
    with stub_server() as endpoint_url:
        cases = [
            Case(SERIALIZER, lambda: _serialized(rows)),
            Case(PREPARED, lambda: run_on(asyncio.new_event_loop, _prepared(endpoint_url, rows))),
        ]
        measured = interleaved(cases, size.rounds)
    section = compared(measured, {"serializer": SERIALIZER}, "row")
    section.title = f"{len(rows):,} rows made ready to be sent"
    # At most 0.7 of the time.
    section.requirements.append(required(measured[PREPARED], measured[SERIALIZER], 1 / 0.7))
    yield section


def local(size: Size) -> Iterator[Section]:
    """Compare on DynamoDB Local, which stores the rows and is itself what limits the faster ways."""
    rows = [raw.row(number) for number in range(size.pick(tiny=100, full=3000))]
    with _server() as server:
        ways = {name: WAYS[name] for name in (BATCH_WRITER, READY, MANY, MANY_BY_CLIENT)}
        cases = [Case(name, _stored(server, *way, rows)) for name, way in ways.items()]
        measured = interleaved(cases, size.rounds)
    section = compared(measured, {"batch_writer": BATCH_WRITER, "ready": READY}, "row")
    section.title = f"{len(rows):,} rows of ten attributes, {raw.STREAMS} requests at once, DynamoDB Local"
    section.requirements.append(required(measured[MANY], measured[BATCH_WRITER], 2.0))
    yield section


def overload(size: Size) -> Iterator[Section]:
    """Hand over at once what a table takes in 50 seconds."""
    units = size.pick(tiny=40, full=400)
    rows = [raw.row(number) for number in range(size.pick(tiny=100, full=OVERLOAD * units))]
    title = f"{len(rows):,} rows at once, for a table of {units} units a second (one run each)"
    section = Section(title, ["", "attempts/row", "of capacity"])
    for name in (MANY, BATCH_WRITER):
        attempts, share = run_on(asyncio.new_event_loop, _overloaded(*WAYS[name], rows, units))
        section.rows.append([name, f"{attempts:.2f}", f"{share:.1%}"])
        if name == MANY:
            section.requirements.append(Requirement(f"attempts a row, {name}", attempts, 1.1, unit="", is_most=True))
            section.requirements.append(Requirement(f"share of the capacity, {name}", share, 0.95, unit=""))
    yield section


class _Counting(FakeDynamoDB):
    """One that counts the rows that it is asked to write."""

    asked = 0

    async def answer(self, request: Request) -> Answer:
        self.asked += request.body.count(b'"PutRequest"')
        return await super().answer(request)


async def _overloaded(access: Access, write: Write, rows: Sequence[Any], units: int) -> tuple[float, float]:
    """Return how often each row was asked for, and how much of what the table takes was used."""
    async with _Counting() as server, dynamodb_scratch(server) as scratch:
        await _make_table(scratch)
        async with access(server.endpoint_url) as opened:
            server.throttle(TABLE, units)
            with Stopwatch() as watch:
                await write(opened, rows)
        assert len(server.tables[TABLE].items) == len(rows), "every row is stored"
    return server.asked / len(rows), len(rows) / (units * watch.sample(len(rows)).wall)


def _measured(endpoint_url: str, access: Access, write: Write, rows: Sequence[Any]) -> Callable[[], Sample]:
    async def work() -> Sample:
        async with access(endpoint_url) as opened:
            with Stopwatch() as watch:
                await write(opened, rows)
        return watch.sample(len(rows))

    def run() -> Sample:
        sample = run_on(asyncio.new_event_loop, work())
        assert counted(endpoint_url) == len(rows), "every row is sent, and once"
        return sample

    return run


def _stored(server: Endpoint, access: Access, write: Write, rows: Sequence[Any]) -> Callable[[], Sample]:
    async def work() -> Sample:
        async with dynamodb_scratch(server) as scratch:
            await _make_table(scratch)
            async with access(server.endpoint_url) as opened:
                with Stopwatch() as watch:
                    await write(opened, rows)
            assert len(await scratch.items(TABLE)) == len(rows), "every row is stored"
            await scratch.call("DeleteTable", TableName=TABLE)
        return watch.sample(len(rows))

    return lambda: run_on(asyncio.new_event_loop, work())


async def _make_table(scratch: DynamoDBScratch) -> None:
    await scratch.call(
        "CreateTable",
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def _serialized(rows: Sequence[Any]) -> Sample:
    with Stopwatch() as watch:
        assert raw.serialized(rows)
    return watch.sample(len(rows))


async def _prepared(endpoint_url: str, rows: Sequence[Any]) -> Sample:
    backend = DynamoDBBackend(raw.session(), TABLE, endpoint_url=endpoint_url)
    await backend.open()
    plan = backend.plan("insert", tuple(rows[0]))
    values = [tuple(each.values()) for each in rows]
    with Stopwatch() as watch:
        for each in values:
            row = backend.prepare(plan, each)
            backend.row_size(plan, row)
            backend.row_key(plan, row)
    await backend.close()
    return watch.sample(len(rows))


@dataclasses.dataclass(frozen=True)
class _Named:
    """A server that the environment names."""

    endpoint_url: str

    def revive(self) -> None:
        """Leave it as it is."""


@contextlib.contextmanager
def _server() -> Iterator[Endpoint]:
    """Yield the server that the environment names, or one that is started until the end.

    Raises:
        SystemExit: There is none.
    """
    address = external_url("dynamodb")
    if address is not None:
        yield _Named(address)
        return
    if installation() is None:
        install_servers()
    found = installation()
    if found is None:
        message = "no DynamoDB Local here: name one in BULKWRITER_TEST_DYNAMODB_URL, or install Java and npm"
        raise SystemExit(message)
    site = Site.make()
    try:
        server = DynamoDBProcess(found, site)
        server.start()
        yield server
    finally:
        site.close()


if __name__ == "__main__":
    main("dynamodb", __doc__ or "", {"stub": stub, "preparing": preparing, "local": local, "overload": overload})

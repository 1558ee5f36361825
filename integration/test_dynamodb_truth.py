"""What callers are told when requests are throttled, refused, cut off or answered late: always what is so.

Each run draws rows, deletes and faults by chance from its seed, and ends with a look into the table. How many there are
is for the environment to say: ``BULKWRITER_TEST_DYNAMODB_RUNS`` against the fake (10,000 take hours),
``BULKWRITER_TEST_DYNAMODB_LOCAL_RUNS`` against DynamoDB Local.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import (
    BackendUnavailableError,
    BulkWriter,
    BulkWriterError,
    OutcomeUnknownError,
    RetryPolicy,
    RowRejectedError,
    ThrottledError,
    UniqueViolationError,
    WriteResult,
)
from bulkwriter.backends.dynamodb import DynamoDBBackend
from bulkwriter.testing.conformance.told import Telling, assert_told_equals_stored, replace_row
from integration.attempts import told
from integration.dynamodb import Chances, FakeDynamoDB, FaultProxy, forward_to
from integration.dynamodb.proxy import KINDS
from integration.dynamodb_tables import client_to, looked_at, session
from integration.eventually import eventually
from integration.servers.dynamodb_providers import provide_dynamodb
from integration.servers.dynamodb_scratch import dynamodb_scratch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.backends.dynamodb.options import Transport
    from integration.dynamodb.proxy import Fault
    from integration.servers.dynamodb_providers import AnyDynamoDB
    from integration.servers.dynamodb_scratch import DynamoDBScratch
    from integration.servers.registry import Servers

RUNS = int(os.environ.get("BULKWRITER_TEST_DYNAMODB_RUNS", "100"))
LOCAL_RUNS = int(os.environ.get("BULKWRITER_TEST_DYNAMODB_LOCAL_RUNS", "20"))
PORTIONS = 5
"""Tests that the runs are shared out among, so that a failure names its own."""

QUICK = RetryPolicy(max_attempts=1_000_000, max_time=40, initial_backoff=0.0005, max_backoff=0.005)
HASTY = RetryPolicy(max_attempts=3, max_time=0.05, attempt_timeout=0.02, initial_backoff=0.0005, max_backoff=0.005)
POLICIES = ("update", "error", "skip")
CERTAIN: tuple[Fault, ...] = ("unprocessed", "throttled", "reset_before")


@dataclasses.dataclass
class Stage:
    """A proxy that goes wrong, tables behind it, and a client before it.

    Attributes:
        proxy: Before the fake or DynamoDB Local.
        scratch: By which the test looks into its tables, behind the proxy.
        client: Given to backends.
        transport: Who makes the requests.
    """

    proxy: FaultProxy
    scratch: DynamoDBScratch
    client: Any
    transport: Transport


@contextlib.asynccontextmanager
async def before_the_fake(transport: Transport) -> AsyncIterator[Stage]:
    """Set the stage before the fake."""
    async with (
        FakeDynamoDB() as server,
        dynamodb_scratch(server) as scratch,
        FaultProxy(server.answer) as proxy,
        client_to(proxy.endpoint_url) as client,
    ):
        yield Stage(proxy, scratch, client, transport)


@contextlib.asynccontextmanager
async def before_a_server(server: AnyDynamoDB, transport: Transport) -> AsyncIterator[Stage]:
    """Set the stage before a server."""
    async with (
        dynamodb_scratch(server) as scratch,
        FaultProxy(forward_to(server.endpoint_url)) as proxy,
        client_to(proxy.endpoint_url) as client,
    ):
        yield Stage(proxy, scratch, client, transport)


@pytest.fixture(params=["client", "direct"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """The fake behind a proxy, written to in each way."""
    async with before_the_fake(request.param) as made:
        yield made


@pytest.fixture(params=["client", "direct"])
async def local(request: pytest.FixtureRequest, dynamodb_server: AnyDynamoDB) -> AsyncIterator[Stage]:
    """DynamoDB Local behind a proxy, written to in each way."""
    async with before_a_server(dynamodb_server, request.param) as made:
        yield made


@pytest.fixture(params=[("fake", "client"), ("local", "client"), ("local", "direct")], ids=", ".join)
async def stage(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Stage]:
    """Each in turn."""
    where, transport = request.param
    staged = before_the_fake(transport) if where == "fake" else before_a_server(provide_dynamodb(servers), transport)
    async with staged as made:
        yield made


@contextlib.asynccontextmanager
async def writing(stage: Stage, table: str, *, retry: RetryPolicy = QUICK, **options: Any) -> AsyncIterator[Any]:
    """Open a writer, before anything goes wrong, and stop it afterwards."""
    writer_options = {
        name: options.pop(name) for name in ("concurrency", "max_batch_size", "coalesce") if name in options
    }
    backend = DynamoDBBackend(stage.client, table, **{"transport": stage.transport, **options})
    async with BulkWriter[Any](backend, retry=retry, **writer_options) as writer:
        assert backend.transport == stage.transport
        yield writer


async def answers_of(writer: BulkWriter[Any], rows: list[dict[str, Any]]) -> list[Any]:
    """Write rows that arrive together, and return what each caller heard."""
    return list(await asyncio.gather(*(writer.submit(row) for row in rows), return_exceptions=True))


@contextlib.asynccontextmanager
async def slow_table(units: int) -> AsyncIterator[tuple[Any, DynamoDBScratch, str]]:
    """Yield a client, what looks into tables, and a table of so many units a second."""
    async with (
        FakeDynamoDB() as server,
        dynamodb_scratch(server) as scratch,
        client_to(server.endpoint_url) as client,
    ):
        table = await scratch.create()
        server.throttle(table, units)
        yield client, scratch, table


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the limit high: where throttling has nothing to do with the rate, this would fall for ever."""
    monkeypatch.setattr("bulkwriter.backends.dynamodb.limit._LEAST", 10_000.0)


@pytest.mark.usefixtures("steady")
class TestByChance:
    """Whatever goes wrong in whatever order, the table is as the callers were told."""

    @pytest.mark.timeout(3600)
    @pytest.mark.parametrize("portion", range(PORTIONS))
    async def test_the_fake_ends_as_callers_were_told(self, fake: Stage, portion: int) -> None:
        """Thousands of short runs, in each way half of them."""
        for seed in range(2 * portion + (fake.transport == "direct"), RUNS, 2 * PORTIONS):
            await _run(fake, seed)

    @pytest.mark.timeout(3600)
    async def test_dynamodb_local_ends_as_callers_were_told(self, local: Stage) -> None:
        """Fewer, on the real rules."""
        for seed in range(local.transport == "direct", LOCAL_RUNS, 2):
            await _run(local, seed)


async def _run(stage: Stage, seed: int) -> None:
    """Write, delete and be disturbed, and compare what was told with what is stored."""
    chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
    on_conflict = chance.choice(POLICIES)
    table = await stage.scratch.create()
    retry = chance.choice([QUICK, QUICK, HASTY])
    options: dict[str, Any] = {"concurrency": chance.choice([1, 3, 16]), "max_batch_size": chance.choice([1, 3, 25])}
    over_its_own = stage.transport == "client" and seed % 4 == 0
    try:
        with looked_at(stage.client) if over_its_own else contextlib.nullcontext():
            async with writing(stage, table, retry=retry, on_conflict=on_conflict, **options) as writer:
                stage.proxy.chances = _drawn_chances(chance)
                tellings = await _tell(writer, chance, on_conflict)
                assert writer.statistics().is_balanced
        stage.proxy.chances = Chances()
        stored = await stage.scratch.rows(table)
        assert_told_equals_stored(tellings, stored, replace_row)
        _check_conflicts(tellings)
    except AssertionError as error:
        error.add_note(f"seed {seed}, {on_conflict}, {options}, {retry}")
        raise
    finally:
        stage.proxy.chances = Chances()


def _drawn_chances(chance: random.Random) -> Chances:
    """Return a trouble of some of its kinds; together they leave a third of the requests alone."""
    kinds = chance.sample(KINDS, chance.randint(1, len(KINDS)))
    return Chances(**{kind: 0.65 / len(kinds) for kind in kinds}, seconds=0.005, share=chance.random())


async def _tell(writer: BulkWriter[Any], chance: random.Random, on_conflict: Any) -> list[Telling]:
    """Write and delete rows of few keys, some together and some apart, and return what each caller heard."""
    tellings: list[Telling] = []
    tasks = []
    deletes = 0.2 if on_conflict == "update" else 0.0
    for number in range(chance.choice([5, 20, 60])):
        row = {"id": f"key {chance.randrange(12)}", "name": f"row {number}"}
        telling = Telling(row, on_conflict, is_delete=chance.random() < deletes)
        if telling.is_delete:
            telling.row = {"id": row["id"]}
        tellings.append(telling)
        tasks.append(asyncio.create_task(_ask(writer, telling)))
        # A turn of the loop for each, so that rows are accepted in the order in which they are noted here.
        await asyncio.sleep(chance.choice([0, 0, 0, 0.001]))
    await asyncio.gather(*tasks)
    return tellings


async def _ask(writer: BulkWriter[Any], telling: Telling) -> None:
    call = writer.delete(telling.row["id"]) if telling.is_delete else writer.insert(telling.row)
    try:
        telling.answer = await call
    except BulkWriterError as error:
        telling.answer = error


def _check_conflicts(tellings: list[Telling]) -> None:
    """Check that who heard of a row in his way had another caller's there that is stored, or may be.

    It may be one that was accepted later: plain inserts keep their order within a batch alone.
    """
    may_be_there = {t.row["id"] for t in tellings if isinstance(t.answer, WriteResult | OutcomeUnknownError)}
    for telling in tellings:
        if isinstance(telling.answer, RowRejectedError):
            assert isinstance(telling.answer, UniqueViolationError), telling.answer
            assert telling.row["id"] in may_be_there, f"a false conflict of {telling.row}"


class TestLastWrite:
    """The last accepted write of a key is the one that stands."""

    @pytest.mark.parametrize("fault", KINDS)
    async def test_an_update_that_is_repeated_overwrites_no_newer_one(self, fake: Stage, fault: Fault) -> None:
        """It is settled before the next of its key is sent."""
        table = await fake.scratch.create()
        async with writing(fake, table) as writer:
            fake.proxy.plan(fault)
            answers = await answers_of(writer, [{"id": "a", "v": number} for number in range(5)])
        assert told(answers) == ["stored"] * 5
        assert await fake.scratch.rows(table) == [{"id": "a", "v": 4}]
        assert fake.proxy.happened.total() == 1

    async def test_what_came_back_goes_before_what_came_later(self, fake: Stage) -> None:
        """Hundreds of keys, each written again while the first may be waiting."""
        table = await fake.scratch.create()
        fake.proxy.chances = Chances(unprocessed=0.7)
        async with writing(fake, table) as writer:
            rows = [{"id": str(key), "v": turn} for turn in range(4) for key in range(60)]
            answers = await answers_of(writer, rows)
        assert told(answers) == ["stored"] * len(rows)
        assert {row["v"] for row in await fake.scratch.rows(table)} == {3}


class TestConflicts:
    """Nobody is told of a conflict with himself."""

    @pytest.mark.parametrize("fault", ["error_after", "reset_after", "truncated"])
    @pytest.mark.parametrize("policy", ["error", "skip"])
    async def test_a_lost_acknowledgement_is_no_conflict(self, stage: Stage, policy: Any, fault: Fault) -> None:
        """The row in the way is one's own."""
        table = await stage.scratch.create()
        async with writing(stage, table, on_conflict=policy) as writer:
            stage.proxy.plan(fault)
            (answer,) = await answers_of(writer, [{"id": "a", "v": 1}])
        assert told([answer]) == [{"error": "OutcomeUnknown", "skip": "stored"}[policy]]
        assert await stage.scratch.rows(table) == [{"id": "a", "v": 1}]

    @pytest.mark.parametrize("fault", ["error_after", "reset_after", "truncated"])
    @pytest.mark.parametrize("policy", ["error", "skip"])
    async def test_with_a_token_it_is_known_to_be_inserted(self, stage: Stage, policy: Any, fault: Fault) -> None:
        """Whoever else may have put the same values."""
        table = await stage.scratch.create()
        async with writing(stage, table, on_conflict=policy, write_token="token") as writer:  # noqa: S106 - no password
            stage.proxy.plan(fault)
            answers = await answers_of(writer, [{"id": "a", "v": 1}])
            answers += await answers_of(writer, [{"id": "a", "v": 1}])
        assert told(answers) == ["inserted", {"error": "UniqueViolation", "skip": "skipped"}[policy]]

    @pytest.mark.parametrize("policy", ["error", "skip"])
    async def test_a_true_conflict_is_told_in_all_trouble(self, stage: Stage, policy: Any) -> None:
        """With another row, which is left as it was; without a token it might be one's own, changed since."""
        table = await stage.scratch.create()
        await stage.scratch.call("PutItem", TableName=table, Item={"id": {"S": "a"}, "v": {"S": "another's"}})
        async with writing(stage, table, on_conflict=policy) as writer:
            stage.proxy.plan("reset_before", "error_after", "throttled")
            answers = await answers_of(writer, [{"id": "a", "v": 1}])
        assert told(answers) == [{"error": "OutcomeUnknown", "skip": "skipped"}[policy]]
        assert await stage.scratch.rows(table) == [{"id": "a", "v": "another's"}]


class TestThrottling:
    """Rows wait for the server, and not longer than they may."""

    @pytest.mark.usefixtures("steady")
    async def test_who_is_throttled_to_the_end_is_not_written(self, stage: Stage) -> None:
        """And is told so by its own error, for that is certain."""
        table = await stage.scratch.create()
        stage.proxy.chances = Chances(throttled=1.0)
        async with writing(stage, table, retry=RetryPolicy(max_time=0.3, max_backoff=0.05)) as writer:
            answers = await answers_of(writer, [{"id": str(number)} for number in range(60)])
        assert told(answers) == ["Throttled"] * 60
        assert all(isinstance(answer, ThrottledError) and answer.safe_to_retry for answer in answers)
        assert await stage.scratch.rows(table) == []

    @pytest.mark.parametrize(
        ("units", "rows", "policy", "retry"),
        [
            (400, 600, "update", RetryPolicy()),
            # Fewer units a second than a batch takes, and each batch comes back many times.
            (20, 80, "update", RetryPolicy()),
            (20, 80, "skip", RetryPolicy()),
            # The queue takes longer than the time that a row is tried.
            (200, 600, "update", RetryPolicy(max_attempts=100, max_time=1, max_backoff=0.05)),
            # To wait for the table overruns no attempt.
            (20, 80, "update", RetryPolicy(attempt_timeout=1)),
        ],
        ids=["slow", "small", "small, single puts", "long queue", "short attempts"],
    )
    async def test_rows_of_a_slow_table_all_arrive(
        self, units: int, rows: int, policy: Any, retry: RetryPolicy
    ) -> None:
        """Each is stored in the end, and its caller knows."""
        async with slow_table(units) as (client, scratch, table):
            backend = DynamoDBBackend(client, table, on_conflict=policy)
            async with BulkWriter[Any](backend, retry=retry) as writer:
                answers = await answers_of(writer, [{"id": str(number)} for number in range(rows)])
            assert told(answers) == ["stored" if policy == "update" else "inserted"] * rows
            assert len(await scratch.rows(table)) == rows

    async def test_who_is_stopped_while_the_table_is_slow_was_not_sent(self) -> None:
        """All but the few that are being sent in that very moment: nothing waits for the table within an attempt."""
        async with slow_table(20) as (client, scratch, table):
            async with BulkWriter[Any](DynamoDBBackend(client, table)) as writer:
                call = asyncio.ensure_future(answers_of(writer, [{"id": str(number)} for number in range(400)]))
                await eventually(lambda: _has_rows(scratch, table, 10))
                await writer.stop(force=True)
                answers = await call
            heard = collections.Counter(told(answers))
            stored = {row["id"] for row in await scratch.rows(table)}
            assert {str(number) for number, each in enumerate(told(answers)) if each == "stored"} <= stored
            assert heard["stored"] <= len(stored) <= heard["stored"] + heard["OutcomeUnknown"]
            assert heard["BatcherStopped"] >= 300
            assert heard["stored"] + heard["OutcomeUnknown"] + heard["BatcherStopped"] == 400


class TestTheServer:
    """Stopped, killed and held, while rows keep coming."""

    @pytest.mark.parametrize("how", ["restart", "kill"])
    async def test_a_server_that_ends(self, dynamodb_on_disk: DynamoDBScratch, how: str) -> None:
        """Puts may be repeated, so nothing is unknown when it is back."""
        server, table = dynamodb_on_disk.server, await dynamodb_on_disk.create()
        backend = DynamoDBBackend(session(), table, endpoint_url=server.endpoint_url)
        async with BulkWriter[Any](backend, retry=QUICK) as writer:
            call = asyncio.ensure_future(_keep_writing(writer))
            await eventually(lambda: dynamodb_on_disk.items(table))
            await asyncio.to_thread(getattr(server, how))
            await asyncio.to_thread(server.revive)
            answers = await call
        assert told(answers) == ["stored"] * len(answers)
        assert len(await dynamodb_on_disk.rows(table)) == len(answers)

    async def test_a_server_that_does_not_come_back(self, dynamodb: DynamoDBScratch) -> None:
        """It is told as out of reach, and no row as bad."""
        server, table = dynamodb.server, await dynamodb.create()
        backend = DynamoDBBackend(session(), table, endpoint_url=server.endpoint_url)
        async with BulkWriter[Any](backend, retry=RetryPolicy(max_time=0.5, max_backoff=0.1)) as writer:
            await answers_of(writer, [{"id": "a"}])
            await asyncio.to_thread(server.stop)
            answers = await answers_of(writer, [{"id": str(number)} for number in range(5)])
        assert told(answers) == ["BackendUnavailable"] * 5
        assert all(isinstance(answer, BackendUnavailableError) for answer in answers)

    async def test_who_waits_for_a_held_server_hears_in_time(self, dynamodb: DynamoDBScratch) -> None:
        """That the row may be stored, and it may be; when the server goes on, so does the writer."""
        server, table = dynamodb.server, await dynamodb.create()
        backend = DynamoDBBackend(session(), table, endpoint_url=server.endpoint_url)
        async with BulkWriter[Any](backend, retry=QUICK) as writer:
            await answers_of(writer, [{"id": "a"}])
            server.pause()
            with pytest.raises(OutcomeUnknownError):
                await writer.insert({"id": "b"}, timeout=0.2)
            server.resume()
            assert told(await answers_of(writer, [{"id": "b"}, {"id": "c"}])) == ["stored"] * 2
        assert {row["id"] for row in await dynamodb.rows(table)} == {"a", "b", "c"}


async def _has_rows(scratch: DynamoDBScratch, table: str, rows: int) -> bool:
    return len(await scratch.rows(table)) >= rows


async def _keep_writing(writer: BulkWriter[Any]) -> list[Any]:
    answers: list[Any] = []
    # Not many: each row that is kept on disk is waited for until it is there.
    for turn in range(12):
        answers += await answers_of(writer, [{"id": f"{turn} {number}"} for number in range(10)])
        await asyncio.sleep(0.01)
    return answers

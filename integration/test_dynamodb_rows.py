"""What becomes of rows on DynamoDB: each value as it was given, each bad row alone, each key once in a request."""

from __future__ import annotations

import asyncio
import dataclasses
import decimal
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import (
    BulkWriter,
    InvalidValueError,
    MisconfigurationError,
    Outcome,
    RowRejectedError,
    RowTooLargeError,
    connect,
)
from bulkwriter.backends.dynamodb import DynamoDBBackend
from integration.attempts import told
from integration.dynamodb import FaultProxy, forward_to
from integration.dynamodb_tables import REGION, client_to, opened, session

if TYPE_CHECKING:
    from integration.servers.dynamodb_scratch import DynamoDBScratch

GOOD: dict[str, Any] = {
    "text": "héllo \U0001f600",
    "empty": "",
    "whole": 12345678901234567890,
    "negative": -7,
    "decimal": decimal.Decimal("1.50"),
    "true": True,
    "nothing": None,
    "bytes": b"\x00\xff",
    "texts": {"a", "b"},
    "numbers": {1, decimal.Decimal("2.5")},
    "many bytes": {b"a", b"b"},
    "list": [1, "a", None, [True]],
    "map": {"a": {"b": [decimal.Decimal("0.1")]}},
}

BAD: dict[str, Any] = {
    "an empty set": {"v": set()},
    "an empty set within": {"v": {"a": [1, set()]}},
    "39 digits": {"v": int("1" * 39)},
    "infinity": {"v": decimal.Decimal("-Infinity")},
    "not a number": {"v": decimal.Decimal("sNaN")},
    "too large a number": {"v": decimal.Decimal("1E126")},
    "too small a number": {"v": decimal.Decimal("1E-131")},
    "half of a surrogate pair": {"v": "\ud800"},
    "an empty name": {"v": {"": 1}},
    "an object": {"v": object()},
    "an index's key of another type": {"other": 1},
    "an index's key that is empty": {"other": ""},
    "an index's key that is null": {"other": None},
    "an index's key of 2049 bytes": {"other": "x" * 2049},
    "no sort key": {"n": ...},
    "a sort key of another type": {"n": "1"},
    "an empty partition key": {"id": ""},
    "a partition key of 2049 bytes": {"id": "x" * 2049},
}


@pytest.fixture
async def table(dynamodb: DynamoDBScratch) -> str:
    """The name of a table with both kinds of keys, and an index."""
    return await dynamodb.create(sort="n:N", index="other:S")


@pytest.fixture
def endpoint_url(dynamodb: DynamoDBScratch) -> str:
    """Where it is."""
    url: str = dynamodb.server.endpoint_url
    return url


class TestValues:
    """What DynamoDB can hold is held, and what it cannot is refused before it spoils a batch."""

    @pytest.mark.parametrize("name", GOOD)
    async def test_a_value_is_read_as_it_was_given(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str, name: str
    ) -> None:
        """No float is made of a number, and no list of a set."""
        row = {"id": "a", "n": 1, name: GOOD[name]}
        async with opened(endpoint_url, table) as backend:
            assert told(await backend.process_batch([row])) == ["stored"]
        assert await dynamodb.rows(table) == [row]

    @pytest.mark.parametrize("name", BAD)
    async def test_a_bad_row_is_refused_alone(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str, name: str
    ) -> None:
        """Its neighbours are stored, in the one request that they would have made without it."""
        rows: list[dict[str, Any]] = [{"id": "a", "n": number} for number in range(10)]
        bad = {**rows[4], **BAD[name]}
        rows[4] = {column: value for column, value in bad.items() if value is not ...}
        async with (
            FaultProxy(forward_to(endpoint_url)) as proxy,
            opened(proxy.endpoint_url, table) as backend,
        ):
            answers = await backend.process_batch(rows)
        assert isinstance(answers[4], RowRejectedError)
        assert told(answers[:4] + answers[5:]) == ["stored"] * 9
        assert proxy.calls["BatchWriteItem"] == 1
        assert sorted(row["n"] for row in await dynamodb.rows(table)) == [0, 1, 2, 3, 5, 6, 7, 8, 9]

    async def test_the_message_says_where_the_bad_value_is_and_not_what_it_is(
        self, table: str, endpoint_url: str
    ) -> None:
        """By the path to it."""
        async with opened(endpoint_url, table) as backend:
            (answer,) = await backend.process_batch([{"id": "a", "n": 1, "v": {"deep": ["s3cret", set()]}}])
        assert isinstance(answer, InvalidValueError)
        assert "deep" in f"{answer} {answer.detail}"
        assert "s3cret" not in str(answer)

    async def test_a_row_is_good_to_the_last_byte(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str
    ) -> None:
        """By the measure that the service has, in which a digit is half a byte."""
        largest = 409_600 - len("idanvw") - 2 - 5
        rows = [
            {"id": "a", "n": 1, "v": "x" * size, "w": decimal.Decimal("-123.45")} for size in (largest, largest + 1)
        ]
        async with opened(endpoint_url, table) as backend:
            answers = await backend.process_batch(rows[1:])
            assert isinstance(answers[0], RowTooLargeError)
            assert told(await backend.process_batch(rows[:1])) == ["stored"]
        assert len(await dynamodb.rows(table)) == 1


class TestBatches:
    """How rows are packed into requests."""

    async def test_rows_that_grow_as_json_are_split(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str
    ) -> None:
        """25 rows of which each is good are more than a request may have."""
        rows = [{"id": "a", "n": number, "v": '"' * 400_000} for number in range(25)]
        async with BulkWriter[Any](DynamoDBBackend(session(), table, endpoint_url=endpoint_url)) as writer:
            report = await writer.insert_many(rows)
        assert report.counts.stored == 25
        assert len(await dynamodb.items(table)) == 25

    async def test_numbers_that_are_equal_are_one_key(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str
    ) -> None:
        """However they are written: the last one stands, and no request has two of them."""
        numbers = [1, decimal.Decimal("1.0"), decimal.Decimal("1E0"), decimal.Decimal("100E-2")]
        rows = [{"id": "a", "n": number, "v": place} for place, number in enumerate(numbers)]
        async with opened(endpoint_url, table) as backend:
            assert told(await backend.process_batch(rows)) == ["stored"] * 4
        assert await dynamodb.rows(table) == [{"id": "a", "n": 1, "v": 3}]

    async def test_puts_and_deletes_keep_their_order(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str
    ) -> None:
        """A key may be given as a mapping or as a tuple."""
        async with BulkWriter[Any](DynamoDBBackend(session(), table, endpoint_url=endpoint_url)) as writer:
            calls = [
                writer.insert({"id": "a", "n": 1, "v": "first"}),
                writer.delete(("a", 1)),
                writer.insert({"id": "b", "n": 1}),
                writer.delete({"n": 1, "id": "b"}),
                writer.insert({"id": "a", "n": 1, "w": "second"}),
            ]
            answers = await asyncio.gather(*calls)
        assert told(answers) == ["stored", "deleted", "stored", "deleted", "stored"]
        assert await dynamodb.rows(table) == [{"id": "a", "n": 1, "w": "second"}]

    async def test_rows_of_many_shapes_share_a_request(self, dynamodb: DynamoDBScratch, table: str) -> None:
        """An attribute that a row leaves out needs no request of its own."""
        async with (
            FaultProxy(forward_to(dynamodb.server.endpoint_url)) as proxy,
            opened(proxy.endpoint_url, table) as backend,
        ):
            rows = [{"id": "a", "n": number, f"attribute {number}": 1} for number in range(25)]
            assert told(await backend.process_batch(rows)) == ["stored"] * 25
        assert proxy.calls["BatchWriteItem"] == 1


class TestTold:
    """Inserted, updated, skipped or in the way."""

    async def test_an_insert_is_told_from_an_update(self, table: str, endpoint_url: str) -> None:
        """By a put of its own."""
        async with opened(endpoint_url, table, tells_updated=True) as backend:
            rows = [{"id": "a", "n": 1}, {"id": "a", "n": 1, "v": 2}, {"id": "b", "n": 1}]
            assert told(await backend.process_batch(rows)) == ["inserted", "updated", "inserted"]

    @pytest.mark.parametrize(("policy", "word"), [("error", "UniqueViolation"), ("skip", "skipped")])
    async def test_a_row_in_the_way(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str, policy: Any, word: str
    ) -> None:
        """Is left as it is."""
        async with opened(endpoint_url, table, on_conflict=policy) as backend:
            rows = [{"id": "a", "n": number % 2, "v": number} for number in range(4)]
            assert told(await backend.process_batch(rows)) == ["inserted", "inserted", word, word]
        assert sorted(row["v"] for row in await dynamodb.rows(table)) == [0, 1]


class TestAccess:
    """By a session, a client or an address; who opens it closes it."""

    async def test_a_client_of_the_users_is_left_open_and_as_it_was(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str
    ) -> None:
        """His own requests go where he sends them, also while a writer uses the client."""
        async with client_to(endpoint_url) as client:
            async with BulkWriter[Any](DynamoDBBackend(client, table)) as writer:
                row = {"id": {"S": "mine"}, "n": {"N": "1"}}
                ours = [writer.insert({"id": "ours", "n": number}) for number in range(50)]
                mine = [client.put_item(TableName=table, Item={**row, "n": {"N": str(each)}}) for each in range(9)]
                await asyncio.gather(*ours, *mine)
            await client.put_item(TableName=table, Item=row)
        names = [row["id"] for row in await dynamodb.rows(table)]
        assert (names.count("ours"), names.count("mine")) == (50, 9)

    async def test_several_writers_share_a_session(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str
    ) -> None:
        """And a client."""
        other = await dynamodb.create()
        async with (
            client_to(endpoint_url) as client,
            BulkWriter[Any](DynamoDBBackend(client, table)) as first,
            BulkWriter[Any](DynamoDBBackend(client, other)) as second,
            BulkWriter[Any](DynamoDBBackend(session(), other, endpoint_url=endpoint_url)) as third,
        ):
            calls = [first.insert({"id": "a", "n": number}) for number in range(30)]
            calls += [second.insert({"id": f"second {number}"}) for number in range(30)]
            calls += [third.insert({"id": f"third {number}"}) for number in range(30)]
            assert told(await asyncio.gather(*calls)) == ["stored"] * 90
        assert len(await dynamodb.items(table)) == 30
        assert len(await dynamodb.items(other)) == 60

    async def test_the_endpoint_and_the_credentials_of_the_environment(
        self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As boto3's users expect, by URL."""
        variables = {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "AWS_ENDPOINT_URL_DYNAMODB": endpoint_url,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        async with connect(f"dynamodb://{REGION}", table) as writer:
            assert (await writer.insert({"id": "a", "n": 1})).outcome is Outcome.STORED
        assert len(await dynamodb.items(table)) == 1

    async def test_without_a_table(self, endpoint_url: str) -> None:
        """The name is told."""
        with pytest.raises(MisconfigurationError, match="nonesuch"):
            async with opened(endpoint_url, "nonesuch"):
                pass

    async def test_a_second_loop_is_refused_clearly(self, table: str, endpoint_url: str) -> None:
        """A client's connections belong to the loop that made them."""
        async with opened(endpoint_url, table) as backend:
            other = asyncio.to_thread(lambda: asyncio.run(backend.process_batch([{"id": "a", "n": 1}])))
            (answer,) = await other
        assert told([answer]) == ["Misconfiguration"]
        assert "loop" in str(answer)

    async def test_a_closed_backend_opens_again(self, dynamodb: DynamoDBScratch, table: str, endpoint_url: str) -> None:
        """As the others do."""
        async with opened(endpoint_url, table) as backend:
            await backend.process_batch([{"id": "a", "n": 1}])
        assert told(await backend.process_batch([{"id": "a", "n": 2}])) == ["stored"]
        await backend.close()
        assert len(await dynamodb.items(table)) == 2


async def test_what_is_taken_is_taken_at_the_call(dynamodb: DynamoDBScratch, table: str, endpoint_url: str) -> None:
    """Whoever changes a list afterwards changes no row."""

    @dataclasses.dataclass
    class Event:
        id: str
        n: int
        tags: list[str]

    async with BulkWriter[Any](DynamoDBBackend(session(), table, endpoint_url=endpoint_url)) as writer:
        event = Event("a", 1, ["x"])
        future = writer.submit(event)
        event.tags.append("y")
        await future
    assert await dynamodb.rows(table) == [{"id": "a", "n": 1, "tags": ["x"]}]

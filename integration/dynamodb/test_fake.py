"""The fake does what DynamoDB Local does, rule by rule: each test is run on both."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from integration.dynamodb.fake import FakeDynamoDB
from integration.servers.dynamodb_providers import provide_dynamodb
from integration.servers.dynamodb_scratch import DynamoDBScratch, RefusedError, dynamodb_scratch, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.registry import Servers


def text(value: str) -> dict[str, str]:
    """Return text as it is sent."""
    return {"S": value}


def number(value: object) -> dict[str, str]:
    """Return a number as it is sent."""
    return {"N": str(value)}


def row(**attributes: Any) -> dict[str, Any]:
    """Return a row with a good key, unless an attribute says otherwise."""
    return {"id": text("a"), "n": number(1), **attributes}


def nested(containers: int) -> dict[str, Any]:
    """Return a list in a list, so many of them."""
    value: dict[str, Any] = text("x")
    for _ in range(containers):
        value = {"L": [value]}
    return value


def put(item: dict[str, Any]) -> dict[str, Any]:
    """Return a put of a batch."""
    return {"PutRequest": {"Item": item}}


def delete(**key: Any) -> dict[str, Any]:
    """Return a delete of a batch."""
    return {"DeleteRequest": {"Key": key}}


# Beside the value's own bytes: the names and values of the key, and the name of the attribute.
_LARGEST = 409_600 - len("idanv") - 2

ACCEPTED: dict[str, dict[str, Any]] = {
    "the key alone": row(),
    "a partition key of 2048 bytes": row(id=text("x" * 2048)),
    "38 digits": row(v=number("1" * 38)),
    "zeros at the end of a whole number": row(v=number("1" + "0" * 40)),
    "zeros at the end of a fraction": row(v=number("1." + "0" * 45)),
    "the largest number": row(v=number("9.9E125")),
    "the smallest number": row(v=number("1E-130")),
    "a number with a plus": row(v=number("+1")),
    "no digit before the point": row(v=number(".5")),
    "no digit after the point": row(v=number("5.")),
    "31 containers in an attribute": row(v=nested(31)),
    "a name of 65535 bytes": row(**{"x" * 65535: text("x")}),
    "empty text and bytes": row(v=text(""), w={"B": ""}),
    "a reserved name, and odd ones": row(**{"select": text("x"), "a.b": text("x"), "a:b c": text("x")}),
    "empty list and map": row(v={"L": []}, w={"M": {}}),
    "the largest item": row(v=text("x" * _LARGEST)),
    "the largest item of astral characters": row(v=text("\U0001f600" * (_LARGEST // 4))),
    "the largest item with a list": row(v={"L": [text("x" * (_LARGEST - 4))]}),
    "the largest item with a map": row(v={"M": {"k": text("x" * (_LARGEST - 5))}}),
    "the largest item with numbers": row(v={"L": [number("-1.5"), number("100"), text("x" * (_LARGEST - 3 - 3 - 6))]}),
    "an index's key left out": row(v=text("x")),
    "an index's key": row(other=text("x")),
    "sets": row(v={"SS": ["a", "b"]}, w={"NS": ["1", "2"]}, x={"BS": ["YQ==", "Yg=="]}, y={"SS": [""]}),
    "null and booleans": row(v={"NULL": True}, w={"BOOL": True}, x={"BOOL": False}),
    "half of a surrogate pair": row(v=text("\ud800")),
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no sort key": ({"id": text("a")}, "One of the required keys was not given a value"),
    "a key of another type": (row(id=number(1)), "Type mismatch for key"),
    "an empty key": (row(id=text("")), "a key attribute cannot contain an empty string value. Key: id"),
    "a partition key of 2049 bytes": (row(id=text("x" * 2049)), "Hash primary key values must be under 2048 bytes"),
    "an index's key of another type": (row(other=number(1)), "Type mismatch for Index Key"),
    "an index's key that is empty": (row(other=text("")), "IndexName: others, IndexKey: other"),
    "an index's key of 2049 bytes": (row(other=text("x" * 2049)), "Size limit exceeded"),
    "an empty set": (row(v={"SS": []}), "An string set  may not be empty"),
    "a set with the same text twice": (row(v={"SS": ["a", "a"]}), "contains duplicates"),
    "a set with the same number twice": (row(v={"NS": ["1", "1.0"]}), "contains duplicates"),
    "a set with the same bytes twice": (row(v={"BS": ["YQ==", "YQ=="]}), "contains duplicates"),
    "39 digits": (row(v=number("1" * 39)), "DynamoDB only supports precision up to 38 digits"),
    "too large a number": (row(v=number("1E126")), "Number overflow"),
    "too small a number": (row(v=number("1E-131")), "Number underflow"),
    "not a number": (row(v=number("NaN")), "A value provided cannot be converted into a number"),
    "infinity": (row(v=number("Infinity")), "A value provided cannot be converted into a number"),
    "a number with blanks": (row(v=number(" 1 ")), "A value provided cannot be converted into a number"),
    "a number with an underscore": (row(v=number("1_0")), "A value provided cannot be converted into a number"),
    "an empty number": (row(v=number("")), "A value provided cannot be converted into a number"),
    "32 containers in an attribute": (row(v=nested(32)), "Nesting Levels have exceeded supported limits"),
    "an empty name": (row(**{"": text("x")}), "Empty attribute name"),
    "an empty name in a map": (row(v={"M": {"": text("x")}}), "Empty attribute name"),
    "a name of 65536 bytes": (row(**{"x" * 65536: text("x")}), "Attribute name is too large"),
    "no value": (row(v={}), "Supplied AttributeValue is empty"),
    "two values": (row(v={"S": "a", "N": "1"}), "Supplied AttributeValue has more than one datatypes set"),
    "null that is false": (row(v={"NULL": False}), "Null attribute value types must have the value of true"),
    "an item one byte too large": (row(v=text("x" * (_LARGEST + 1))), "Item size has exceeded the maximum allowed"),
    "one byte too large, astral": (row(v=text("\U0001f600" * (_LARGEST // 4) + "xxxx")), "Item size has exceeded"),
    "one byte too large, a list": (row(v={"L": [text("x" * (_LARGEST - 3))]}), "Item size has exceeded"),
    "one byte too large, a map": (row(v={"M": {"k": text("x" * (_LARGEST - 4))}}), "Item size has exceeded"),
    "one byte too large, numbers": (
        row(v={"L": [number("-1.5"), number("100"), text("x" * (_LARGEST - 3 - 3 - 5))]}),
        "Item size has exceeded",
    ),
}

GOOD = put(row(n=number(7)))

BATCHES: dict[str, tuple[list[Any], str]] = {
    "26 rows": ([put(row(n=number(each))) for each in range(26)], "Too many items requested for the BatchWriteItem"),
    "no rows": ([], "The batch write request list for a table cannot be null or empty"),
    "a key twice": ([GOOD, GOOD], "Provided list of item keys contains duplicates"),
    "a put and a delete of a key": (
        [GOOD, delete(id=text("a"), n=number(7))],
        "Provided list of item keys contains duplicates",
    ),
    "a number twice": ([GOOD, put(row(n=number("7.0")))], "Provided list of item keys contains duplicates"),
    "a number twice, with exponent": (
        [put(row(n=number(100))), put(row(n=number("1E2")))],
        "Provided list of item keys contains duplicates",
    ),
    "a delete by more than the key": (
        [GOOD, delete(id=text("a"), n=number(1), v=text("x"))],
        "The number of conditions on the keys is invalid",
    ),
    "a delete by less than the key": ([GOOD, delete(id=text("a"))], "The number of conditions on the keys is invalid"),
    "a delete by another type": ([GOOD, delete(id=text("a"), n=text("1"))], "Type mismatch for key"),
}


@pytest.fixture(params=["fake", "local"])
async def either(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[DynamoDBScratch]:
    """The fake and DynamoDB Local in turn."""
    if request.param == "local":
        async with dynamodb_scratch(provide_dynamodb(servers)) as made:
            yield made
    else:
        async with FakeDynamoDB() as fake, dynamodb_scratch(fake) as made:
            yield made


@pytest.fixture
async def table(either: DynamoDBScratch) -> str:
    """The name of a table with both kinds of keys, and an index."""
    return await either.create(sort="n:N", index="other:S")


async def refused(scratch: DynamoDBScratch, operation: str, **request: Any) -> RefusedError:
    """Send a request that is refused, and return how."""
    with pytest.raises(RefusedError) as raised:
        await scratch.call(operation, **request)
    return raised.value


class TestValues:
    """Of which kind, how large, how deep."""

    @pytest.mark.parametrize("name", ACCEPTED)
    async def test_a_good_row_is_stored(self, either: DynamoDBScratch, table: str, name: str) -> None:
        """Alone or in a batch, and read as it was written."""
        item = ACCEPTED[name]
        wanted = [{key: plain(value) for key, value in item.items()}]
        await either.call("PutItem", TableName=table, Item=item)
        assert await either.rows(table) == wanted
        await either.call("DeleteItem", TableName=table, Key={key: item[key] for key in ("id", "n")})
        assert await either.rows(table) == []
        assert await either.call("BatchWriteItem", RequestItems={table: [put(item)]}) == {"UnprocessedItems": {}}
        assert await either.rows(table) == wanted

    @pytest.mark.parametrize("name", REFUSED)
    async def test_a_bad_row_is_refused_with_all_its_batch(
        self, either: DynamoDBScratch, table: str, name: str
    ) -> None:
        """And nothing of the batch is stored."""
        item, message = REFUSED[name]
        alone = await refused(either, "PutItem", TableName=table, Item=item)
        within = await refused(either, "BatchWriteItem", RequestItems={table: [GOOD, put(item)]})
        for error in (alone, within):
            assert (error.status, error.code) == (400, "ValidationException")
            assert message in str(error)
        assert await either.rows(table) == []


class TestBatches:
    """What may be in one, and what is when something may not."""

    @pytest.mark.parametrize("name", BATCHES)
    async def test_a_bad_batch_is_refused_as_a_whole(self, either: DynamoDBScratch, table: str, name: str) -> None:
        """Nothing of it is stored."""
        writes, message = BATCHES[name]
        error = await refused(either, "BatchWriteItem", RequestItems={table: writes})
        assert (error.status, error.code) == (400, "ValidationException")
        assert message in str(error)
        assert await either.rows(table) == []

    async def test_puts_and_deletes_go_together(self, either: DynamoDBScratch, table: str) -> None:
        """A delete of a row that is not there is as good as one of a row that is."""
        await either.call("PutItem", TableName=table, Item=row(n=number(1)))
        writes = [delete(id=text("a"), n=number("1.0")), delete(id=text("b"), n=number(1)), put(row(n=number(2)))]
        await either.call("BatchWriteItem", RequestItems={table: writes})
        assert await either.rows(table) == [{"id": "a", "n": 2}]

    async def test_a_put_replaces_the_whole_row(self, either: DynamoDBScratch, table: str) -> None:
        """Attributes that it does not name are gone."""
        await either.call("PutItem", TableName=table, Item=row(v=text("x")))
        await either.call("BatchWriteItem", RequestItems={table: [put(row(w=text("y")))]})
        assert await either.rows(table) == [{"id": "a", "n": 1, "w": "y"}]

    async def test_normal_forms_of_text_are_different_keys(self, either: DynamoDBScratch, table: str) -> None:
        """Text is compared by its characters."""
        names = ("\u00e9", "e\u0301")
        await either.call("BatchWriteItem", RequestItems={table: [put(row(id=text(name))) for name in names]})
        assert {each["id"] for each in await either.rows(table)} == set(names)

    async def test_a_batch_for_two_tables_of_which_one_is_missing(self, either: DynamoDBScratch, table: str) -> None:
        """Is refused as a whole."""
        error = await refused(either, "BatchWriteItem", RequestItems={table: [GOOD], "nonesuch": [GOOD]})
        assert error.code == "ResourceNotFoundException"
        assert await either.rows(table) == []

    async def test_the_same_key_in_two_tables(self, either: DynamoDBScratch, table: str) -> None:
        """Is no key twice; 25 rows are the most of both together."""
        other = await either.create(sort="n:N")
        await either.call("BatchWriteItem", RequestItems={table: [GOOD], other: [GOOD]})
        assert await either.rows(table) == await either.rows(other) == [{"id": "a", "n": 7}]
        half = [put(row(n=number(each))) for each in range(13)]
        error = await refused(either, "BatchWriteItem", RequestItems={table: half, other: half})
        assert error.code == "ValidationException"

    async def test_more_than_16_mib_are_refused_before_they_are_read(self, either: DynamoDBScratch, table: str) -> None:
        """25 rows may be good each, and too much together when they are written as JSON."""
        writes = [put(row(n=number(each), v=text('"' * 400_000))) for each in range(25)]
        error = await refused(either, "BatchWriteItem", RequestItems={table: writes})
        assert (error.status, error.code) == (413, "")
        assert await either.rows(table) == []


class TestConditions:
    """Single writes that look before they write."""

    async def test_a_row_that_is_there(self, either: DynamoDBScratch, table: str) -> None:
        """Stops the write, and is shown to who asks for it."""
        conditional = {
            "TableName": table,
            "Item": row(v=text("new")),
            "ConditionExpression": "attribute_not_exists(id)",
        }
        old = row(v=text("old"))
        await either.call("PutItem", TableName=table, Item=old)
        error = await refused(either, "PutItem", **conditional)
        assert error.code == "ConditionalCheckFailedException"
        assert "Item" not in error.answer
        error = await refused(either, "PutItem", **conditional, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        assert error.answer["Item"] == old
        assert await either.rows(table) == [{"id": "a", "n": 1, "v": "old"}]

    async def test_what_was_there_is_told(self, either: DynamoDBScratch, table: str) -> None:
        """By which an insert is told from an update."""
        first = await either.call("PutItem", TableName=table, Item=row(v=text("old")), ReturnValues="ALL_OLD")
        second = await either.call("PutItem", TableName=table, Item=row(), ReturnValues="ALL_OLD")
        third = await either.call("DeleteItem", TableName=table, Key=row(), ReturnValues="ALL_OLD")
        fourth = await either.call("DeleteItem", TableName=table, Key=row(), ReturnValues="ALL_OLD")
        olds = [answer.get("Attributes") for answer in (first, second, third, fourth)]
        assert olds == [None, row(v=text("old")), row(), None]

    @pytest.mark.parametrize(
        ("condition", "is_met"),
        [
            ("attribute_exists(id)", True),
            ("attribute_not_exists(#v) OR #v < :more", True),
            ("#v < :less", False),
            ("#v >= :less AND NOT #v = :more", True),
            ("(attribute_not_exists(id) OR #v = :more) AND attribute_exists(id)", False),
            ("gone = :more", False),
            ("gone <> :more", True),
            ("#v = :five", True),
            ("#v < :text", False),
        ],
    )
    async def test_a_condition_says_what_it_says(
        self, either: DynamoDBScratch, table: str, condition: str, *, is_met: bool
    ) -> None:
        """Numbers are compared by value, and what is not there is neither more nor less."""
        await either.call("PutItem", TableName=table, Item=row(v=number("5.0")))
        values = {":more": number(6), ":less": number(4), ":five": number(5), ":text": text("x")}
        used = {name: value for name, value in values.items() if name in condition}
        names = {"ExpressionAttributeNames": {"#v": "v"}} if "#v" in condition else {}
        request = {"TableName": table, "Item": row(), "ConditionExpression": condition, **names}
        if used:
            request["ExpressionAttributeValues"] = used
        if is_met:
            await either.call("PutItem", **request)
        else:
            assert (await refused(either, "PutItem", **request)).code == "ConditionalCheckFailedException"

    @pytest.mark.parametrize("condition", ["foo bar", "#a = :b", "attribute_exists(", "id = "])
    async def test_what_is_no_condition_is_refused(self, either: DynamoDBScratch, table: str, condition: str) -> None:
        """As a bad request, and not as one that is not met."""
        error = await refused(either, "PutItem", TableName=table, Item=row(), ConditionExpression=condition)
        assert error.code == "ValidationException"
        assert await either.rows(table) == []


class TestReading:
    """What a backend asks to find out."""

    async def test_a_table_is_described(self, either: DynamoDBScratch, table: str) -> None:
        """By its keys and those of its indexes."""
        told = (await either.call("DescribeTable", TableName=table))["Table"]
        assert told["TableStatus"] == "ACTIVE"
        assert told["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert told["KeySchema"] == [
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "n", "KeyType": "RANGE"},
        ]
        kinds = {each["AttributeName"]: each["AttributeType"] for each in told["AttributeDefinitions"]}
        assert kinds == {"id": "S", "n": "N", "other": "S"}
        (index,) = told["GlobalSecondaryIndexes"]
        assert index["IndexName"] == "others"
        assert index["KeySchema"] == [{"AttributeName": "other", "KeyType": "HASH"}]

    async def test_a_table_that_is_not_there(self, either: DynamoDBScratch) -> None:
        """Is told as such by every operation."""
        requests: dict[str, dict[str, Any]] = {
            "DescribeTable": {},
            "PutItem": {"Item": row()},
            "DeleteItem": {"Key": row()},
            "GetItem": {"Key": row()},
            "Scan": {},
        }
        for operation, request in requests.items():
            error = await refused(either, operation, TableName="nonesuch", **request)
            assert error.code == "ResourceNotFoundException", operation

    async def test_rows_are_found_by_key(self, either: DynamoDBScratch, table: str) -> None:
        """One, several, or none."""
        keys = [{"id": text("a"), "n": number(each)} for each in (1, 2, 3)]
        for key in keys[:2]:
            await either.call("PutItem", TableName=table, Item=key)
        assert await either.call("GetItem", TableName=table, Key=keys[0]) == {"Item": keys[0]}
        assert await either.call("GetItem", TableName=table, Key=keys[2]) == {}
        many = await either.call("BatchGetItem", RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
        assert sorted(map(_meaning, many["Responses"][table]), key=_by_key) == [
            {"id": "a", "n": 1},
            {"id": "a", "n": 2},
        ]
        error = await refused(either, "BatchGetItem", RequestItems={table: {"Keys": [keys[0], keys[0]]}})
        assert error.code == "ValidationException"


async def test_a_long_conversation_ends_alike_on_both(servers: Servers) -> None:
    """Many requests drawn by chance get the same answers, and leave the same rows."""
    chance = random.Random(7)  # noqa: S311 - a seed, so that a difference can be seen again
    async with (
        FakeDynamoDB() as fake,
        dynamodb_scratch(fake) as there,
        dynamodb_scratch(provide_dynamodb(servers)) as here,
    ):
        tables = {scratch: await scratch.create(sort="n:N", index="other:S") for scratch in (there, here)}
        for _ in range(80):
            operation, request = _drawn(chance)
            answers = [await _answer(scratch, table, operation, request) for scratch, table in tables.items()]
            assert answers[0] == answers[1], (operation, request)
        rows = [sorted(await scratch.rows(table), key=_by_key) for scratch, table in tables.items()]
        assert rows[0] == rows[1]
        assert rows[0]


def _drawn(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Return a request for a table: few keys, so that they meet, and a bad row now and then."""
    if chance.random() < 0.6:
        writes = [_drawn_write(chance) for _ in range(chance.choice([1, 2, 3, 8]))]
        return "BatchWriteItem", {"RequestItems": {"": writes}}
    ((kind, content),) = _drawn_write(chance).items()
    condition = chance.choice([None, "attribute_not_exists(id)", "attribute_exists(id)", "attribute_exists(v)"])
    asked = {} if condition is None else {"ConditionExpression": condition}
    asked["ReturnValues"] = chance.choice(["NONE", "ALL_OLD"])
    if chance.random() < 0.5:
        asked["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return ("PutItem" if kind == "PutRequest" else "DeleteItem"), {"TableName": "", **content, **asked}


def _drawn_write(chance: random.Random) -> dict[str, Any]:
    key = {"id": text(chance.choice("abc")), "n": number(chance.choice(["1", "1.0", "2", "3E0", "4", "-5"]))}
    if chance.random() < 0.3:
        return delete(**key)
    # Half of the values are good ones.
    values = [None, text("x"), number(3), {"NS": ["1", "2"]}, {"BOOL": True}] * 8 + [{"SS": []}, number("x"), {}]
    value, other = chance.choice(values), chance.choice([None] * 9 + [text("o"), text(""), number(1)])
    more = {name: each for name, each in (("v", value), ("other", other)) if each is not None}
    return put({**key, **more})


async def _answer(scratch: DynamoDBScratch, table: str, operation: str, request: dict[str, Any]) -> Any:
    """Return what of an answer is to be the same: not the words of an error, nor the way a number is written."""
    if "RequestItems" in request:
        request = {"RequestItems": {table: request["RequestItems"][""]}}
    else:
        request = {**request, "TableName": table}
    try:
        answer = await scratch.call(operation, **request)
    except RefusedError as error:
        return error.status, error.code, _meaning(error.answer.get("Item"))
    return _meaning(answer.get("Attributes")), answer.get("UnprocessedItems")


def _meaning(item: dict[str, Any] | None) -> Any:
    return item and {name: plain(value) for name, value in item.items()}


def _by_key(found: dict[str, Any]) -> tuple[Any, Any]:
    return found["id"], found["n"]


class TestTheFakeAlone:
    """What DynamoDB Local cannot do."""

    async def test_beyond_its_capacity_rows_come_back(self) -> None:
        """Some are stored and some come back; none are when there is no capacity left at all."""
        seconds = 0.0
        async with FakeDynamoDB() as fake, dynamodb_scratch(fake) as scratch:
            table = await scratch.create(sort="n:N")
            fake.throttle(table, 40, lambda: seconds)
            writes = [put(row(n=number(each))) for each in range(25)]
            answer = await scratch.call("BatchWriteItem", RequestItems={table: writes})
            assert answer == {"UnprocessedItems": {table: writes[10:]}}
            assert len(await scratch.rows(table)) == 10
            requests: dict[str, dict[str, Any]] = {
                "BatchWriteItem": {"RequestItems": {table: writes[10:]}},
                "PutItem": {"TableName": table, "Item": row(n=number(10))},
            }
            for operation, request in requests.items():
                error = await refused(scratch, operation, **request)
                assert (error.status, error.code) == (400, "ProvisionedThroughputExceededException")
            seconds = 0.1
            answer = await scratch.call("BatchWriteItem", RequestItems={table: writes[10:]})
            assert len(answer["UnprocessedItems"][table]) == 11

    async def test_a_large_row_takes_more_of_it(self) -> None:
        """One unit for each 1,024 bytes that are begun."""
        async with FakeDynamoDB() as fake, dynamodb_scratch(fake) as scratch:
            table = await scratch.create(sort="n:N")
            fake.throttle(table, 8, lambda: 0.0)
            await scratch.call("PutItem", TableName=table, Item=row(v=text("x" * 1500)))
            error = await refused(scratch, "PutItem", TableName=table, Item=row())
            assert error.code == "ProvisionedThroughputExceededException"

"""A DynamoDB in the test's own process, which answers in no time and throttles when it is told to.

It knows the rules for rows, keys, batches and conditions; ``test_fake.py`` holds it against DynamoDB Local, rule by
rule. Requests are answered whole, one after the other: between two of them the tables may be looked into.
"""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Any

from integration.dynamodb.conditions import Condition
from integration.dynamodb.http import Answer, HttpServer
from integration.dynamodb.tables import Capacity, Table
from integration.dynamodb.values import RuleError, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from integration.dynamodb.http import Request
    from integration.dynamodb.tables import Item

MOST_ROWS = 25
"""Puts and deletes in one BatchWriteItem, over all tables."""

MOST_READ = 100
"""Keys in one BatchGetItem."""

MOST_BODY = 16 * 1024 * 1024
"""Bytes of one request."""

_PAGE = 1024 * 1024


class _ServiceError(Exception):
    """Of what a request is answered with, if it is neither done nor against a rule."""

    code: str
    message: str

    def __init__(self, **more: Any) -> None:
        super().__init__(self.message)
        self.more = more


class _NoTableError(_ServiceError):
    code = "ResourceNotFoundException"
    message = "Cannot do operations on a non-existent table"


class _TableThereError(_ServiceError):
    code = "ResourceInUseException"
    message = "Cannot create preexisting table"


class _ConditionError(_ServiceError):
    code = "ConditionalCheckFailedException"
    message = "The conditional request failed"


class _ThrottledError(_ServiceError):
    code = "ProvisionedThroughputExceededException"
    message = "The level of configured provisioned throughput for the table was exceeded"


class FakeDynamoDB(HttpServer):
    """A DynamoDB, from ``async with`` to its end.

    Attributes:
        tables: By name.
        calls: How often each operation was asked for.
        answer: What answers a request, for who stands in between.
    """

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.tables: dict[str, Table] = {}
        self.calls: collections.Counter[str] = collections.Counter()

    async def answer(self, request: Request) -> Answer:
        """Answer one request."""
        self.calls[request.operation] += 1
        if len(request.body) > MOST_BODY:
            return Answer(413, b"")
        operation = _OPERATIONS.get(request.operation)
        if operation is None:
            return _refusal("UnknownOperationException", f"the fake knows no {request.operation}")
        try:
            told = operation(self, json.loads(request.body))
        except RuleError as error:
            return _refusal("ValidationException", str(error))
        except _ServiceError as error:
            return _refusal(error.code, str(error), **error.more)
        return Answer(200, json.dumps(told).encode())

    def throttle(self, table: str, units: float, now: Callable[[], float] | None = None) -> None:
        """Let a table take so many write units a second; what is beyond is refused or comes back unprocessed."""
        self.table(table).capacity = Capacity(units, now) if now else Capacity(units)

    def table(self, name: str) -> Table:
        """Return a table; that there is none of its name becomes the request's answer."""
        if name not in self.tables:
            raise _NoTableError
        return self.tables[name]

    def revive(self) -> None:
        """Do nothing: it never ends before its ``async with``."""

    # --- tables

    def _create_table(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request["TableName"]
        if name in self.tables:
            raise _TableThereError
        self.tables[name] = Table(request)
        return {"TableDescription": self.tables[name].description()}

    def _describe_table(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"Table": self.table(request["TableName"]).description()}

    def _delete_table(self, request: Mapping[str, Any]) -> dict[str, Any]:
        told = self.table(request["TableName"]).description()
        del self.tables[request["TableName"]]
        return {"TableDescription": {**told, "TableStatus": "DELETING"}}

    # --- many rows

    def _batch_write_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        writes = list(_writes(request["RequestItems"]))
        if not writes:
            message = "The batch write request list for a table cannot be null or empty"
            raise RuleError(message)
        if len(writes) > MOST_ROWS:
            message = "Too many items requested for the BatchWriteItem call"
            raise RuleError(message)
        found = [(self.table(name), name, kind, row, whole) for name, kind, row, whole in writes]
        seen = set()
        for table, name, kind, row, _ in found:
            table.check(row) if kind == "PutRequest" else table.check_key(row)
            seen.add((name, table.identity(row)))
        if len(seen) < len(found):
            message = "Provided list of item keys contains duplicates"
            raise RuleError(message)
        unprocessed = self._write_all(found)
        if sum(map(len, unprocessed.values())) == len(found):
            raise _ThrottledError
        return {"UnprocessedItems": unprocessed}

    def _write_all(self, found: list[tuple[Table, str, str, Item, Any]]) -> dict[str, list[Any]]:
        unprocessed: dict[str, list[Any]] = {}
        for table, name, kind, row, whole in found:
            if not table.may_write(row):
                unprocessed.setdefault(name, []).append(whole)
            elif kind == "PutRequest":
                table.put(row)
            else:
                table.delete(row)
        return unprocessed

    def _batch_get_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        responses: dict[str, list[Item]] = {}
        asked = request["RequestItems"]
        if sum(len(each["Keys"]) for each in asked.values()) > MOST_READ:
            message = "Too many items requested for the BatchGetItem call"
            raise RuleError(message)
        for name, each in asked.items():
            table = self.table(name)
            for key in each["Keys"]:
                table.check_key(key)
            if len({table.identity(key) for key in each["Keys"]}) < len(each["Keys"]):
                message = "Provided list of item keys contains duplicates"
                raise RuleError(message)
            items = [table.get(key) for key in each["Keys"]]
            responses[name] = [item for item in items if item is not None]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _scan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        items = list(self.table(request["TableName"]).items.values())
        return {"Items": items, "Count": len(items), "ScannedCount": len(items)}

    # --- single rows

    def _get_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        table = self.table(request["TableName"])
        table.check_key(request["Key"])
        item = table.get(request["Key"])
        return {} if item is None else {"Item": item}

    def _put_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        table, item = self.table(request["TableName"]), request["Item"]
        table.check(item)
        return self._write_one(table, item, request, table.put)

    def _delete_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        table, key = self.table(request["TableName"]), request["Key"]
        table.check_key(key)
        return self._write_one(table, key, request, table.delete)

    def _write_one(
        self, table: Table, row: Item, request: Mapping[str, Any], write: Callable[[Item], None]
    ) -> dict[str, Any]:
        condition = _condition(request)
        if not table.may_write(row):
            raise _ThrottledError
        before = table.get(row)
        if condition is not None and not condition.is_met(before or {}):
            wants_old = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and before is not None
            raise _ConditionError(**({"Item": before} if wants_old else {}))
        write(row)
        return {"Attributes": before} if request.get("ReturnValues") == "ALL_OLD" and before is not None else {}


_OPERATIONS: dict[str, Callable[[FakeDynamoDB, Mapping[str, Any]], dict[str, Any]]] = {
    "CreateTable": FakeDynamoDB._create_table,
    "DescribeTable": FakeDynamoDB._describe_table,
    "DeleteTable": FakeDynamoDB._delete_table,
    "BatchWriteItem": FakeDynamoDB._batch_write_item,
    "BatchGetItem": FakeDynamoDB._batch_get_item,
    "Scan": FakeDynamoDB._scan,
    "GetItem": FakeDynamoDB._get_item,
    "PutItem": FakeDynamoDB._put_item,
    "DeleteItem": FakeDynamoDB._delete_item,
}


def _writes(asked: Mapping[str, Any]) -> Iterator[tuple[str, str, Item, Any]]:
    """Yield of each write its table, its kind, its row or key, and the whole as it came."""
    for name, requests in asked.items():
        for whole in requests:
            ((kind, content),) = whole.items()
            yield name, kind, content["Item" if kind == "PutRequest" else "Key"], whole


def _condition(request: Mapping[str, Any]) -> Condition | None:
    text = request.get("ConditionExpression")
    if text is None:
        return None
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    for value in values.values():
        identity(value)
    return Condition(text, names, values)


def _refusal(code: str, message: str, **more: Any) -> Answer:
    told = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **more}
    return Answer(400, json.dumps(told).encode())

"""The tables of the fake: keys, rows, and how many writes a second they take."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from integration.dynamodb.values import RuleError, check_item, identity, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Item: TypeAlias = dict[str, Any]
    Identity: TypeAlias = tuple[tuple[str, Any], ...]

WRITE_UNIT = 1024
"""Bytes, by DynamoDB's own measure, that one unit of write capacity is good for."""

_MOST_KEY_BYTES = {"HASH": 2048, "RANGE": 1024}
_BURST = 0.25
"""Seconds of capacity that may be spent at once: so little that a test need not wait to be throttled."""


@dataclasses.dataclass
class Capacity:
    """Write units that are to be had, so many a second.

    Args:
        units: A second.
        now: The time, in seconds.
    """

    units: float
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._left = self.units * _BURST
        self._at = self.now()

    def take(self, units: float) -> bool:
        """Take units, or none if there are not as many."""
        now = self.now()
        self._left = min(self.units * _BURST, self._left + (now - self._at) * self.units)
        self._at = now
        if self._left < units:
            return False
        self._left -= units
        return True


class Table:
    """One table.

    Args:
        request: What it was made by.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self.kinds = {each["AttributeName"]: each["AttributeType"] for each in request["AttributeDefinitions"]}
        self.key = {each["AttributeName"]: each["KeyType"] for each in request["KeySchema"]}
        self.items: dict[Identity, Item] = {}
        self.capacity: Capacity | None = None
        indexes = [*request.get("GlobalSecondaryIndexes", ()), *request.get("LocalSecondaryIndexes", ())]
        self._index_keys = [
            (index["IndexName"], key["AttributeName"]) for index in indexes for key in index["KeySchema"]
        ]

    def description(self) -> dict[str, Any]:
        """Return what DescribeTable tells of it."""
        shown = ("TableName", "KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        told = {name: self._request[name] for name in shown if name in self._request}
        name = self._request["TableName"]
        billing = {"BillingModeSummary": {"BillingMode": self._request.get("BillingMode", "PROVISIONED")}}
        arn = f"arn:aws:dynamodb:ddblocal:000000000000:table/{name}"
        return {**told, **billing, "TableStatus": "ACTIVE", "TableArn": arn, "ItemCount": len(self.items)}

    def check(self, item: Item) -> None:
        """Refuse an item that may not be stored.

        Raises:
            RuleError: It may not.
        """
        check_item(item)
        for name, role in self.key.items():
            if name not in item:
                message = "One of the required keys was not given a value"
                raise RuleError(message)
            self._check_key(name, role, item[name])
        for index, name in self._index_keys:
            if name in item:
                self._check_index_key(index, name, item[name])

    def check_key(self, key: Item) -> None:
        """Refuse a key that is not this table's.

        Raises:
            RuleError: It is not.
        """
        check_item(key)
        if set(key) != set(self.key):
            message = "The number of conditions on the keys is invalid"
            raise RuleError(message)
        for name, role in self.key.items():
            self._check_key(name, role, key[name])

    def identity(self, item: Item) -> Identity:
        """Return what makes a row this row."""
        return tuple(identity(item[name]) for name in self.key)

    def key_of(self, item: Item) -> Item:
        """Return a row's key."""
        return {name: item[name] for name in self.key}

    def get(self, key: Item) -> Item | None:
        """Return a row."""
        return self.items.get(self.identity(key))

    def put(self, item: Item) -> None:
        """Store a row; one with its key makes room for it."""
        self.items[self.identity(item)] = item

    def delete(self, key: Item) -> None:
        """Remove a row, if it is there."""
        self.items.pop(self.identity(key), None)

    def may_write(self, item: Item) -> bool:
        """Take what writing a row costs; False if there is not as much capacity left."""
        return self.capacity is None or self.capacity.take(units_of(item))

    def _check_key(self, name: str, role: str, value: Mapping[str, Any]) -> None:
        kind, content = next(iter(value.items()))
        if kind != self.kinds[name]:
            message = "One or more parameter values were invalid: Type mismatch for key"
            raise RuleError(message)
        if not content:
            message = f"One or more parameter values are not valid. {_empty(kind)}. Key: {name}"
            raise RuleError(message)
        if kind != "N" and size_of({"": value}) > _MOST_KEY_BYTES[role]:
            message = (
                "Hash primary key values must be under 2048 bytes, "
                "and range primary key values must be under 1024 bytes"
            )
            raise RuleError(message)

    def _check_index_key(self, index: str, name: str, value: Mapping[str, Any]) -> None:
        kind, content = next(iter(value.items()))
        if kind != self.kinds[name]:
            message = "One or more parameter values were invalid: Type mismatch for Index Key"
            raise RuleError(message)
        if not content:
            message = (
                "One or more parameter values are not valid. A value specified for a secondary index key is not "
                f"supported. {_empty(kind)}. IndexName: {index}, IndexKey: {name}"
            )
            raise RuleError(message)
        if kind != "N" and size_of({"": value}) > _MOST_KEY_BYTES["HASH"]:
            message = "One or more parameter values were invalid: Size limit exceeded"
            raise RuleError(message)


def _empty(kind: str) -> str:
    what = "binary" if kind == "B" else "string"
    return f"The AttributeValue for a key attribute cannot contain an empty {what} value"


def units_of(item: Item) -> int:
    """Return what writing a row costs."""
    return max(1, math.ceil(size_of(item) / WRITE_UNIT))

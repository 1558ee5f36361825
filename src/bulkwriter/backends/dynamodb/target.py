"""What is known of the table that is written to: asked when it is opened."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from bulkwriter.backends.dynamodb import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkwriter.backends.dynamodb.driver import Client

KeyType = Literal["S", "N", "B"]

_LONGEST: Final = {"HASH": 2048, "RANGE": 1024}
_WRITABLE: Final = frozenset({"ACTIVE", "UPDATING"})


@dataclasses.dataclass(frozen=True, slots=True)
class KeyAttribute:
    """An attribute that is part of a key.

    Attributes:
        name: Its name.
        kind: The one type its values have.
        longest: The bytes of text or binary that it may have at most.
        index: The secondary index whose key it is part of; ``None`` for the table's own.
    """

    name: str
    kind: KeyType
    longest: int
    index: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: What it is called in requests, which may be an ARN.
        key: The attributes of its key: the partition key, and the sort key if it has one.
        indexed: Those of the keys of its secondary indexes, by name. An item may lack them.
    """

    name: str
    key: tuple[KeyAttribute, ...]
    indexed: dict[str, KeyAttribute]

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of its key's attributes."""
        return tuple(attribute.name for attribute in self.key)


async def describe(client: Client, name: str) -> Table:
    """Ask for what is known of a table.

    Raises:
        MisconfigurationError: It is not there, or may not be asked about.
        BackendUnavailableError: It is being made or deleted.
    """
    answer = await client.describe_table(TableName=name)
    table: Mapping[str, Any] = answer["Table"]
    status = table.get("TableStatus", "ACTIVE")
    if status not in _WRITABLE:
        raise errors.not_ready(name, status)
    kinds = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}
    key = _key(table["KeySchema"], kinds)
    own = {attribute.name for attribute in key}
    indexed: dict[str, KeyAttribute] = {}
    for index in (*table.get("LocalSecondaryIndexes", ()), *table.get("GlobalSecondaryIndexes", ())):
        for attribute in _key(index["KeySchema"], kinds, index["IndexName"]):
            known = indexed.get(attribute.name)
            if attribute.name not in own and (known is None or attribute.longest < known.longest):
                indexed[attribute.name] = attribute
    return Table(name, key, indexed)


def _key(schema: list[dict[str, str]], kinds: dict[str, str], index: str | None = None) -> tuple[KeyAttribute, ...]:
    parts = sorted(schema, key=lambda part: part["KeyType"])
    return tuple(
        KeyAttribute(
            part["AttributeName"], cast("KeyType", kinds[part["AttributeName"]]), _LONGEST[part["KeyType"]], index
        )
        for part in parts
    )

"""The bodies of requests, made of rows that are encoded already."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bulkwriter.backends.dynamodb.rows import Row

MOST_ROWS: Final = 25
"""Rows of a ``BatchWriteItem``."""

MOST_BYTES: Final = 15 * 2**20
"""Bytes of its body. 16 MB are taken; the names of the table and of the request come on top of the rows."""


def packed(rows: list[Row], most_units: float = math.inf) -> list[list[Row]]:
    """Divide rows, in order, into those that fit into one ``BatchWriteItem``: distinct keys, and not too many bytes.

    Args:
        rows: The rows.
        most_units: Units of write capacity that a pack of several rows may take.
    """
    fits = len(rows) <= MOST_ROWS and sum([len(row.request) for row in rows]) <= MOST_BYTES
    if most_units < math.inf:
        fits = fits and sum([row.units for row in rows]) <= most_units
    if rows and fits and len({row.key for row in rows}) == len(rows):
        # As they come from a writer.
        return [rows]
    return list(_divided(rows, most_units))


def _divided(rows: Iterable[Row], most_units: float) -> Iterator[list[Row]]:
    pack: list[Row] = []
    keys: set[object] = set()
    size = units = 0
    for row in rows:
        length = len(row.request)
        is_full = len(pack) == MOST_ROWS or size + length > MOST_BYTES or units + row.units > most_units
        if pack and (is_full or row.key in keys):
            yield pack
            pack, keys, size, units = [], set(), 0, 0
        pack.append(row)
        keys.add(row.key)
        size += length
        units += row.units
    if pack:
        yield pack


class Bodies:
    """Makes the bodies for one table.

    Args:
        table: Its name, or its ARN.
        key: The name of an attribute of its key, by which it is seen whether an item is there.
        tells_old: Whether puts give back the item that they replace.
    """

    def __init__(self, table: str, key: str, *, tells_old: bool) -> None:
        name = json.dumps(table)
        self._batch = f'{{"RequestItems":{{{name}:['.encode()
        self._delete = f'{{"TableName":{name},"Key":'.encode()
        self._put = f'{{"TableName":{name},"Item":'.encode()
        self._old = b',"ReturnValues":"ALL_OLD"}' if tells_old else b"}"
        self._new = (
            ',"ConditionExpression":"attribute_not_exists(#k)","ExpressionAttributeNames":{"#k":'
            f'{json.dumps(key)}}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}}'
        ).encode()

    def batch(self, rows: Sequence[Row]) -> bytes:
        """Return a ``BatchWriteItem`` of these rows."""
        return b"".join((self._batch, b",".join([row.request for row in rows]), b"]}}"))

    def delete(self, row: Row) -> bytes:
        """Return a ``DeleteItem``."""
        return b"".join((self._delete, row.item, b"}"))

    def put(self, row: Row) -> bytes:
        """Return a ``PutItem`` that replaces what is there."""
        return b"".join((self._put, row.item, self._old))

    def put_new(self, row: Row) -> bytes:
        """Return a ``PutItem`` that fails where an item is there, and tells which."""
        return b"".join((self._put, row.item, self._new))

"""Whether the item that stood in the way of a put is the one that was put."""

from __future__ import annotations

import decimal
import json
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkwriter.backends.dynamodb.rows import Row


def is_same(row: Row, found: Mapping[str, Any]) -> bool:
    """Whether an item has exactly the attributes of a row, compared as DynamoDB compares them."""
    return _comparable_map(json.loads(row.item)) == _comparable_map(found)


def has_token(row: Row, found: Mapping[str, Any], attribute: str) -> bool:
    """Whether an item has the mark that was given to this very row."""
    token: object = json.loads(row.item)[attribute]
    return bool(found.get(attribute) == token)


def _comparable_map(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _comparable(value) for name, value in item.items()}


def _comparable(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "M":
        return kind, _comparable_map(content)
    if kind == "L":
        return kind, [_comparable(member) for member in content]
    if kind in {"SS", "NS", "BS"}:
        return kind, {_scalar(kind[0], member) for member in content}
    return kind, _scalar(kind, content)


def _scalar(kind: str, content: Any) -> Any:
    if kind == "N":
        return decimal.Decimal(content)
    if kind == "B":
        return bytes(content) if isinstance(content, bytes | bytearray) else a2b_base64(content)
    return content

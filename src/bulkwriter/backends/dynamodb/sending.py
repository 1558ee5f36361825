"""Requests through a client of aiobotocore's, with bodies that are ready-made.

What a client does with a request of 25 items takes it several milliseconds, most of it to check and to rewrite what
was encoded already. So it is handed an empty request, and gets the true body in the event that it sends out before it
signs: credentials, endpoints, proxies, TLS, and handlers of the user's are the client's as ever.
"""

from __future__ import annotations

import contextvars
import io
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkwriter.backends.dynamodb.driver import Client

_body: Final[contextvars.ContextVar[bytes | None]] = contextvars.ContextVar("bulkwriter_dynamodb_body", default=None)

_LONG: Final = 2**20

_OPERATIONS: Final = ("BatchWriteItem", "PutItem", "DeleteItem")


class Sender:
    """Sends writes to one table.

    Args:
        client: The client. It may be the user's, whose own requests are left as they are.
        table: The table's name, or its ARN.
        key: The name of an attribute of its key.
    """

    def __init__(self, client: Client, table: str, key: str) -> None:
        self._client = client
        # As little as a client takes that checks its parameters, with the table: endpoints may depend on it.
        self._batch: dict[str, Any] = {"RequestItems": {table: [{"PutRequest": {"Item": {}}}]}}
        self._put: dict[str, Any] = {"TableName": table, "Item": {}}
        self._delete: dict[str, Any] = {"TableName": table, "Key": {key: {"S": "-"}}}
        for event, unique_id in self._events():
            client.meta.events.register(event, _set_body, unique_id=unique_id)

    def close(self) -> None:
        """Leave the client as it was."""
        for event, unique_id in self._events():
            self._client.meta.events.unregister(event, _set_body, unique_id=unique_id)

    def _events(self) -> list[tuple[str, str]]:
        # A handler that is known by its identity is registered once, for whichever event: so each has one of its own.
        return [(f"before-call.dynamodb.{name}", f"bulkwriter-{id(self)}-{name}") for name in _OPERATIONS]

    async def batch(self, body: bytes) -> Mapping[str, Any]:
        """Send a ``BatchWriteItem``."""
        token = _body.set(body)
        try:
            return await self._client.batch_write_item(**self._batch)
        finally:
            _body.reset(token)

    async def put(self, body: bytes) -> Mapping[str, Any]:
        """Send a ``PutItem``."""
        token = _body.set(body)
        try:
            return await self._client.put_item(**self._put)
        finally:
            _body.reset(token)

    async def delete(self, body: bytes) -> Mapping[str, Any]:
        """Send a ``DeleteItem``."""
        token = _body.set(body)
        try:
            return await self._client.delete_item(**self._delete)
        finally:
            _body.reset(token)


def _set_body(params: dict[str, Any], **_: Any) -> None:
    body = _body.get()
    if body is not None:
        # It is for this request alone: a handler of the user's may make another with the same client meanwhile.
        _body.set(None)
        # What is longer is sent piece by piece: at once, it would block the loop, and aiohttp warns of it.
        params["body"] = body if len(body) <= _LONG else io.BytesIO(body)

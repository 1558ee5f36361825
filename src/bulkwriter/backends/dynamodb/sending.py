"""Requests through a client of aiobotocore's, with bodies that are ready-made.

What a client does with a request of 25 items takes it several milliseconds, most of it to check and to rewrite what
was encoded already. So it is handed an empty request, and gets the true body in the event that it sends out before it
signs: credentials, endpoints, proxies, TLS, and handlers of the user's are the client's as ever.
"""

from __future__ import annotations

import io
import itertools
import re
import secrets
import zlib
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, get_args

from bulkwriter.backends.dynamodb import driver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bulkwriter.backends.dynamodb.carrying import Carrier
    from bulkwriter.backends.dynamodb.driver import Client

Operation: TypeAlias = Literal["BatchWriteItem", "PutItem", "DeleteItem"]

OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)

_METHODS: Final[dict[Operation, str]] = {
    "BatchWriteItem": "batch_write_item",
    "PutItem": "put_item",
    "DeleteItem": "delete_item",
}

_MARK: Final = "bulkwriter"
"""Under which the context of a request of ours says whose it is."""

_LONGEST_MADE: Final = 4096
"""Bytes of what a client makes of next to nothing: the longest name of a table, an ARN, is a quarter of that."""

LONG: Final = 2**20
"""Bytes, beyond which a body is not sent in one piece."""


class Sender(Protocol):
    """Sends writes to one table. It raises what a client raises."""

    async def send(self, operation: Operation, body: bytes) -> Mapping[str, Any]:
        """Send a request, and return its answer."""


class ClientSender:
    """Sends writes through a client.

    Args:
        client: The client. It may be the user's, whose own requests are left as they are.
        table: The table's name, or its ARN.
        key: The name of an attribute of its key.
        carrier: What sends the requests that the client has made; ``None`` if the client does.
    """

    def __init__(self, client: Client, table: str, key: str, carrier: Carrier | None = None) -> None:
        self._client = client
        self._carrier = carrier
        self._table = table
        # It lacks the key: the service would refuse it.
        self._nothing = f"{key}-"
        # Our requests are known by what is in them. What a task has about it, all have that it starts, too: such as
        # those in which a handler of the user's makes requests of his own.
        self._mark = secrets.token_hex(8)
        self._find_number = re.compile(rb"%s-(\d+)" % self._mark.encode()).search
        self._numbers = itertools.count()
        self._bodies: dict[int, bytes] = {}
        self._under_way: dict[int, bytes] = {}
        for event, handler, unique_id in self._handlers():
            client.meta.events.register(event, handler, unique_id=unique_id)

    def close(self) -> None:
        """Leave the client as it was."""
        for event, handler, unique_id in self._handlers():
            self._client.meta.events.unregister(event, handler, unique_id=unique_id)

    def _handlers(self) -> list[tuple[str, Callable[..., Any], str]]:
        handlers: dict[str, Callable[..., Any]] = {
            "before-call": self._set_body,
            "response-received": self._check_answer,
        }
        if self._carrier is not None:
            handlers["before-send"] = self._carry
        # A handler that is known by its identity is registered once, for whichever event: so each has one of its own.
        return [
            (f"{event}.dynamodb.{operation}", handler, f"bulkwriter-{id(self)}-{event}-{operation}")
            for event, handler in handlers.items()
            for operation in OPERATIONS
        ]

    async def send(self, operation: Operation, body: bytes) -> Mapping[str, Any]:
        """Send a request, and return its answer."""
        number = next(self._numbers)
        self._bodies[number] = self._under_way[id(body)] = body
        try:
            answer: Mapping[str, Any] = await getattr(self._client, _METHODS[operation])(
                **self._parameters(operation, f"{self._mark}-{number}")
            )
            return answer
        finally:
            self._bodies.pop(number, None)
            self._under_way.pop(id(body), None)

    def _parameters(self, operation: Operation, mark: str) -> dict[str, Any]:
        """Return as little as a client takes that checks them, with the table: endpoints may depend on it."""
        item = {self._nothing: {"S": mark}}
        if operation == "BatchWriteItem":
            return {"RequestItems": {self._table: [{"PutRequest": {"Item": item}}]}}
        return {"TableName": self._table, "Item" if operation == "PutItem" else "Key": item}

    # -- what the client calls, of each of its requests

    def _set_body(self, params: dict[str, Any], **_: Any) -> None:
        made = params["body"]
        found = self._find_number(made) if isinstance(made, bytes) and len(made) < _LONGEST_MADE else None
        body = self._bodies.pop(int(found[1]), None) if found else None
        if body is not None:
            params["body"] = sendable(body)
            params["context"][_MARK] = self._mark

    async def _carry(self, request: Any, **_: Any) -> Any:
        is_ours = self._under_way.get(id(request.body)) is not None
        return await self._carrier.carry(request) if self._carrier and is_ours else None

    def _check_answer(self, response_dict: Mapping[str, Any] | None, context: Mapping[str, Any], **_: Any) -> None:
        # A client that does not retry by itself compares the two as well, and believes the answer whatever it finds.
        if response_dict is not None and context.get(_MARK) == self._mark:
            check_checksum(response_dict["headers"], response_dict["body"])


def sendable(body: bytes) -> bytes | io.BytesIO:
    """Return a body as it is to be handed to aiohttp.

    What is long is sent piece by piece: at once, it would block the loop, and aiohttp warns of it.
    """
    return body if len(body) <= LONG else io.BytesIO(body)


def check_checksum(headers: Mapping[str, str], content: bytes) -> None:
    """Compare an answer with its checksum.

    Raises:
        Exception: It is not the one that was sent.
    """
    expected = headers.get("x-amz-crc32")
    if expected is not None and int(expected) != (found := zlib.crc32(content)):
        raise driver.wrong_checksum(int(expected), found)

"""Requests through a client of aiobotocore's, with bodies that are ready-made.

What a client does with a request of 25 items takes it several milliseconds, most of it to check and to rewrite what
was encoded already. So it is handed an empty request, and gets the true body in the event that it sends out before it
signs: credentials, endpoints, proxies, TLS, and handlers of the user's are the client's as ever.
"""

from __future__ import annotations

import contextvars
import io
import zlib
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, get_args

from bulkwriter.backends.dynamodb import driver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bulkwriter.backends.dynamodb.carrying import Carrier
    from bulkwriter.backends.dynamodb.driver import Client

Operation: TypeAlias = Literal["BatchWriteItem", "PutItem", "DeleteItem"]

OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)

_body: Final[contextvars.ContextVar[bytes | None]] = contextvars.ContextVar("bulkwriter_dynamodb_body", default=None)

_sender: Final[contextvars.ContextVar[ClientSender | None]] = contextvars.ContextVar(
    "bulkwriter_dynamodb_sender", default=None
)

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
        # As little as a client takes that checks its parameters, with the table: endpoints may depend on it.
        self._calls: dict[Operation, tuple[str, dict[str, Any]]] = {
            "BatchWriteItem": ("batch_write_item", {"RequestItems": {table: [{"PutRequest": {"Item": {}}}]}}),
            "PutItem": ("put_item", {"TableName": table, "Item": {}}),
            "DeleteItem": ("delete_item", {"TableName": table, "Key": {key: {"S": "-"}}}),
        }
        for event, handler, unique_id in self._handlers():
            client.meta.events.register(event, handler, unique_id=unique_id)

    def close(self) -> None:
        """Leave the client as it was."""
        for event, handler, unique_id in self._handlers():
            self._client.meta.events.unregister(event, handler, unique_id=unique_id)

    def _handlers(self) -> list[tuple[str, Callable[..., Any], str]]:
        handlers: dict[str, Callable[..., Any]] = {"before-call": self._set_body, "before-parse": self._check_answer}
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
        method, parameters = self._calls[operation]
        token, sender = _body.set(body), _sender.set(self)
        try:
            answer: Mapping[str, Any] = await getattr(self._client, method)(**parameters)
            return answer
        finally:
            _body.reset(token)
            _sender.reset(sender)

    def _set_body(self, params: dict[str, Any], **_: Any) -> None:
        body = _body.get() if _sender.get() is self else None
        if body is not None:
            # It is for this request alone: a handler of the user's may make another with the same client meanwhile.
            _body.set(None)
            params["body"] = sendable(body)

    async def _carry(self, request: Any, **_: Any) -> Any:
        return await self._carrier.carry(request) if self._carrier and _sender.get() is self else None

    def _check_answer(self, response_dict: Mapping[str, Any], **_: Any) -> None:
        # A client that does not retry by itself compares the two as well, and believes the answer whatever it finds.
        if _sender.get() is self:
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

"""Requests that are signed and sent here, and not by a client.

A client takes most of the time of a request to find out what is the same for each: where it goes, how it is signed,
what it consists of. So that is taken from a request that it has made itself. What is asked of it each time are its
credentials, which it renews in time; and a connection, where it has proxies or certificates of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import logging
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.dynamodb import driver
from bulkwriter.backends.dynamodb.bypassing import Lookout, bypassed_making, signing_of
from bulkwriter.backends.dynamodb.connections import Connections
from bulkwriter.backends.dynamodb.http1 import Answer
from bulkwriter.backends.dynamodb.sending import LONG, check_checksum, sendable
from bulkwriter.backends.dynamodb.signing import moment_now

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping

    from bulkwriter.backends.dynamodb.driver import Client, Credentials
    from bulkwriter.backends.dynamodb.example import Example
    from bulkwriter.backends.dynamodb.sending import ClientSender, Operation

_OK: Final = 200

logger: logging.Logger = logging.getLogger("bulkwriter.dynamodb")


@dataclasses.dataclass(frozen=True, slots=True)
class _Request:
    """As much of a request as a client's connections ask for."""

    url: str
    headers: Mapping[str, str]
    body: bytes | io.BytesIO
    method: str = "POST"
    stream_output: bool = False


class DirectSender:
    """Sends writes directly, for as long as nothing of the client's is left out; else through the client.

    Args:
        client: The client.
        example: A request that it has made.
        by_client: What sends through it.
        own: Connections that are not the client's; ``None`` where its own are to be used.
        lookout: Looks whether anybody wants to see what the client sends.
    """

    def __init__(
        self,
        client: Client,
        example: Example,
        by_client: ClientSender,
        own: Connections | None,
        lookout: Lookout,
    ) -> None:
        self._client = client
        self._example = example
        self._by_client = by_client
        self._own = own
        self._signing = signing_of(example)
        self._headers = example.common_headers
        self._targets = example.headers["X-Amz-Target"].rpartition(".")[0]
        # There are endpoints that are an account's own: https://ACCOUNT.ddb.REGION.amazonaws.com
        account, _, rest = driver.host_of(example.url).partition(".")
        self._account = account if rest.startswith("ddb.") else None
        self._lookout = lookout
        # Nor is anybody to be left out who comes later.
        self._making = Lookout(
            client,
            lambda: bypassed_making(client, example),
            lambda: driver.making_functions(client, example.endpoint),
        )

    async def send(self, operation: Operation, body: bytes) -> Mapping[str, Any]:
        """Send a request, and return its answer."""
        credentials = await self._example.credentials() if self._making.is_clear() else None
        if credentials is None or self._account not in {None, getattr(credentials, "account_id", None)}:
            return await self._by_client.send(operation, body)
        answer = await self._ask(self._signed(credentials, operation, body), body)
        check_checksum(answer.headers, answer.content)
        if answer.status == _OK:
            told: Mapping[str, Any] = json.loads(answer.content)
            return told
        raise self._refusal(operation, answer)

    async def _ask(self, headers: dict[str, str], body: bytes) -> Answer:
        own = self._own
        if own is not None and len(body) <= LONG and own.are_understood and self._lookout.is_clear():
            return await own.ask(headers, body)
        response = await self._example.http_session.send(_Request(self._example.url, headers, sendable(body)))
        return Answer(response.status_code, response.headers, await response.content, is_last=False)

    def _signed(self, credentials: Credentials, operation: Operation, body: bytes) -> dict[str, str]:
        """Return the headers of a request."""
        target = f"{self._targets}.{operation}"
        signature = self._signing.headers(credentials, target, body, moment_now())
        return {**self._headers, "X-Amz-Target": target, **signature, "Content-Length": str(len(body))}

    def _refusal(self, operation: Operation, refusal: Answer) -> Exception:
        """Return the error that the client would raise of such an answer."""
        status, headers, told = refusal.status, refusal.headers, _parsed(refusal.content)
        code = str(told.get("__type", status)).partition(":")[0].rpartition("#")[2]
        message = told.get("message", told.get("Message", "" if told else http.client.responses.get(status, "")))
        metadata: dict[str, Any] = {"HTTPStatusCode": status, "HTTPHeaders": dict(headers), "RetryAttempts": 0}
        if "x-amzn-requestid" in headers:
            metadata["RequestId"] = headers["x-amzn-requestid"]
        answer: dict[str, Any] = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
        if "Item" in told:
            # The one that stood in the way of a conditional put.
            answer["Item"] = told["Item"]
        return self._client.exceptions.from_code(code)(answer, operation)


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(content)
    except ValueError:
        # A gateway's, perhaps.
        return {}
    return told if isinstance(told, dict) else {}


async def connections_like(client: Client, example: Example) -> Connections | None:
    """Return connections like the client's, where it has nothing but usual ones, and they can be made."""
    usual = await asyncio.to_thread(driver.usual_connections, client, example.http_session, example.url)
    if usual is None:
        return None
    own = Connections(example.url, **usual._asdict())
    try:
        await own.open()
    except Exception as error:  # noqa: BLE001 - whatever it is, the client could
        logger.info("%s: requests are sent over the client's own connections: %s", example.url, type(error).__name__)
        return None
    return own

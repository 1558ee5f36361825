"""What of a client's would be left out by a request that it does not make itself."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.dynamodb import driver
from bulkwriter.backends.dynamodb.origins import bare, is_own, module_of
from bulkwriter.backends.dynamodb.sending import OPERATIONS
from bulkwriter.backends.dynamodb.signing import Signing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bulkwriter.backends.dynamodb.driver import Client
    from bulkwriter.backends.dynamodb.example import Example

_EVENTS: Final = (
    "provide-client-params",
    "before-parameter-build",
    "before-endpoint-resolution",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "before-parse",
    "response-received",
    "needs-retry",
    "after-call",
    "after-call-error",
)
"""All that a client sends out of one call."""

_KNOWN: Final = frozenset({
    "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request", "authorization", "content-length", "content-type",
    "user-agent", "x-amz-date", "x-amz-security-token", "x-amz-target",
})  # fmt: skip
"""Headers that are sent by us as well, or tell the service nothing but how often a client has tried."""


class Lookout:
    """Looks whether anybody has put something of his own in a client's way; each time anew, for he may come later.

    Args:
        client: The client.
        find: Returns what there is; ``None`` if there is nothing.
        functions: Returns the functions that are looked at.
    """

    def __init__(
        self, client: Client, find: Callable[[], str | None], functions: Callable[[], tuple[Any, ...]]
    ) -> None:
        self._client = client
        self._find = find
        self._functions = functions
        self._known: tuple[object, ...] = ()
        self._is_clear = False

    def is_clear(self) -> bool:
        """Whether there is nothing."""
        known = (driver.registrations(self._client), *map(bare, self._functions()))
        # Not whether they are equal: what is wrapped by wrapt says that it is equal to its wrapper.
        if not all(map(operator.is_, known, self._known or (self,))):
            self._known = known
            self._is_clear = self._find() is None
        return self._is_clear


async def what_is_bypassed(client: Client, example: Example) -> str | None:
    """Return what of a client's would be left out; ``None`` if it is certain that nothing would.

    Args:
        client: The client.
        example: What it has just sent. The same must come out when it is made here, to the last byte.
    """
    if not example.is_whole:
        return _replaced_calls(client) or _handled(client) or "the client's own requests cannot be seen"
    return bypassed_making(client, example) or await _difference(example)


def bypassed_making(client: Client, example: Example) -> str | None:
    """Return what would be left out of how a client makes requests that does not show in what it sends."""
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        return "in AWS Lambda the client names the trace that each request belongs to"
    return _replaced(driver.making_functions(client, example.endpoint)) or _handled(client)


def bypassed_sending(client: Client, example: Example) -> str | None:
    """Return what would be left out of how a client sends what it has made."""
    return _replaced(driver.sending_functions(example.endpoint)) or others_handling(client, "before-send")


def _replaced_calls(client: Client) -> str | None:
    return _replaced([getattr(client, name, None) for name in ("batch_write_item", "put_item", "delete_item")])


def _replaced(functions: Iterable[Any]) -> str | None:
    for function in functions:
        if function is not None and not is_own(function):
            return f"the client's {getattr(function, '__name__', function)} has been replaced"
    return None


def _handled(client: Client) -> str | None:
    return next(filter(None, (others_handling(client, event) for event in _EVENTS)), None)


def others_handling(client: Client, event: str) -> str | None:
    """Return who else handles an event of the requests that are made here; ``None`` if nobody does."""
    for operation in OPERATIONS:
        handlers = driver.handlers_of(client, f"{event}.dynamodb.{operation}")
        if handlers is None:
            return "this version of botocore does not show who handles its events"
        for handler in handlers:
            if not is_own(handler):
                return f"the client's event {event} is handled by {module_of(handler)}"
    return None


async def _difference(example: Example) -> str | None:
    """Return in what the request of an example differs from the same made here; ``None`` if it does not."""
    if not isinstance(example.body, bytes):
        return "the client's own requests cannot be seen"
    if example.version != "v4":
        return f"the client's requests are signed by {example.version}"
    headers = {name.lower(): value for name, value in example.headers.items()}
    unknown = sorted(set(headers) - _KNOWN)
    if unknown:
        return f"the client's requests have a header {unknown[0]}"
    odd = sorted(name for name, value in headers.items() if not value.isascii())
    if odd:
        return f"the client's requests have a header {odd[0]} that is not ASCII"
    credentials = await example.credentials()
    ours = signing_of(example).headers(credentials, headers["x-amz-target"], example.body, headers["x-amz-date"])
    if any(headers.get(name.lower()) != value for name, value in ours.items()):
        return "the client's requests are signed in another way"
    return None


def signing_of(example: Example) -> Signing:
    """Return what signs requests as the example was signed."""
    return Signing(
        host=driver.host_of(example.url),
        region=example.region,
        service=example.service,
        content_type=example.headers["Content-Type"],
    )

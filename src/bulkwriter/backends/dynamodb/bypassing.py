"""What of a client's would be left out by a request that it does not make itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.dynamodb import driver
from bulkwriter.backends.dynamodb.origins import is_own, module_of
from bulkwriter.backends.dynamodb.sending import OPERATIONS
from bulkwriter.backends.dynamodb.signing import Signing

if TYPE_CHECKING:
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

_METHODS: Final = ("batch_write_item", "put_item", "delete_item", "_make_api_call")

_KNOWN: Final = frozenset({
    "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request", "authorization", "content-length", "content-type",
    "user-agent", "x-amz-date", "x-amz-security-token", "x-amz-target",
})  # fmt: skip
"""Headers that are sent by us as well, or tell the service nothing but how often a client has tried."""


async def what_is_bypassed(client: Client, example: Example) -> str | None:
    """Return what of a client's would be left out; ``None`` if it is certain that nothing would.

    Args:
        client: The client.
        example: What it has just sent. The same must come out when it is made here, to the last byte.
    """
    return bypassed_handlers(client) or await _difference(example)


def bypassed_handlers(client: Client) -> str | None:
    """Return what would be left out of a client that does not show in what it sends; ``None`` if nothing would."""
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        return "in AWS Lambda the client names the trace that each request belongs to"
    for method in _METHODS:
        if method in vars(client) or not is_own(getattr(type(client), method)):
            return f"the client's {method} has been replaced"
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
    if not example.is_whole or not isinstance(example.body, bytes):
        return "the client's own requests cannot be seen"
    if example.version != "v4":
        return f"the client's requests are signed by {example.version}"
    headers = {name.lower(): value for name, value in example.headers.items()}
    unknown = sorted(set(headers) - _KNOWN)
    if unknown:
        return f"the client's requests have a header {unknown[0]}"
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

"""A request that a client makes by itself, seen in the events that it sends out: the example for direct ones."""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.dynamodb import driver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulkwriter.backends.dynamodb.driver import Client, Credentials, Endpoint, HttpSession, Signer

_seen: Final[contextvars.ContextVar[Example | None]] = contextvars.ContextVar("bulkwriter_dynamodb_seen", default=None)


class Example:
    """A ``DescribeTable`` of a client's, as it was signed and sent.

    Attributes:
        url: Where it went.
        headers: With which.
        body: Its content.
        signer: What gave out the credentials.
        service: The service's name in its signature.
        region: The region in it.
        version: The kind of signature.
        endpoint: What has sent it.
    """

    url: str
    headers: dict[str, str]
    body: bytes
    signer: Signer
    service: str
    region: str
    version: object
    endpoint: Endpoint

    @property
    def http_session(self) -> HttpSession:
        """The connections that it went over."""
        return self.endpoint.http_session

    @property
    def is_whole(self) -> bool:
        """Whether all of it was seen."""
        return all(hasattr(self, name) for name in ("signer", "url", "endpoint"))

    @property
    def common_headers(self) -> dict[str, str]:
        """The headers that requests of every operation have in common."""
        common = {name: value for name, value in self.headers.items() if name.lower() in {"content-type", "user-agent"}}
        return {**common, "Accept-Encoding": "identity"}

    async def credentials(self) -> Credentials:
        """Return the credentials of this moment.

        Raises:
            Exception: What the client raises where there are none.
        """
        signed = await self.signer.get_auth_instance(self.service, self.region, "v4")
        if signed.credentials is None:
            raise driver.no_credentials()
        return signed.credentials

    def _note_signing(
        self,
        *,
        request: Any,
        request_signer: Signer,
        signing_name: str,
        region_name: str,
        signature_version: object,
        **_: Any,
    ) -> None:
        # What was found out of the endpoint comes before what the client has of its own.
        known = request.context.get("signing", {})
        self.signer = request_signer
        self.service = known.get("signing_name") or signing_name
        self.region = known.get("region") or region_name
        self.version = signature_version

    def _note_request(self, *, request: Any, **_: Any) -> None:
        self.url, self.body = request.url, request.body
        self.headers = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
        }

    def _note_answer(self, *, endpoint: Endpoint, **_: Any) -> None:
        self.endpoint = endpoint


@contextlib.contextmanager
def watched(client: Client) -> Iterator[Example]:
    """Note the ``DescribeTable`` that this task has a client make, until the block ends."""
    example = Example()
    events: dict[str, Callable[..., None]] = {
        "before-sign.dynamodb.DescribeTable": Example._note_signing,  # noqa: SLF001 - its own
        "before-send.dynamodb.DescribeTable": Example._note_request,  # noqa: SLF001
        "needs-retry.dynamodb.DescribeTable": Example._note_answer,  # noqa: SLF001
    }

    def note(*, event_name: str, **told: Any) -> None:
        # The client may be the user's, and make requests of its own meanwhile.
        if _seen.get() is example:
            events[event_name](example, **told)

    token = _seen.set(example)
    for event in events:
        client.meta.events.register(event, note, unique_id=f"bulkwriter-{id(example)}-{event}")
    try:
        yield example
    finally:
        for event in events:
            client.meta.events.unregister(event, note, unique_id=f"bulkwriter-{id(example)}-{event}")
        _seen.reset(token)

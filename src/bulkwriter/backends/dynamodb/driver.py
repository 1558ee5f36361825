"""The part of aiobotocore and botocore that is used here, described: they ship no types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from aiobotocore.client import AioBaseClient
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore import exceptions as boto

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ServiceError: type[Exception] = boto.ClientError
"""Whatever DynamoDB answers with another status than 200."""

_NEVER_SENT: Final[tuple[type[Exception], ...]] = (boto.ConnectTimeoutError, boto.ProxyConnectionError)

_WRONG: Final[tuple[type[Exception], ...]] = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.NoRegionError,
    boto.ProfileNotFound,
    boto.ConfigNotFound,
    boto.InvalidConfigError,
    boto.ParamValidationError,
    boto.BaseEndpointResolverError,
    ValueError,
)

_RENEWING: Final[tuple[type[Exception], ...]] = (
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.MetadataRetrievalError,
    boto.SSOTokenLoadError,
    boto.UnauthorizedSSOTokenError,
)
"""Credentials could not be had now; whoever gives them out may have a bad moment."""


class Events(Protocol):
    """Where a client says what it is about to do."""

    def register(self, event_name: str, handler: Callable[..., Any], unique_id: str) -> None:
        """Have a function called."""

    def unregister(self, event_name: str, handler: Callable[..., Any], unique_id: str) -> None:
        """Have it called no more."""


class Meta(Protocol):
    """What a client says of itself."""

    events: Events
    config: Any
    region_name: str
    endpoint_url: str


class Client(Protocol):
    """A client for DynamoDB. Its answers are those of boto3's."""

    meta: Meta

    async def describe_table(self, **request: Any) -> Mapping[str, Any]:
        """Return what the service knows of a table."""

    async def batch_write_item(self, **request: Any) -> Mapping[str, Any]:
        """Put and delete up to 25 items."""

    async def put_item(self, **request: Any) -> Mapping[str, Any]:
        """Put one."""

    async def delete_item(self, **request: Any) -> Mapping[str, Any]:
        """Delete one."""


def is_client(given: object) -> bool:
    """Whether it is a client for DynamoDB."""
    return isinstance(given, AioBaseClient) and hasattr(given, "batch_write_item")


def session_of(given: object) -> Any:
    """Return the aiobotocore session that something is, or has within, as aioboto3's do; ``None`` if it has none."""
    if given is None:
        return AioSession()
    if isinstance(given, AioSession):
        return given
    inner = getattr(given, "_session", None)
    return given if isinstance(inner, AioSession) and callable(getattr(given, "client", None)) else None


def new_client(session: Any, **options: Any) -> Any:
    """Return a context manager that makes a client.

    Args:
        session: A session of aiobotocore's or aioboto3's.
        **options: As ``create_client`` takes them.
    """
    create = session.create_client if isinstance(session, AioSession) else session.client
    return create("dynamodb", **options)


def config(**options: Any) -> Any:
    """Return the configuration of a client."""
    return AioConfig(**options)


def retries_by_itself(client: Client) -> bool:
    """Whether a client sends requests again on its own account."""
    retries = client.meta.config.retries or {}
    return retries.get("total_max_attempts") != 1


def connections_of(client: Client) -> int:
    """Return how many connections a client has at most."""
    return int(client.meta.config.max_pool_connections)


def was_never_sent(error: BaseException) -> bool:
    """Whether an error means that no byte of the request can have reached the service.

    ``EndpointConnectionError`` alone does not: it is raised as well for a connection that breaks later.
    """
    if isinstance(error, _NEVER_SENT):
        return True
    kwargs: dict[str, Any] = getattr(error, "kwargs", {})
    return isinstance(error, boto.BotoCoreError) and isinstance(kwargs.get("error"), aiohttp.ClientConnectorError)


def is_misconfiguration(error: BaseException) -> bool:
    """Whether an error, raised before anything was sent, will come again however often one tries."""
    return isinstance(error, _WRONG)


BEFORE_SENDING: Final[tuple[type[Exception], ...]] = (*_WRONG[:-1], *_RENEWING)
"""What is raised while a request is being made."""

ERRORS: Final[tuple[type[Exception], ...]] = (
    boto.BotoCoreError,
    boto.ClientError,
    aiohttp.ClientError,
    OSError,
    ValueError,
)
"""Whatever opening a client or asking it may raise."""

"""The part of aiobotocore and botocore that is used here, described: they ship no types."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.client import AioBaseClient
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore import exceptions as boto
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bulkwriter.backends.dynamodb.http1 import Answer

ServiceError: type[Exception] = boto.ClientError
"""Whatever DynamoDB answers with another status than 200."""


class _NotConnectedError(boto.EndpointConnectionError):  # type: ignore[misc]
    """There is no connection: no byte of a request was sent."""


_NEVER_SENT: Final[tuple[type[Exception], ...]] = (
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    _NotConnectedError,
)

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


_OF_A_CLIENT: Final = (
    "batch_write_item",
    "put_item",
    "delete_item",
    "_make_api_call",
    "_make_request",
    "_convert_to_request_dict",
    "_emit_api_params",
    "_resolve_endpoint_ruleset",
)

_OF_AN_ENDPOINT: Final = (
    "make_request",
    "create_request",
    "prepare_request",
    "_send_request",
    "_get_response",
    "_do_get_response",
    "_needs_retry",
    "_send",
)

_KEPT: Final = 12.0
"""Seconds that aiobotocore keeps a connection, if it is not told: the service gives it up after longer."""

_PORTS: Final = {"http": 80, "https": 443}


class Events(Protocol):
    """Where a client says what it is about to do."""

    def register(self, event_name: str, handler: Callable[..., Any], unique_id: str) -> None:
        """Have a function called."""

    def unregister(self, event_name: str, handler: Callable[..., Any], unique_id: str) -> None:
        """Have it called no more."""


class Credentials(Protocol):
    """By which a request is signed."""

    access_key: str
    secret_key: str
    token: str | None


class Signed(Protocol):
    """What signs a request as a client does."""

    credentials: Credentials | None


class Signer(Protocol):
    """What gives out the credentials of a client, and renews them in time."""

    async def get_auth_instance(self, signing_name: str, region_name: str, signature_version: str) -> Signed:
        """Return what signs a request that is sent now."""


class Response(Protocol):
    """An answer as it came."""

    status_code: int
    headers: Mapping[str, str]
    content: Awaitable[bytes]


class Prepared(Protocol):
    """A request that is signed."""

    method: str
    url: str
    headers: Mapping[str, str | bytes]
    body: Any


class HttpSession(Protocol):
    """A client's connections: with its proxies, certificates and timeouts, and its errors."""

    async def send(self, request: Any) -> Response:
        """Send a request that is signed."""


class Endpoint(Protocol):
    """What sends a client's requests."""

    http_session: HttpSession


class Exceptions(Protocol):
    """The errors of a client."""

    def from_code(self, code: str) -> Callable[[Mapping[str, Any], str], Exception]:
        """Return the class of an error that the service tells by this code."""


class Meta(Protocol):
    """What a client says of itself."""

    events: Events
    config: Any
    region_name: str
    endpoint_url: str


class Client(Protocol):
    """A client for DynamoDB. Its answers are those of boto3's."""

    meta: Meta
    exceptions: Exceptions

    async def describe_table(self, **request: Any) -> Mapping[str, Any]:
        """Return what the service knows of a table."""

    async def batch_write_item(self, **request: Any) -> Mapping[str, Any]:
        """Put and delete up to 25 items."""

    async def put_item(self, **request: Any) -> Mapping[str, Any]:
        """Put one."""

    async def delete_item(self, **request: Any) -> Mapping[str, Any]:
        """Delete one."""


class UsualConnections(NamedTuple):
    """How a client connects that has no more to it.

    Attributes:
        context: By which certificates are verified; ``None`` without TLS.
        connect_timeout: Seconds that connecting may take.
        read_timeout: Seconds to wait for an answer.
        keeps_alive: Whether the system looks after connections that are idle.
        kept: Seconds that a connection is kept while nothing is asked.
    """

    context: ssl.SSLContext | None
    connect_timeout: float | None
    read_timeout: float | None
    keeps_alive: bool
    kept: float


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


def introduction(session: Any) -> Mapping[str, str]:
    """Return how a client of a session is to be configured that says who it is in its ``User-Agent``.

    By itself it makes that header anew for each request, and twice, which takes a sixth of all its time. So it is made
    here, by the session, without the long list of what the client was built with. Whoever has the client say something
    of his own is left alone.
    """
    inner = session if isinstance(session, AioSession) else session._session  # noqa: SLF001 - aioboto3's way to it
    given = inner.get_default_client_config()
    if inner.get_config_variable("user_agent_appid") or (given and (given.user_agent or given.user_agent_appid)):
        return {}
    # What is said in addition, the client appends.
    return {"user_agent": inner.user_agent().removesuffix(f" {inner.user_agent_extra}")}


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


def handlers_of(client: Client, event: str) -> Sequence[Any] | None:
    """Return the functions that a client calls of an event; ``None`` if that cannot be seen.

    A client does not tell. So this looks where botocore keeps them, and whoever asks must be content with ``None``.
    """
    handlers = getattr(getattr(client.meta.events, "_emitter", None), "_handlers", None)
    search = getattr(handlers, "prefix_search", None)
    return None if search is None else list(search(event))


def registrations(client: Client) -> object:
    """Return an object that is another one after a function was registered with a client, or taken back."""
    return getattr(getattr(client.meta.events, "_emitter", None), "_lookup_cache", None)


def host_of(url: str) -> str:
    """Return the host that a request to a URL names: with its port, unless that is the scheme's own."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else f"{parts.hostname}"
    return host if parts.port in {None, _PORTS.get(parts.scheme)} else f"{host}:{parts.port}"


def not_connected(url: str, error: Exception) -> Exception:
    """Return what is raised where nothing can be connected to."""
    return _NotConnectedError(endpoint_url=url, error=error)


def connect_timeout(url: str, error: Exception) -> Exception:
    """Return what is raised where connecting takes too long."""
    told: Exception = boto.ConnectTimeoutError(endpoint_url=url, error=error)
    return told


def read_timeout(url: str) -> Exception:
    """Return what is raised where no answer comes."""
    error: Exception = boto.ReadTimeoutError(endpoint_url=url)
    return error


def connection_closed(url: str, error: Exception | None) -> Exception:
    """Return what is raised where a connection ends before the answer does."""
    told: Exception = boto.ConnectionClosedError(endpoint_url=url, error=error)
    return told


def bad_answer(error: Exception) -> Exception:
    """Return what is raised of an answer that is none."""
    told: Exception = boto.HTTPClientError(error=error)
    return told


def has_own_timeout(request: Prepared) -> bool:
    """Whether a request may take another time than those of its client."""
    context: Mapping[str, Any] | None = getattr(request, "context", None)
    return context is not None and context.get("read_timeout") is not None


class _Content:
    """What was read, to be read by a client."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self) -> bytes:
        """Return it."""
        return self._content


def response(url: str, answer: Answer) -> Response:
    """Return an answer as a client's connections give it."""
    told: Response = AioAWSResponse(url, answer.status, answer.headers, _Content(answer.content))
    return told


def usual_connections(client: Client, http_session: object, url: str) -> UsualConnections | None:
    """Return how a client connects; ``None`` if there is more to that than is usual, or it cannot be seen."""
    config = client.meta.config
    connector = config.connector_args or {}
    has_more = config.proxies or get_environ_proxies(url) or config.client_cert or _proxy(http_session, url)
    if has_more or not set(connector) <= {"keepalive_timeout"} or type(http_session) is not AIOHTTPSession:
        return None
    context = None
    if url.startswith("https:"):
        verify = getattr(http_session, "_verify", None)
        authorities = get_cert_path(verify) if verify else None
        if not isinstance(authorities, str):
            # Nothing is verified, which is for the client alone to do.
            return None
        context = ssl.create_default_context(cafile=authorities)
    kept = connector.get("keepalive_timeout", _KEPT)
    return UsualConnections(context, config.connect_timeout, config.read_timeout, bool(config.tcp_keepalive), kept)


def _proxy(http_session: object, url: str) -> object:
    """Return the proxy that a client has known since it was made, whatever the environment says by now."""
    proxies = getattr(http_session, "_proxy_config", None)
    return "unknown" if proxies is None else proxies.proxy_url_for(url)


def sending_functions(endpoint: Endpoint) -> tuple[Any, ...]:
    """Return the functions with which a client sends, each of which tools replace that trace requests, or play them."""
    http, session = type(endpoint.http_session), aiohttp.ClientSession
    return (
        endpoint.http_session.send,
        getattr(endpoint, "_send", None),
        getattr(http, "_get_session", None),
        getattr(http, "_create_connector", None),
        session.__init__,
        session.request,
        session._request,  # noqa: SLF001 - what is replaced
        aiohttp.TCPConnector.connect,
    )


def making_functions(client: Client, endpoint: Endpoint) -> tuple[Any, ...]:
    """Return the functions with which a client makes requests before it sends them."""
    return (
        *[getattr(client, name, None) for name in _OF_A_CLIENT],
        *[getattr(endpoint, name, None) for name in _OF_AN_ENDPOINT],
    )


def no_credentials() -> Exception:
    """Return what a client raises that has none."""
    error: Exception = boto.NoCredentialsError()
    return error


def wrong_checksum(expected: int, actual: int) -> Exception:
    """Return what a client raises of an answer that has been changed on its way."""
    error: Exception = boto.ChecksumError(checksum_type="crc32", expected_checksum=expected, actual_checksum=actual)
    return error


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

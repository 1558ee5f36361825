"""Requests are made directly where that leaves nothing of the client's out, and else by the client."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import botocore
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import AioSession
from botocore.stub import Stubber

from bulkwriter import BackendUnavailableError, BulkWriter, MisconfigurationError
from bulkwriter.backends.dynamodb import DynamoDBBackend
from integration.attempts import told
from integration.dynamodb import FakeDynamoDB
from integration.dynamodb.http import Answer, HttpServer
from integration.dynamodb_tables import REGION
from integration.eventually import eventually
from integration.servers.dynamodb_scratch import dynamodb_scratch
from integration.servers.requirements import missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bulkwriter.backends.dynamodb.connections import Connections
    from integration.dynamodb.http import Request

ONCE = {"total_max_attempts": 1}


class Recording(FakeDynamoDB):
    """A fake that keeps the requests that it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    async def answer(self, request: Request) -> Answer:
        """Keep one, and answer it."""
        self.requests.append(request)
        return await super().answer(request)

    def last(self, operation: str) -> Request:
        """Return the last request of a kind."""
        return [request for request in self.requests if request.operation == operation][-1]


@pytest.fixture
async def server() -> AsyncIterator[Recording]:
    """A fake with a table ``events``."""
    async with Recording() as server, dynamodb_scratch(server) as scratch:
        await scratch.call(
            "CreateTable",
            TableName="events",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield server


def a_session() -> AioSession:
    """Return a session with credentials of its own."""
    session = AioSession()
    session.set_credentials("tests", "tests")
    return session


def a_client(server: HttpServer, session: AioSession | None = None, **options: Any) -> Any:
    """Return what makes a client."""
    config = AioConfig(retries=ONCE, **options)
    return (session or a_session()).create_client(
        "dynamodb", region_name=REGION, endpoint_url=server.endpoint_url, config=config, verify=False
    )


def made_certificate(folder: Path, names: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself, and return it and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("tls", "there is no OpenSSL")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    kind = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command = [openssl, *kind, "-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - written here
    return certificate, key


async def written(client: Any, **options: Any) -> str:
    """Write a row by way of a client, and return who made the request."""
    backend = DynamoDBBackend(client, "events", **options)
    async with BulkWriter[Any](backend) as writer:
        assert told([await writer.insert({"id": "a"})]) == ["stored"]
        return backend.transport


async def test_a_client_as_it_is_made_is_not_needed(server: Recording) -> None:
    """The request differs in nothing from the one that it would have made, but in how often it was tried."""
    async with a_client(server) as client:
        assert await written(client) == "direct"
        direct = server.last("BatchWriteItem")
        assert await written(client, transport="client") == "client"
    through = server.last("BatchWriteItem")
    assert direct.body == through.body
    # When it was made, and what is told of attempts and of how the client is configured.
    differing = {"x-amz-date", "authorization", "amz-sdk-invocation-id", "amz-sdk-request", "user-agent", "accept"}
    assert {n: v for n, v in direct.headers.items() if n not in differing} == {
        n: v for n, v in through.headers.items() if n not in differing
    }


async def test_a_client_of_a_session_is_not_needed_either(server: Recording) -> None:
    """For the backend's own client, too."""
    backend = DynamoDBBackend(a_session(), "events", region_name=REGION, endpoint_url=server.endpoint_url)
    async with BulkWriter[Any](backend) as writer:
        assert told([await writer.insert({"id": "a"}), await writer.delete("a")]) == ["stored", "deleted"]
    assert backend.transport == "direct"


EVENTS = [
    "provide-client-params.dynamodb.PutItem",
    "before-parameter-build.dynamodb",
    "before-endpoint-resolution.dynamodb",
    "before-call.dynamodb.BatchWriteItem",
    "request-created.dynamodb.DeleteItem",
    "choose-signer.dynamodb",
    "before-sign.*.*",
    "before-send",
    "before-parse.dynamodb.BatchWriteItem",
    "response-received.dynamodb",
    "needs-retry.dynamodb",
    "after-call",
    "after-call-error.dynamodb",
]


@pytest.mark.parametrize("event", EVENTS)
async def test_who_handles_an_event_is_not_left_out(server: Recording, event: str) -> None:
    """Of whichever request, wherever it was registered."""
    async with a_client(server) as client:
        client.meta.events.register(event, lambda **_: None)
        assert await written(client) == "client"
        with pytest.raises(MisconfigurationError, match="would leave out"):
            await written(client, transport="direct")
    session = a_session()
    session.register(event, lambda **_: None)
    async with a_client(server, session) as client:
        assert await written(client) == "client"


async def test_who_handles_another_event_has_nothing_to_say(server: Recording) -> None:
    """Of requests that are not made here."""
    async with a_client(server) as client:
        client.meta.events.register("before-send.dynamodb.Query", lambda **_: None)
        client.meta.events.register("before-send.s3", lambda **_: None)
        assert await written(client) == "direct"


async def test_who_comes_later_is_not_left_out_either(server: Recording) -> None:
    """From the next request on."""
    seen = []
    async with a_client(server) as client, BulkWriter[Any](DynamoDBBackend(client, "events")) as writer:
        await writer.insert({"id": "a"})
        client.meta.events.register("before-send.dynamodb", lambda **told: seen.append(told), unique_id="late")
        await writer.insert({"id": "b"})
        assert len(seen) == 1
        client.meta.events.unregister("before-send.dynamodb", unique_id="late")
        await writer.insert({"id": "c"})
        assert len(seen) == 1
    assert set(server.tables["events"].items) == {(("S", key),) for key in "abc"}


async def test_a_client_whose_calls_are_replaced_is_used(server: Recording) -> None:
    """As by tools that trace calls, and by tests."""
    async with a_client(server) as client:
        calls = []
        true_call = client.batch_write_item

        async def traced(**request: Any) -> Any:
            calls.append(request)
            return await true_call(**request)

        client.batch_write_item = traced
        assert await written(client) == "client"
        assert len(calls) == 1


async def test_a_class_of_clients_whose_calls_are_replaced_is_used(
    server: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by tools that trace every client."""
    async with a_client(server) as client:
        of_all: Any = type(client).__mro__[1]
        true_call = of_all._make_api_call
        calls = []

        async def traced(self: Any, name: str, request: Any) -> Any:
            calls.append(name)
            return await true_call(self, name, request)

        monkeypatch.setattr(of_all, "_make_api_call", traced)
        assert await written(client) == "client"
        assert "BatchWriteItem" in calls


async def test_a_client_that_is_played_is_used(server: Recording) -> None:
    """By botocore's own stub."""
    async with a_client(server) as client:
        stubber = Stubber(client)
        stubber.add_response("describe_table", {"Table": server.tables["events"].description()})
        stubber.add_response("batch_write_item", {"UnprocessedItems": {}})
        with stubber:
            assert await written(client) == "client"
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    "options",
    [{"signature_version": botocore.UNSIGNED}, {"retries": {"mode": "adaptive", "total_max_attempts": 1}}],
    ids=["unsigned", "adaptive"],
)
async def test_what_a_client_does_by_configuration_is_not_left_out(server: Recording, options: dict[str, Any]) -> None:
    """It signs in another way, or holds itself back."""
    config = AioConfig(**{"retries": ONCE, **options})
    url = server.endpoint_url
    async with a_session().create_client(
        "dynamodb", region_name=REGION, endpoint_url=url, config=config, verify=False
    ) as client:
        assert await written(client) == "client"


async def test_a_trace_of_lambda_is_not_left_out(server: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tells it of each request."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "trace")
    async with a_client(server) as client:
        assert await written(client) == "client"
    assert server.last("BatchWriteItem").headers["x-amzn-trace-id"] == "trace"


async def test_credentials_are_renewed_when_the_client_would(server: Recording) -> None:
    """And the token of a session is sent with them."""
    numbers = itertools.count(1)

    def made() -> dict[str, str]:
        number, ends_at = next(numbers), dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        keys = {"access_key": f"key{number}", "secret_key": "s", "token": f"token{number}"}
        return {**keys, "expiry_time": ends_at.isoformat()}

    async def renew() -> dict[str, str]:
        return made()

    session = AioSession()
    credentials = session._credentials = AioRefreshableCredentials.create_from_metadata(made(), renew, "test")
    async with a_client(server, session) as client, BulkWriter[Any](DynamoDBBackend(client, "events")) as writer:
        for number in (1, 2, 3):
            await writer.insert({"id": "a"})
            headers = server.last("BatchWriteItem").headers
            assert f"Credential=key{number}/" in headers["authorization"]
            assert headers["x-amz-security-token"] == f"token{number}"
            credentials._expiry_time = dt.datetime.now(dt.UTC)


class TestConnections:
    """Those of the backend are like the client's, or the client's are used."""

    async def own(self, client: Any) -> Connections | None:
        """Return the backend's own connections."""
        backend = DynamoDBBackend(client, "events", transport="direct")
        async with BulkWriter[Any](backend) as writer:
            assert told([await writer.insert({"id": "a"})]) == ["stored"]
            assert backend._parts is not None
            own: Connections | None = backend._parts.sender._own  # type: ignore[attr-defined]
            return own

    async def test_usual_ones_are_made(self, server: Recording) -> None:
        """Where there is nothing about them."""
        async with a_client(server) as client:
            assert await self.own(client) is not None

    async def test_a_proxy_is_gone_through(self, server: Recording) -> None:
        """By the client's own connections."""
        async with HttpServer(server.answer) as proxy, a_client(server, proxies={"http": proxy.endpoint_url}) as client:
            server._server.close()
            assert await self.own(client) is None

    async def test_a_proxy_of_the_environment_is_gone_through(
        self, server: Recording, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And one that the environment says is not for this host, is not."""
        async with HttpServer(server.answer) as proxy:
            monkeypatch.setenv("http_proxy", proxy.endpoint_url)
            monkeypatch.delenv("no_proxy", raising=False)
            async with a_client(server) as client:
                assert await self.own(client) is None
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            async with a_client(server) as client:
                assert await self.own(client) is not None

    async def test_a_connector_of_the_users_is_used(self, server: Recording) -> None:
        """With whatever he has set."""
        async with a_client(server, connector_args={"ttl_dns_cache": 5}) as client:
            assert await self.own(client) is None

    @pytest.mark.parametrize("names", ["DNS:localhost,IP:127.0.0.1", "DNS:elsewhere"], ids=["ours", "another's"])
    async def test_tls_is_verified_by_the_clients_authorities(
        self, server: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str
    ) -> None:
        """Also whose certificate it is; where it is another's, it is for the client to say whether that matters."""
        certificate, key = made_certificate(tmp_path, names)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        async with HttpServer(server.answer, context) as secure:
            config = AioConfig(retries=ONCE)
            async with a_session().create_client(
                "dynamodb", region_name=REGION, endpoint_url=secure.endpoint_url, config=config
            ) as client:
                if "127.0.0.1" in names:
                    assert await self.own(client) is not None
                    return
                backend = DynamoDBBackend(client, "events", transport="direct")
                # The newest aiobotocore compares names, too, and does not get as far as this.
                with contextlib.suppress(BackendUnavailableError):
                    await backend.open()
                    assert backend._parts is not None
                    assert backend._parts.sender._own is None  # type: ignore[attr-defined]
                await backend.close()

    async def test_as_many_are_made_as_there_are_requests_at_once(self, server: Recording) -> None:
        """And they are kept."""
        async with a_client(server) as client:
            backend = DynamoDBBackend(client, "events")
            async with BulkWriter[Any](backend, concurrency=4, max_batch_size=1) as writer:
                for _ in range(5):
                    await writer.insert_many([{"id": str(number)} for number in range(20)])
                assert backend._parts is not None
                own = backend._parts.sender._own  # type: ignore[attr-defined]
                assert 1 <= len(own._all) <= 4
                assert len(own._idle) == len(own._all)
            assert not own._all

    async def test_one_that_the_server_has_closed_is_not_used_again(self, server: Recording) -> None:
        """Another is made, and no row is in doubt."""
        async with a_client(server) as client:
            backend = DynamoDBBackend(client, "events")
            async with BulkWriter[Any](backend) as writer:
                await writer.insert({"id": "a"})
                assert backend._parts is not None
                own = backend._parts.sender._own  # type: ignore[attr-defined]
                (kept,) = own._idle
                for task in server._tasks:
                    task.cancel()
                await eventually(lambda: asyncio.sleep(0, not kept.is_open))
                result = await writer.insert({"id": "b"})
                assert result.attempts == 1

    async def test_what_is_long_is_sent_by_the_client(self, server: Recording) -> None:
        """Piece by piece."""
        async with a_client(server) as client:
            backend = DynamoDBBackend(client, "events")
            async with BulkWriter[Any](backend, max_batch_bytes=4 * 2**20) as writer:
                rows = [{"id": str(number), "text": "x" * 350_000} for number in range(4)]
                assert told(await asyncio.gather(*map(writer.insert, rows))) == ["stored"] * 4
        assert len(server.tables["events"].items) == 4
        assert len(server.last("BatchWriteItem").body) > 2**20

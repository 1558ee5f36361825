"""What a client has made and signed is sent over connections of the backend's, wherever nobody could tell."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
from typing import Any

import aiohttp
import pytest
import wrapt
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession

from bulkwriter import BulkWriter, MisconfigurationError
from bulkwriter.backends.dynamodb import DynamoDBBackend
from bulkwriter.backends.dynamodb.bypassing import Lookout
from bulkwriter.backends.dynamodb.carrying import Carrier
from bulkwriter.backends.dynamodb.connections import Connections
from integration.attempts import told
from integration.dynamodb.http import Answer, HttpServer, Request
from integration.dynamodb_tables import REGION, client_to, looked_at
from integration.test_dynamodb_transport import Recording, a_client, a_session, server

__all__ = ["server"]


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The headers of whatever was sent over the backend's own connections."""
    headers: list[dict[str, Any]] = []
    ask = Connections.ask

    async def note(self: Connections, told: Any, body: bytes) -> Any:
        headers.append(told)
        return await ask(self, told, body)

    monkeypatch.setattr(Connections, "ask", note)
    return headers


async def heard(client: Any, *rows: dict[str, Any], **options: Any) -> list[str]:
    """Write rows one after the other by a client, and return what was heard of them."""
    backend = DynamoDBBackend(client, "events", transport="client", **options)
    async with BulkWriter[Any](backend) as writer:
        answers = [await asyncio.gather(writer.insert(row), return_exceptions=True) for row in rows or ({"id": "a"},)]
        assert backend.transport == "client"
    return told([answer for (answer,) in answers])


async def test_nobody_could_tell(server: Recording, carried: list[Any]) -> None:
    """The request is the same to the last header as over the client's connections."""
    async with a_client(server) as client:
        assert await heard(client) == ["stored"]
        assert len(carried) == 1
        over_ours = server.last("BatchWriteItem")
        with looked_at(client):
            assert await heard(client) == ["stored"]
        assert len(carried) == 1
    over_its_own = server.last("BatchWriteItem")
    assert over_ours.body == over_its_own.body
    differing = {"x-amz-date", "authorization", "amz-sdk-invocation-id", "accept"}
    assert {n: v for n, v in over_ours.headers.items() if n not in differing} == {
        n: v for n, v in over_its_own.headers.items() if n not in differing
    }


async def test_each_operation_is_carried(server: Recording, carried: list[Any]) -> None:
    """Also those whose answers say more than that it went well."""
    async with a_client(server) as client:
        assert await heard(client, {"id": "a"}, {"id": "a"}, on_conflict="skip") == ["inserted", "skipped"]
        rows = [{"id": "a"}, {"id": "b"}]
        assert await heard(client, *rows, on_conflict="error") == ["UniqueViolation", "inserted"]
        assert await heard(client, {"id": "a"}, {"id": "c"}, tells_updated=True) == ["updated", "inserted"]
    assert len(carried) == 6


async def test_two_writers_with_one_client_send_each_row_once(server: Recording, carried: list[Any]) -> None:
    """Each is asked of each of the client's requests."""
    async with a_client(server) as client:
        backends = [DynamoDBBackend(client, "events", transport="client") for _ in range(2)]
        async with BulkWriter[Any](backends[0]) as one, BulkWriter[Any](backends[1]) as other:
            await asyncio.gather(one.insert({"id": "a"}), other.insert({"id": "b"}))
        # What the user asks himself is none of their business.
        await client.put_item(TableName="events", Item={"id": {"S": "c"}})
    assert len(carried) == 2
    assert [request.operation for request in server.requests].count("BatchWriteItem") == 2
    assert set(server.tables["events"].items) == {(("S", key),) for key in "abc"}


async def test_the_answer_of_somebody_else_is_the_one_that_counts(server: Recording, carried: list[Any]) -> None:
    """As moto answers: nothing is sent, and no connection is made; also if it comes later."""

    def answer(request: Any, **_: Any) -> Any:
        if "DescribeTable" in str(request.headers["X-Amz-Target"]):
            return None

        class Content:
            async def read(self) -> bytes:
                return b'{"UnprocessedItems": {}}'

        return AioAWSResponse(request.url, 200, {}, Content())

    async with a_client(server) as client:
        client.meta.events.register("before-send.dynamodb", answer, unique_id="moto")
        assert await heard(client) == ["stored"]
        client.meta.events.unregister("before-send.dynamodb", unique_id="moto")
        backend = DynamoDBBackend(client, "events", transport="client")
        async with BulkWriter[Any](backend) as writer:
            await writer.insert({"id": "b"})
            client.meta.events.register("before-send.dynamodb", answer, unique_id="moto")
            await writer.insert({"id": "c"})
    assert len(carried) == 1
    assert set(server.tables["events"].items) == {(("S", "b"),)}


async def test_what_a_handler_adds_is_sent(server: Recording, carried: list[Any]) -> None:
    """Before it is signed."""
    async with a_client(server) as client:
        client.meta.events.register(
            "before-sign.dynamodb", lambda request, **_: request.headers.add_header("X-Mine", "1")
        )
        assert await heard(client) == ["stored"]
    assert len(carried) == 1
    assert server.last("BatchWriteItem").headers["x-mine"] == "1"


@dataclasses.dataclass
class Prepared:
    """A request that is signed."""

    url: str
    body: Any = b"{}"
    method: str = "POST"
    headers: Any = dataclasses.field(default_factory=lambda: {"Content-Length": "2"})
    context: dict[str, Any] | None = None


CHANGES: dict[str, dict[str, Any]] = {
    "another method": {"method": "GET"},
    "another address": {"url": "http://127.0.0.1/elsewhere"},
    "another host": {"headers": {"Content-Length": "2", "host": "elsewhere"}},
    "in chunks": {"headers": {"Transfer-Encoding": "chunked"}},
    "another length": {"headers": {"Content-Length": "7"}},
    "no length": {"headers": {}},
    "a body that is read": {"body": io.BytesIO(b"{}")},
    "no body": {"body": None},
    "a header of two lines": {"headers": {"Content-Length": "2", "X-Mine": "1\r\nX-Yours: 2"}},
    "a header's name of two lines": {"headers": {"Content-Length": "2", "X-Mine: 1\r\nX-Yours": "2"}},
    "a header that is not ASCII": {"headers": {"Content-Length": "2", "X-Mine": "ä".encode()}},
    "a time of its own": {"context": {"read_timeout": 1}},
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_these_connections_are_not_made_for(server: Recording, change: str) -> None:
    """A handler may change a request to anything: then the client's own get it."""
    usual: dict[str, Any] = {"context": None, "connect_timeout": 1, "read_timeout": 1, "keeps_alive": False, "kept": 1}
    connections = Connections(server.endpoint_url, **usual)
    async with a_client(server) as client:
        carrier = Carrier(connections, Lookout(client, lambda: None, tuple))
        answer = await carrier.carry(Prepared(server.endpoint_url, context={}))
        assert answer.status_code == 400
        assert await carrier.carry(Prepared(**{"url": server.endpoint_url, **CHANGES[change]})) is None
    connections.close()


async def test_a_client_that_tries_again_does(server: Recording, carried: list[Any]) -> None:
    """Each of its tries goes the same way."""
    refusals = iter([Answer(500, b"{}"), Answer(500, b"{}")])

    async def refuse(request: Request) -> Answer:
        refusal = next(refusals, None) if request.operation == "BatchWriteItem" else None
        return refusal or await server.answer(request)

    config = AioConfig(retries={"total_max_attempts": 3, "mode": "standard"})
    async with (
        HttpServer(refuse) as front,
        a_session().create_client(
            "dynamodb", region_name=REGION, endpoint_url=front.endpoint_url, config=config, verify=False
        ) as client,
    ):
        assert await heard(client) == ["stored"]
    assert len(carried) == 3


async def test_what_is_long_goes_piece_by_piece(server: Recording, carried: list[Any]) -> None:
    """Over the client's connections."""
    async with a_client(server) as client:
        backend = DynamoDBBackend(client, "events", transport="client")
        async with BulkWriter[Any](backend, max_batch_bytes=4 * 2**20) as writer:
            rows = [{"id": str(number), "text": "x" * 350_000} for number in range(4)]
            assert told(await asyncio.gather(*map(writer.insert, rows))) == ["stored"] * 4
    assert not carried


async def test_what_the_client_logs_it_logs(server: Recording, caplog: pytest.LogCaptureFixture) -> None:
    """And it says to whom it is connected that cannot be reached."""
    async with a_client(server) as client:
        with caplog.at_level("DEBUG", logger="botocore.endpoint"):
            assert await heard(client) == ["stored"]
    assert "Sending http request" in caplog.text
    assert "BatchWriteItem" in caplog.text


def traced(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
    """Call what is wrapped, as tools that trace calls do."""
    return wrapped(*args, **kwargs)


@pytest.mark.parametrize(
    "traces",
    [(aiohttp.ClientSession, "_request"), (aiohttp.ClientSession, "__init__"), (AIOHTTPSession, "send")],
    ids=["aiohttp's requests", "aiohttp's sessions", "aiobotocore's"],
)
@pytest.mark.parametrize("transport", ["client", "direct"])
async def test_connections_that_are_traced_are_used(
    server: Recording, carried: list[Any], monkeypatch: pytest.MonkeyPatch, traces: tuple[type, str], transport: Any
) -> None:
    """Whoever puts something of his own before aiohttp sees, or answers, each request."""
    owner, name = traces
    seen: list[str] = []

    def note(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append(name)
        return traced(wrapped, instance, args, kwargs)

    monkeypatch.setattr(owner, name, wrapt.FunctionWrapper(getattr(owner, name), note))
    async with client_to(server.endpoint_url) as client:
        async with BulkWriter[Any](DynamoDBBackend(client, "events", transport=transport)) as writer:
            await writer.insert({"id": "a"})
        assert seen
    assert not carried


@pytest.mark.parametrize("transport", ["client", "auto"])
@pytest.mark.parametrize(
    "place", ["ClientSession._request", "AIOHTTPSession.send", "client._make_api_call", "client.batch_write_item"]
)
async def test_who_comes_later_is_not_left_out(
    server: Recording, monkeypatch: pytest.MonkeyPatch, transport: Any, place: str
) -> None:
    """Neither: as where a test opens a writer, and then begins to play the service."""
    async with a_client(server) as client:
        owners = {"ClientSession": aiohttp.ClientSession, "AIOHTTPSession": AIOHTTPSession, "client": client}
        owner, name = owners[place.partition(".")[0]], place.partition(".")[2]
        seen: list[str] = []

        def note(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            seen.append(name)
            return traced(wrapped, instance, args, kwargs)

        async with BulkWriter[Any](DynamoDBBackend(client, "events", transport=transport)) as writer:
            await writer.insert({"id": "a"})
            assert not seen
            monkeypatch.setattr(owner, name, wrapt.FunctionWrapper(getattr(owner, name), note))
            await writer.insert({"id": "b"})
            assert len(seen) == 1
            monkeypatch.undo()
            await writer.insert({"id": "c"})
            assert len(seen) == 1
    assert set(server.tables["events"].items) == {(("S", key),) for key in "abc"}


@pytest.mark.parametrize("name", ["make_request", "prepare_request", "_send_request", "_send"])
async def test_an_endpoint_that_is_traced_is_used(server: Recording, name: str) -> None:
    """As OpenTelemetry does it, to add a header."""
    async with a_client(server) as client:
        seen: list[str] = []

        def note(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            seen.append(name)
            return traced(wrapped, instance, args, kwargs)

        endpoint = client._endpoint
        setattr(endpoint, name, wrapt.FunctionWrapper(getattr(endpoint, name), note))
        async with BulkWriter[Any](DynamoDBBackend(client, "events")) as writer:
            del seen[:]
            await writer.insert({"id": "a"})
    assert seen == [name]


@pytest.mark.parametrize("transport", ["client", "auto"])
@pytest.mark.parametrize("how", ["awaited", "a task"])
@pytest.mark.parametrize("event", ["provide-client-params", "before-parameter-build", "before-call", "before-sign"])
async def test_what_a_handler_asks_meanwhile_is_its_own(
    server: Recording, transport: Any, how: str, event: str
) -> None:
    """It hears the truth of its own request, now or later, and the row is the writer's."""
    begun: list[bool] = []
    noted: list[asyncio.Task[Any]] = []
    async with a_client(server) as client:

        async def note(**_: Any) -> None:
            if begun:
                return
            # Its own request is another such event, in this very turn if tasks are eager.
            begun.append(True)
            request = {"events": [{"PutRequest": {"Item": {"id": {"S": "note"}}}}]}
            task = asyncio.ensure_future(client.batch_write_item(RequestItems=request))
            noted.append(task)
            if how == "awaited":
                await task

        client.meta.events.register(f"{event}.dynamodb.BatchWriteItem", note)
        async with BulkWriter[Any](DynamoDBBackend(client, "events", transport=transport)) as writer:
            assert told([await writer.insert({"id": "a", "v": 1})]) == ["stored"]
            assert told([await writer.insert({"id": "a", "v": 2})]) == ["stored"]
        await asyncio.gather(*noted)
    items = server.tables["events"].items
    assert set(items) == {(("S", "a"),), (("S", "note"),)}
    assert items[("S", "a"),]["v"] == {"N": "2"}


@pytest.mark.parametrize("transport", ["client", "direct"])
async def test_an_answer_that_cannot_be_read_here_the_client_reads(
    server: Recording, carried: list[Any], transport: Any
) -> None:
    """A gateway's, perhaps, that says by its end how long it is: from then on the client's connections are used."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lines = [line.partition(": ") for line in head.decode().strip().split("\r\n")[1:]]
            headers = {name.lower(): value for name, _, value in lines}
            body = await reader.readexactly(int(headers["content-length"]))
            answer = await server.answer(Request(headers, body))
            assert answer is not None
            writer.write(b"HTTP/1.1 %d -\r\nConnection: close\r\n\r\n%s" % (answer.status, answer.body))
        writer.close()

    gateway = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{gateway.sockets[0].getsockname()[1]}"
    async with (
        gateway,
        client_to(url) as client,
        BulkWriter[Any](DynamoDBBackend(client, "events", transport=transport)) as writer,
    ):
        assert told([await writer.insert({"id": "a"}), await writer.insert({"id": "b"})]) == ["stored"] * 2
    assert len(carried) == 1


async def test_a_slow_line_has_the_time_it_takes() -> None:
    """What is waited for begins when the request is sent."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            for _ in range(8):
                await reader.readexactly(2**21)
                await asyncio.sleep(0.2)
            writer.write(answer)
        writer.close()

    slow = await asyncio.start_server(read_slowly, "127.0.0.1", 0, limit=2**16)
    url = f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}"
    usual: dict[str, Any] = {"context": None, "connect_timeout": 1, "keeps_alive": False, "kept": 1}
    async with slow:
        connections = Connections(url, read_timeout=1, **usual)
        head = len(b"POST / HTTP/1.1\r\nHost: \r\n\r\n") + len(url) - len("http://")
        assert (await connections.ask({}, bytes(8 * 2**21 - head))).status == 200
        connections.close()


async def test_calls_that_are_traced_are_made(server: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """By wrapt, too, whose wrappers say that they are what they wrap."""
    async with a_client(server) as client:
        of_all: Any = type(client).__mro__[1]
        seen: list[str] = []

        def note(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            seen.append(args[0])
            return traced(wrapped, instance, args, kwargs)

        monkeypatch.setattr(of_all, "_make_api_call", wrapt.FunctionWrapper(of_all._make_api_call, note))
        async with BulkWriter[Any](DynamoDBBackend(client, "events")) as writer:
            await writer.insert({"id": "a"})
        with pytest.raises(MisconfigurationError, match="_make_api_call has been replaced"):
            await DynamoDBBackend(client, "events", transport="direct").open()
    assert "BatchWriteItem" in seen


class TestIntroduction:
    """Who a client is that the backend makes, it says in few words; whoever says something of his own is heard."""

    async def header(self, server: Recording, session: Any, **options: Any) -> str:
        """Return the header of a row that is written."""
        backend = DynamoDBBackend(session, "events", region_name=REGION, endpoint_url=server.endpoint_url, **options)
        async with BulkWriter[Any](backend) as writer:
            await writer.insert({"id": "a"})
        return server.last("BatchWriteItem").headers["user-agent"]

    @pytest.mark.parametrize("transport", ["client", "direct"])
    async def test_by_itself(self, server: Recording, transport: Any) -> None:
        """Each name once."""
        words = (await self.header(server, a_session(), transport=transport)).split()
        assert [word.partition("/")[0] for word in words][:2] == ["aiobotocore", "Python"]
        assert [word.partition("/")[0] for word in words].count("botocore") == 1

    async def test_of_an_application(self, server: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the environment, or the configuration of the session."""
        monkeypatch.setenv("AWS_SDK_UA_APP_ID", "shop")
        assert "app/shop" in await self.header(server, a_session())
        monkeypatch.delenv("AWS_SDK_UA_APP_ID")
        session = a_session()
        session.set_default_client_config(AioConfig(user_agent_appid="store"))
        assert "app/store" in await self.header(server, session)

    async def test_as_the_user_says(self, server: Recording) -> None:
        """All of it, or something more."""
        session = a_session()
        session.set_default_client_config(AioConfig(user_agent="me/1"))
        assert (await self.header(server, session)).startswith("me/1")
        session.set_default_client_config(AioConfig(user_agent_extra="more/1"))
        assert (await self.header(server, session)).endswith("more/1")

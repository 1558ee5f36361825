"""The options of the DynamoDB backend are checked when it is made, and nothing is opened."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from bulkwriter import BulkWriter, MisconfigurationError, connect
from bulkwriter.backends.dynamodb import DynamoDBBackend

try:
    import aioboto3
except ImportError:
    # Not beside the newest aiobotocore.
    aioboto3 = None

ONCE = {"total_max_attempts": 1}
SESSIONS: list[Any] = [AioSession()]
if aioboto3 is not None:
    SESSIONS.append(aioboto3.Session())


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no client ask the network who it is."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.mark.parametrize(
    "options",
    [
        {"on_conflict": "ignore"},
        {"update_columns": ("n",)},
        {"update_columns": {"n": "t.n + 1"}},
        {"update_where": "t.n > 1"},
        {"returning": ("n",)},
        {"returning": "n"},
        {"ledger": True},
        {"columns": ("id", "id")},
        {"columns": ()},
        {"conflict_columns": "id"},
        {"tells_updated": 1},
        {"tells_updated": True, "on_conflict": "skip"},
        {"write_token": "mark"},
        {"write_token": "", "on_conflict": "error"},
        {"region_name": ""},
        {"endpoint_url": 1},
        {"connect_timeout": 0},
        {"read_timeout": float("nan")},
        {"max_connections": 0},
        {"max_connections": True},
        {"table": " "},
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any]) -> None:
    """With a message that says what would be right."""
    with pytest.raises(MisconfigurationError):
        DynamoDBBackend(AioSession(), **{"table": "t", **options})


@pytest.mark.parametrize(
    "given", [boto3.Session(), "dynamodb://", object(), AioSession, boto3], ids=lambda given: type(given).__name__
)
def test_what_is_no_session_is_refused(given: object) -> None:
    """One of boto3 itself would block the loop."""
    with pytest.raises(MisconfigurationError, match="session"):
        DynamoDBBackend(given, "t")


@pytest.mark.parametrize("session", [None, *SESSIONS], ids=lambda session: type(session).__module__)
def test_sessions_are_taken(session: object) -> None:
    """Those of both libraries, and none at all for the environment's."""
    backend = DynamoDBBackend(session, "t")
    assert backend.on_conflict == "update"
    assert not backend.is_open


async def test_a_client_has_its_own_region_and_endpoint() -> None:
    """To be given where it is made."""
    async with AioSession().create_client("dynamodb", region_name="eu-central-1") as client:
        assert DynamoDBBackend(client, "t").table == "t"
        with pytest.raises(MisconfigurationError, match="client"):
            DynamoDBBackend(client, "t", region_name="eu-west-1")
        with pytest.raises(MisconfigurationError, match="client"):
            DynamoDBBackend(client, "t", endpoint_url="http://localhost:8000")
    async with AioSession().create_client("s3", region_name="eu-central-1") as client:
        with pytest.raises(MisconfigurationError, match="session"):
            DynamoDBBackend(client, "t")


@pytest.mark.parametrize(
    "options", [{"on_conflict": "error"}, {"on_conflict": "skip"}, {"tells_updated": True}], ids=str
)
async def test_a_client_that_retries_by_itself_is_refused_where_it_would_lie(options: dict[str, Any]) -> None:
    """It sends a put again whose answer was lost, and takes its own item for another's."""
    async with AioSession().create_client("dynamodb", region_name="eu-central-1") as client:
        assert DynamoDBBackend(client, "t").table == "t"
        with pytest.raises(MisconfigurationError, match="total_max_attempts"):
            DynamoDBBackend(client, "t", **options)
    async with AioSession().create_client(
        "dynamodb", region_name="eu-central-1", config=AioConfig(retries=ONCE)
    ) as client:
        assert DynamoDBBackend(client, "t", **options).table == "t"


@pytest.mark.parametrize(
    "url",
    [
        "dynamodb://eu-central-1/events",
        "dynamodb://key:secret@eu-central-1",
        "dynamodb://localhost:8000",
        "dynamodb://eu-central-1?region_name=eu-west-1",
        "dynamodb://eu-central-1#events",
    ],
)
def test_a_url_is_a_region_and_perhaps_an_endpoint(url: str) -> None:
    """Anything else is refused, without showing what may be a password."""
    with pytest.raises(MisconfigurationError) as caught:
        connect(url, "events")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "region", "endpoint"),
    [
        ("dynamodb://", None, None),
        ("dynamodb://eu-central-1", "eu-central-1", None),
        ("dynamodb://eu-central-1/?endpoint_url=http://localhost:8000", "eu-central-1", "http://localhost:8000"),
    ],
)
def test_a_url_makes_a_writer(url: str, region: str | None, endpoint: str | None) -> None:
    """By default one whose rows replace what is there."""
    writer = connect(url, "events", max_connections=8, max_batch_size=10)
    assert isinstance(writer, BulkWriter)
    backend = writer._backend
    assert isinstance(backend, DynamoDBBackend)
    assert (backend._options.region_name, backend._options.endpoint_url) == (region, endpoint)
    assert backend._options.max_connections == 8

"""What tests of DynamoDB's backend are given: a session, a client of the user's own, and a backend over a table."""

from __future__ import annotations

import contextlib
import functools
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from bulkwriter.backends.dynamodb import DynamoDBBackend, driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

REGION = "eu-central-1"


@functools.cache
def session() -> Any:
    """Return a session with credentials that an emulator takes, whatever the environment has.

    One for all: to read the description of the service takes each session a tenth of a second.
    """
    if find_spec("aioboto3") is None:
        session = AioSession()
        session.set_credentials("tests", "tests")
        session.set_config_variable("region", REGION)
        return session
    import aioboto3  # noqa: PLC0415 - not beside the newest aiobotocore

    return aioboto3.Session(aws_access_key_id="tests", aws_secret_access_key="tests", region_name=REGION)  # noqa: S106 - nobody checks it


@contextlib.asynccontextmanager
async def client_to(endpoint_url: str) -> AsyncIterator[Any]:
    """Make a client of the user's own, which leaves it to others to send requests again."""
    config = AioConfig(retries={"total_max_attempts": 1}, max_pool_connections=32)
    # Without TLS there is no certificate to verify, and to read those of all authorities takes longer than most tests.
    async with driver.new_client(session(), endpoint_url=endpoint_url, config=config, verify=False) as client:
        yield client


@contextlib.contextmanager
def looked_at(client: Any) -> Iterator[None]:
    """Have somebody look at what a client sends: so it does that over its own connections, meanwhile."""
    client.meta.events.register("before-send", _look, unique_id="tests")
    try:
        yield
    finally:
        client.meta.events.unregister("before-send", _look, unique_id="tests")


def _look(**_: Any) -> None:
    pass


@contextlib.asynccontextmanager
async def opened(endpoint_url: str, table: str, **options: Any) -> AsyncIterator[DynamoDBBackend]:
    """Open a backend over a table, and close it afterwards."""
    backend = DynamoDBBackend(session(), table, endpoint_url=endpoint_url, **options)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()

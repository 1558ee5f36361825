"""Tables of one test's own, and plain requests to them: nothing of a client that is tested, and nothing of ours."""

from __future__ import annotations

import base64
import contextlib
import decimal
import io
import itertools
import json
import os
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from integration.servers.dynamodb import HEADERS, TARGET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

_numbers = itertools.count(1)


class Endpoint(Protocol):
    """Where requests go: a server, a fake or a proxy before one."""

    @property
    def endpoint_url(self) -> str:
        """Its address."""

    def revive(self) -> None:
        """Bring it back to work, whatever was done to it."""


class RefusedError(Exception):
    """A request was answered by an error.

    Attributes:
        status: The status of HTTP.
        code: The error's name, such as ``"ValidationException"``; empty where the answer names none.
        answer: The whole answer.
    """

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(answer.get("__type", "")).rpartition("#")[2]
        self.answer = answer
        super().__init__(f"{status} {self.code}: {answer.get('message', answer.get('Message'))}")


class DynamoDBScratch:
    """Tables of one test's own. ``dynamodb_scratch`` makes one and drops its tables.

    Attributes:
        server: Where they are.
    """

    def __init__(self, server: Any, session: aiohttp.ClientSession) -> None:
        self.server = server
        self._session = session
        self._tables: list[str] = []

    async def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Send one request and return its answer.

        Raises:
            RefusedError: It was answered by an error.
        """
        # Of a large body in bytes aiohttp warns.
        body = io.BytesIO(json.dumps(request).encode())
        headers = {**HEADERS, "X-Amz-Target": f"{TARGET}{operation}"}
        async with self._session.post(self.server.endpoint_url, data=body, headers=headers) as response:
            text = await response.text()
        answer = json.loads(text) if text.startswith("{") else {}
        if response.status != 200:
            raise RefusedError(response.status, answer)
        return dict(answer)

    async def create(self, *, partition: str = "id:S", sort: str | None = None, index: str | None = None) -> str:
        """Make a table.

        Args:
            partition: The name and type of its partition key.
            sort: Those of its sort key.
            index: Those of the partition key of a global secondary index; all its attributes are in it.

        Returns:
            Its name.
        """
        # Several processes may share a server that is not ours.
        name = f"t{os.getpid()}.{next(_numbers)}"
        request: dict[str, Any] = {"KeySchema": _schema(partition, sort)}
        if index is not None:
            projected = {"Projection": {"ProjectionType": "ALL"}}
            request["GlobalSecondaryIndexes"] = [{"IndexName": "others", "KeySchema": _schema(index), **projected}]
        named = dict(told.split(":") for told in (partition, sort, index) if told is not None)
        kinds = [{"AttributeName": key, "AttributeType": kind} for key, kind in named.items()]
        await self.call(
            "CreateTable", TableName=name, AttributeDefinitions=kinds, BillingMode="PAY_PER_REQUEST", **request
        )
        self._tables.append(name)
        return name

    async def items(self, table: str) -> list[dict[str, Any]]:
        """Return what is in a table, as it is sent."""
        found: list[dict[str, Any]] = []
        start: dict[str, Any] = {}
        while True:
            answer = await self.call("Scan", TableName=table, ConsistentRead=True, **start)
            found += answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """Return what is in a table, as Python's values."""
        return [{name: plain(value) for name, value in item.items()} for item in await self.items(table)]

    async def drop(self) -> None:
        """Drop the tables; those of a killed server's memory are gone already."""
        for name in self._tables:
            try:
                await self.call("DeleteTable", TableName=name)
            except RefusedError as error:
                if error.code != "ResourceNotFoundException":
                    raise


def plain(value: Mapping[str, Any]) -> Any:
    """Return what an attribute's value means in Python."""
    ((kind, content),) = value.items()
    return _PLAIN[kind](content)


_SCALARS = {"S": str, "N": decimal.Decimal, "B": base64.b64decode}
_PLAIN: dict[str, Any] = {
    **_SCALARS,
    **{f"{kind}S": lambda contents, of=of: {of(content) for content in contents} for kind, of in _SCALARS.items()},
    "BOOL": bool,
    "NULL": lambda _: None,
    "L": lambda contents: [plain(content) for content in contents],
    "M": lambda contents: {name: plain(content) for name, content in contents.items()},
}


@contextlib.asynccontextmanager
async def dynamodb_scratch(server: Endpoint) -> AsyncIterator[DynamoDBScratch]:
    """Let a test make tables, and drop them afterwards, whatever became of the server meanwhile."""
    # A connection that is kept would outlive a server that is killed, and be met by the next request.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        made = DynamoDBScratch(server, session)
        try:
            yield made
        finally:
            server.revive()
            await made.drop()


def _schema(partition: str, sort: str | None = None) -> Sequence[Mapping[str, str]]:
    told = {"HASH": partition, **({"RANGE": sort} if sort is not None else {})}
    return [{"AttributeName": key.partition(":")[0], "KeyType": role} for role, key in told.items()]

"""A proxy before a DynamoDB that goes wrong: by chance, or at the very next request, as a test says."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import random
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from integration.dynamodb.http import Answer, HttpServer, Request, read_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

    Forward: TypeAlias = Callable[[Request], Awaitable[Answer]]

Fault = Literal[
    "unprocessed",
    "throttled",
    "error_before",
    "error_after",
    "reset_before",
    "reset_after",
    "truncated",
    "corrupted",
    "slow",
]
"""What may happen to a request, or in its stead. ``before`` and ``after`` are before and after it was applied."""

KINDS: tuple[Fault, ...] = get_args(Fault)

_ASKED_BY_TESTS = {"CreateTable", "DeleteTable", "DescribeTable", "Scan"}
_THROTTLING = ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded")


@dataclasses.dataclass(frozen=True)
class Chances:
    """How probable each fault is, from 0 to 1; together they are 1 at most.

    Attributes:
        seconds: The most that a slow answer is held back.
        share: Of the rows of a batch, how many come back unprocessed when some do.
    """

    unprocessed: float = 0.0
    throttled: float = 0.0
    error_before: float = 0.0
    error_after: float = 0.0
    reset_before: float = 0.0
    reset_after: float = 0.0
    truncated: float = 0.0
    corrupted: float = 0.0
    slow: float = 0.0
    seconds: float = 0.01
    share: float = 0.5

    def draw(self, chance: random.Random) -> Fault | None:
        """Return what happens to a request; ``None`` if nothing does."""
        left = chance.random()
        for kind in KINDS:
            left -= getattr(self, kind)
            if left < 0:
                return kind
        return None


class FaultProxy(HttpServer):
    """Stands before a DynamoDB, from ``async with`` to its end.

    What a test asks to make, drop or look into its tables is spared, and so is what describes a table.

    Args:
        forward: Answers what is let through: a fake's ``answer``, or what ``forward_to`` gives for an address.
        chances: What goes wrong by chance.
        seed: Of the chance, so that what was seen can be seen again.

    Attributes:
        chances: May be changed at any time.
        happened: How often each fault has happened.
        calls: How often each operation was asked for.
    """

    def __init__(self, forward: Forward, chances: Chances | None = None, seed: int = 0) -> None:
        super().__init__(self._respond)
        self.chances = chances or Chances()
        self.happened: collections.Counter[Fault] = collections.Counter()
        self.calls: collections.Counter[str] = collections.Counter()
        self._forward = forward
        self._chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
        self._planned: collections.deque[Fault | None] = collections.deque()

    def plan(self, *faults: Fault | None) -> None:
        """Say what happens to the next requests, one after the other; ``None`` lets one through."""
        self._planned.extend(faults)

    def revive(self) -> None:
        """Let everything through from now on."""
        self.chances = Chances()
        self._planned.clear()

    async def _respond(self, request: Request) -> Answer | None:
        self.calls[request.operation] += 1
        if request.operation in _ASKED_BY_TESTS:
            return await self._forward(request)
        fault = self._next(request)
        if fault is None:
            return await self._forward(request)
        self.happened[fault] += 1
        return await self._go_wrong(fault, request)

    def _next(self, request: Request) -> Fault | None:
        fault = self._planned.popleft() if self._planned else self.chances.draw(self._chance)
        # Of a single row, the service says the same in another way.
        is_single = request.operation != "BatchWriteItem"
        return "throttled" if fault == "unprocessed" and is_single else fault

    async def _go_wrong(self, fault: Fault, request: Request) -> Answer | None:
        match fault:
            case "unprocessed":
                return await self._send_some(request)
            case "throttled":
                return _refused(400, self._chance.choice(_THROTTLING))
            case "error_before":
                return _refused(self._chance.choice([500, 503]), "InternalServerError")
            case "reset_before":
                return None
        return await self._lose(fault, await self._forward(request))

    async def _lose(self, fault: Fault, answer: Answer) -> Answer | None:
        """Return what becomes of an answer to what was applied."""
        match fault:
            case "error_after":
                return _refused(500, "InternalServerError")
            case "truncated":
                return dataclasses.replace(answer, is_truncated=True)
            case "corrupted":
                return dataclasses.replace(answer, is_corrupted=True)
            case "slow":
                await asyncio.sleep(self._chance.uniform(0, self.chances.seconds))
                return answer
        return None

    async def _send_some(self, request: Request) -> Answer:
        """Forward a batch without some of its rows, and say that these were not processed."""
        asked = json.loads(request.body)
        kept: dict[str, list[Any]] = {}
        held: dict[str, list[Any]] = {}
        for table, writes in asked["RequestItems"].items():
            for write in writes:
                into = held if self._chance.random() < self.chances.share else kept
                into.setdefault(table, []).append(write)
        if not kept:
            return _refused(400, _THROTTLING[0])
        body = json.dumps({**asked, "RequestItems": kept}).encode()
        answer = await self._forward(dataclasses.replace(request, body=body))
        told = json.loads(answer.body or b"{}")
        if answer.status != 200:
            return answer
        return Answer(200, json.dumps({**told, "UnprocessedItems": _merged(told["UnprocessedItems"], held)}).encode())


def forward_to(endpoint_url: str) -> Forward:
    """Return what sends requests on to a server, each over a connection of its own, one after the other.

    One that its client has given up must not be done after what that sends later, on another thread of the server: on
    the way to the real one that cannot be excluded, and nobody could be told the truth about it.
    """
    address = urlsplit(endpoint_url)
    turn = asyncio.Lock()

    async def forward(request: Request) -> Answer:
        async with turn:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                writer.write(_encoded(request))
                return await read_answer(reader)
            finally:
                writer.close()

    return forward


def _encoded(request: Request) -> bytes:
    kept = {name: value for name, value in request.headers.items() if name not in {"", "content-length", "connection"}}
    lines = [f"{name}: {value}" for name, value in kept.items()]
    head = ["POST / HTTP/1.1", *lines, f"content-length: {len(request.body)}", "connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1") + request.body


def _merged(told: Mapping[str, list[Any]], held: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return {table: [*told.get(table, ()), *held.get(table, ())] for table in {**told, **held}}


def _refused(status: int, code: str) -> Answer:
    told = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "made up by the proxy of the tests"}
    return Answer(status, json.dumps(told).encode())

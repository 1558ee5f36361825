"""What rows of DynamoDB hear, by what the service answers to each request."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import aiohttp
import pytest
from aiobotocore.session import AioSession
from botocore import exceptions as boto

from bulkwriter.backends.dynamodb import DynamoDBBackend
from bulkwriter.backends.dynamodb.attempting import Attempting
from bulkwriter.backends.dynamodb.bodies import Bodies
from bulkwriter.backends.dynamodb.limit import CapacityLimit
from bulkwriter.backends.dynamodb.parts import Parts
from bulkwriter.backends.dynamodb.rows import Row, RowPlan
from bulkwriter.backends.dynamodb.target import KeyAttribute, Table
from bulkwriter.contract import Attempt, Doubtful, NotApplied, Reply, Suspect, Uniform, Verdict
from bulkwriter.errors import (
    BackendUnavailableError,
    InvalidValueError,
    MisconfigurationError,
    RowTooLargeError,
    ThrottledError,
    UniqueViolationError,
)
from bulkwriter.results import DELETED, INSERTED, SKIPPED, STORED, UPDATED, WriteResult
from tests.virtual_time import virtually

TABLE = Table("events", (KeyAttribute("id", "N", 2048),), {})


class Service:
    """Answers requests with what it was told to, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.has_been_asked = asyncio.Event()

    async def send(self, operation: str, body: bytes) -> Any:  # noqa: ARG002 - the body tells
        """Answer a request."""
        self.asked.append(json.loads(body))
        self.has_been_asked.set()
        answer = self._answers.pop(0) if self._answers else {"UnprocessedItems": {}}
        # Slow enough for a caller to go before it has its answer.
        for _ in range(5):
            await asyncio.sleep(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Scene:
    """A backend's parts, over a service that is played."""

    def __init__(self, *answers: Any, **options: Any) -> None:
        self.service = Service(*answers)
        backend = DynamoDBBackend(AioSession(), "events", **options)
        self._token = options.get("write_token")
        self.parts = parts = Parts(backend._options, backend.paths)
        parts.table, parts.limit = TABLE, CapacityLimit()
        parts.connections, parts.most_requests = asyncio.Semaphore(8), 8
        parts.bodies = Bodies("events", "id", tells_old=backend._options.tells_updated)
        parts.sender = cast("Any", self.service)

    def put(self, number: int) -> Row:
        """Return a put."""
        return RowPlan("insert", ("id", "note"), self.parts.lane, TABLE, self._token).row((number, "x"))

    def delete(self, number: int) -> Row:
        """Return a delete."""
        return RowPlan("delete", ("id",), self.parts.lane, TABLE).row((number,))

    def attempting(self, *rows: Row, careful: bool = False) -> Attempting:
        """Return an attempt at writing rows."""
        return Attempting(self.parts, Attempt(self.parts.lane, rows, careful=careful))


def refused(code: str, status: int = 400, **more: Any) -> Exception:
    """Return what a client raises of an answer that is an error."""
    response = {"Error": {"Code": code, "Message": "of a row"}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    error: Exception = boto.ClientError(response, "PutItem")
    return error


def lost() -> Exception:
    """Return what a client raises of a connection that is closed before the answer."""
    error: Exception = boto.ConnectionClosedError(endpoint_url="http://localhost")
    return error


def verdicts_of(reply: Reply) -> list[Verdict]:
    """Return a verdict for each row."""
    return [reply.verdict] * reply.rows if isinstance(reply, Uniform) else reply


async def test_puts_and_deletes_go_together() -> None:
    """In one request, each with its own answer."""
    scene = Scene()
    reply = await scene.attempting(scene.put(1), scene.delete(2)).reply()
    assert verdicts_of(reply) == [STORED, DELETED]
    (asked,) = scene.service.asked
    assert [*asked["RequestItems"]["events"][0], *asked["RequestItems"]["events"][1]] == ["PutRequest", "DeleteRequest"]


async def test_what_is_left_unprocessed_is_told_by_its_key() -> None:
    """In whichever order, and however its numbers are written."""
    left = [
        {"DeleteRequest": {"Key": {"id": {"N": "3.0"}}}},
        {"PutRequest": {"Item": {"note": {"S": "x"}, "id": {"N": "1"}}}},
    ]
    scene = Scene({"UnprocessedItems": {"events": left}})
    verdicts = verdicts_of(await scene.attempting(scene.put(1), scene.put(2), scene.delete(3)).reply())
    assert verdicts[1] is STORED
    for place in (0, 2):
        verdict = verdicts[place]
        assert isinstance(verdict, NotApplied)
        assert isinstance(verdict.error, ThrottledError)
        assert verdict.retry


@pytest.mark.parametrize(
    "answer",
    [{}, {"UnprocessedItems": {"events": [{"PutRequest": {"Item": {"id": {"N": "9"}}}}]}}],
    ids=["cut off", "of another row"],
)
async def test_an_answer_that_makes_no_sense_is_not_believed(answer: Any) -> None:
    """Every row is in doubt, and sent again to settle it."""
    scene = Scene(answer)
    attempting = scene.attempting(scene.put(1), scene.put(2))
    assert all(isinstance(verdict, Doubtful) for verdict in verdicts_of(await attempting.reply()))
    assert verdicts_of(await attempting.settle()) == [STORED, STORED]
    assert len(scene.service.asked) == 2


@pytest.mark.parametrize(
    ("error", "kind", "retry"),
    [
        (refused("ProvisionedThroughputExceededException"), ThrottledError, True),
        (refused("ThrottlingException"), ThrottledError, True),
        (refused("ResourceNotFoundException"), MisconfigurationError, False),
        (refused("AccessDeniedException"), MisconfigurationError, False),
        (refused("UnrecognizedClientException"), MisconfigurationError, False),
        (refused("ExpiredTokenException"), BackendUnavailableError, True),
        (boto.ConnectTimeoutError(endpoint_url="http://localhost"), BackendUnavailableError, True),
        (boto.NoCredentialsError(), MisconfigurationError, False),
    ],
    ids=str,
)
async def test_what_is_certainly_not_written_is_said_to_be(error: Exception, kind: type, *, retry: bool) -> None:
    """And tried again if that can help."""
    scene = Scene(error)
    for verdict in verdicts_of(await scene.attempting(scene.put(1), scene.put(2)).reply()):
        assert isinstance(verdict, NotApplied)
        assert type(verdict.error) is kind
        assert verdict.retry is retry
        assert verdict.error.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        lost(),
        refused("InternalServerError", 500),
        refused("ServiceUnavailable", 503),
        boto.ReadTimeoutError(endpoint_url="http://localhost"),
        boto.EndpointConnectionError(endpoint_url="http://localhost", error=aiohttp.ClientOSError(104, "reset")),
        ValueError("an answer that is no JSON"),
    ],
    ids=str,
)
async def test_what_may_have_been_written_is_sent_again(error: Exception) -> None:
    """A connection that breaks is no proof, whatever the client calls it."""
    scene = Scene(error, error, refused("ThrottlingException"))
    attempting = scene.attempting(scene.put(1), scene.delete(2))
    assert all(isinstance(verdict, Doubtful) for verdict in verdicts_of(await attempting.reply()))
    for _ in range(2):
        # Neither is what is said of a second request proof of what became of the first.
        assert all(isinstance(verdict, Doubtful) for verdict in verdicts_of(await attempting.settle()))
    assert verdicts_of(await attempting.settle()) == [STORED, DELETED]


async def test_a_batch_that_is_refused_for_a_row_is_sent_row_by_row() -> None:
    """The service does not say which one is bad."""
    scene = Scene(refused("ValidationException"), {}, refused("ValidationException"), refused("413", 413))
    rows = [scene.put(number) for number in range(3)]
    suspects = verdicts_of(await scene.attempting(*rows).reply())
    assert all(isinstance(verdict, Suspect) for verdict in suspects)
    verdicts = verdicts_of(await scene.attempting(*rows, careful=True).reply())
    assert [type(verdict) for verdict in verdicts[1:]] == [InvalidValueError, RowTooLargeError]
    assert verdicts[0] is STORED
    assert "of a row" not in str(verdicts[1])


@pytest.mark.parametrize(("policy", "told"), [("skip", SKIPPED), ("error", UniqueViolationError)])
async def test_a_conflict_is_told(policy: Any, told: Any) -> None:
    """At the first request there is no doubt whose item it is: not ours, even if it is the same."""
    found = {"id": {"N": "1"}, "note": {"S": "x"}}
    scene = Scene(refused("ConditionalCheckFailedException", Item=found), {}, on_conflict=policy)
    verdicts = verdicts_of(await scene.attempting(scene.put(1), scene.put(2)).reply())
    assert verdicts[0] is told or isinstance(verdicts[0], told)
    assert verdicts[1] is INSERTED
    assert scene.service.asked[0]["ConditionExpression"] == "attribute_not_exists(#k)"


@pytest.mark.parametrize("policy", ["skip", "error"])
async def test_nobody_hears_of_a_conflict_with_himself(policy: Any) -> None:
    """The answer to the first request was lost, and the second finds the item that the first one put."""
    found = {"id": {"N": "1"}, "note": {"S": "x"}}
    scene = Scene(lost(), refused("ConditionalCheckFailedException", Item=found), on_conflict=policy)
    attempting = scene.attempting(scene.put(1))
    await attempting.reply()
    (verdict,) = verdicts_of(await attempting.settle())
    if policy == "skip":
        assert verdict is STORED
    else:
        # Somebody else may have put the same, and must not share what is to be had once.
        assert isinstance(verdict, Doubtful)
        assert not verdict.can_settle


@pytest.mark.parametrize(("policy", "told"), [("skip", SKIPPED), ("error", Doubtful)])
async def test_another_item_in_the_way_may_be_ones_own(policy: Any, told: Any) -> None:
    """Stored by the first request, and changed by somebody else since: whoever skips has no need to know."""
    found = {"id": {"N": "1"}, "note": {"S": "another"}}
    scene = Scene(lost(), refused("ConditionalCheckFailedException", Item=found), on_conflict=policy)
    attempting = scene.attempting(scene.put(1))
    await attempting.reply()
    (verdict,) = verdicts_of(await attempting.settle())
    assert verdict is told or isinstance(verdict, told)


@pytest.mark.parametrize("is_ours", [True, False])
async def test_a_mark_tells_whose_item_it_is(*, is_ours: bool) -> None:
    """Also where the values are the same."""
    scene = Scene(lost(), on_conflict="error", write_token="mark")  # noqa: S106 - a name
    row = scene.put(1)
    found = json.loads(row.item)
    if not is_ours:
        found["mark"] = {"S": "another"}
    scene.service._answers.append(refused("ConditionalCheckFailedException", Item=found))
    attempting = scene.attempting(row)
    await attempting.reply()
    (verdict,) = verdicts_of(await attempting.settle())
    assert verdict is INSERTED if is_ours else isinstance(verdict, UniqueViolationError)


async def test_rows_of_one_key_wait_for_each_other() -> None:
    """The first one is put, and the second one finds it."""
    scene = Scene({}, refused("ConditionalCheckFailedException", Item={"id": {"N": "1"}}), on_conflict="error")
    verdicts = verdicts_of(await scene.attempting(scene.put(1), scene.put(1)).reply())
    assert verdicts[0] is INSERTED
    assert isinstance(verdicts[1], UniqueViolationError)


async def test_a_put_of_its_own_tells_what_it_replaced() -> None:
    """Unless its answer was lost: then it may have been itself."""
    scene = Scene({"Attributes": {"id": {"N": "1"}}}, {}, lost(), {"Attributes": {}}, tells_updated=True)
    verdicts = verdicts_of(await scene.attempting(scene.put(1), scene.put(2)).reply())
    assert verdicts == [UPDATED, INSERTED]
    attempting = scene.attempting(scene.put(3))
    await attempting.reply()
    assert verdicts_of(await attempting.settle()) == [STORED]
    assert scene.service.asked[0]["ReturnValues"] == "ALL_OLD"


async def test_what_was_not_sent_when_an_attempt_was_given_up_is_never_sent() -> None:
    """And what was sent is sent again, until its fate is known."""
    scene = Scene()
    scene.parts.connections = asyncio.Semaphore(1)
    rows = [scene.put(number) for number in range(60)]
    attempting = scene.attempting(*rows)
    call = asyncio.ensure_future(attempting.reply())
    await scene.service.has_been_asked.wait()
    call.cancel()
    await asyncio.wait([call])
    verdicts = verdicts_of(await attempting.settle())
    assert verdicts[:25] == [STORED] * 25
    assert all(isinstance(verdict, NotApplied) for verdict in verdicts[25:])
    assert len(scene.service.asked) == 2


@pytest.mark.parametrize(
    "error",
    [
        boto.CredentialRetrievalError(provider="sso", error_msg="busy"),
        boto.MetadataRetrievalError(error_msg="busy"),
        boto.UnauthorizedSSOTokenError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_credentials_that_cannot_be_had_now_may_be_had_soon(error: Exception) -> None:
    """Nothing was sent, and nobody has to change anything."""
    scene = Scene(error)
    (verdict,) = verdicts_of(await scene.attempting(scene.put(1)).reply())
    assert isinstance(verdict, NotApplied)
    assert isinstance(verdict.error, BackendUnavailableError)
    assert verdict.retry


async def test_no_more_requests_are_begun_than_there_are_connections() -> None:
    """A thousand tasks at once would hold the loop."""
    scene = Scene(*[{}] * 300, on_conflict="skip")
    running = asyncio.get_running_loop().create_task(
        scene.attempting(*[scene.put(number) for number in range(300)]).reply()
    )
    most = 0
    while not running.done():
        most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(0)
    assert most <= 8 + 2
    assert verdicts_of(running.result()) == [INSERTED] * 300


async def test_what_waited_for_capacity_when_it_was_given_up_was_not_sent() -> None:
    """And is no sign of an outage, nor of a table that throttles."""
    scene = Scene({})
    attempting = scene.attempting(scene.put(1))
    scene.parts.limit.rate = 30.0
    (verdict,) = verdicts_of(await attempting.settle())
    assert is_held_back(verdict)


def is_held_back(verdict: Verdict) -> bool:
    """Whether a row was not sent, and told so."""
    return isinstance(verdict, NotApplied) and isinstance(verdict.error, ThrottledError) and not verdict.was_tried


@pytest.mark.parametrize("policy", ["update", "error"])
async def test_rows_that_would_wait_for_capacity_are_held_back(policy: Any) -> None:
    """At ten units a second two of them are sent at once, some wait for their turn, and the others hear of it."""
    scene = Scene(*[{"UnprocessedItems": {}}] * 25, on_conflict=policy)
    scene.parts.limit.rate = 10.0
    verdicts = verdicts_of(await scene.attempting(*[scene.put(number) for number in range(25)]).reply())
    sent = [verdict for verdict in verdicts if isinstance(verdict, WriteResult)]
    assert 2 <= len(sent) <= 8
    assert verdicts[: len(sent)] == sent
    assert all(is_held_back(verdict) and verdict.wait > 0 for verdict in verdicts[len(sent) :])  # type: ignore[union-attr]
    assert sum(len(asked.get("RequestItems", {}).get("events", [1])) for asked in scene.service.asked) == len(sent)


async def test_nothing_is_sent_while_the_line_is_full() -> None:
    """The whole batch is to come back."""
    scene = Scene()
    scene.parts.limit.rate = 1.0
    await scene.parts.limit.begin(5, asyncio.get_running_loop().time())
    verdicts = verdicts_of(await scene.attempting(scene.put(1), scene.put(2)).reply())
    assert all(is_held_back(verdict) for verdict in verdicts)
    assert scene.service.asked == []


@virtually
async def test_rows_behind_one_of_their_key_that_is_held_back_are_too() -> None:
    """Or they would be written before it."""
    scene = Scene()
    scene.parts.limit.rate = 2.5
    rows = [scene.put(number % 2) for number in range(10)]
    verdicts = verdicts_of(await scene.attempting(*rows).reply())
    states = [is_held_back(verdict) for verdict in verdicts]
    assert states == sorted(states)
    assert not states[0]
    assert states[-1]
    assert asyncio.get_running_loop().time() <= 1


@virtually
async def test_what_is_in_doubt_waits_for_capacity_as_long_as_it_takes() -> None:
    """It cannot be held back: it may be stored."""
    scene = Scene(lost())
    attempting = scene.attempting(scene.put(1))
    assert isinstance(verdicts_of(await attempting.reply())[0], Doubtful)
    scene.parts.limit.rate = 1.0
    scene.parts.limit.note(0, 1, 0.0)
    await scene.parts.limit.begin(9, 0.0)
    assert verdicts_of(await attempting.settle()) == [STORED]
    assert asyncio.get_running_loop().time() >= 9

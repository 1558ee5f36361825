"""Whatever goes wrong with DynamoDB, in whatever order: what callers were told is what is stored.

A short run by default; ``make soak SECONDS=600`` makes a long one, which must have met every trouble often.
"""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import BulkWriter, OutcomeUnknownError, RetryPolicy
from bulkwriter.backends.dynamodb import DynamoDBBackend
from bulkwriter.testing.conformance import MismatchError
from bulkwriter.testing.conformance.told import assert_told_equals_stored, replace_row
from integration.attempts import told
from integration.dynamodb import forward_to
from integration.dynamodb_tables import client_to, looked_at
from integration.truth.dynamodb import KINDS, DynamoDBArena, DynamoDBCallers, DynamoDBTrouble, WireProxy
from integration.truth.runs import ENDINGS, POLICIES, Figures, _live_through
from integration.truth.test_truth import LONG, OFTEN, SECONDS, SEED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bulkwriter.testing.conformance.told import Telling
    from integration.servers.dynamodb_scratch import DynamoDBScratch


_OFTEN: Any = {"max_attempts": 1_000_000, "initial_backoff": 0.005, "max_backoff": 0.1}

PATIENT = RetryPolicy(max_time=60, attempt_timeout=10, **_OFTEN)
"""Goes on until the server is back. An attempt that overruns is sent again as a whole, to a server that writes one row
after the other to its disk: it must not be given up for that."""

HASTY = RetryPolicy(max_time=5, attempt_timeout=1, **_OFTEN)
"""Gives up, also what is only late."""


LONGER = 9.0
"""Seconds of trouble in each run: it takes the server some to begin anew."""


@pytest.fixture
async def arena(dynamodb_on_disk: DynamoDBScratch, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DynamoDBArena]:
    """DynamoDB Local, behind a proxy."""
    # Throttled for no reason, the limit on what is asked of a table would fall for ever.
    monkeypatch.setattr("bulkwriter.backends.dynamodb.limit._LEAST", 10_000.0)
    async with (
        WireProxy(forward_to(dynamodb_on_disk.server.endpoint_url)) as wire,
        client_to(wire.endpoint_url) as client,
    ):
        yield DynamoDBArena(dynamodb_on_disk, wire, client)


@pytest.mark.timeout(3 * SECONDS + 300)
async def test_dynamodb(arena: DynamoDBArena, record_property: Callable[[str, object], None]) -> None:
    """DynamoDB Local."""
    arena.server.resume()
    figures = Figures()
    began = time.monotonic()
    seed = SEED
    while not figures.runs or time.monotonic() - began < SECONDS:
        await _run_once(arena, seed, figures)
        seed += 1
    record_property("figures", f"{arena.server!r}, seeds {SEED} to {seed - 1}: {figures}")
    if SECONDS >= LONG:
        assert {name: figures.hits[name] for name in KINDS if figures.hits[name] < OFTEN} == {}, figures


async def _run_once(arena: DynamoDBArena, seed: int, figures: Figures) -> None:
    """Make one run, and compare what was told with what is stored.

    Raises:
        MismatchError: A caller was told what is not so.
        AssertionError: Another promise is broken.
    """
    chance = random.Random(seed)  # noqa: S311 - guards no secret
    on_conflict = chance.choice(POLICIES)
    ending = chance.choice(ENDINGS)
    is_patient = chance.random() < 1 / 2
    options: dict[str, Any] = {"max_batch_size": chance.choice([3, 25]), "concurrency": chance.choice([1, 4])}
    ways: dict[str, Any] = {"on_conflict": on_conflict, "transport": chance.choice(["client", "direct"])}
    if on_conflict != "update" and chance.random() < 1 / 2:
        ways["write_token"] = "mark"  # noqa: S105 - a name
    over_its_own = ways["transport"] == "client" and chance.random() < 1 / 2
    table = await arena.scratch.create(partition="id:N")
    backend = DynamoDBBackend(arena.client, table, **ways)
    try:
        with looked_at(arena.client) if over_its_own else contextlib.nullcontext():
            async with BulkWriter[Any](backend, retry=PATIENT if is_patient else HASTY, **options) as writer:
                assert backend.transport == ways["transport"]
                callers = DynamoDBCallers(writer, on_conflict, chance)
                trouble = DynamoDBTrouble(arena, chance, figures.hits)
                await _live_through(callers, trouble, writer, min(LONGER, SECONDS), ending)
        assert writer.statistics().is_balanced
        stored = [{name: value for name, value in row.items() if name != "mark"} for row in await _rows(arena, table)]
        assert_told_equals_stored(callers.tellings, stored, replace_row)
        if is_patient and ending != "stopped by force" and (on_conflict != "error" or "write_token" in ways):
            _check_nothing_is_unknown(callers.tellings)
    except BaseException as error:
        error.add_note(f"seed {seed}: {ways}, {over_its_own=}, patient={is_patient}, {ending}, {options}")
        raise
    await arena.scratch.call("DeleteTable", TableName=table)
    figures.runs += 1
    figures.told.update(told([telling.answer for telling in callers.tellings if telling.answer is not None]))
    figures.told["cancelled"] += sum(telling.answer is None for telling in callers.tellings)
    figures.hits.update(trouble.hits)


async def _rows(arena: DynamoDBArena, table: str) -> list[dict[str, Any]]:
    arena.server.revive()
    return await arena.scratch.rows(table)


def _check_nothing_is_unknown(tellings: list[Telling]) -> None:
    """Check that, with time enough, only those do not know who would not wait for it."""
    unknown = [t.answer for t in tellings if isinstance(t.answer, OutcomeUnknownError)]
    unexplained = [error for error in unknown if "its deadline passed" not in str(error)]
    if unexplained:
        message = f"{len(unexplained)} rows are unknown in spite of all the time, such as {unexplained[0]!r}"
        raise MismatchError(message)

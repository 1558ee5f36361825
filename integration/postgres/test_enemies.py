"""Callers at their worst: they give up, stop by force, come from another loop, hand in what no column holds."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import (
    BatcherStoppedError,
    DeadlineExceededError,
    InvalidValueError,
    MisconfigurationError,
    OutcomeUnknownError,
    RetryPolicy,
)
from bulkwriter.testing.conformance.scene import make_row
from integration.faults.stage import PATIENT
from integration.postgres.target import FaultTarget
from integration.servers.pgbouncer import provide_pgbouncer
from integration.wire import Wire, commit, copying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.faults.stage import Stage

BOTH_WAYS = pytest.mark.parametrize("way", ["insert", "upsert"])


@pytest.fixture
async def checked(stage: Stage) -> AsyncIterator[Stage]:
    """A stage on which, in the end, what was told is what is stored."""
    yield stage
    await stage.scene.close()
    await stage.check()


@BOTH_WAYS
@pytest.mark.parametrize("ledger", [False, True], ids=["plain", "ledger"])
async def test_callers_who_give_up_at_any_moment_harm_nobody(checked: Stage) -> None:
    """Not their neighbours, not the figures: what was queued is withdrawn, and what was in flight stored."""
    writer = await checked.open(max_batch_size=7)
    checked.wire.delay = 0.002
    chance = random.Random(7)  # noqa: S311 - a seed, so that a failure can be seen again
    callers = [checked.scene.start(writer, make_row(number)) for number in range(1000, 1400)]
    for caller in chance.sample(callers, 200):
        await asyncio.sleep(chance.random() * 0.004)
        caller.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    gone = [answer for answer in answers if isinstance(answer, asyncio.CancelledError)]
    assert gone, "nobody was cancelled in time: this proves nothing"
    assert writer.statistics().withdrawn <= len(gone)


@BOTH_WAYS
async def test_a_stop_by_force_says_unknown_only_of_what_is_in_flight(checked: Stage) -> None:
    """And the transaction that was in flight has ended: nothing is stored any more when the stop is over."""
    writer = await checked.open(max_batch_size=10)
    held = checked.wire.freeze_at(commit())
    callers = [checked.scene.start(writer, make_row(number)) for number in range(1000, 1030)]
    await held.happened()
    await writer.stop(force=True)
    answers = await asyncio.gather(*callers)
    checked.wire.thaw()
    assert [type(answer) for answer in answers] == [OutcomeUnknownError] * 10 + [BatcherStoppedError] * 20


async def test_a_deadline_says_unknown_only_of_what_is_in_flight(checked: Stage) -> None:
    """The batch goes on undisturbed, and the queued row is certainly not written."""
    writer = await checked.open()
    held = checked.wire.freeze_at(commit())
    first = checked.scene.start(writer, make_row(1000), timeout=0.5)
    await held.happened()
    second = checked.scene.start(writer, make_row(1001), timeout=0.1)
    assert isinstance(await second, DeadlineExceededError)
    assert isinstance(await first, OutcomeUnknownError)
    checked.wire.thaw()


async def test_another_event_loop_is_told_so(checked: Stage) -> None:
    """Nobody hangs, and nothing is written on a connection of another loop."""
    writer = await checked.open()
    told: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(writer.insert(make_row(1000)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at below
            told.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join, 30)
    assert [type(error) for error in told] == [MisconfigurationError]
    assert "loop" in str(told[0])


UNSTORABLE = {
    "a NUL": {"name": "s3cret\0"},
    "half a surrogate pair": {"name": "s3cret\ud800"},
    "too long": {"name": "s3cret" * 100},
    "no number": {"amount": math.nan},
    "infinite": {"amount": math.inf},
    "half an integer": {"amount": 1.5},
    "too large": {"amount": 2**63},
    "far too large": {"amount": 10**400},
    "text for a number": {"amount": "s3cret"},
    "bytes for text": {"name": b"s3cret"},
    "a list": {"amount": [1]},
    "an object": {"note": object()},
}


@BOTH_WAYS
@pytest.mark.parametrize("columns", UNSTORABLE.values(), ids=UNSTORABLE)
async def test_what_no_column_can_hold_is_its_own_rows_fault(checked: Stage, columns: dict[str, Any]) -> None:
    """Not its neighbours', wherever in the batch it is, and nothing of it is to be read in the message."""
    writer = await checked.open()
    rows = [make_row(number) for number in range(1000, 1020)]
    for place in (0, 7, 19):
        rows[place] |= columns
    answers = await checked.scene.submit(writer, rows)
    assert [place for place, answer in enumerate(answers) if isinstance(answer, InvalidValueError)] == [0, 7, 19]
    assert writer.statistics().rejected == 3


@BOTH_WAYS
async def test_a_row_of_twenty_megabytes_goes_through_beside_small_ones(checked: Stage) -> None:
    """Each hears its own, and the large one is stored to the last byte."""
    await checked.scratch.execute("ALTER TABLE items ALTER COLUMN note TYPE text")
    writer = await checked.open()
    large = "ä" * 10_000_000
    answers = await checked.scene.submit(writer, [make_row(1), make_row(2, note=large), make_row(3)])
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert await checked.scratch.value("SELECT octet_length(note) FROM items WHERE id = 2") == 20_000_000


@BOTH_WAYS
async def test_a_hundred_thousand_rows_with_bad_ones_and_broken_connections(stage: Stage) -> None:
    """By `insert_many`: every bad row is named by its place, every other one stored once."""
    writer = await stage.open(max_batch_size=2000)
    before = stage.wire.cut_before(copying(after_bytes=20_000) if stage.way == "insert" else commit(), times=3)
    after = stage.wire.cut_after(commit(), times=3)
    rows = [make_row(number, name=None if number % 9_973 == 0 else "s3cret") for number in range(1, 100_001)]
    report = await writer.insert_many(rows, results=False)
    assert [index + 1 for index, _ in report.errors] == list(range(9_973, 100_001, 9_973))
    assert report.counts.inserted == 100_000 - 10
    counted = "SELECT count(*)::int || '/' || count(DISTINCT id)::int FROM items WHERE id > 0"
    assert await stage.scratch.value(counted) == "99990/99990"
    assert writer.statistics().is_balanced
    assert (before.hits, after.hits) == (3, 3)


@pytest.mark.parametrize("way", ["upsert"])
@pytest.mark.parametrize("ledger", [False, True], ids=["plain", "ledger"])
async def test_the_last_row_of_a_key_wins_whatever_breaks_meanwhile(checked: Stage) -> None:
    """Four batches at once, few keys, many connections lost before and after COMMIT."""
    writer = await checked.scene.writer(
        on_conflict="update", ledger=checked.ledger, retry=PATIENT, concurrency=4, max_batch_size=5
    )
    before, after = checked.wire.cut_before(commit(), times=5), checked.wire.cut_after(commit(), times=5)
    rows = [make_row(number % 13, amount=number) for number in range(600)]
    answers = await checked.scene.submit(writer, rows)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert (before.hits, after.hits) == (5, 5)
    last = {number % 13: number for number in range(600)}
    stored = await checked.scratch.fetch("SELECT id, amount FROM items WHERE id < 13")
    assert {row["id"]: row["amount"] for row in stored} == last


@BOTH_WAYS
@pytest.mark.parametrize("ledger", [False, True], ids=["plain", "ledger"])
async def test_what_is_told_through_pgbouncer_is_true(stage: Stage) -> None:
    """In transaction mode, which hands the next transaction to any connection; the wire before it is broken."""
    bouncer = provide_pgbouncer(stage.servers, stage.server)
    async with Wire(stage.server.host, bouncer.port) as wire:
        stage.scene.target = FaultTarget(stage.scratch, stage.server.url(port=wire.port))
        writer = await stage.open(max_batch_size=10)
        faults = [wire.cut_before(commit(), 2), wire.cut_after(commit(), 2), wire.cut_at_once(commit(), 2)]
        faults.append(wire.swallow(commit()))
        rows = [make_row(number) for number in range(1000, 1200)]
        submitting = asyncio.ensure_future(stage.scene.submit(writer, rows))
        await faults[-1].happened()
        stage.overrun()
        answers = await submitting
        assert [fault.hits for fault in faults] == [2, 2, 2, 1]
        assert not [answer for answer in answers if isinstance(answer, Exception)]
        bouncer.restart()
        await stage.scene.submit(writer, [make_row(number) for number in range(2000, 2010)])
        await stage.scene.close()
    await stage.check()


async def test_a_server_that_never_settles_down_ends_the_trying(stage: Stage) -> None:
    """Every COMMIT is cut: the tries are counted, and the rows hear that they are not written."""
    stage.wire.cut_before(commit(), times=-1)
    writer = await stage.scene.writer(retry=RetryPolicy(max_attempts=3, initial_backoff=0.01), concurrency=1)
    answers = await stage.scene.submit(writer, [make_row(number) for number in range(1000, 1010)])
    assert {(type(answer).__name__, answer.attempts) for answer in answers} == {("BackendUnavailableError", 3)}
    await stage.scene.close()
    await stage.check()

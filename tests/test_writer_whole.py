"""A whole batch of one caller, where the order of keys matters: claimed, settled and released as one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bulkwriter import BulkWriter, NotWrittenError, Outcome, OutcomeUnknownError, RetryPolicy
from bulkwriter.testing import FaultScript, MemoryBackend

ROWS = 8


def _rows(start: int = 0, *, value: str = "first", count: int = ROWS) -> list[dict[str, Any]]:
    return [{"id": number, "value": value} for number in range(start, start + count)]


def _backend(faults: FaultScript | None = None, **options: Any) -> MemoryBackend:
    return MemoryBackend(key=("id",), on_conflict="update", faults=faults, **options)


def _values(backend: MemoryBackend) -> dict[int, str]:
    return {row["id"]: row["value"] for row in backend.rows}


async def test_each_row_hears_its_own_and_each_fate_is_counted() -> None:
    """New rows and updated ones, in one batch."""
    backend = _backend()
    async with BulkWriter[Any](backend, max_batch_size=ROWS) as writer:
        await writer.insert_many(_rows(4))
        report = await writer.insert_many(_rows(0, value="second"))
        outcomes = [result.outcome for result in report.results]  # type: ignore[union-attr]
        assert outcomes == [Outcome.INSERTED] * 4 + [Outcome.UPDATED] * 4
        assert (report.counts.inserted, report.counts.updated) == (4, 4)
        figures = writer.statistics()
        assert (figures.inserted, figures.updated) == (12, 4)
        assert figures.is_balanced
    assert _values(backend) == {number: "second" if number < ROWS else "first" for number in range(12)}


async def test_without_results_each_fate_is_counted_all_the_same() -> None:
    """Only the figures are kept."""
    async with BulkWriter[Any](_backend(), max_batch_size=ROWS) as writer:
        await writer.insert_many(_rows(4))
        report = await writer.insert_many(_rows(0, value="second"), results=False)
        assert report.results == ()
        assert (report.counts.inserted, report.counts.updated) == (4, 4)


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_row_of_one_of_its_keys_waits_for_it(concurrency: int) -> None:
    """The last accepted write of a key stands, also if slots are free for both; and so does a delete."""
    faults = FaultScript().hang()
    backend = _backend(faults)
    async with BulkWriter[Any](backend, max_batch_size=ROWS, concurrency=concurrency) as writer:
        many = asyncio.create_task(writer.insert_many(_rows()))
        await faults.wait_for("hang")
        late = writer.submit({"id": 3, "value": "second"})
        gone = asyncio.create_task(writer.delete(5))
        other = asyncio.create_task(writer.insert_many(_rows(6, value="third")))
        await asyncio.sleep(0.01)
        assert not any(waiter.done() for waiter in (late, gone, other))
        faults.release()
        await many
        assert (await late).outcome is Outcome.UPDATED
        assert (await gone).outcome is Outcome.DELETED
        assert (await other).counts.updated == 2
        assert writer.statistics().is_balanced
    expected = {**dict.fromkeys(range(6), "first"), 3: "second", **dict.fromkeys(range(6, 14), "third")}
    del expected[5]
    assert _values(backend) == expected


async def test_two_rows_of_a_key_do_not_go_whole() -> None:
    """Each is written, one after the other."""
    backend = _backend()
    async with BulkWriter[Any](backend, max_batch_size=ROWS) as writer:
        rows = [{"id": 3, "value": "zeroth"}, *_rows(count=ROWS - 1)]
        report = await writer.insert_many(rows)
        assert (report.counts.inserted, report.counts.updated) == (ROWS - 1, 1)
        # Nobody is left in the way of any of them.
        again = await asyncio.wait_for(writer.insert_many(_rows(value="third")), 10)
        assert (again.counts.inserted, again.counts.updated) == (1, ROWS - 1)
    assert _values(backend)[3] == "third"


async def test_one_of_more_rows_than_are_settled_in_a_turn_is_counted_once() -> None:
    """It is settled in a single stroke."""
    async with BulkWriter[Any](_backend(), max_batch_size=2500) as writer:
        for value in ("first", "second"):
            report = await writer.insert_many(_rows(value=value, count=2500))
            assert report.counts.inserted + report.counts.updated == 2500
        figures = writer.statistics()
        assert (figures.inserted, figures.updated, figures.batches) == (2500, 2500, 2)
        assert figures.is_balanced


@pytest.mark.parametrize("fault", ["throttle", "disconnect", "poison", "lose_acknowledgement"])
async def test_its_keys_are_free_again_whatever_becomes_of_it(fault: str) -> None:
    """Retried, taken apart for a bad row, or unknown: whoever stands in line behind one of its rows goes in the end."""
    faults = FaultScript()
    if fault == "poison":
        faults.poison(lambda row: row["value"] == "first" and row["id"] == 2)
    else:
        getattr(faults, fault)()
    backend = _backend(faults)
    policy = RetryPolicy(initial_backoff=0.001, max_backoff=0.001, max_time=0.5)
    async with BulkWriter[Any](backend, max_batch_size=ROWS, retry=policy) as writer:
        many = asyncio.create_task(writer.insert_many(_rows()))
        await asyncio.sleep(0)
        after = [writer.submit(row) for row in _rows(value="second")]
        await asyncio.wait_for(asyncio.gather(many, *after), 10)
        assert writer.statistics().is_balanced
    assert _values(backend) == dict.fromkeys(range(ROWS), "second")


async def test_a_deadline_within_it_is_told_to_all_and_the_keys_are_free_afterwards() -> None:
    """Its rows are looked at one by one from then on."""
    faults = FaultScript().hang()
    backend = _backend(faults)
    async with BulkWriter[Any](backend, max_batch_size=ROWS, timeout=0.02) as writer:
        report = await writer.insert_many(_rows())
        assert report.counts.unknown == ROWS
        assert all(isinstance(error, OutcomeUnknownError) for _, error in report.errors)
        later = writer.submit({"id": 1, "value": "second"}, timeout=10)
        faults.release()
        assert (await later).outcome is Outcome.UPDATED
        assert writer.statistics().is_balanced
    assert _values(backend)[1] == "second"


async def test_its_caller_goes_before_it_is_sent() -> None:
    """It is withdrawn as a whole, and its keys are free."""
    faults = FaultScript().hang()
    backend = _backend(faults)
    async with BulkWriter[Any](backend, max_batch_size=ROWS, concurrency=1) as writer:
        first = asyncio.create_task(writer.insert_many(_rows(100)))
        await faults.wait_for("hang")
        many = asyncio.create_task(writer.insert_many(_rows()))
        await asyncio.sleep(0.01)
        assert writer.statistics().queued == ROWS
        many.cancel()
        await asyncio.wait([many])
        later = writer.submit({"id": 1, "value": "second"})
        faults.release()
        assert (await later).outcome is Outcome.INSERTED
        await first
        figures = writer.statistics()
        assert (figures.withdrawn, figures.inserted) == (ROWS, ROWS + 1)
        assert figures.is_balanced
    assert _values(backend) == {**dict.fromkeys(range(100, 100 + ROWS), "first"), 1: "second"}


@pytest.mark.parametrize("is_in_flight", [False, True])
async def test_the_first_delete_finds_the_keys_of_a_batch_that_claimed_none(*, is_in_flight: bool) -> None:
    """Plain inserts have no order; from the first delete on, they have."""
    faults = FaultScript().hang()
    backend = MemoryBackend(key=("id",), faults=faults)
    async with BulkWriter[Any](backend, max_batch_size=ROWS, concurrency=1) as writer:
        before = [asyncio.create_task(writer.insert_many(_rows(start))) for start in (0, 100)[: 1 + (not is_in_flight)]]
        await faults.wait_for("hang")
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(writer.delete(3 if is_in_flight else 103))
        await asyncio.sleep(0.01)
        assert not gone.done()
        faults.release()
        assert (await gone).outcome is Outcome.DELETED
        assert [(await report).counts.inserted for report in before] == [ROWS] * len(before)
        after = await writer.insert_many(_rows(200))
        assert after.counts.inserted == ROWS
        assert writer.statistics().is_balanced
    assert (3 if is_in_flight else 103) not in _values(backend)


async def test_a_forced_stop_answers_every_row_of_it() -> None:
    """In flight it is unknown, in the queue it is not written."""
    faults = FaultScript().hang()
    writer = BulkWriter[Any](_backend(faults), max_batch_size=ROWS, concurrency=1)
    first = asyncio.create_task(writer.insert_many(_rows()))
    await faults.wait_for("hang")
    second = asyncio.create_task(writer.insert_many(_rows(100)))
    await asyncio.sleep(0.01)
    await writer.stop(force=True)
    assert (await first).counts.unknown == ROWS
    report = await second
    assert report.counts.not_written == ROWS
    assert all(isinstance(error, NotWrittenError) for _, error in report.errors)
    assert writer.statistics().is_balanced

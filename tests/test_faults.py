"""The fault script: each fault does what it says, once, to whatever backend it is put around."""

import asyncio
from typing import Any

import pytest

from bulkwriter import (
    BackendUnavailableError,
    InvalidValueError,
    NotWrittenError,
    Outcome,
    RowRejectedError,
    ThrottledError,
    WriteResult,
)
from bulkwriter.backend import Backend
from bulkwriter.contract import Attempt, Doubtful, NotApplied, Reply, Uniform, Verdict
from bulkwriter.testing import FaultScript, MemoryBackend, SimulatedFailureError
from bulkwriter.testing.faults import RANDOM_FAULTS

INSERTED = WriteResult(Outcome.INSERTED)


def _attempt(backend: Backend, *ids: int, careful: bool = False) -> Attempt:
    plan = backend.plan("insert", ("id", "name"))
    return Attempt(plan, [backend.prepare(plan, (number, f"row {number}")) for number in ids], careful=careful)


async def _opened(faults: FaultScript, *, ledger: bool = True) -> tuple[MemoryBackend, MemoryBackend]:
    """Return a backend and the same backend as seen through the faults."""
    backend = MemoryBackend(ledger=ledger)
    wrapped = faults.wrap(backend)
    await wrapped.open()
    return backend, wrapped


def _verdicts(reply: Reply) -> list[Verdict]:
    return [reply.verdict] * reply.rows if isinstance(reply, Uniform) else reply


def _ids(backend: MemoryBackend) -> list[int]:
    return [row["id"] for row in backend.rows]


async def test_a_wrapped_backend_is_the_same_backend() -> None:
    """State, class, name and capabilities are the wrapped one's own: nobody can tell but by the faults."""
    backend = MemoryBackend("orders")
    wrapped = FaultScript().wrap(backend)
    await wrapped.open()
    assert backend.is_open
    assert isinstance(wrapped, MemoryBackend)
    assert type(wrapped).prepare is MemoryBackend.prepare
    assert (wrapped.name, wrapped.table, wrapped.capabilities) == ("memory", "orders", MemoryBackend.capabilities)
    wrapped.is_open = False
    assert not backend.is_open


def test_a_backend_with_slots_is_refused() -> None:
    """Its state could not be shared, and half of it would be missed later."""

    class Slotted(MemoryBackend):
        __slots__ = ("secret",)

    with pytest.raises(TypeError, match="__slots__"):
        FaultScript().wrap(Slotted())


async def test_a_backend_may_take_the_script_itself() -> None:
    """``MemoryBackend(faults=...)`` is the short form of wrapping it."""
    backend = MemoryBackend(faults=FaultScript().throttle())
    await backend.open()
    assert isinstance(_verdicts(await backend.attempt(_attempt(backend, 1)))[0], NotApplied)
    assert _verdicts(await backend.attempt(_attempt(backend, 1))) == [INSERTED]


async def test_faults_come_in_order_and_then_no_more() -> None:
    """One fault an attempt, ``times`` of it, with ``passing`` attempts between."""
    faults = FaultScript().throttle(times=2).passing(1).deadlock()
    backend, wrapped = await _opened(faults)
    seen = [
        type(verdict.error)
        if isinstance(verdict := _verdicts(await wrapped.attempt(_attempt(backend, n)))[0], NotApplied)
        else verdict
        for n in range(5)
    ]
    assert seen == [ThrottledError, ThrottledError, INSERTED, NotWrittenError, INSERTED]
    assert faults.hits == {"throttle": 2, "deadlock": 1}
    assert faults.is_spent
    assert faults.attempts == 5


@pytest.mark.parametrize(
    ("faults", "error", "wait"),
    [
        (FaultScript().fail_before_commit(), BackendUnavailableError, 0.0),
        (FaultScript().throttle(wait=0.5), ThrottledError, 0.5),
        (FaultScript().deadlock(), NotWrittenError, 0.0),
    ],
    ids=["fail_before_commit", "throttle", "deadlock"],
)
async def test_what_is_known_not_to_be_applied_is_not_stored(
    faults: FaultScript, error: type[NotWrittenError], wait: float
) -> None:
    """``NotApplied``, with a driver's error as the cause."""
    backend, wrapped = await _opened(faults)
    for verdict in _verdicts(await wrapped.attempt(_attempt(backend, 1, 2))):
        assert isinstance(verdict, NotApplied)
        assert type(verdict.error) is error
        assert verdict.wait == wait
        assert isinstance(verdict.error.__cause__, SimulatedFailureError)
        assert (verdict.error.backend, verdict.error.table) == ("memory", "memory")
    assert backend.rows == []


async def test_a_lost_acknowledgement_leaves_the_row_stored_and_doubtful() -> None:
    """With a ledger, settling tells the truth."""
    backend, wrapped = await _opened(FaultScript().lose_acknowledgement())
    attempt = _attempt(backend, 1, 2)
    assert all(isinstance(verdict, Doubtful) for verdict in _verdicts(await wrapped.attempt(attempt)))
    assert _ids(backend) == [1, 2]
    assert _verdicts(await wrapped.settle(attempt)) == [INSERTED, INSERTED]


async def test_an_acknowledgement_may_be_lost_for_some_rows() -> None:
    """The first ones are told, the last ones are doubtful; all are stored."""
    backend, wrapped = await _opened(FaultScript().lose_acknowledgement(2))
    first, *rest = _verdicts(await wrapped.attempt(_attempt(backend, 1, 2, 3)))
    assert first == INSERTED
    assert [type(verdict) for verdict in rest] == [Doubtful, Doubtful]
    assert _ids(backend) == [1, 2, 3]


async def test_a_lost_request_leaves_nothing_stored_and_doubtful() -> None:
    """Settling says that it was not applied."""
    backend, wrapped = await _opened(FaultScript().lose_request())
    attempt = _attempt(backend, 1)
    assert all(isinstance(verdict, Doubtful) for verdict in _verdicts(await wrapped.attempt(attempt)))
    assert backend.rows == []
    assert isinstance(_verdicts(await wrapped.settle(attempt))[0], NotApplied)


async def test_without_a_ledger_nobody_can_tell() -> None:
    """A lost acknowledgement stays doubtful for good."""
    backend, wrapped = await _opened(FaultScript().lose_acknowledgement(), ledger=False)
    attempt = _attempt(backend, 1)
    await wrapped.attempt(attempt)
    assert _verdicts(await wrapped.settle(attempt)) == [Doubtful(can_settle=False)]


async def test_an_acknowledgement_can_only_be_lost_after_a_commit() -> None:
    """An attempt that commits nothing is let through, and the fault waits for the next one."""
    faults = FaultScript().lose_acknowledgement()
    backend, wrapped = await _opened(faults)
    await backend.attempt(_attempt(backend, 1))
    with pytest.raises(RowRejectedError):
        await wrapped.attempt(_attempt(backend, 1))
    assert not faults.is_spent
    assert isinstance(_verdicts(await wrapped.attempt(_attempt(backend, 2)))[0], Doubtful)
    assert faults.is_spent


async def test_failing_after_the_commit_raises() -> None:
    """The rows are stored, and the attempt ends in ``ConnectionError``."""
    backend, wrapped = await _opened(FaultScript().fail_after_commit())
    with pytest.raises(ConnectionError):
        await wrapped.attempt(_attempt(backend, 1))
    assert _ids(backend) == [1]


@pytest.mark.parametrize(("missing", "told"), [(1, 2), (3, 0), (-2, 5)])
async def test_a_reply_may_be_of_the_wrong_length(missing: int, told: int) -> None:
    """Too short or too long; what was written stays written."""
    backend, wrapped = await _opened(FaultScript().short_reply(missing))
    assert len(_verdicts(await wrapped.attempt(_attempt(backend, 1, 2, 3)))) == told
    assert _ids(backend) == [1, 2, 3]


async def test_a_reply_may_be_nonsense() -> None:
    """Anything a broken backend might return."""
    nonsense: Any = {"ok": True}
    _, wrapped = await _opened(FaultScript().reply(nonsense))
    assert await wrapped.attempt(_attempt(wrapped, 1)) is nonsense


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyError("x"), asyncio.CancelledError])
async def test_anything_may_be_raised(error: Any, after_commit: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An instance, a class or a function that makes one, before or after the commit."""
    backend, wrapped = await _opened(FaultScript().raising(error, after_commit=after_commit))
    with pytest.raises((ValueError, KeyError, asyncio.CancelledError)):
        await wrapped.attempt(_attempt(backend, 1))
    assert _ids(backend) == [1] * after_commit


async def test_unprocessed_rows_are_the_last_ones() -> None:
    """The others are written; settling such an attempt tells both apart."""
    backend, wrapped = await _opened(FaultScript().leave_unprocessed(2, wait=0.1))
    attempt = _attempt(backend, 1, 2, 3, 4)
    first, second, *left = _verdicts(await wrapped.attempt(attempt))
    assert [first, second] == [INSERTED, INSERTED]
    for verdict in left:
        assert isinstance(verdict, NotApplied)
        assert verdict.wait == 0.1
    assert _ids(backend) == [1, 2]
    assert [type(verdict) for verdict in _verdicts(await wrapped.settle(attempt))] == [WriteResult] * 2 + [
        NotApplied
    ] * 2


async def test_a_whole_batch_may_be_left_unprocessed() -> None:
    """If it has no more rows than that."""
    backend, wrapped = await _opened(FaultScript().leave_unprocessed(10))
    assert all(isinstance(verdict, NotApplied) for verdict in _verdicts(await wrapped.attempt(_attempt(backend, 1, 2))))
    assert backend.rows == []


async def test_a_poisoned_row_sinks_a_batch_unless_it_is_careful() -> None:
    """As in a database: the statement fails as a whole, and row by row only the bad one does."""
    faults = FaultScript().poison(lambda row: row["id"] == 2, InvalidValueError)
    backend, wrapped = await _opened(faults)
    with pytest.raises(InvalidValueError):
        await wrapped.attempt(_attempt(backend, 1, 2, 3))
    assert backend.rows == []
    first, second, third = _verdicts(await wrapped.attempt(_attempt(backend, 1, 2, 3, careful=True)))
    assert (first, third) == (INSERTED, INSERTED)
    assert isinstance(second, InvalidValueError)
    assert _ids(backend) == [1, 3]
    assert faults.hits == {"poison": 2}


async def test_poison_may_name_a_row_by_its_number() -> None:
    """Counted from 0 in the order in which rows first come; it sticks to the row however often it is tried."""
    backend, wrapped = await _opened(FaultScript().poison(2))
    assert _verdicts(await wrapped.attempt(_attempt(backend, 1, 2))) == [INSERTED] * 2
    attempt = _attempt(backend, 3, 4)
    for _ in range(2):
        with pytest.raises(RowRejectedError):
            await wrapped.attempt(attempt)
    assert _verdicts(await wrapped.attempt(_attempt(backend, 5))) == [INSERTED]


async def test_poison_leaves_deletes_alone() -> None:
    """It is about rows to be stored."""
    backend, wrapped = await _opened(FaultScript().poison(lambda row: row["id"] == 1))
    plan = backend.plan("delete", ("id",))
    assert _verdicts(await wrapped.attempt(Attempt(plan, [(1,)]))) == [WriteResult(Outcome.DELETED)]


async def test_poison_and_a_lost_acknowledgement_settle_together() -> None:
    """Settling an attempt of which only some rows were handed on answers for all of them."""
    backend, wrapped = await _opened(FaultScript().lose_acknowledgement().poison(lambda row: row["id"] == 2))
    attempt = _attempt(backend, 1, 2, 3, careful=True)
    await wrapped.attempt(attempt)
    settled = _verdicts(await wrapped.settle(attempt))
    assert [type(verdict) for verdict in settled] == [WriteResult, type(settled[1]), WriteResult]
    assert isinstance(settled[1], RowRejectedError)


async def test_an_outage_is_for_calls_of_every_kind() -> None:
    """Attempts, settling and opening fail until so many calls have."""
    faults = FaultScript().disconnect(4)
    backend, wrapped = await _opened(faults)
    attempt = _attempt(backend, 1)
    for call in (wrapped.attempt, wrapped.settle, wrapped.attempt):
        with pytest.raises(BackendUnavailableError):
            await call(attempt)
    with pytest.raises(BackendUnavailableError):
        await wrapped.open()
    await wrapped.open()
    assert _verdicts(await wrapped.attempt(attempt)) == [INSERTED]
    assert faults.hits == {"disconnect": 4}


async def test_settling_may_be_refused() -> None:
    """For a while, and then for good."""
    faults = FaultScript().lose_acknowledgement().refuse_settle().refuse_settle(for_good=True)
    backend, wrapped = await _opened(faults)
    attempt = _attempt(backend, 1)
    await wrapped.attempt(attempt)
    with pytest.raises(BackendUnavailableError):
        await wrapped.settle(attempt)
    (verdict,) = _verdicts(await wrapped.settle(attempt))
    assert isinstance(verdict, Doubtful)
    assert not verdict.can_settle
    assert _verdicts(await wrapped.settle(attempt)) == [INSERTED]


@pytest.mark.parametrize("after_commit", [False, True])
async def test_what_hangs_can_be_released(after_commit: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Before the commit nothing is stored yet, after it everything; either way the answer comes in the end."""
    faults = FaultScript().hang(after_commit=after_commit)
    backend, wrapped = await _opened(faults)
    call = asyncio.create_task(_call(wrapped, _attempt(backend, 1)))
    await faults.wait_for("hang")
    assert not call.done()
    assert _ids(backend) == [1] * after_commit
    faults.release()
    assert _verdicts(await call) == [INSERTED]
    assert _ids(backend) == [1]


async def test_what_hangs_can_be_cancelled() -> None:
    """And then it never happens."""
    faults = FaultScript().hang()
    backend, wrapped = await _opened(faults)
    call = asyncio.create_task(_call(wrapped, _attempt(backend, 1)))
    await faults.wait_for("hang")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    faults.release()
    assert backend.rows == []


async def test_opening_and_settling_can_hang_and_fail_too() -> None:
    """``during=`` says which kind of call a fault is for."""
    faults = FaultScript().raising(ZeroDivisionError, during="open").delay(0, during="open").hang(during="settle")
    backend = MemoryBackend(ledger=True)
    wrapped = faults.wrap(backend)
    with pytest.raises(ZeroDivisionError):
        await wrapped.open()
    await wrapped.open()
    attempt = _attempt(backend, 1)
    await wrapped.attempt(attempt)
    call = asyncio.create_task(_settle(wrapped, attempt))
    await faults.wait_for("hang")
    faults.release()
    assert _verdicts(await call) == [INSERTED]
    assert faults.is_spent


async def test_faults_for_ever_are_spent_when_they_have_come_once() -> None:
    """A test may end while they last."""
    faults = FaultScript().throttle(times=-1)
    assert not faults.is_spent
    backend, wrapped = await _opened(faults)
    for _ in range(3):
        assert isinstance(_verdicts(await wrapped.attempt(_attempt(backend, 1)))[0], NotApplied)
    assert faults.is_spent
    assert faults.hits == {"throttle": 3}


async def test_a_script_that_was_not_played_to_its_end_is_not_spent() -> None:
    """Whoever forgets to bring a fault about is told so by ``is_spent``."""
    faults = FaultScript().passing(1).throttle().poison(lambda row: row["id"] == 99)
    backend, wrapped = await _opened(faults)
    await wrapped.attempt(_attempt(backend, 1))
    assert not faults.is_spent
    await wrapped.attempt(_attempt(backend, 2))
    assert not faults.is_spent
    with pytest.raises(RowRejectedError):
        await wrapped.attempt(_attempt(backend, 99))
    assert faults.is_spent


@pytest.mark.parametrize("seed", range(5))
async def test_chance_is_the_same_for_the_same_seed(seed: int) -> None:
    """A failure by chance can be had again, and the drawing ends where it is told to."""
    assert await _storm(seed) == await _storm(seed)
    hits = (await _storm(seed, at_most=3))[0]
    assert sum(hits.values()) <= 3


async def test_chance_brings_every_kind_of_fault() -> None:
    """None of the faults it draws from is left out."""
    hits, stored = await _storm(0, attempts=300)
    assert set(hits) == set(RANDOM_FAULTS)
    assert 0 < len(stored) < 600


def test_a_rate_is_a_share() -> None:
    """From 0 to 1."""
    with pytest.raises(ValueError, match="rate must be from 0 to 1"):
        FaultScript().at_random(1, rate=20)


async def test_two_scripts_may_be_put_around_one_backend() -> None:
    """The outer one comes first, and each settles what it withheld."""
    backend = MemoryBackend(ledger=True)
    inner, outer = FaultScript().leave_unprocessed(1), FaultScript().leave_unprocessed(1)
    wrapped = outer.wrap(inner.wrap(backend))
    await wrapped.open()
    attempt = _attempt(backend, 1, 2, 3)
    expected = [WriteResult, NotApplied, NotApplied]
    assert [type(verdict) for verdict in _verdicts(await wrapped.attempt(attempt))] == expected
    assert [type(verdict) for verdict in _verdicts(await wrapped.settle(attempt))] == expected


def test_its_repr_says_how_far_it_has_come() -> None:
    """A dashboard for a failed test's output."""
    assert repr(FaultScript().throttle().deadlock()) == "<FaultScript: 0 attempts, hit nothing, 2 steps to come>"


async def _storm(seed: int, *, attempts: int = 60, at_most: int = -1) -> tuple[dict[str, int], list[int]]:
    faults = FaultScript().at_random(seed, rate=0.5, at_most=at_most)
    backend, wrapped = await _opened(faults)
    for number in range(attempts):
        try:
            await wrapped.attempt(_attempt(backend, 2 * number, 2 * number + 1))
        except ConnectionError:
            continue
    return faults.hits, _ids(backend)


async def _call(backend: Backend, attempt: Attempt) -> Reply:
    return await backend.attempt(attempt)


async def _settle(backend: Backend, attempt: Attempt) -> Reply:
    return await backend.settle(attempt)

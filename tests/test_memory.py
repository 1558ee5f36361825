"""The backend in memory: transactions, typed errors and conflicts as a database has them."""

import itertools
from typing import Any

import pytest

from bulkwriter import (
    BackendUnavailableError,
    CheckViolationError,
    ForeignKeyViolationError,
    InvalidValueError,
    MisconfigurationError,
    NotNullViolationError,
    Outcome,
    RowRejectedError,
    RowTooLargeError,
    UniqueViolationError,
    WriteResult,
)
from bulkwriter.contract import Attempt, NotApplied, Uniform
from bulkwriter.testing import MemoryBackend, MemoryDatabaseError, MemoryTable

INSERTED = WriteResult(Outcome.INSERTED)


async def _write(backend: MemoryBackend, *rows: dict[str, Any]) -> list[Any]:
    """Write rows carefully, and return their verdicts; rows of other columns in an attempt of their own."""
    await backend.open()
    verdicts: list[Any] = []
    for columns, group in itertools.groupby(rows, key=tuple):
        plan = backend.plan("insert", columns)
        values = [backend.prepare(plan, tuple(row.values())) for row in group]
        reply = await backend.attempt(Attempt(plan, values, careful=True))
        assert isinstance(reply, list)
        verdicts += reply
    return verdicts


async def test_a_batch_is_a_transaction() -> None:
    """A bad row undoes it as a whole, also what it changed before."""
    backend = MemoryBackend(not_null=("name",), on_conflict="update")
    await _write(backend, {"id": 1, "name": "a"})
    plan = backend.plan("insert", ("id", "name"))
    with pytest.raises(NotNullViolationError):
        await backend.attempt(Attempt(plan, [(1, "changed"), (2, "new"), (3, None)]))
    assert backend.rows == [{"id": 1, "name": "a"}]
    assert await _write(backend, {"id": 2, "name": "b"}) == [INSERTED]


@pytest.mark.parametrize(
    ("row", "error", "code"),
    [
        ({"id": 1, "name": "x"}, UniqueViolationError, "23505"),
        ({"id": 2, "name": "x", "code": "c"}, UniqueViolationError, "23505"),
        ({"id": 2, "name": None}, NotNullViolationError, "23502"),
        ({"id": None, "name": "x"}, NotNullViolationError, "23502"),
        ({"id": 2, "name": "x", "amount": -1}, CheckViolationError, "23514"),
        ({"id": 2, "name": "x", "amount": "many"}, CheckViolationError, "23514"),
        ({"id": 2, "name": "x", "kind": "z"}, ForeignKeyViolationError, "23503"),
    ],
)
async def test_errors_are_typed_and_name_what_was_violated(
    row: dict[str, Any], error: type[RowRejectedError], code: str
) -> None:
    """With an SQLSTATE, the constraint, and a driver's error as the cause."""
    backend = MemoryBackend(
        not_null=("name",),
        unique=("code",),
        checks={"amount_ok": lambda row: row.get("amount") is None or row["amount"] >= 0},
        foreign_keys={"kind": {"a", "b"}},
    )
    await _write(backend, {"id": 1, "name": "first", "code": "c", "kind": "a"})
    (verdict,) = await _write(backend, row)
    assert isinstance(verdict, error)
    assert verdict.sqlstate == code
    assert verdict.constraint_name or verdict.column_name
    assert isinstance(verdict.__cause__, MemoryDatabaseError | TypeError)
    assert len(backend.rows) == 1


async def test_what_cannot_be_stored_is_refused_at_the_door() -> None:
    """Types, hashable keys and sizes are looked at before anything is sent."""
    table = MemoryTable(types={"amount": (int, float)}, unique=("code",), max_row_bytes=1000)
    backend = MemoryBackend(table)
    await backend.open()
    for column, value, error in (
        ("amount", "1", InvalidValueError),
        ("id", [1], InvalidValueError),
        ("code", {}, InvalidValueError),
        ("note", "x" * 2000, RowTooLargeError),
    ):
        with pytest.raises(error):
            backend.prepare(backend.plan("insert", (column,)), (value,))


async def test_defaults_and_generated_columns_are_filled_in() -> None:
    """A default may be a value or a function, a generated column is one of the whole row."""
    table = MemoryTable(
        columns=("id", "amount", "note"),
        defaults={"id": itertools.count(1).__next__, "note": "none"},
        generated={"doubled": lambda row: row["amount"] * 2},
    )
    backend = MemoryBackend(table, returning=("id", "doubled"))
    answers = await _write(backend, {"amount": 1}, {"amount": 2, "note": None})
    assert [answer.returned for answer in answers] == [{"id": 1, "doubled": 2}, {"id": 2, "doubled": 4}]
    assert backend.rows[1] == {"id": 2, "amount": 2, "note": None, "doubled": 4}


async def test_conflicts_are_told_row_by_row() -> None:
    """Inserted, updated, unchanged and skipped, also within one batch."""
    update = MemoryBackend(on_conflict="update")
    rows = [{"id": 1, "n": 1}, {"id": 1, "n": 2}, {"id": 1, "n": 2}]
    told = [answer.outcome for answer in await _write(update, *rows)]
    assert told == [Outcome.INSERTED, Outcome.UPDATED, Outcome.UNCHANGED]
    skip = MemoryBackend(update.store, on_conflict="skip")
    assert await _write(skip, {"id": 1, "n": 9}) == [WriteResult(Outcome.SKIPPED)]
    assert skip.rows == [{"id": 1, "n": 2}]


async def test_updates_may_be_computed_and_declined() -> None:
    """By functions of the stored and the new row."""
    backend = MemoryBackend(
        on_conflict="update",
        update_columns={"n": lambda stored, new: stored["n"] + new["n"]},
        update_where=lambda stored, new: new["n"] > -stored["n"],
    )
    told = [answer.outcome for answer in await _write(backend, *({"id": 1, "n": n} for n in (1, 5, -7)))]
    assert told == [Outcome.INSERTED, Outcome.UPDATED, Outcome.UNCHANGED]
    assert backend.rows == [{"id": 1, "n": 6}]
    assert not backend.allows_coalescing


async def test_a_function_that_raises_costs_its_own_row_only() -> None:
    """A default, a check or an update that cannot be computed rejects the row, as a database's own would."""
    backend = MemoryBackend(
        on_conflict="update",
        defaults={"m": lambda: 1 // 0},
        checks={"n_positive": lambda row: row["n"] > 0},
        update_columns={"n": lambda stored, new: stored["n"] // new["n"]},
    )
    rows: list[dict[str, Any]] = [
        {"id": 1, "n": 6, "m": 0},
        {"id": 1, "n": 0.0, "m": 0},
        {"id": 2, "n": "x", "m": 0},
        {"id": 1, "n": 7, "m": 0},
    ]
    told = await _write(backend, *rows, {"id": 3, "n": 1})
    kinds = [WriteResult, CheckViolationError, CheckViolationError, CheckViolationError, CheckViolationError]
    assert [type(answer) for answer in told] == kinds
    division = MemoryBackend(backend.store, on_conflict="update", update_columns={"n": lambda _, new: 1 // new["m"]})
    assert [type(answer) for answer in await _write(division, {"id": 1, "n": 1, "m": 0})] == [InvalidValueError]
    assert backend.rows == [{"id": 1, "n": 6, "m": 0}]


async def test_a_row_that_others_refer_to_cannot_be_deleted() -> None:
    """A table may refer to itself; a row may refer to itself."""
    backend = MemoryBackend(foreign_keys={"parent": None})
    await _write(backend, {"id": 1, "parent": 1}, {"id": 2, "parent": 1})
    plan = backend.plan("delete", ("id",))
    with pytest.raises(ForeignKeyViolationError):
        await backend.attempt(Attempt(plan, [(1,)]))
    for key in (2, 1, 7):
        assert await backend.attempt(Attempt(plan, [(key,)])) == [WriteResult(Outcome.DELETED)]
    assert backend.rows == []


async def test_a_table_without_a_key_takes_every_row() -> None:
    """But then nothing can be updated or deleted."""
    backend = MemoryBackend(key=())
    assert await _write(backend, {"n": 1}, {"n": 1}) == [INSERTED, INSERTED]
    with pytest.raises(MisconfigurationError):
        backend.plan("delete", ())
    with pytest.raises(MisconfigurationError):
        MemoryBackend(key=(), on_conflict="skip")


async def test_what_is_read_and_returned_is_a_copy() -> None:
    """Nobody changes the table by accident."""
    backend = MemoryBackend(returning=("tags",))
    (answer,) = await _write(backend, {"id": 1, "tags": ["a"]})
    answer.returned["tags"].append("b")
    backend.rows[0]["tags"].append("c")
    assert backend.rows == [{"id": 1, "tags": ["a"]}]


async def test_the_ledger_remembers_and_fences() -> None:
    """A batch with a known identity is not written twice, and one that was settled as not applied never commits."""
    backend = MemoryBackend(ledger=True)
    await backend.open()
    plan = backend.plan("insert", ("id",))
    for _ in range(2):
        assert await backend.attempt(Attempt(plan, [(1,)], identity="one")) == [INSERTED]
    late = Attempt(plan, [(2,)])
    call = backend.attempt(late)
    # Sent, and not yet committed.
    call.send(None)
    settled = await backend.settle(late)
    assert isinstance(settled, Uniform)
    assert isinstance(settled.verdict, NotApplied)
    with pytest.raises(BackendUnavailableError, match="not applied"):
        call.send(None)
    assert backend.rows == [{"id": 1}]


@pytest.mark.parametrize(
    "options",
    [
        {"on_conflict": "replace"},
        {"conflict_columns": ("n",)},
        {"update_columns": ("n",)},
        {"on_conflict": "update", "update_columns": {"n": "t.n + 1"}},
        {"on_conflict": "update", "update_columns": ("nonesuch",)},
        {"returning": ("nonesuch",)},
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    """At construction, with a message that says why."""
    with pytest.raises(MisconfigurationError, match="table numbers: "):
        MemoryBackend("numbers", columns=("id", "n"), **options)


def test_a_table_brings_its_own_constraints() -> None:
    """They cannot be given twice."""
    with pytest.raises(MisconfigurationError, match="give them to the table"):
        MemoryBackend(MemoryTable(), not_null=("name",))


async def test_a_dropped_table_is_a_misconfiguration() -> None:
    """Found when opening, and by every attempt after that."""
    backend = MemoryBackend("gone")
    await backend.open()
    backend.store.drop()
    with pytest.raises(MisconfigurationError, match="gone"):
        await backend.attempt(Attempt(backend.plan("insert", ("id",)), [(1,)]))
    with pytest.raises(MisconfigurationError, match="gone"):
        await backend.open()

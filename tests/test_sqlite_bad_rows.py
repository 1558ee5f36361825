"""A bad row is rejected alone, with its own error, and its neighbours are stored."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import BulkWriter
from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.contract import Attempt, Suspect, Uniform
from bulkwriter.errors import (
    CheckViolationError,
    ForeignKeyViolationError,
    NotNullViolationError,
    RowRejectedError,
    UniqueViolationError,
)
from tests.sqlite_tables import Database, told, write

if TYPE_CHECKING:
    import pathlib

    from bulkwriter.contract import OnConflict

POLICIES: list[OnConflict] = ["error", "skip", "update"]
SCHEMA = """
    CREATE TABLE p (id INTEGER PRIMARY KEY);
    INSERT INTO p VALUES (1);
    CREATE TABLE t (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        n INTEGER CONSTRAINT "small, really" CHECK (n < 100),
        u INTEGER,
        v INTEGER,
        w INTEGER,
        p INTEGER REFERENCES p (id),
        UNIQUE (u, v)
    );
    CREATE UNIQUE INDEX e ON t (abs(w));
"""
COLUMNS = "id name n u v w p"


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a table with a constraint of every kind."""
    return Database(tmp_path / "t.db", SCHEMA)


def _row(number: int, **changes: Any) -> tuple[Any, ...]:
    row = {"id": number, "name": "x", "n": 1, "u": number, "v": number, "w": number, "p": 1}
    return tuple({**row, **changes}.values())


BAD: dict[str, tuple[dict[str, Any], type[RowRejectedError], dict[str, str | None]]] = {
    "key": ({"id": 0}, UniqueViolationError,
            {"sqlstate": "SQLITE_CONSTRAINT_PRIMARYKEY", "constraint_name": "t.id", "column_name": "id"}),
    "unique": ({"u": 0, "v": 0}, UniqueViolationError,
               {"sqlstate": "SQLITE_CONSTRAINT_UNIQUE", "constraint_name": "t.u, t.v", "column_name": None}),
    "unique expression": ({"w": -1_000_000}, UniqueViolationError,
                          {"sqlstate": "SQLITE_CONSTRAINT_UNIQUE", "constraint_name": "index 'e'"}),
    "null": ({"name": None}, NotNullViolationError,
             {"sqlstate": "SQLITE_CONSTRAINT_NOTNULL", "constraint_name": "t.name", "column_name": "name"}),
    "check": ({"n": 100}, CheckViolationError,
              {"sqlstate": "SQLITE_CONSTRAINT_CHECK", "constraint_name": "small, really", "column_name": None}),
    "foreign key": ({"p": 2}, ForeignKeyViolationError, {"sqlstate": "SQLITE_CONSTRAINT_FOREIGNKEY"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
async def test_each_kind_of_violation_has_its_own_error(database: Database, kind: str) -> None:
    """It names the code, and constraint and column where SQLite does, but no value."""
    changes, error, attributes = BAD[kind]
    await database.write(COLUMNS, [_row(0), _row(1_000_000)])
    answers = await database.write(COLUMNS, [_row(1), _row(77_001, **changes), _row(2)])
    assert told([answers[0], answers[2]]) == ["inserted", "inserted"]
    assert type(answers[1]) is error
    for name, value in attributes.items():
        assert getattr(answers[1], name) == value, name
    assert isinstance(answers[1].__cause__, sqlite3.IntegrityError)
    assert answers[1].__cause__.__traceback__ is None
    assert "77" not in str(answers[1])
    assert str(answers[1].sqlstate) in str(answers[1])
    assert answers[1].table == "t"
    assert database.read("SELECT id FROM t ORDER BY id") == [(0,), (1,), (2,), (1_000_000,)]


@pytest.mark.parametrize("count", [1, 5, 50, 400, 1000])
@pytest.mark.parametrize("policy", POLICIES)
async def test_bad_rows_are_found_wherever_they_are(database: Database, policy: OnConflict, count: int) -> None:
    """The good ones are stored, and nothing else."""
    places = set(random.Random(count).sample(range(1000), count))  # noqa: S311
    rows = [_row(number, name=None) if number in places else _row(number) for number in range(1000)]
    answers = await database.write(COLUMNS, rows, on_conflict=policy)
    assert told(answers) == ["NotNullViolation" if number in places else "inserted" for number in range(1000)]
    assert database.read("SELECT id FROM t ORDER BY id") == [(n,) for n in range(1000) if n not in places]
    errors = [answer for answer in answers if isinstance(answer, RowRejectedError)]
    assert len({id(error) for error in errors}) == count


async def test_a_bad_row_costs_few_statements(database: Database) -> None:
    """Found by ever smaller statements, not by a row at a time."""
    statements: list[str] = []
    async with database.backend() as backend:
        session: Any = backend._session
        session.connection.set_trace_callback(statements.append)
        rows = [_row(number, n=100) if number == 300 else _row(number) for number in range(512)]
        answers = await write(backend, COLUMNS, rows)
        session.connection.set_trace_callback(None)
    assert told(answers).count("inserted") == 511
    assert len([sql for sql in statements if "INSERT" in sql]) == 1 + 8 + 8 + 8


async def test_a_foreign_key_on_delete_rejects_the_key(database: Database) -> None:
    """The parent is still there, and so are its children."""
    database.run("INSERT INTO p VALUES (2), (3); INSERT INTO t VALUES (1, 'x', 1, 1, 1, 1, 2)")
    answers = await database.write("id", [(1,), (2,), (3,), (4,)], table="p", operation="delete")
    assert told(answers) == ["deleted", "ForeignKeyViolation", "deleted", "deleted"]
    assert database.read("SELECT id FROM p") == [(2,)]


async def test_foreign_keys_can_be_left_unchecked(database: Database) -> None:
    """As SQLite does by itself."""
    assert told(await database.write(COLUMNS, [_row(1, p=99)], foreign_keys=False)) == ["inserted"]


# -- triggers


async def test_a_trigger_that_refuses_a_row_rejects_it(database: Database) -> None:
    """With the trigger's words in ``detail``."""
    database.run("CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.n = 13 BEGIN SELECT RAISE(ABORT, 'no luck'); END")
    answers = await database.write(COLUMNS, [_row(1), _row(2, n=13), _row(3)])
    assert told(answers) == ["inserted", "CheckViolation", "inserted"]
    assert answers[1].sqlstate == "SQLITE_CONSTRAINT_TRIGGER"
    assert answers[1].detail == "no luck"
    assert "no luck" not in str(answers[1])


@pytest.mark.parametrize("verb", ["FAIL", "ROLLBACK"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_trigger_that_undoes_more_costs_only_its_row(database: Database, policy: OnConflict, verb: str) -> None:
    """Also RAISE(ROLLBACK), which undoes the whole transaction; other bad rows beside it have their own errors."""
    database.run(f"CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.n = 13 BEGIN SELECT RAISE({verb}, 'no luck'); END")
    bad: dict[int, dict[str, Any]] = {
        0: {"n": 13},
        5: {"name": None},
        6: {"n": 13},
        100: {"n": 13},
        570: {"n": 100},
        571: {"n": 13},
        699: {"n": 13},
    }
    rows = [_row(number, **bad.get(number, {})) for number in range(700)]
    answers = await database.write(COLUMNS, rows, on_conflict=policy)
    assert [n for n, word in enumerate(told(answers)) if word != "inserted"] == list(bad)
    assert {type(answers[number]) for number in bad} == {CheckViolationError, NotNullViolationError}
    assert database.read("SELECT count(*), sum(id) FROM t") == [(693, sum(set(range(700)) - set(bad)))]


async def test_a_batch_that_a_trigger_undoes_row_for_row_comes_to_an_end(database: Database) -> None:
    """Each row is refused by itself."""
    database.run("CREATE TRIGGER r BEFORE INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'never'); END")
    assert told(await database.write(COLUMNS, [_row(number) for number in range(150)])) == ["CheckViolation"] * 150


@pytest.mark.parametrize("returning", [(), ("id",)])
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_row_that_a_trigger_swallows_is_not_said_to_be_stored(
    database: Database, policy: OnConflict, returning: tuple[str, ...]
) -> None:
    """RAISE(IGNORE) raises nothing: only the count betrays it."""
    database.run(
        "INSERT INTO t (id, name) VALUES (2, 'old'), (3, 'old');"
        "CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.n = 13 BEGIN SELECT RAISE(IGNORE); END;"
        "CREATE TRIGGER s BEFORE UPDATE ON t WHEN NEW.n = 14 BEGIN SELECT RAISE(IGNORE); END;"
    )
    rows = [_row(1), _row(4, n=13), _row(2), _row(3, n=14), *(_row(n) for n in range(5, 30))]
    answers = await database.write(COLUMNS, rows, on_conflict=policy, returning=returning)
    there = {"error": ["UniqueViolation"] * 2, "skip": ["skipped"] * 2, "update": ["updated", "CheckViolation"]}[policy]
    assert told(answers) == ["inserted", "CheckViolation", *there, *["inserted"] * 25]
    assert "swallowed by a trigger" in str(answers[1])
    names = {"error": "old", "skip": "old", "update": "x"}
    assert database.read("SELECT id, name FROM t WHERE id < 5") == [(1, "x"), (2, names[policy]), (3, "old")]


async def test_a_key_that_a_trigger_keeps_is_not_said_to_be_deleted(database: Database) -> None:
    """RAISE(IGNORE) again."""
    database.run(
        "INSERT INTO p VALUES (2), (3);"
        "CREATE TRIGGER r BEFORE DELETE ON p WHEN OLD.id = 2 BEGIN SELECT RAISE(IGNORE); END;"
    )
    answers = await database.write("id", [(1,), (2,), (3,), (9,)], table="p", operation="delete")
    assert told(answers) == ["deleted", "CheckViolation", "deleted", "deleted"]
    assert database.read("SELECT id FROM p") == [(2,)]


async def test_what_triggers_write_elsewhere_is_not_counted(database: Database) -> None:
    """An audit table on the side changes no verdict."""
    database.run(
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, what);"
        "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO audit (what) VALUES (NEW.id), (NEW.id); END;"
    )
    async with database.backend(on_conflict="update") as backend:
        assert told(await write(backend, COLUMNS, [_row(n) for n in range(100)])) == ["inserted"] * 100
        assert backend.paths == {"multi-row": 1}
    assert database.read("SELECT count(*) FROM audit") == [(200,)]


# -- clauses in the table's declaration


@pytest.mark.parametrize("clause", ["REPLACE", "IGNORE", "FAIL", "ROLLBACK", "ABORT"])
async def test_a_conflict_clause_of_the_table_changes_no_answer(tmp_path: pathlib.Path, clause: str) -> None:
    """``on_conflict="error"`` is an error, although the table says to replace or to ignore."""
    database = Database(
        tmp_path / "t.db",
        f"CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT {clause}, n NOT NULL ON CONFLICT {clause} DEFAULT 7,"
        f"u UNIQUE ON  conflict {clause})",
    )
    await database.write("id n u", [(1, 1, 1)])
    rows = [(1, 2, 2), (2, None, 3), (3, 3, 1), *((n, n, n) for n in range(4, 80))]
    answers = await database.write("id n u", rows)
    assert told(answers) == ["UniqueViolation", "NotNullViolation", "UniqueViolation", *["inserted"] * 76]
    assert database.read("SELECT * FROM t WHERE id < 4") == [(1, 1, 1)]
    answers = await database.write("id n u", [(1, 5, 1005), (3, 3, 1)], on_conflict="update")
    assert told(answers) == ["updated", "inserted"]
    answers = await database.write("id n u", [(1, 6, 1006), (9, 9, 1007)], on_conflict="skip")
    assert told(answers) == ["skipped", "skipped"]


async def test_clauses_in_triggers_keep_their_meaning(database: Database) -> None:
    """A statement's own clause would override them."""
    database.run(
        "CREATE TABLE seen (name PRIMARY KEY, times);"
        "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT OR REPLACE INTO seen VALUES (NEW.name, NEW.id); END;"
    )
    assert told(await database.write(COLUMNS, [_row(n) for n in range(1, 10)])) == ["inserted"] * 9
    assert database.read("SELECT * FROM seen") == [("x", 9)]


# -- expressions that cannot be computed


async def test_an_expression_that_fails_for_a_row_rejects_it(tmp_path: pathlib.Path) -> None:
    """It has the same code as "no such table", but the statement itself is right."""
    database = Database(
        tmp_path / "t.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, doc, a AS (json_extract(doc, '$.a')));"
        "CREATE UNIQUE INDEX i ON t (json_extract(doc, '$.a'))",
    )
    rows: list[tuple[Any, ...]] = [(1, {"a": 1}), (2, "{broken"), (3, {"a": 3})]
    answers = await database.write("id doc", rows)
    assert told(answers) == ["inserted", "InvalidValue", "inserted"]
    assert answers[1].sqlstate == "SQLITE_ERROR"
    assert database.read("SELECT id, a FROM t ORDER BY id") == [(1, 1), (3, 3)]


# -- constraints that are checked at COMMIT

DEFERRED = """
    CREATE TABLE p (a TEXT COLLATE NOCASE, b INTEGER, PRIMARY KEY (a, b));
    INSERT INTO p VALUES ('x', 1);
    CREATE TABLE t (
        id INTEGER PRIMARY KEY,
        parent INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED,
        a, b,
        FOREIGN KEY (a, b) REFERENCES p (a, b) DEFERRABLE INITIALLY DEFERRED
    );
"""


@pytest.fixture
def deferred(tmp_path: pathlib.Path) -> Database:
    """Return a table whose foreign keys are checked at COMMIT."""
    return Database(tmp_path / "t.db", DEFERRED)


@pytest.mark.parametrize("policy", POLICIES)
async def test_rows_may_refer_to_later_rows_of_their_batch(deferred: Database, policy: OnConflict) -> None:
    """The constraint is checked at the end."""
    rows = [(1, 2, "X", "1"), (2, 1, None, 5), (3, 3, "x", None)]
    assert told(await deferred.write("id parent a b", rows, on_conflict=policy)) == ["inserted"] * 3


@pytest.mark.parametrize("returning", [(), ("id", "a")])
@pytest.mark.parametrize("policy", POLICIES)
async def test_rows_that_fail_at_commit_are_found(
    deferred: Database, policy: OnConflict, returning: tuple[str, ...]
) -> None:
    """Those without a parent, and then those whose parent was one of them; cycles of good rows stay."""
    rows = [
        *((n, None, "x", 1) for n in range(100, 150)),
        (1, 2, "x", 1), (2, 1, "x", 1),  # a cycle
        (3, 99, "x", 1),  # no such parent
        (4, 3, "x", 1),  # a child of the one without
        (5, None, "y", 1),  # not in p
        (6, None, "x", 1),
    ]  # fmt: skip
    answers = await deferred.write("id parent a b", rows, on_conflict=policy, returning=returning)
    expected = ["inserted"] * 52 + ["ForeignKeyViolation"] * 3 + ["inserted"]
    assert told(answers) == expected
    assert answers[52].column_name == "parent"
    assert answers[54].column_name is None
    assert isinstance(answers[52].__cause__, sqlite3.IntegrityError)
    stored = [row[0] for row in deferred.read("SELECT id FROM t ORDER BY id")]
    assert stored == sorted(row[0] for row, word in zip(rows, expected, strict=True) if word == "inserted")
    if returning:
        assert answers[0].returned == {"id": 100, "a": "x"}


async def test_a_culprit_that_cannot_be_told_is_left_to_the_engine_to_find(deferred: Database) -> None:
    """A deleted parent does not say which of its children is in the way: the batch is split instead."""
    deferred.run("INSERT INTO t VALUES (1, NULL, NULL, NULL), (2, 1, NULL, NULL), (3, NULL, NULL, NULL)")
    async with deferred.backend() as backend:
        plan = backend.plan("delete", ("id",))
        reply = await backend.attempt(Attempt(plan, [(1,), (3,)]))
        assert isinstance(reply, Uniform)
        assert isinstance(reply.verdict, Suspect)
        assert reply.rows == 2
        alone = await backend.attempt(Attempt(plan, [(1,)]))
        assert isinstance(alone, Uniform)
        assert isinstance(alone.verdict, ForeignKeyViolationError)
    assert deferred.read("SELECT count(*) FROM t") == [(3,)]
    assert told(await _delete_all(deferred, [1, 3])) == ["ForeignKeyViolation", "deleted"]
    assert deferred.read("SELECT id FROM t") == [(1,), (2,)]


async def _delete_all(database: Database, keys: list[int]) -> list[Any]:
    async with BulkWriter[Any](SQLiteBackend(database.path, "t")) as writer:
        return await asyncio.gather(*(writer.delete(key) for key in keys), return_exceptions=True)


@pytest.mark.parametrize("returning", [(), ("id",)])
async def test_the_careful_path_answers_alike(database: Database, returning: tuple[str, ...]) -> None:
    """Row by row, for an engine that asks for it."""
    rows = [_row(1), _row(2, name=None), _row(3)]
    async with database.backend(returning=returning) as backend:
        plan = backend.plan("insert", tuple(COLUMNS.split()))
        reply = await backend.attempt(Attempt(plan, rows, careful=True))
        assert told(list(reply)) == ["inserted", "NotNullViolation", "inserted"]  # type: ignore[arg-type]
        assert backend.paths == {"careful": 1}

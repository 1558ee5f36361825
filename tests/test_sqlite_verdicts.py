"""Each row hears what became of it, exactly: compared with what is in the table, and with a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.contract import Attempt, Uniform
from bulkwriter.errors import MisconfigurationError, UniqueViolationError
from bulkwriter.results import DELETED, INSERTED, SKIPPED, UPDATED, Outcome, WriteResult
from tests.sqlite_tables import Database, told, write

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Coroutine

    from bulkwriter.contract import OnConflict

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'none', n INTEGER CHECK (n < 100), u UNIQUE)"
)
POLICIES: list[OnConflict] = ["error", "skip", "update"]


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a table with a key, a default, a check and another unique column."""
    return Database(tmp_path / "t.db", SCHEMA)


@pytest.mark.parametrize("rows", [1, 2, 3, 63, 64, 65, 511, 512, 513, 1000, 2500])
@pytest.mark.parametrize("policy", POLICIES)
async def test_new_rows_are_inserted_whatever_their_number(database: Database, policy: OnConflict, rows: int) -> None:
    """However many statements it takes, the answer is one, and counted by the database."""
    async with database.backend(on_conflict=policy) as backend:
        plan = backend.plan("insert", ("id", "n"))
        reply = await backend.attempt(Attempt(plan, [(number, number % 7) for number in range(rows)]))
        assert reply == Uniform(INSERTED, rows)
        assert backend.paths == {"multi-row": 1}
    assert database.read("SELECT count(*), sum(id) FROM t") == [(rows, rows * (rows - 1) // 2)]


async def test_a_column_that_is_left_out_gets_its_default(database: Database) -> None:
    """Not NULL."""
    await database.write("id n", [(1, 1), (2, 2)])
    assert database.read("SELECT name FROM t") == [("none",), ("none",)]


@pytest.mark.parametrize("policy", ["skip", "update"])
async def test_a_batch_of_known_keys_has_one_answer(database: Database, policy: OnConflict) -> None:
    """All skipped, or all updated, without a row looked at by itself."""
    rows = [(number, "new") for number in range(700)]
    await database.write("id name", [(number, "old") for number in range(700)])
    async with database.backend(on_conflict=policy) as backend:
        plan = backend.plan("insert", ("id", "name"))
        for _ in range(2):
            reply = await backend.attempt(Attempt(plan, rows))
            assert reply == Uniform(SKIPPED if policy == "skip" else UPDATED, 700)
        assert backend.paths == {"multi-row": 2}
    assert database.read("SELECT DISTINCT name FROM t") == [("old" if policy == "skip" else "new",)]


@pytest.mark.parametrize("policy", ["skip", "update"])
async def test_known_and_new_keys_are_told_apart_within_one_statement(database: Database, policy: OnConflict) -> None:
    """Which keys are there is asked once, and the count of what was written agrees."""
    await database.write("id name", [(number, "old") for number in range(0, 600, 3)])
    async with database.backend(on_conflict=policy) as backend:
        answers = await write(backend, "id name", [(number, "new") for number in range(600)])
        assert backend.paths == {"multi-row": 1}
    there = "skipped" if policy == "skip" else "updated"
    assert told(answers) == ["inserted" if number % 3 else there for number in range(600)]
    stored = dict(database.read("SELECT id, name FROM t"))
    expected = "old" if policy == "skip" else "new"
    assert stored == {number: "new" if number % 3 else expected for number in range(600)}


async def test_a_row_that_is_not_the_conflict_meant_is_rejected(database: Database) -> None:
    """``on_conflict`` is about the key; another unique column is a constraint like any other."""
    database.run("INSERT INTO t (id, u) VALUES (1, 'taken')")
    for number, policy in enumerate(("skip", "update"), 8):
        answers = await database.write("id u", [(1, "taken"), (7, "taken"), (number, policy)], on_conflict=policy)
        assert isinstance(answers[1], UniqueViolationError)
        assert answers[1].constraint_name == "t.u"
        assert answers[1].column_name == "u"
        assert told([answers[0], answers[2]]) == ["skipped" if policy == "skip" else "updated", "inserted"]


@pytest.mark.parametrize("target", [["u"], ["U"]])
async def test_conflict_columns_may_be_any_unique_key(database: Database, target: list[str]) -> None:
    """Then a second row with the primary key is what is rejected."""
    database.run("INSERT INTO t (id, u, n) VALUES (1, 'a', 1)")
    async with database.backend(on_conflict="update", conflict_columns=target) as backend:
        assert backend.key_columns == ("u",)
        answers = await write(backend, "id u n", [(2, "a", 5), (1, "b", 6), (3, "c", 7)])
    # The update of row 1 also sets its id, as an update sets whatever the row has.
    assert told(answers) == ["updated", "inserted", "inserted"]
    assert database.read("SELECT id, u, n FROM t ORDER BY id") == [(1, "b", 6), (2, "a", 5), (3, "c", 7)]


async def test_an_update_sets_only_what_the_row_has(database: Database) -> None:
    """What it leaves out stays as it was, while a new row gets the default."""
    database.run("INSERT INTO t VALUES (1, 'old', 5, NULL)")
    assert told(await database.write("id n", [(1, 6), (2, 7)], on_conflict="update")) == ["updated", "inserted"]
    assert database.read("SELECT id, name, n FROM t") == [(1, "old", 6), (2, "none", 7)]


async def test_a_row_of_nothing_but_its_key_can_be_updated(tmp_path: pathlib.Path) -> None:
    """It then holds this row's values, of which the key is all."""
    database = Database(
        tmp_path / "t.db", "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY); INSERT INTO t VALUES ('A')"
    )
    assert told(await database.write("k", [("a",), ("b",)], on_conflict="update")) == ["updated", "inserted"]
    assert database.read("SELECT k FROM t ORDER BY k") == [("a",), ("b",)]


async def test_update_columns_limit_what_an_update_sets(database: Database) -> None:
    """By name."""
    database.run("INSERT INTO t VALUES (1, 'old', 5, NULL)")
    options: dict[str, Any] = {"on_conflict": "update", "update_columns": ["n"]}
    assert told(await database.write("id name n", [(1, "new", 6), (2, "b", 7)], **options)) == ["updated", "inserted"]
    assert database.read("SELECT id, name, n FROM t") == [(1, "old", 6), (2, "b", 7)]


async def test_update_columns_may_be_expressions(database: Database) -> None:
    """Of the stored row ``t`` and the new one ``excluded``; rows with one key build upon each other, in order."""
    options: dict[str, Any] = {"on_conflict": "update", "update_columns": {"n": "t.n + excluded.n", "Name": "'sum'"}}
    async with database.backend(**options) as backend:
        assert not backend.allows_coalescing
        answers = await write(backend, "id n", [(1, 1), (2, 10), (1, 2), (1, 4), (2, 20)])
    assert told(answers) == ["inserted", "inserted", "updated", "updated", "updated"]
    assert database.read("SELECT id, name, n FROM t") == [(1, "sum", 7), (2, "sum", 30)]


async def test_an_update_that_is_declined_leaves_the_row_unchanged(database: Database) -> None:
    """``update_where`` is asked row by row."""
    database.run("INSERT INTO t (id, n) VALUES (1, 5), (2, 5), (3, 5)")
    options: dict[str, Any] = {"on_conflict": "update", "update_where": "excluded.n > t.n"}
    answers = await database.write("id n", [(1, 4), (2, 6), (3, 5), (4, 1)], **options)
    assert told(answers) == ["unchanged", "updated", "unchanged", "inserted"]
    assert database.read("SELECT n FROM t") == [(5,), (6,), (5,), (1,)]


@pytest.mark.parametrize("policy", POLICIES)
async def test_generated_values_come_back_to_the_very_row(database: Database, policy: OnConflict) -> None:
    """Ids, defaults and values as they are stored, and nothing for a row that was skipped."""
    database.run("INSERT INTO t (id, u, name) VALUES (500, 7, 'old')")
    target = None if policy == "error" else ["u"]
    rows = [(number, number % 50) for number in range(1000) if policy != "error" or number != 7]
    async with database.backend(on_conflict=policy, conflict_columns=target, returning=["ID", "name"]) as backend:
        answers = await write(backend, "u n", rows)
        assert backend.paths == {"multi-row": 1}
    by_u = {u: {"ID": id_, "name": name} for id_, u, name in database.read("SELECT id, u, name FROM t")}
    for (u, _), answer in zip(rows, answers, strict=True):
        assert answer.returned == (None if answer.outcome is Outcome.SKIPPED else by_u[u])
    assert [a.outcome for a in answers].count(Outcome.INSERTED) == 999
    assert len(set(by_u)) == 1000


async def test_returned_values_stay_right_where_the_column_changes_them(tmp_path: pathlib.Path) -> None:
    """The order of what comes back cannot be proven then: each row is written by itself."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    async with database.backend(returning=["id", "n"]) as backend:
        answers = await write(backend, "n", [(str(number),) for number in range(100)])
        assert backend.paths == {"row by row": 1}
    assert [answer.returned for answer in answers] == [{"id": number + 1, "n": number} for number in range(100)]


async def test_the_rowid_can_be_given_and_returned(tmp_path: pathlib.Path) -> None:
    """A table without a key has one all the same."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (v)")
    answers = await database.write("rowid v", [(7, "a"), (9, "b")], returning=["rowid", "v"])
    assert [answer.returned for answer in answers] == [{"rowid": 7, "v": "a"}, {"rowid": 9, "v": "b"}]
    answers = await database.write("v", [("c",)], returning=["rowid"])
    assert [answer.returned for answer in answers] == [{"rowid": 10}]


async def test_equal_rows_without_a_key_each_get_a_row(tmp_path: pathlib.Path) -> None:
    """And each an id of its own."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (v)")
    answers = await database.write("v", [("a",)] * 100, returning=["rowid"])
    assert sorted(answer.returned["rowid"] for answer in answers) == list(range(1, 101))


@pytest.mark.parametrize("schema", [
    "CREATE TABLE t (a TEXT, b INTEGER, v, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "CREATE TABLE t (a TEXT, b INTEGER, v, PRIMARY KEY (b, a))",
    "CREATE TABLE t (v, b INTEGER, a TEXT); CREATE UNIQUE INDEX i ON t (a, b)",
    "CREATE TABLE t (a TEXT, b INTEGER, v); CREATE UNIQUE INDEX i ON t (a COLLATE NOCASE, b DESC)",
])  # fmt: skip
async def test_keys_of_two_columns_work_in_any_kind_of_table(tmp_path: pathlib.Path, schema: str) -> None:
    """Whichever order they are named in."""
    database = Database(tmp_path / "t.db", schema)
    options: dict[str, Any] = {"conflict_columns": ["b", "a"], "returning": ["v"]}
    rows = [(n, f"k{n % 3}", n // 3) for n in range(90)]
    assert told(await database.write("v a b", rows, on_conflict="update", **options)) == ["inserted"] * 90
    assert told(await database.write("v a b", rows[::-1], on_conflict="skip", **options)) == ["skipped"] * 90
    rows.append((99, "k0", 99))
    assert told(await database.write("v a b", rows, on_conflict="update", **options)) == ["updated"] * 90 + ["inserted"]
    keys = [(b, a) for _, a, b in rows[:50]]
    async with database.backend(conflict_columns=["a", "b"]) as backend:
        columns = " ".join(backend.key_columns)
        ordered = keys if backend.key_columns == ("b", "a") else [(a, b) for b, a in keys]
        assert told(await write(backend, columns, ordered, "delete")) == ["deleted"] * 50
    assert database.read("SELECT count(*) FROM t") == [(41,)]


async def test_a_deleted_key_is_absent_whether_it_was_there_or_not(database: Database) -> None:
    """That is what the caller wants to know."""
    database.run("INSERT INTO t (id) VALUES (1), (2), (3)")
    async with database.backend() as backend:
        plan = backend.plan("delete", ("id",))
        assert await backend.attempt(Attempt(plan, [(1,), (7,), (3,)])) == Uniform(DELETED, 3)
    assert database.read("SELECT id FROM t") == [(2,)]


async def test_a_key_is_deleted_as_the_table_compares_it(tmp_path: pathlib.Path) -> None:
    """By affinity and collation."""
    database = Database(
        tmp_path / "t.db", "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY); INSERT INTO t VALUES ('A'), ('1')"
    )
    await database.write("k", [("a",), (1,)], operation="delete")
    assert database.read("SELECT k FROM t") == []


async def test_a_key_with_a_default_is_known_although_the_row_leaves_it_out(tmp_path: pathlib.Path) -> None:
    """The second such row meets the first."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (k TEXT DEFAULT 'x' PRIMARY KEY, v)")
    for policy, later in (("update", "updated"), ("skip", "skipped")):
        database.run("DELETE FROM t")
        assert told(await database.write("v", [(1,), (2,)], on_conflict=policy)) == ["inserted", later]
        assert told(await database.write("v", [(3,)], on_conflict=policy)) == [later]
        assert database.read("SELECT k, v FROM t") == [("x", 3 if policy == "update" else 1)]


async def test_a_view_is_written_through_its_trigger(tmp_path: pathlib.Path) -> None:
    """And a row that the trigger drops is told so; policies that SQLite has not for views are refused."""
    database = Database(tmp_path / "t.db", """
        CREATE TABLE base (id INTEGER PRIMARY KEY, v);
        CREATE VIEW t AS SELECT id, v FROM base;
        CREATE TRIGGER r INSTEAD OF INSERT ON t BEGIN
            SELECT RAISE(IGNORE) WHERE NEW.v = 'drop';
            INSERT INTO base VALUES (NEW.id, NEW.v);
        END;
    """)  # fmt: skip
    answers = await database.write("id v", [(1, "a"), (2, "drop"), (3, "b"), (1, "c")])
    assert told(answers) == ["inserted", "CheckViolation", "inserted", "UniqueViolation"]
    assert database.read("SELECT id FROM base") == [(1,), (3,)]
    for policy in ("update", "skip"):
        with pytest.raises(MisconfigurationError):
            await database.write("id v", [(9, "x")], on_conflict=policy)


async def test_virtual_tables_can_be_written(tmp_path: pathlib.Path) -> None:
    """Full-text search, for one."""
    database = Database(tmp_path / "t.db", "CREATE VIRTUAL TABLE t USING fts5 (body)")
    rows = [(number, f"word{number}") for number in range(1, 101)]
    assert told(await database.write("rowid body", rows)) == ["inserted"] * 100
    assert database.read("SELECT rowid FROM t WHERE t MATCH 'word77'") == [(77,)]


@pytest.mark.parametrize("name", ['"odd ""name"".x"', '[odd "name".x]', 'odd "name".x', 'main."odd ""name"".x"'])
async def test_names_may_be_odd(tmp_path: pathlib.Path, name: str) -> None:
    """Of tables and of columns, quoted or not."""
    database = Database(
        tmp_path / "t.db", 'CREATE TABLE "odd ""name"".x" ("a b" INTEGER PRIMARY KEY, "select" TEXT, "ü")'
    )
    backend = SQLiteBackend(database.path, name, on_conflict="update", returning=["a b"])
    await backend.open()
    plan = backend.plan("insert", ("a b", "SELECT", "ü"))
    reply = await backend.attempt(Attempt(plan, [(1, "x", 2), (2, "y", 3)]))
    await backend.close()
    assert reply == [WriteResult(Outcome.INSERTED, {"a b": 1}), WriteResult(Outcome.INSERTED, {"a b": 2})]


async def test_a_table_in_an_attached_database_can_be_named(database: Database) -> None:
    """By the schema under which ``setup`` attached it."""
    other = Database(database.path.with_name("other.db"), SCHEMA)
    options: dict[str, Any] = {"setup": f"ATTACH '{other.path}' AS Other", "ledger": True, "on_conflict": "update"}
    assert told(await database.write("id", [(1,), (2,)], table="other.t", **options)) == ["inserted"] * 2
    assert other.read("SELECT id FROM t") == [(1,), (2,)]
    assert database.read("SELECT id FROM t") == []
    assert other.read("SELECT row_count FROM bulkwriter_ledger") == [(2,)]


# -- against a model


@st.composite
def _batches(draw: st.DrawFn) -> list[list[tuple[Any, ...]]]:
    row = st.tuples(
        st.one_of(st.integers(0, 12), st.booleans(), st.just("3"), st.none()),
        st.sampled_from(["a", "b", None]),
        st.integers(95, 103),
        st.sampled_from([*range(30), None]),
    )
    return draw(st.lists(st.lists(row, min_size=1, max_size=40), min_size=1, max_size=3))


class Model:
    """The table as a dict, one row after the other."""

    def __init__(self, policy: OnConflict) -> None:
        self.policy = policy
        self.rows: dict[int, tuple[Any, ...]] = {}

    def apply(self, row: tuple[Any, ...]) -> str:
        """Write one row, and return what it is told."""
        key, name, number, unique = row
        key = int(key) if key is not None else max(self.rows, default=0) + 1
        if name is None:
            return "NotNullViolation"
        if number >= 100:
            return "CheckViolation"
        if key in self.rows and self.policy == "error":
            return "UniqueViolation"
        if key in self.rows and self.policy == "skip":
            return "skipped"
        if unique is not None and any(other[2] == unique and mine != key for mine, other in self.rows.items()):
            return "UniqueViolation"
        outcome = "updated" if key in self.rows else "inserted"
        self.rows[key] = (name, number, unique)
        return outcome


@pytest.mark.parametrize("returning", [(), ("id", "u")])
@pytest.mark.parametrize("policy", POLICIES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=_batches())
def test_every_row_hears_what_a_model_says(
    tmp_path_factory: pytest.TempPathFactory,
    run: Callable[[Coroutine[Any, Any, Any]], Any],
    policy: OnConflict,
    returning: tuple[str, ...],
    batches: list[list[tuple[Any, ...]]],
) -> None:
    """Keys in every notation, duplicates in one batch, bad rows of every kind; then the table is as the model's."""
    database = Database(tmp_path_factory.mktemp("model") / "t.db", SCHEMA)
    model = Model(policy)

    async def compare() -> None:
        async with database.backend(on_conflict=policy, returning=returning) as backend:
            for rows in batches:
                expected = [model.apply(row) for row in rows]
                assert told(await write(backend, "id name n u", rows)) == expected

    run(compare())
    assert {row[0]: row[1:] for row in database.read("SELECT id, name, n, u FROM t")} == model.rows

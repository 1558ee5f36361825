"""Every option is checked, at the door where the database is not needed, else at open: never an approximation."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.errors import MisconfigurationError
from tests.sqlite_tables import Database

if TYPE_CHECKING:
    import pathlib

UPDATE: dict[str, Any] = {"on_conflict": "update"}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "policy": ({"on_conflict": "replace"}, 'on_conflict must be "error", "skip" or "update", not \'replace\''),
    "columns as text": ({"columns": "id"}, "columns must be a sequence of column names"),
    "columns twice": ({"columns": ["id", "ID"]}, "each once"),
    "no columns": ({"columns": []}, "columns must name at least one column, or be None"),
    "returning": ({"returning": "id"}, "returning must be a sequence of column names"),
    "updates without update": ({"update_columns": ["v"]}, 'need on_conflict="update"'),
    "condition without update": ({"on_conflict": "skip", "update_where": "1"}, 'need on_conflict="update"'),
    "no expression": ({**UPDATE, "update_columns": {"v": 1}}, r"update_columns\['v'\] must be an SQL expression"),
    "no updates": ({**UPDATE, "update_columns": {}}, "update_columns must name at least one column"),
    "empty condition": ({**UPDATE, "update_where": ""}, "update_where must be a str that is not empty"),
    "ledger": ({"ledger": 1}, "ledger must be True or False, not 1"),
    "retention": ({"ledger_retention": -1}, "ledger_retention must be more than 0 seconds, not -1"),
    "setup": ({"setup": None}, "setup must be SQL as a str"),
    "busy timeout": ({"busy_timeout": float("nan")}, "busy_timeout must be 0 or more seconds, not nan"),
    "journal mode": ({"journal_mode": "FAST"}, "journal_mode must be one of WAL, DELETE"),
    "synchronous": ({"synchronous": 1}, "synchronous must be one of OFF, NORMAL, FULL, EXTRA, not 1"),
    "foreign keys": ({"foreign_keys": None}, "foreign_keys must be True or False"),
    "uri": ({"uri": "yes"}, "uri must be True or False"),
}

UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "unknown column": ({"columns": ["id", "nonesuch"]}, "no column 'nonesuch'; it has id, v, u, w, g"),
    "generated column": ({"columns": ["id", "g"]}, "'g' is generated"),
    "unknown returned column": ({"returning": ["nonesuch"]}, "no column 'nonesuch'"),
    "generated updated column": ({**UPDATE, "update_columns": {"g": "1"}}, "'g' is generated"),
    "no unique key": ({**UPDATE, "conflict_columns": ["v"]}, r"must be the columns of a primary key.*\(id\); \(u\)"),
    "partial index": ({**UPDATE, "conflict_columns": ["w"]}, "unique index without WHERE"),
    "part of a key": ({**UPDATE, "conflict_columns": ["id", "u"]}, "must be the columns of a primary key"),
    "broken expression": ({**UPDATE, "update_columns": {"v": "t.v +"}}, "SQLite does not accept these options"),
    "unknown in expression": ({**UPDATE, "update_columns": {"v": "t.nonesuch"}}, "no such column: t.nonesuch"),
    "two statements": ({**UPDATE, "update_where": "1; DROP TABLE t"}, "SQLite does not accept these options"),
}


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a table with a column of every kind."""
    return Database(
        tmp_path / "t.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v, u UNIQUE, w, g AS (v + 1));"
        "CREATE UNIQUE INDEX i ON t (w) WHERE w > 0; CREATE TABLE keyless (v)",
    )


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_option_is_told_at_the_door(what: str) -> None:
    """The message says what would be right."""
    options, message = WRONG[what]
    with pytest.raises(MisconfigurationError, match=message) as caught:
        SQLiteBackend("t.db", "t", **options)
    assert (caught.value.table, caught.value.backend, caught.value.safe_to_retry) == ("t", "sqlite", False)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own


@pytest.mark.parametrize("what", UNFIT)
async def test_an_option_that_does_not_fit_the_table_is_told_at_open(database: Database, what: str) -> None:
    """Before the first row."""
    options, message = UNFIT[what]
    backend = SQLiteBackend(database.path, "t", **options)
    with pytest.raises(MisconfigurationError, match=message):
        await backend.open()
    assert not backend.is_open


@pytest.mark.parametrize("policy", ["skip", "update"])
async def test_a_policy_needs_a_key(database: Database, policy: Any) -> None:
    """A table without one never conflicts."""
    with pytest.raises(MisconfigurationError, match=r"no primary key: on_conflict=.* needs conflict_columns"):
        await SQLiteBackend(database.path, "keyless", on_conflict=policy).open()


async def test_a_plan_refuses_columns_that_cannot_be_written(database: Database) -> None:
    """By name."""
    async with database.backend() as backend:
        for columns, message in (
            (("id", "nonesuch"), "no column 'nonesuch'"),
            (("id", "g"), "'g' is generated"),
            (("id", "ID"), "names one column twice"),
            ((), "at least one column"),
        ):
            with pytest.raises(MisconfigurationError, match=message):
                backend.plan("insert", columns)
        with pytest.raises(MisconfigurationError, match="deleted by a primary key"):
            backend.plan("delete", ("v",))


async def test_an_expression_may_end_with_a_comment(database: Database) -> None:
    """What follows it in the statement is not swallowed."""
    options: dict[str, Any] = {
        **UPDATE,
        "update_columns": {"v": "t.v + excluded.v -- sum"},
        "update_where": "1 -- always",
        "returning": ["v"],
    }
    answers = await database.write("id v", [(1, 1), (1, 2), (2, 5)], **options)
    assert [answer.returned for answer in answers] == [{"v": 1}, {"v": 3}, {"v": 5}]


async def test_settings_hold_for_the_database_of_the_table(database: Database) -> None:
    """Also if that is an attached one."""
    other = Database(database.path.with_name("other.db"), "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    async with database.backend("other.t", setup=f"ATTACH '{other.path}' AS other") as backend:
        session: Any = backend._session
        assert session.connection.execute("PRAGMA other.synchronous").fetchone() == (1,)
    assert other.read("PRAGMA journal_mode") == [("wal",)]
    assert database.read("PRAGMA journal_mode") == [("delete",)]

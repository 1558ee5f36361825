"""Two rows have one key for the engine if and only if SQLite takes them for one."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import sqlite3
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.errors import MisconfigurationError
from tests.sqlite_tables import Database, told, write

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Coroutine

TEXT = st.one_of(
    st.sampled_from(
        ["a", "A", "a ", " a", "ä", "Ä", "1", "01", "1.0", "1e0", " 1 ", "0x1", "", "\0", "a\0b", "A\0c", "K"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)
VALUES = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([2**53, 2**53 + 1, float(2**53), 1.0, 1.5, -0.0, 1e300, float("inf"), b"a", b"1", b""]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=1),
    st.sampled_from([dt.date(2024, 1, 1), "2024-01-01", uuid.UUID(int=1), str(uuid.UUID(int=1)), decimal.Decimal(1)]),
)
KEYS = ["INTEGER PRIMARY KEY", "INTEGER UNIQUE", "TEXT UNIQUE", "BLOB UNIQUE", "REAL UNIQUE", "NUMERIC UNIQUE",
        "TEXT COLLATE NOCASE UNIQUE", "TEXT COLLATE RTRIM UNIQUE", "INTEGER COLLATE NOCASE UNIQUE",
        "VARCHAR(10) COLLATE NOCASE UNIQUE", "COLLATE NOCASE UNIQUE"]  # fmt: skip


def _keys(schema: str, rows: list[tuple[Any, ...]], columns: str, run: Callable[..., Any]) -> list[Any]:
    """Return the rows' keys as the backend reads them."""

    async def read() -> list[Any]:
        names = columns.split()
        backend = SQLiteBackend(
            ":memory:", "t", setup=schema, on_conflict="skip", conflict_columns=[n for n in names if n != "v"]
        )
        await backend.open()
        plan = backend.plan("insert", tuple(names))
        keys = [backend.row_key(plan, row) for row in rows]
        await backend.close()
        return keys

    return list(run(read()))


def _conflicts(schema: str, one: tuple[Any, ...], other: tuple[Any, ...], columns: str) -> bool | None:
    """Return whether SQLite refuses the second row because of the first; None if it takes neither."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema)
        holes = ", ".join("?" * len(one))
        insert = f"INSERT INTO t ({', '.join(columns.split())}) VALUES ({holes})"  # noqa: S608
        try:
            connection.execute(insert, _plain(one))
        except sqlite3.IntegrityError:
            return None
        try:
            connection.execute(insert, _plain(other))
        except sqlite3.IntegrityError as error:
            return True if error.sqlite_errorname != "SQLITE_MISMATCH" else None
        return False


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(str(value) if isinstance(value, decimal.Decimal | uuid.UUID | dt.date) else value for value in row)


@pytest.mark.parametrize("key", KEYS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(one=2**53, other=2**53 + 1)
@example(one=float(2**53), other=2**53 + 1)
@given(one=VALUES, other=VALUES)
def test_keys_are_equal_as_sqlite_compares_them(
    run: Callable[[Coroutine[Any, Any, Any]], Any], key: str, one: Any, other: Any
) -> None:
    """By the column's affinity and collation."""
    schema = f"CREATE TABLE t (k {key}, v)"
    expected = _conflicts(schema, (one,), (other,), "k")
    if expected is None:
        return
    first, second = _keys(schema, [(one,), (other,)], "k", run)
    assert (first == second) is expected
    assert hash(first) == hash(second) or not expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=st.tuples(VALUES, VALUES), other=st.tuples(VALUES, VALUES))
def test_a_key_of_two_columns_is_equal_if_both_are(
    run: Callable[[Coroutine[Any, Any, Any]], Any], one: tuple[Any, Any], other: tuple[Any, Any]
) -> None:
    """Each by its own rules, wherever the columns are in the row."""
    schema = "CREATE TABLE t (a TEXT COLLATE NOCASE, b NUMERIC, v, UNIQUE (b, a))"
    rows = [(one[0], "x", one[1]), (other[0], "y", other[1])]
    first, second = _keys(schema, rows, "a v b", run)
    assert (first == second) is _conflicts(schema, rows[0], rows[1], "a v b")


async def test_a_row_without_a_key_has_none(tmp_path: pathlib.Path) -> None:
    """NULL is equal to nothing, and a rowid that SQLite will choose is not known yet."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, UNIQUE (a, b))")
    async with database.backend(on_conflict="update") as backend:
        assert backend.row_key(backend.plan("insert", ("id", "a")), (None, 1)) is None
        assert backend.row_key(backend.plan("insert", ("a", "b")), (1, 2)) is None
    async with database.backend(on_conflict="update", conflict_columns=["a", "b"]) as backend:
        assert backend.row_key(backend.plan("insert", ("a", "b")), (1, None)) is None
        assert backend.row_key(backend.plan("insert", ("b", "a")), (2, 1)) == (1, 2)


async def test_a_value_that_cannot_be_stored_has_no_key(tmp_path: pathlib.Path) -> None:
    """The attempt rejects it and says why; nothing is raised here."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (id TEXT PRIMARY KEY)")
    async with database.backend(on_conflict="update") as backend:
        plan = backend.plan("insert", ("id",))
        assert [backend.row_key(plan, (value,)) for value in (object(), float("nan"), 2**70, "\ud800")][:3] == [
            None
        ] * 3


async def test_rows_are_not_replaced_where_their_keys_cannot_be_compared(tmp_path: pathlib.Path) -> None:
    """With a collation of the caller's own, nobody here knows which keys are equal."""
    database = Database(tmp_path / "t.db")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(database.path)
        connection.create_collation("backwards", lambda a, b: (a[::-1] > b[::-1]) - (a[::-1] < b[::-1]))
        connection.execute("CREATE TABLE IF NOT EXISTS t (k TEXT COLLATE backwards PRIMARY KEY, v)")
        return connection

    backend = SQLiteBackend(connect, "t", on_conflict="update")
    assert backend.allows_coalescing
    await backend.open()
    assert not backend.allows_coalescing
    plan = backend.plan("insert", ("k", "v"))
    keys = [backend.row_key(plan, (value, 1)) for value in ("a", "b", b"a", None)]
    assert keys[0] == keys[1], "two texts that may be equal must not pass for different"
    assert len({*keys[1:]}) == 3
    answers = await write(backend, "k v", [("a", 1), ("b", 2), ("a", 3)])
    assert told(answers) == ["inserted", "inserted", "updated"]
    await backend.close()
    with pytest.raises(MisconfigurationError):
        async with database.backend():
            pass

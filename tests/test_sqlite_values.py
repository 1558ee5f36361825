"""What goes into SQLite comes out of it, and what it would change in silence is refused."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import enum
import fractions
import sqlite3
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.backends.sqlite.values import find_unfit
from bulkwriter.errors import InvalidValueError, RowTooLargeError
from tests.sqlite_tables import Database, told, write

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Coroutine

NATIVE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)


class Colour(enum.Enum):
    """An ordinary enumeration."""

    RED = "red"


class Level(enum.IntEnum):
    """One whose members are numbers."""

    HIGH = 3


class Name(str):
    """Text by inheritance."""

    __slots__ = ()


class Celsius:
    """A type that sqlite3 is taught about."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __conform__(self, protocol: object) -> object:
        return self.degrees if protocol is sqlite3.PrepareProtocol else None


STORED: dict[str, tuple[Any, Any]] = {
    "bool": (True, 1),
    "largest integer": (2**63 - 1, 2**63 - 1),
    "smallest integer": (-(2**63), -(2**63)),
    "infinity": (float("inf"), float("inf")),
    "text with a NUL": ("a\0b", "a\0b"),
    "empty text": ("", ""),
    "empty bytes": (b"", b""),
    "bytearray": (bytearray(b"abc"), b"abc"),
    "memoryview": (memoryview(b"abc"), b"abc"),
    "enumeration": (Colour.RED, "red"),
    "enumeration of integers": (Level.HIGH, 3),
    "text by inheritance": (Name("x"), "x"),
    "datetime": (dt.datetime(2024, 1, 31, 12, 30), "2024-01-31 12:30:00"),  # noqa: DTZ001
    "datetime with a zone": (
        dt.datetime(2024, 1, 31, 12, 30, 0, 500, tzinfo=dt.UTC),
        "2024-01-31 12:30:00.000500+00:00",
    ),
    "date": (dt.date(2024, 1, 31), "2024-01-31"),
    "time": (dt.time(12, 30), "12:30:00"),
    "Decimal": (decimal.Decimal("1.10"), "1.10"),
    "UUID": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "dict": ({"a": [1, "ä"]}, '{"a":[1,"ä"]}'),
    "list": ([1, None], "[1,null]"),
    "a type that conforms": (Celsius(21.5), 21.5),
}

REFUSED: dict[str, Any] = {
    "NaN": float("nan"),
    "an integer beyond 64 bits": 2**63,
    "a negative integer beyond 64 bits": -(2**63) - 1,
    "a lone surrogate": "\ud800",
    "any object": object(),
    "a set": {1},
    "timedelta": dt.timedelta(1),
    "a Decimal that is no number": decimal.Decimal("NaN"),
    "an infinite Decimal": decimal.Decimal("Infinity"),
    "a signalling Decimal": decimal.Decimal("sNaN"),
    "JSON with NaN": {"a": float("nan")},
    "JSON with an object": [object()],
    "JSON with a lone surrogate": ["\ud800"],
    "a fraction of a conforming type": Celsius(float("nan")),
    "complex": 1j,
}


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a table whose column ``v`` keeps what it is given."""
    return Database(tmp_path / "t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")


@pytest.mark.parametrize("kind", STORED)
async def test_a_value_is_stored_by_the_documented_rule(database: Database, kind: str) -> None:
    """Also beside values of other types, and beside NULL."""
    value, stored = STORED[kind]
    rows = [(1, value), (2, None), (3, value), (4, "x"), (5, 1.5)]
    assert told(await database.write("id v", rows)) == ["inserted"] * 5
    assert database.read("SELECT v FROM t ORDER BY id") == [(stored,), (None,), (stored,), ("x",), (1.5,)]


@pytest.mark.parametrize("neighbours", ["text", "numbers", "NULL", "alike"])
@pytest.mark.parametrize("kind", REFUSED)
async def test_a_value_that_cannot_be_stored_is_refused_alone(database: Database, kind: str, neighbours: str) -> None:
    """Its error names the column, and its neighbours are stored, whatever they are."""
    good = {"text": "x", "numbers": 1.5, "NULL": None, "alike": REFUSED[kind]}[neighbours]
    rows = [(1, good), (2, REFUSED[kind]), (3, good)]
    answers = await database.write("id v", rows)
    assert isinstance(answers[1], InvalidValueError)
    if neighbours == "alike":
        assert told(answers) == ["InvalidValue"] * 3
    else:
        assert told(answers) == ["inserted", "InvalidValue", "inserted"]
    assert answers[1].table == "t"
    assert answers[1].backend == "sqlite"
    assert answers[1].column_name == "v"
    assert database.read("SELECT id FROM t ORDER BY id") == ([] if neighbours == "alike" else [(1,), (3,)])


async def test_numbers_of_other_packages_become_exact_numbers(database: Database) -> None:
    """Bound as they are, sqlite3 would store their bytes as a BLOB."""

    class Number:
        """What numpy's integers look like from here."""

        def __index__(self) -> int:
            return 7

    import numbers  # noqa: PLC0415

    numbers.Integral.register(Number)
    assert told(await database.write("id v", [(1, Number())])) == ["inserted"]
    assert database.read("SELECT v, typeof(v) FROM t") == [(7, "integer")]


async def test_an_adapter_does_not_change_the_rules(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another part of the program registers with sqlite3 is for other types; the default ones warn."""
    adapters: dict[Any, Any] = sqlite3.adapters
    monkeypatch.setitem(adapters, (dt.date, sqlite3.PrepareProtocol), lambda _: "from the adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = [(1, dt.date(2024, 1, 31)), (2, dt.datetime(2024, 1, 31, 1, 1))]  # noqa: DTZ001
        await database.write("id v", rows)
    assert database.read("SELECT v FROM t ORDER BY id") == [("2024-01-31",), ("2024-01-31 01:01:00",)]


async def test_an_adapter_that_fails_costs_only_its_row(database: Database) -> None:
    """It is the caller's code."""

    class Broken:
        """Raises while it is converted."""

        def __conform__(self, _: object) -> object:
            message = "secret"
            raise RuntimeError(message)

    answers = await database.write("id v", [(1, "x"), (2, Broken())])
    assert told(answers) == ["inserted", "InvalidValue"]
    assert "secret" not in str(answers[1])


async def test_a_value_beyond_the_limit_is_too_large(database: Database) -> None:
    """And its neighbours are stored."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(database.path)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
        return connection

    backend = SQLiteBackend(connect, "t")
    await backend.open()
    answers = await write(backend, "id v", [(1, "x"), (2, "x" * 20_000), (3, b"x" * 20_000), (4, "y")])
    await backend.close()
    assert told(answers) == ["inserted", "RowTooLarge", "RowTooLarge", "inserted"]
    assert isinstance(answers[1], RowTooLargeError)
    assert answers[1].sqlstate == "SQLITE_TOOBIG"
    assert database.read("SELECT id FROM t") == [(1,), (4,)]


async def test_a_conversion_by_the_column_is_left_to_sqlite(tmp_path: pathlib.Path) -> None:
    """Columns of an ordinary table prefer a type, and keep what is not of it."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (i INTEGER, x TEXT, r REAL, n NUMERIC)")
    rows = [("12", 12, 1, "1.50"), ("abc", 1.5, "x", decimal.Decimal("2.5"))]
    assert told(await database.write("i x r n", rows)) == ["inserted"] * 2
    assert database.read("SELECT * FROM t") == [(12, "12", 1.0, 1.5), ("abc", "1.5", "x", 2.5)]


@pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 37), reason="STRICT came with SQLite 3.37")
async def test_a_strict_table_refuses_what_is_not_of_the_column(tmp_path: pathlib.Path) -> None:
    """With the column's name, where SQLite says it."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, x TEXT) STRICT")
    rows = [(1, "abc", "x"), (2, 5, "y"), (3, 6, b"bytes"), ("key", 7, "z")]
    answers = await database.write("id n x", rows)
    assert told(answers) == ["InvalidValue", "inserted", "InvalidValue", "InvalidValue"]
    assert [answer.column_name for answer in answers if isinstance(answer, InvalidValueError)][:2] == ["n", "x"]
    assert answers[0].sqlstate == "SQLITE_CONSTRAINT_DATATYPE"
    assert database.read("SELECT id FROM t") == [(2,)]


async def test_a_key_that_is_no_integer_is_refused_by_an_integer_key(database: Database) -> None:
    """The rowid is the one column that every table checks."""
    answers = await database.write("id v", [("abc", 1), (1, 2)])
    assert told(answers) == ["InvalidValue", "inserted"]
    assert answers[0].sqlstate == "SQLITE_MISMATCH"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(NATIVE, NATIVE, NATIVE), min_size=1, max_size=70))
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, run: Callable[[Coroutine[Any, Any, Any]], Any], rows: list[Any]
) -> None:
    """Every value that SQLite can hold, in every mixture of types."""
    database = Database(tmp_path_factory.mktemp("values") / "t.db", "CREATE TABLE t (a, b, c)")
    assert told(run(database.write("a b c", rows))) == ["inserted"] * len(rows)
    stored = database.read("SELECT a, b, c FROM t ORDER BY rowid")
    assert repr(stored) == repr([tuple(int(v) if isinstance(v, bool) else v for v in row) for row in rows])


@given(
    column=st.lists(
        st.one_of(NATIVE, st.floats(), st.dates(), st.just(Level.HIGH), st.just(1j), st.fractions()), min_size=1
    )
)
def test_the_quick_look_misses_nothing(column: list[Any]) -> None:
    """What passes it is stored as it is, or refused by sqlite3: never changed in silence."""
    flat = list(column)
    unfit = find_unfit(flat, 1)
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for index, value in enumerate(flat):
            if index in unfit:
                continue
            with contextlib.suppress(sqlite3.ProgrammingError):
                (stored,) = connection.execute("SELECT ?", (value,)).fetchone()
                assert stored == value
                assert isinstance(value, dt.date) is False


async def test_a_fraction_among_floats_is_refused_alone(database: Database) -> None:
    """The sum of floats and fractions is a float: this one is noticed only when it is bound."""
    answers = await database.write("id v", [(1, 0.5), (2, fractions.Fraction(1, 2)), (3, 1.5)])
    assert told(answers) == ["inserted", "InvalidValue", "inserted"]
    assert answers[1].column_name == "v"

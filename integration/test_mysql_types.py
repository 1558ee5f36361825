"""Values of every common type: stored as they were given, or refused for their row alone; whatever text they hold."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import uuid
from typing import TYPE_CHECKING, Any

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkwriter import WriteResult
from integration.attempts import told, write
from integration.mysql_tables import opened
from integration.servers.mysql_scratch import run

if TYPE_CHECKING:
    from integration.servers.mysql_scratch import MySQLScratch

BERLIN = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=BERLIN)
PLAIN_NOON = dt.datetime(2024, 2, 29, 12, 30, 15, 123456)  # noqa: DTZ001 - a DATETIME has no time zone
SOME_ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
NO_BACKSLASHES = "STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES"
PROPERTY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

CAREFUL = pytest.mark.parametrize("careful", [False, True], ids=["fast", "careful"])
MODE = pytest.mark.parametrize("mode", [{}, {"sql_mode": NO_BACKSLASHES}], ids=["backslashes", "no backslashes"])


class Mood(enum.Enum):
    """An enumeration of Python's for one of MySQL's."""

    HAPPY = "happy"


GOOD: dict[str, list[Any]] = {
    "tinyint": [0, -128, 127],
    "smallint unsigned": [0, 2**16 - 1],
    "integer": [0, -(2**31), 2**31 - 1],
    "bigint": [0, -(2**63), 2**63 - 1],
    "bigint unsigned": [2**64 - 1],
    "double": [0.1, 1e308, 5e-324, 0.0, -1.5],
    "float": [0.5, -1024.0],
    "decimal(40,10)": [
        decimal.Decimal(text) for text in ("0", "1.1", "-0.0000000001", "123456789012345678901234.5678")
    ],
    "decimal(6,2)": [decimal.Decimal("1234.50")],
    "varchar(100)": ["", "ünïcödé € 🚲", 'it\'s "q" \\ %s {} `', "a\0b\x1a\n\r\t", "NULL", "--", "/*"],
    "varchar(10)": ["0123456789"],
    "longtext": ["x" * 100_000, "\\'" * 50_000],
    "varbinary(300)": [b"", b"\0\xff\\x'", bytes(range(256))],
    "longblob": [b"\0" * 100_000],
    "date": [dt.date(2024, 2, 29), dt.date(1000, 1, 1), dt.date.max],
    "datetime(6)": [PLAIN_NOON, dt.datetime.max],  # noqa: DTZ901 - as above
    "time(6)": [dt.timedelta(0), dt.timedelta(days=-1, seconds=3), dt.timedelta(hours=838, minutes=59, seconds=59)],
    "enum('happy','sad')": ["happy", "sad"],
    "year": [1999, 2155],
}


@CAREFUL
@pytest.mark.parametrize("kind", GOOD)
async def test_a_value_is_stored_as_it_was_given(mysql: MySQLScratch, kind: str, *, careful: bool) -> None:
    """With NULL beside it, and in a column that is never NULL."""
    await mysql.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind} NOT NULL, maybe {kind})")
    rows = [(number, value, value if number % 2 else None) for number, value in enumerate(GOOD[kind])]
    async with opened(mysql) as backend:
        assert set(told(await write(backend, "id v maybe", rows, careful=careful))) == {"inserted"}
    stored = await mysql.fetch("SELECT id, v, maybe FROM t ORDER BY id")
    assert [tuple(row.values()) for row in stored] == rows


@CAREFUL
async def test_values_that_have_another_type_here(mysql: MySQLScratch, *, careful: bool) -> None:
    """Each is written by a rule that the documentation has."""
    await mysql.execute(
        "CREATE TABLE t (id int PRIMARY KEY, b boolean, m enum('happy','sad'), at datetime(6), u char(36), "
        "raw binary(16), i decimal(5,1), f double, t time(6), bytes varbinary(10))"
    )
    row = (1, True, Mood.HAPPY, NOON, SOME_ID, SOME_ID, 3, 2, dt.time(23, 59, 59, 999_999), bytearray(b"\0x"))
    async with opened(mysql) as backend:
        assert told(await write(backend, "id b m at u raw i f t bytes", [row], careful=careful)) == ["inserted"]
    (stored,) = await mysql.fetch("SELECT * FROM t")
    assert stored == {
        "id": 1, "b": 1, "m": "happy", "at": NOON.astimezone(dt.UTC).replace(tzinfo=None), "u": str(SOME_ID),
        "raw": SOME_ID.bytes, "i": 3, "f": 2.0, "bytes": b"\0x",
        "t": dt.timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999),
    }  # fmt: skip


async def test_a_timestamp_is_the_same_moment_in_every_session(mysql: MySQLScratch) -> None:
    """What has a time zone is that moment, whatever the zone of who reads it."""
    await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v timestamp(6))")
    async with opened(mysql) as backend:
        assert told(await write(backend, "id v", [(1, NOON)])) == ["inserted"]
    async with mysql.connect() as connection:
        await run(connection, "SET time_zone = '+01:00'")
        assert await run(connection, "SELECT v FROM t") == ((NOON.replace(tzinfo=None),),)


@CAREFUL
async def test_json_is_text_or_any_value(mysql: MySQLScratch, *, careful: bool) -> None:
    """``str`` is JSON text as it is; anything else is written as JSON."""
    await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v json)")
    given_values = ['{"a": 1}', {"a": [1, None, "ü'\\\""]}, [1, {"b": 2}], 5, True, "null", None]
    async with opened(mysql) as backend:
        answers = await write(backend, "id v", list(enumerate(given_values)), careful=careful)
    assert set(told(answers)) == {"inserted"}
    *stored, null, nothing = [row["v"] for row in await mysql.fetch("SELECT v FROM t ORDER BY id")]
    assert [json.loads(text) for text in stored] == [{"a": 1}, {"a": [1, None, "ü'\\\""]}, [1, {"b": 2}], 5, True]
    assert null == "null"
    assert nothing is None


UNFIT: dict[str, list[Any]] = {
    "integer": [1.5, 1.0, decimal.Decimal(2), "1", 2**31, b"1", math.nan],
    "tinyint": [128, 999],
    "bigint": [2**63, 1e3, "x", 10**400],
    "double": ["1.5", b"1", math.nan, math.inf, -math.inf],
    "decimal(6,2)": ["1.5", object(), decimal.Decimal("10000.00"), decimal.Decimal("NaN"), decimal.Decimal("Infinity")],
    "varchar(3)": ["abcd", 1, b"x", "\ud800", object(), ["x"]],
    "varbinary(3)": ["x", 5, b"abcd"],
    "date": [PLAIN_NOON, NOON, "2024-01-01", 5],
    "datetime(6)": [dt.date(2024, 1, 1), "2024-01-01", 5],
    "timestamp(6)": [dt.datetime(1900, 1, 1, tzinfo=dt.UTC), dt.datetime.max],  # noqa: DTZ901 - it takes both
    "time(6)": [5, "1 day", dt.time(1, tzinfo=dt.UTC), dt.timedelta(hours=900)],
    "enum('happy','sad')": ["angry", 5],
    "json": [math.nan, object(), "{", {1, 2}, {"a": math.inf}],
}


@CAREFUL
@pytest.mark.parametrize("kind", UNFIT)
async def test_what_a_column_cannot_hold_is_refused_for_its_row_alone(
    mysql: MySQLScratch, kind: str, *, careful: bool
) -> None:
    """Nothing is cut off, clamped, rounded to a whole number or turned to zero; its neighbours are stored."""
    await mysql.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind} NULL)")
    rows: list[tuple[Any, ...]] = [(-1, None)]
    for number, value in enumerate(UNFIT[kind]):
        rows += [(2 * number, value), (2 * number + 1, None)]
    async with opened(mysql) as backend:
        answers = await write(backend, "id v", rows, careful=careful)
    assert told(answers) == ["inserted"] + ["InvalidValue", "inserted"] * len(UNFIT[kind])
    stored = await mysql.fetch("SELECT id, v FROM t ORDER BY id")
    assert [tuple(row.values()) for row in stored] == [(number, None) for number in (-1, *range(1, len(rows) - 1, 2))]
    for answer in answers[1::2]:
        assert "2024" not in str(answer)
        assert "abcd" not in str(answer)


@MODE
@PROPERTY
@given(texts=st.lists(st.text(max_size=50) | st.text("'\"\\%`;-/*\0\x1a\n", max_size=20), min_size=1, max_size=40))
async def test_any_text_is_read_back_as_it_was_given(mysql: MySQLScratch, mode: Any, texts: list[str]) -> None:
    """Whatever quotes and backslashes it holds, and whatever a backslash means to the server."""
    await mysql.execute("DROP TABLE IF EXISTS t", "CREATE TABLE t (id int PRIMARY KEY, v longtext, b longblob)")
    rows = [(number, text, text.encode()) for number, text in enumerate(texts)]
    async with opened(mysql, **mode) as backend:
        assert set(told(await write(backend, "id v b", rows))) == {"inserted"}
    stored = await mysql.fetch("SELECT id, v, b FROM t ORDER BY id")
    assert [tuple(row.values()) for row in stored] == rows


@MODE
async def test_a_value_is_never_taken_for_sql(mysql: MySQLScratch, mode: Any) -> None:
    """Each of these ends a literal, if it is written by the rules of the other mode."""
    await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE TABLE other (x int)")
    attacks = [
        "\\'), (99, 'x'); DROP TABLE other; -- ",
        "'), (99, 'x'); DROP TABLE other; -- ",
        "\\",
        "\\\\'",
        "''",
        "\\''",
    ]
    async with opened(mysql, on_conflict="update", **mode) as backend:
        for careful in (False, True):
            answers = await write(backend, "id v", list(enumerate(attacks)), careful=careful)
            assert all(isinstance(answer, WriteResult) for answer in answers)
        assert told(await write(backend, "id", [(0,), (1,)], "delete")) == ["deleted"] * 2
    stored = await mysql.fetch("SELECT id, v FROM t ORDER BY id")
    assert [tuple(row.values()) for row in stored] == list(enumerate(attacks))[2:]
    assert await mysql.value("SELECT count(*) FROM other") == 0


# What a name may be: neither NUL nor characters beyond 16 bits, and no space at its end.
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0xD7FF), min_size=1, max_size=12)


@PROPERTY
@given(column=NAMES | st.text("`'\"\\%;- x", min_size=1, max_size=10).map(lambda name: f"{name}x"))
async def test_any_column_may_have_any_name_that_the_server_takes(mysql: MySQLScratch, column: str) -> None:
    """With quotes, backticks, percent signs and whatever else in it, on every way in."""
    quoted = column.replace("`", "``")
    await mysql.execute("DROP TABLE IF EXISTS t")
    try:
        async with mysql.connect() as connection:
            await run(connection, f"CREATE TABLE t (`the id` int PRIMARY KEY, `{quoted}` varchar(20))")
    except pymysql.MySQLError:
        # The server does not take it.
        return
    async with opened(mysql, on_conflict="update") as backend:
        await backend.process_batch([{"the id": 1, column: "a"}, {"the id": 2, column: "b"}])
        answers = await backend.process_batch([{"the id": 1, column: "c"}, {"the id": 2, column: "b"}])
    assert told(answers) == ["updated", "unchanged"]
    assert [row[column] for row in await mysql.fetch("SELECT * FROM t ORDER BY 1")] == ["c", "b"]


@pytest.mark.parametrize(
    "name", ["we ird", "it's", "back`tick", "per%cent", "select", "ünïcödé", 'quo"te', "semi;colon"]
)
async def test_a_table_may_have_any_name(mysql: MySQLScratch, name: str) -> None:
    """Given as it would stand in SQL."""
    quoted = f"`{name.replace('`', '``')}`"
    async with mysql.connect() as connection:
        await run(connection, f"CREATE TABLE {quoted} (id int PRIMARY KEY, v int)")
    async with opened(mysql, quoted) as backend:
        assert told(await write(backend, "id v", [(1, 1), (1, 2), (2, 3)])) == [
            "inserted",
            "UniqueViolation",
            "inserted",
        ]
    async with mysql.connect() as connection:
        assert await run(connection, f"SELECT count(*) FROM {quoted}") == ((2,),)  # noqa: S608 - ours

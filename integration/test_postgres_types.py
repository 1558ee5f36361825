"""Values of every common type: stored as they were given, on every way in, or refused for their row alone."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import enum
import ipaddress
import json
import math
import uuid
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from bulkwriter import MisconfigurationError
from integration.attempts import told, write
from integration.postgres_tables import opened
from integration.servers.requirements import built_without

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.backends.postgres import PostgresBackend
    from integration.servers.scratch import Scratch

BERLIN = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=BERLIN)
PLAIN_NOON = dt.datetime(2024, 2, 29, 12, 30, 15, 123456)  # noqa: DTZ001 - for a column without time zone
SOME_ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Mood(enum.Enum):
    """An enumeration of which PostgreSQL has its own."""

    HAPPY = "happy"


WAYS = pytest.mark.parametrize("way", ["copy", "unnest", "executemany", "careful"])

GOOD: dict[str, list[Any]] = {
    "smallint": [0, -(2**15), 2**15 - 1],
    "integer": [0, -(2**31), 2**31 - 1],
    "bigint": [0, -(2**63), 2**63 - 1],
    "real": [0.5, math.inf, -math.inf, 7, -(2**24), 2**100],
    "double precision": [0.1, 1e308, 5e-324, math.inf, -0.0, 7, -(2**53), 2**60],
    "numeric": [decimal.Decimal(text) for text in ("0", "1.10", "-0.00001", "1E+20", "123456789012345678901234.5678")],
    "numeric(6,2)": [decimal.Decimal("1234.50")],
    "boolean": [True, False],
    "text": ["", "ünïcödé € 🚲", 'it\'s "q" \\ $1 {}', "x" * 100_000],
    "varchar(10)": ["0123456789"],
    "bytea": [b"", b"\0\xff\\x", bytes(range(256))],
    "uuid": [SOME_ID],
    "date": [dt.date(2024, 2, 29), dt.date.min, dt.date.max],
    "timestamptz": [NOON, dt.datetime.max.replace(tzinfo=dt.UTC), dt.datetime.min.replace(tzinfo=dt.UTC)],
    "timestamp": [PLAIN_NOON, dt.datetime.max, dt.datetime.min],  # noqa: DTZ901 - as above
    "time": [dt.time(23, 59, 59, 999_999), dt.time(0)],
    "interval": [dt.timedelta(0), dt.timedelta(days=-3, seconds=5, microseconds=7), dt.timedelta(days=40, hours=30)],
    "inet": [ipaddress.ip_interface("10.1.2.3/8"), ipaddress.ip_interface("::1/128")],
    "cidr": [ipaddress.ip_network("10.0.0.0/8")],
    "integer[]": [[], [1, 2, None], [[1, 2], [3, 4]]],
    "text[]": [["a", "", 'q"\\', None, "NULL", "{,}"], [["x"], ["y"]]],
    "timestamptz[]": [[NOON, None]],
    "mood": ["happy", "sad"],
    "mood[]": [["happy", None]],
    "positive": [7],
    "int4range": [asyncpg.Range(1, 10), asyncpg.Range(None, 5), asyncpg.Range(empty=True)],
    "tstzrange": [asyncpg.Range(NOON, NOON + dt.timedelta(days=1), upper_inc=True)],
    "pair": [(1, "a b"), (None, 'q"(,)\\'), (3, None), (4, "")],
    "pair[]": [[(1, "a"), None]],
    "bit(3)": [asyncpg.BitString("101")],
    "xml": ["<a>1</a>"],
    "name": ["a_name", "n" * 63],
    "tsvector": ["'a':1 'b':2"],
    "money": ["$1.50"],
    "macaddr": ["08:00:2b:01:02:03"],
    "oid": [7],
    "timetz": [dt.time(12, 30, tzinfo=BERLIN)],
    "point": [asyncpg.Point(1, 2)],
}


# Whatever else cannot be copied any more has lost its way.
NOT_COPIED = {
    "bit(3)", "floatrange", "int4range", "macaddr", "money", "oid", "pair", "pair[]", "point", "timetz",
    "tstzrange", "tsvector",
}  # fmt: skip


@contextlib.asynccontextmanager
async def by_way(scratch: Scratch, way: str, kind: str) -> AsyncIterator[PostgresBackend]:
    """Open a backend that writes in one way, or skip the test where a type does not go that way."""
    try:
        async with opened(scratch, method="auto" if way == "careful" else way) as backend:
            yield backend
    except MisconfigurationError as error:
        if "no binary form" not in str(error):
            raise
        assert kind in NOT_COPIED, "a type that was copied, and is no longer"
        pytest.skip(f"no binary form of {kind} is known here, so that it cannot be copied")


@pytest.fixture
async def types(postgres: Scratch) -> Scratch:
    """The schema with some types of its own."""
    await postgres.execute(
        "CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE TYPE pair AS (number int, text text);"
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN short AS varchar(3);"
        "CREATE TYPE floatrange AS RANGE (subtype = double precision)"
    )
    return postgres


@WAYS
@pytest.mark.parametrize("kind", GOOD)
async def test_a_value_is_stored_as_it_was_given(types: Scratch, kind: str, way: str) -> None:
    """And NULL as NULL, beside it."""
    if kind == "xml" and not await _has_xml(types):
        built_without(types.origin, "XML")
    await types.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    given = [*GOOD[kind], None]
    rows = [(number, _as_text(value) if kind == "point" else value) for number, value in enumerate(given)]
    async with by_way(types, way, kind) as backend:
        assert set(told(await write(backend, "id v", rows, careful=way == "careful"))) == {"inserted"}
    stored = [row["v"] for row in await types.fetch("SELECT v FROM t ORDER BY id")]
    assert [_comparable(value) for value in stored] == [_comparable(value) for value in given]


async def _has_xml(scratch: Scratch) -> bool:
    try:
        await scratch.value("SELECT '<a/>'::xml")
    except asyncpg.FeatureNotSupportedError:
        return False
    return True


def _as_text(value: Any) -> Any:
    return None if value is None else f"({value.x},{value.y})"


def _comparable(value: Any) -> Any:
    if isinstance(value, asyncpg.Record):
        return tuple(value)
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        return ipaddress.ip_interface(value)
    return value


@WAYS
async def test_other_objects_stand_for_what_they_hold(types: Scratch, way: str) -> None:
    """Enumerations, text of a UUID or address, floats for numeric, whole numbers for floats, a bool for an integer."""
    await types.execute(
        "CREATE TABLE t (id int PRIMARY KEY, m mood, u uuid, i inet, n numeric, f float8, b int, ba bytea, d short)"
    )
    rows = [(1, Mood.HAPPY, str(SOME_ID), "10.0.0.1", 0.1, 3, True, bytearray(b"x"), "abc")]
    async with by_way(types, way, "the common ones") as backend:
        assert told(await write(backend, "id m u i n f b ba d", rows, careful=way == "careful")) == ["inserted"]
    (row,) = await types.fetch("SELECT * FROM t")
    assert row == {
        "id": 1, "m": "happy", "u": SOME_ID, "i": ipaddress.ip_address("10.0.0.1"), "n": decimal.Decimal("0.1"),
        "f": 3.0, "b": 1, "ba": b"x", "d": "abc",
    }  # fmt: skip


@WAYS
@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_json_is_text_or_any_value(types: Scratch, kind: str, way: str) -> None:
    """``str`` is JSON text as it is; anything else is written as JSON."""
    await types.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    given = ['{"a": 1}', {"a": [1, None, "ü"]}, [1, {"b": 2}], 5, True, "null", None]
    async with by_way(types, way, kind) as backend:
        rows = list(enumerate(given))
        assert set(told(await write(backend, "id v", rows, careful=way == "careful"))) == {"inserted"}
    *stored, null, nothing = [row["v"] for row in await types.fetch("SELECT v FROM t ORDER BY id")]
    assert [json.loads(text) for text in stored] == [{"a": 1}, {"a": [1, None, "ü"]}, [1, {"b": 2}], 5, True]
    assert null == "null"
    assert nothing is None


UNFIT: dict[str, list[Any]] = {
    "integer": [1.5, 1.0, decimal.Decimal(2), "1", 2**31, b"1"],
    "bigint": [2**63, 1e3, "x"],
    "real": ["1.5", 2**24 + 1, 10**39, 1e39],
    "double precision": ["1.5", b"1", 2**53 + 1, -(2**63) + 1, 10**400],
    "double precision[]": [[2**53 + 1]],
    "floatrange": [asyncpg.Range(2**53 + 1, None)],
    "numeric": ["1.5", object()],
    "boolean": [1, "true", 0],
    "text": [1, b"x", "a\0b", "\ud800", object()],
    "varchar(3)": ["abcd"],
    "short": ["abcd"],
    "char(3)": ["abcd"],
    "bit(3)": ["1010"],
    "bytea": ["x", 5],
    "uuid": ["nonsense", 5],
    "date": [NOON, PLAIN_NOON, "2024-01-01"],
    "timestamptz": [PLAIN_NOON, dt.date(2024, 1, 1), "2024-01-01", 5],
    "timestamp": [NOON, dt.date(2024, 1, 1)],
    "time": [dt.time(1, tzinfo=dt.UTC), NOON],
    "interval": [5, "1 day"],
    "jsonb": [math.nan, object(), "{", {1, 2}],
    "inet": ["nonsense", 5],
    "integer[]": [[1.5], ["x"], 5, [[1], [1, 2]], [2**31]],
    "text[]": [["a\0"]],
    "mood": ["angry", 5],
    "name": ["n" * 64, "ä" * 32, 5],
    "name[]": [["n" * 64]],
    "tstzrange": [asyncpg.Range(PLAIN_NOON, None), 5],
    "pair": [(1, 2, 3), ("x", "y"), 5],
    "numeric(4,2)": [decimal.Decimal("100.00")],
    "positive": [-1],
}


@WAYS
@pytest.mark.parametrize("kind", UNFIT)
async def test_what_a_column_cannot_hold_is_refused_for_its_row_alone(types: Scratch, kind: str, way: str) -> None:
    """Nothing is cut off, rounded to a whole number, or taken for another moment; its neighbours are stored."""
    await types.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    rows: list[tuple[Any, ...]] = [(-1, None)]
    for number, value in enumerate(UNFIT[kind]):
        rows += [(2 * number, value), (2 * number + 1, None)]
    async with by_way(types, way, kind) as backend:
        answers = await write(backend, "id v", rows, careful=way == "careful")
    expected = "CheckViolation" if kind == "positive" else "InvalidValue"
    assert told(answers) == ["inserted"] + [expected, "inserted"] * len(UNFIT[kind])
    assert [row["id"] for row in await types.fetch("SELECT id FROM t ORDER BY id")] == [
        -1, *range(1, 2 * len(UNFIT[kind]), 2)
    ]  # fmt: skip
    for answer in answers[1::2]:
        assert "2024" not in str(answer)
        assert "abcd" not in str(answer)


@pytest.mark.parametrize("extension", ["hstore", "citext", "ltree"])
async def test_types_of_extensions_are_stored(postgres: Scratch, extension: str) -> None:
    """Those of which nothing is known here go as text, and auto chooses the way."""
    try:
        await postgres.execute(f"CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA public", role="superuser")
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError):
        built_without(postgres.origin, extension)
    await postgres.execute(f"CREATE TABLE t (id int PRIMARY KEY, v public.{extension})")
    given: dict[str, Any] = {"hstore": {"a": "1", 'b"': None}, "citext": "Hello", "ltree": "a.b.c"}
    async with opened(postgres) as backend:
        assert told(await write(backend, "id v", [(1, given[extension]), (2, None)])) == ["inserted"] * 2
    stored = await postgres.value("SELECT v::text FROM t WHERE id = 1")
    assert stored == {"hstore": '"a"=>"1", "b\\""=>NULL', "citext": "Hello", "ltree": "a.b.c"}[extension]


@pytest.mark.parametrize("careful", [False, True])
async def test_what_comes_back_is_what_is_stored(types: Scratch, *, careful: bool) -> None:
    """Of every type, also by way of the loop on the server."""
    await types.execute(
        "CREATE TABLE t (id int PRIMARY KEY, f float8, r real, n numeric(9,3), t timestamptz, j jsonb, a int[], p pair,"
        " b bytea, i interval, m mood[], c char(5), vc varchar(3),"
        " u uuid DEFAULT '12345678-1234-5678-1234-567812345678')"
    )
    columns = "id f r n t j a p b i m c vc"
    row = (1, 0.1, 0.1, decimal.Decimal("1.5"), NOON, '{"a": 1}', [1, None], (1, "x"), b"\0", dt.timedelta(1), ["sad"])
    async with opened(types, returning=(*columns.split(), "u")) as backend:
        (answer,) = await write(backend, columns, [(*row, "ab", "xy")], careful=careful)
    (stored,) = await types.fetch("SELECT * FROM t")
    assert dict(answer.returned) == stored
    assert stored["f"] == 0.1

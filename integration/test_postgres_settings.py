"""What a session is set to changes nothing of what is stored, given back or told."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import WriteResult
from integration.attempts import told, write
from integration.postgres_tables import opened

if TYPE_CHECKING:
    from integration.servers.scratch import Scratch

SETTINGS: dict[str, dict[str, str]] = {
    "backslashes": {"standard_conforming_strings": "off", "backslash_quote": "off"},
    "bytes": {"bytea_output": "escape"},
    "dates": {"DateStyle": "SQL, DMY", "TimeZone": "Asia/Kathmandu"},
    "intervals": {"IntervalStyle": "sql_standard"},
    "digits": {"extra_float_digits": "-15"},
    "encoding": {"client_encoding": "LATIN1"},
    "no array has NULL": {"array_nulls": "off"},
    "NULL equals NULL": {"transform_null_equals": "on"},
    "a path to nowhere": {"search_path": ""},
    "serializable": {"default_transaction_isolation": "serializable", "default_transaction_deferrable": "on"},
    "columns before variables": {"plpgsql.variable_conflict": "use_column"},
    "noise": {"client_min_messages": "debug1"},
    "generic plans": {"plan_cache_mode": "force_generic_plan"},
}

# Some columns are called as variables are in the loop on the server.
COLUMNS = "i t f n b a0 g tz d l k u s"
CREATE_TABLE = """
CREATE TABLE t (i int PRIMARY KEY, t text, f float8, n numeric, b bytea, a0 int[], g text, tz timestamptz, d date,
  l text[], k jsonb, u uuid, s interval)
"""
NOON = dt.datetime(2024, 2, 9, 12, 30, 15, 123456, tzinfo=dt.UTC)
ROWS: list[tuple[Any, ...]] = [
    (
        1, "it's \\ \"q\" \\' $$ NULL", 0.1, decimal.Decimal("1.10"), b"\0\xff\\x'", [1, None], "NULL", NOON,
        dt.date(2024, 2, 9), ["NULL", None, "a\\", "", "it's"], '"\\\\\'"', uuid.UUID(int=7),
        dt.timedelta(days=-3, seconds=5, microseconds=7),
    ),
    (2, "", 5e-324, decimal.Decimal("0.000"), b"", [], "", NOON.replace(year=1), dt.date.max, [], "1", uuid.UUID(int=0),
     dt.timedelta(0)),
    (3, *[None] * 12),
]  # fmt: skip

WAYS: dict[str, dict[str, Any]] = {
    "copy": {"method": "copy"},
    "unnest": {"method": "unnest"},
    "executemany": {"method": "executemany"},
    "update": {"on_conflict": "update"},
    "skip": {"on_conflict": "skip"},
    "ledger": {"ledger": True},
    "returning": {"returning": COLUMNS.split()},
}


@pytest.fixture
async def table(postgres: Scratch) -> Scratch:
    """A table of types whose text depends on settings."""
    await postgres.execute(CREATE_TABLE)
    return postgres


@pytest.mark.parametrize("batch", [3, 1])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_what_is_given_is_what_is_stored(table: Scratch, settings: dict[str, str], batch: int) -> None:
    """On every way, the quick one and the careful one, together and alone; and what is deleted is gone."""
    for name, options in WAYS.items():
        ways = [False] if name == "copy" else [False, True]
        async with opened(table, server_settings=settings, **options) as backend:
            for careful in ways:
                answers = []
                for start in range(0, len(ROWS), batch):
                    answers += await write(backend, COLUMNS, ROWS[start : start + batch], careful=careful)
                assert told(answers) == ["inserted"] * 3, (name, careful, answers)
                assert _plain(await table.fetch("SELECT * FROM t ORDER BY i")) == ROWS, (name, careful)
                if name == "returning":
                    given = [answer.returned for answer in answers if isinstance(answer, WriteResult)]
                    assert _plain(given) == ROWS, careful
                gone = await write(backend, "i", [(1,), (3,), (7,)], "delete", careful=careful)
                assert told(gone) == ["deleted"] * 3
                assert await table.fetch("SELECT i FROM t") == [{"i": 2}]
                await table.execute("DELETE FROM t")


@pytest.mark.parametrize("careful", [False, True])
async def test_an_array_within_a_composite_has_its_null(postgres: Scratch, *, careful: bool) -> None:
    """Where a session takes NULL in an array's text for the word."""
    await postgres.execute("CREATE TYPE pair AS (number int, texts text[]); CREATE TABLE t (i int PRIMARY KEY, p pair)")
    async with opened(postgres, server_settings={"array_nulls": "off"}) as backend:
        answers = await write(backend, "i p", [(1, (1, ["a", None, "NULL"]))], careful=careful)
    assert told(answers) == ["inserted"]
    assert await postgres.value("SELECT (p).texts FROM t") == ["a", None, "NULL"]


def _plain(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows]

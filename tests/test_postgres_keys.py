"""Keys are equal where PostgreSQL takes them for equal; where that is not known, rather too equal than not enough."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from typing import Any

import pytest

from bulkwriter.backends.postgres.keys import KeyReader, is_exact
from bulkwriter.backends.postgres.kinds import kind_for
from bulkwriter.backends.postgres.target import Column

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)


def column(
    receive: str, type_name: str = "x", full_type: str | None = None, *, is_deterministic: bool = True
) -> Column:
    """Return a column of a type."""
    return Column(
        name="k",
        kind=kind_for(receive),
        type_name=type_name,
        full_type=full_type or type_name,
        receive=receive,
        is_deterministic=is_deterministic,
        is_generated=False,
        is_always_identity=False,
        is_not_null=True,
        has_default=False,
        may_insert=True,
        may_update=True,
        may_select=True,
    )


EQUAL: list[tuple[Column, Any, Any, bool]] = [
    (column("int8recv"), 1, True, True),
    (column("int8recv"), 1, 2, False),
    (column("textrecv"), "a", "A", False),
    (column("textrecv"), "a", "a ", False),
    (column("bpcharrecv", "bpchar", "character(5)"), "a", "a  ", True),
    (column("varcharrecv", "character varying", "character varying(1)"), "a", "a ", True),
    (column("citextrecv"), "Straße", "STRASSE", True),
    (column("textrecv", is_deterministic=False), "a", "b", True),
    (column("uuid_recv"), uuid.UUID(int=1), str(uuid.UUID(int=1)), True),
    (column("float8recv"), math.nan, -math.nan, True),
    (column("float8recv"), 0.0, -0.0, True),
    (column("float4recv"), 0.1, 0.1 + 1e-9, True),
    (column("numeric_recv", "numeric"), decimal.Decimal("1.0"), 1, True),
    (column("numeric_recv", "numeric"), decimal.Decimal("1.04"), 1, False),
    (column("numeric_recv", "numeric", "numeric(4,1)"), decimal.Decimal("1.05"), decimal.Decimal("1.1"), True),
    (column("numeric_recv", "numeric", "numeric(4,1)"), decimal.Decimal("-1.05"), decimal.Decimal("-1.1"), True),
    (column("numeric_recv", "numeric", "a_domain"), 1, 2, True),
    (column("timestamptz_recv"), NOON, NOON.astimezone(dt.timezone(dt.timedelta(hours=3))), True),
    (column("timestamptz_recv", "t", "t(0)"), NOON, NOON + dt.timedelta(seconds=1), True),
    (column("bytearecv"), b"a", bytearray(b"a"), True),
    (column("vector_recv"), "[1]", "[2]", True),
]


@pytest.mark.parametrize(("key", "one", "other", "are_equal"), EQUAL)
def test_two_keys(key: Column, one: Any, other: Any, *, are_equal: bool) -> None:
    """Alone, and with another column beside it."""
    reader = KeyReader([key], [0])
    assert (reader.read((one,)) == reader.read((other,))) is are_equal
    reader = KeyReader([column("int4recv"), key], [1, 0])
    assert (reader.read((one, 5)) == reader.read((other, 5))) is are_equal
    assert reader.read((one, 5)) != reader.read((one, 6))


def test_a_key_that_is_null_or_unfit_is_like_no_other() -> None:
    """NULL meets nobody, and an unfit row will be rejected."""
    reader = KeyReader([column("int4recv"), column("textrecv")], [0, 1])
    assert reader.read((None, "a")) is None
    assert reader.read((1.5, "a")) is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (column("int8recv"), True),
        (column("textrecv"), True),
        (column("textrecv", is_deterministic=False), False),
        (column("citextrecv"), False),
        (column("inet_recv"), False),
        (column("timestamptz_recv", "t", "t(0)"), False),
        (column("numeric_recv", "numeric", "numeric(4,1)"), True),
    ],
)
def test_where_rows_may_stand_for_others(key: Column, *, expected: bool) -> None:
    """Coalescing is allowed only where keys are compared exactly."""
    assert is_exact([key]) is expected

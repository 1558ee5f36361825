"""Keys are equal where MySQL takes them for equal; where that is not known, rather too equal than not enough."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter.backends.mysql.keys import KeyReader, is_exact
from tests.mysql_parts import column

if TYPE_CHECKING:
    from bulkwriter.backends.mysql.target import Column

NOON = dt.datetime(2024, 1, 1, 12)  # noqa: DTZ001 - as many have them
UNICODE_TEXT = column("k", "varchar", collation="utf8mb4_unicode_ci")
BINARY_TEXT = column("k", "varchar", collation="utf8mb4_bin")
PRICE = column("k", "decimal", scale=1)

EQUAL: list[tuple[Column, Any, Any, bool]] = [
    (column("k", "bigint"), 1, True, True),
    (column("k", "bigint"), 1, 2, False),
    (column("k", "varchar"), "a", "A ", True),
    (column("k", "varchar"), "a", "b", False),
    (UNICODE_TEXT, "Straße", "STRASSE", True),
    (column("k", "varchar"), "Straße", "STRASE", True),
    (UNICODE_TEXT, "٣ カッパ", "3 かつは\u309a", True),
    (UNICODE_TEXT, "å", "aa", False),
    (column("k", "varchar", collation="utf8mb4_da_0900_ai_ci"), "Å", "aA", True),
    (column("k", "varchar", collation="latin1_german2_ci"), "Käse", "KAESE", True),
    (column("k", "varchar", collation="latin1_swedish_ci"), "Ünder", "ynder", True),
    (column("k", "varchar"), "Ærøskøbing", "aeroskobing", True),
    (column("k", "varchar"), "e\u0301a", "\xe9a", True),
    (column("k", "varchar"), "😀", "😁", True),
    (column("k", "varchar"), "a\x00b", "ab", True),
    (BINARY_TEXT, "a", "A", False),
    (BINARY_TEXT, "a", "a ", True),
    (BINARY_TEXT, "é", "e", False),
    (column("k", "binary"), b"a", b"a\x00", True),
    (column("k", "binary"), b"a", b"b", False),
    (PRICE, decimal.Decimal("1.05"), decimal.Decimal("1.1"), True),
    (PRICE, decimal.Decimal("1.0"), 1, True),
    (PRICE, 1, 2, False),
    (column("k", "float"), 0.1, 0.1 + 1e-9, True),
    (column("k", "double"), 0.0, -0.0, True),
    (column("k", "double"), 0.1, 0.2, False),
    (column("k", "datetime", precision=0), NOON, NOON + dt.timedelta(milliseconds=499), True),
    (column("k", "datetime", precision=0), NOON, NOON + dt.timedelta(seconds=1), False),
    (column("k", "datetime", precision=0, rounds=False), NOON, NOON + dt.timedelta(milliseconds=999), True),
    (column("k", "datetime", precision=0, rounds=False), NOON, NOON - dt.timedelta(milliseconds=1), False),
    (column("k", "datetime", precision=6), NOON, NOON + dt.timedelta(microseconds=1), False),
    (column("k", "datetime", precision=6), NOON, NOON.replace(tzinfo=dt.UTC), True),
    (column("k", "time", precision=0), dt.time(1), dt.timedelta(hours=1), True),
    (column("k", "date"), dt.date(2024, 1, 1), dt.date(2024, 1, 2), False),
    (column("k", "geometry"), b"a", b"b", True),
    (column("k", "json"), [1], [2], True),
]


@pytest.mark.parametrize(("key", "one", "other", "is_equal"), EQUAL, ids=str)
def test_two_values(key: Column, one: Any, other: Any, *, is_equal: bool) -> None:
    """Alone, and beside another column."""
    single = KeyReader([key], [1])
    assert (single.read((0, one)) == single.read((0, other))) is is_equal
    pair = KeyReader([key, column("n")], [1, 0])
    assert (pair.read((0, one)) == pair.read((0, other))) is is_equal
    assert pair.read((0, one)) != pair.read((5, one))


def test_a_key_with_nothing_in_it_is_like_no_other() -> None:
    """NULL is not equal to NULL; and what is unfit will be rejected."""
    assert KeyReader([column("k")], [0]).read((None,)) is None
    assert KeyReader([column("k"), column("n")], [0, 1]).read((1, None)) is None
    assert KeyReader([column("k")], [0]).read(("x",)) is None


def test_text_is_never_exact() -> None:
    """A row must not stand for another one because of what is only thought to be equal."""
    assert is_exact([column("k", "bigint"), column("d", "datetime", precision=6)])
    # What is beyond it is rounded by one server, and cut off by the other.
    assert not is_exact([column("d", "datetime")])
    assert not is_exact([column("k", "varchar")])
    assert not is_exact([column("k", "json")])


def test_zeros_fill_up_binary_columns_alone() -> None:
    """In others they are bytes like any."""
    assert KeyReader([column("k", "binary")], [0]).read((b"a",)) == KeyReader([column("k", "binary")], [0]).read(
        (b"a\0",)
    )
    other = KeyReader([column("k", "varbinary")], [0])
    assert other.read((b"a",)) != other.read((b"a\0",))


def test_a_member_of_an_enumeration_is_its_value() -> None:
    """As it is stored."""

    class Color(enum.Enum):
        RED = "red"

    reader = KeyReader([column("k", "varchar", collation="utf8mb4_bin")], [0])
    assert reader.read((Color.RED,)) == reader.read(("red",)) is not None

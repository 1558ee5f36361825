"""Keys of DynamoDB: equal here exactly if DynamoDB takes them for one."""

from __future__ import annotations

import enum
import itertools
from decimal import Decimal
from typing import Any

import hypothesis
import pytest
from boto3.dynamodb.types import Binary
from hypothesis import strategies as st

from bulkwriter.backends.dynamodb.bodies import MOST_BYTES, MOST_ROWS, packed
from bulkwriter.backends.dynamodb.comparing import has_token, is_same
from bulkwriter.backends.dynamodb.keys import checked_key, key_of
from bulkwriter.backends.dynamodb.rows import Row, RowPlan
from bulkwriter.backends.dynamodb.target import KeyAttribute, Table
from bulkwriter.contract import Plan

NUMBER = KeyAttribute("id", "N", 2048)
TEXT = KeyAttribute("id", "S", 2048)
BYTES = KeyAttribute("id", "B", 2048)
TABLE = Table("events", (NUMBER,), {})
PAIR = Table("events", (NUMBER, KeyAttribute("at", "B", 1024)), {})


class Number(enum.IntEnum):
    """An enumeration."""

    ONE = 1


def row(number: Any, note: Any = "x", *, token: str | None = None) -> Row:
    """Return a row."""
    return RowPlan("insert", ("id", "note"), Plan("insert", ()), TABLE, token).row((number, note))


@pytest.mark.parametrize("one", [1, 1.0, Decimal(1), Decimal("1.00"), Decimal("10E-1"), Number.ONE], ids=repr)
def test_numbers_are_equal_by_value(one: Any) -> None:
    """However they are written; as DynamoDB gives them back, too."""
    key = checked_key(NUMBER, one)
    assert key == checked_key(NUMBER, 1)
    assert hash(key) == hash(checked_key(NUMBER, 1))
    assert key_of(TABLE, {"id": {"N": "1"}}) == key


def test_a_float_is_its_shortest_digits() -> None:
    """That is what is sent: its exact value differs from them."""
    assert checked_key(NUMBER, 0.1) == checked_key(NUMBER, Decimal("0.1"))


def test_texts_are_equal_by_code_points() -> None:
    """Whatever they look like."""
    assert checked_key(TEXT, "\u00e9") != checked_key(TEXT, "e\u0301")
    assert checked_key(TEXT, "a") != checked_key(TEXT, "A")


@pytest.mark.parametrize("same", [b"ab", bytearray(b"ab"), memoryview(b"ab")], ids=["bytes", "bytearray", "memoryview"])
def test_bytes_are_equal_by_bytes(same: Any) -> None:
    """Of whatever type, and also as they come back."""
    assert checked_key(BYTES, same) == b"ab"
    assert key_of(PAIR, {"id": {"N": "2"}, "at": {"B": b"ab"}, "x": {"S": "-"}}) == (2, b"ab")
    assert key_of(PAIR, {"id": {"N": "2"}, "at": {"B": "YWI="}}) == (2, b"ab")
    # As the client of a resource gives them back.
    assert key_of(PAIR, {"id": Decimal(2), "at": Binary(b"ab")}) == (2, b"ab")


def test_packs_have_distinct_keys() -> None:
    """DynamoDB refuses a request with a key twice."""
    packs = list(packed([row(1), row(2), row(1.0), row(3)]))
    assert [[each.key for each in pack] for pack in packs] == [[1, 2], [1, 3]]


@hypothesis.given(st.lists(st.integers(0, 400_000), max_size=80))
def test_packs_are_within_what_dynamodb_takes(lengths: list[int]) -> None:
    """25 rows and 15 MiB; in order, none lost, and none left half empty without need."""
    plan = RowPlan("insert", ("id", "note"), Plan("insert", ()), TABLE)
    rows = [Row(plan, (), b"x" * (length * 6), number) for number, length in enumerate(lengths)]
    packs = list(packed(rows))
    assert [each for pack in packs for each in pack] == rows
    for pack in packs:
        assert 0 < len(pack) <= MOST_ROWS
        assert sum(len(each.request) for each in pack) <= MOST_BYTES
    for pack, following in itertools.pairwise(packs):
        fits = sum(len(each.request) for each in (*pack, following[0])) <= MOST_BYTES
        assert len(pack) == MOST_ROWS or not fits


@pytest.mark.parametrize(
    ("note", "found"),
    [
        ("x", {"S": "x"}),
        (1.5, {"N": "1.50"}),
        (b"ab", {"B": b"ab"}),
        ([1, {"a": b"c"}], {"L": [{"N": "1"}, {"M": {"a": {"B": b"c"}}}]}),
        ({1, 2}, {"NS": ["2", "1"]}),
        ({b"a", b"b"}, {"BS": [b"b", b"a"]}),
        (True, {"BOOL": True}),
        (None, {"NULL": True}),
    ],
    ids=repr,
)
def test_an_item_is_the_same_if_dynamodb_says_so(note: Any, found: Any) -> None:
    """Numbers by value, sets in any order; and another is not."""
    item = {"id": {"N": "1.0"}, "note": found}
    assert is_same(row(1, note), item)
    assert not is_same(row(2, note), item)
    assert not is_same(row(1, note), {**item, "more": {"S": ""}})
    assert not is_same(row(1, "other"), item)


def test_a_mark_tells_rows_of_the_same_values_apart() -> None:
    """Which two rows never share."""
    first, second = row(1, token="mark"), row(1, token="mark")  # noqa: S106 - a name
    mark = first.item.decode().partition('"mark":{"S":"')[2].partition('"')[0]
    item = {"id": {"N": "1"}, "note": {"S": "x"}, "mark": {"S": mark}}
    assert has_token(first, item, "mark")
    assert not has_token(second, item, "mark")
    assert not has_token(first, {"id": {"N": "1"}}, "mark")

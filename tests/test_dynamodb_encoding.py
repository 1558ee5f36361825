"""Values for DynamoDB: encoded as boto3 does it, sized as DynamoDB does it, and refused with a path."""

from __future__ import annotations

import decimal
import enum
import json
import math
from base64 import b64encode
from decimal import Decimal
from typing import Any

import hypothesis
import pytest
from boto3.dynamodb.types import Binary, TypeSerializer
from hypothesis import strategies as st

from bulkwriter import InvalidValueError, NotNullViolationError, RowTooLargeError
from bulkwriter.backends.dynamodb.encoding import DEEPEST, BadValueError, encode
from bulkwriter.backends.dynamodb.numbers import MOST_DIGITS
from bulkwriter.backends.dynamodb.rows import Row, RowPlan
from bulkwriter.backends.dynamodb.sizes import LARGEST, item_size, number_size
from bulkwriter.backends.dynamodb.target import KeyAttribute, Table
from bulkwriter.contract import Plan

LANE = Plan("insert", ())
TABLE = Table(
    "events",
    (KeyAttribute("id", "N", 2048), KeyAttribute("at", "S", 1024)),
    {"owner": KeyAttribute("owner", "S", 2048, "by-owner")},
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=5).filter(
    lambda number: len(number.as_tuple().digits) <= MOST_DIGITS
)
whole = st.integers(-(10**38) + 1, 10**38 - 1)
scalars = texts | whole | decimals | st.binary() | st.booleans() | st.none()
values = st.recursive(
    scalars | st.sets(texts, min_size=1) | st.sets(whole, min_size=1) | st.sets(st.binary(), min_size=1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts.filter(bool), inner, max_size=4),
    max_leaves=12,
)


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


class Level(enum.IntEnum):
    """Another, whose members are numbers."""

    HIGH = 3


class Money(Decimal):
    """A number that calls itself something else."""

    def __str__(self) -> str:
        return 'EUR "1.5"'


class Name(str):
    """Text of a class of its own."""

    __slots__ = ()


def boto3_encoded(value: Any) -> Any:
    """Return a value as boto3 writes it, with bytes as text: what its client sends."""
    return _in_base64(TypeSerializer().serialize(value))


def _in_base64(wire: Any) -> Any:
    ((kind, content),) = wire.items()
    if kind == "B":
        return {kind: b64encode(bytes(content)).decode()}
    if kind == "BS":
        return {kind: [b64encode(bytes(member)).decode() for member in content]}
    if kind == "L":
        return {kind: [_in_base64(member) for member in content]}
    if kind == "M":
        return {kind: {name: _in_base64(member) for name, member in content.items()}}
    return wire


def comparable(wire: Any) -> Any:
    """Return what is sent in a form in which equal values are equal: numbers by value, sets in no order."""
    ((kind, content),) = wire.items()
    if kind == "L":
        return kind, [comparable(member) for member in content]
    if kind == "M":
        return kind, {name: comparable(member) for name, member in content.items()}
    if kind in {"SS", "BS"}:
        return kind, frozenset(content)
    if kind == "NS":
        return kind, frozenset(map(Decimal, content))
    return kind, Decimal(content) if kind == "N" else content


def plan_for(*columns: str, operation: Any = "insert", token: str | None = None) -> RowPlan:
    """Return the plan for rows of these columns."""
    return RowPlan(operation, columns, LANE, TABLE, token)


def made(**columns: Any) -> Row:
    """Return a row, with its key."""
    whole_row = {"id": 1, "at": "now", **columns}
    return plan_for(*whole_row).row(tuple(whole_row.values()))


@hypothesis.given(values)
def test_values_are_encoded_as_boto3_does_it(value: Any) -> None:
    """Whatever boto3's TypeSerializer takes becomes the same, compared as DynamoDB compares it."""
    assert comparable(json.loads(encode(value))) == comparable(boto3_encoded(value))


@hypothesis.given(st.dictionaries(texts.filter(bool), values, max_size=5))
def test_json_is_never_shorter_than_the_item(item: dict[str, Any]) -> None:
    """So that only what is long as JSON need be measured."""
    encoded = {name: json.loads(encode(value)) for name, value in item.items()}
    assert item_size(encoded) <= len(json.dumps(encoded, ensure_ascii=False, separators=(",", ":")).encode())


@hypothesis.given(st.dictionaries(texts.filter(bool), values, max_size=5))
def test_a_size_does_not_depend_on_who_encoded(item: dict[str, Any]) -> None:
    """The rule is applied to what is sent, which is the same as boto3's, with bytes as they are or as text."""
    theirs = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    ours = {name: json.loads(encode(value)) for name, value in item.items()}
    assert item_size(ours) == item_size({name: _in_base64(value) for name, value in theirs.items()})


@pytest.mark.parametrize(
    ("digits", "size"),
    [
        ("0", 1),
        ("1", 2),
        ("10", 2),
        ("12", 2),
        ("123", 3),
        ("120", 3),
        ("1200", 2),
        ("-1", 3),
        ("0.1", 2),
        ("0.01", 2),
        ("0.12", 2),
        ("1.5", 3),
        ("1E+125", 2),
        ("1E-130", 2),
        ("9" * 38, 20),
        ("-" + "9" * 38, 21),
        ("9" * 37 + "0", 20),
        ("0.00", 1),
    ],
)
def test_a_number_takes_a_byte_for_two_digits(digits: str, size: int) -> None:
    """Counted from the decimal point, without the zeros at either end; and one more, and one for a sign."""
    assert number_size(digits) == size


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("é", 2),
        ("🚲", 4),
        (b"abc", 3),
        (b"abcd", 4),
        (True, 1),
        (None, 1),
        ([], 3),
        ({}, 3),
        ([1, "a"], 3 + 1 + 2 + 1 + 1),
        ({"ab": 1}, 3 + 1 + 2 + 2),
        ({"a", "bc"}, 3),
        ({b"abc", b"d"}, 4),
    ],
    ids=repr,
)
def test_a_value_takes_its_bytes(value: Any, size: int) -> None:
    """An attribute named ``a`` takes one byte more."""
    assert item_size({"a": json.loads(encode(value))}) == 1 + size


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0.1, '{"N":"0.1"}'),
        (-0.0, '{"N":"0"}'),
        (1e22, '{"N":"1e+22"}'),
        (10**125, f'{{"N":"{10**125}"}}'),
        (Decimal("1.5" + "0" * 45), '{"N":"1.5' + "0" * 45 + '"}'),
        (Decimal("0E-300"), '{"N":"0"}'),
        (Colour.RED, '{"S":"red"}'),
        (Level.HIGH, '{"N":"3"}'),
        (Money("1.5"), '{"N":"1.5"}'),
        (memoryview(b"axbx")[::2], '{"B":"YWI="}'),
        (Name("Ada"), '{"S":"Ada"}'),
        (Binary(b"ab"), '{"B":"YWI="}'),
        (bytearray(b"ab"), '{"B":"YWI="}'),
        ((1, "a"), '{"L":[{"N":"1"},{"S":"a"}]}'),
        ('"\\\n\x00', '{"S":"\\"\\\\\\n\\u0000"}'),
    ],
    ids=repr,
)
def test_what_boto3_does_not_take_has_one_meaning(value: Any, encoded: str) -> None:
    """A float goes by its shortest digits, and reads back as the same one."""
    assert encode(value) == encoded


BAD: list[Any] = [
    int("1" * 39),
    10**126,
    10**100_000,
    Decimal("1E126"),
    Decimal("1E-131"),
    Decimal("1." + "1" * 38),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("-Infinity"),
    math.inf,
    math.nan,
    1e126,
    1e-131,
    set(),
    {1, "a"},
    {True},
    {None},
    {0.1, Decimal("0.1")},
    {Colour.RED, "red"},
    {1: 2},
    {"": 2},
    {"x" * 65_536: 1},
    object(),
    1j,
]


@pytest.mark.parametrize("value", BAD, ids=map(str, range(len(BAD))))
def test_what_dynamodb_would_refuse_is_refused_here(value: Any) -> None:
    """It would refuse the whole batch."""
    with pytest.raises(BadValueError):
        encode(value)


def test_lists_and_maps_may_be_as_deep_as_dynamodb_has_it() -> None:
    """The attribute and 31 more levels."""
    value: Any = 1
    for place in range(DEEPEST):
        value = [value] if place % 2 else {"a": value}
    encode(value)
    with pytest.raises(BadValueError):
        encode([value])


@pytest.mark.parametrize(
    ("column", "value", "path"),
    [
        ("tags", [1, {"a": [2, object()]}], "tags[1].a[1]"),
        ("note", math.nan, "note"),
        ("note", "\ud800", "note"),
        ("note", {"a": {"\udfff": 1}}, "note"),
        ("deep", {"a": {"b": set()}}, "deep.a.b"),
        ("owner", 7, "owner"),
        ("owner", "", "owner"),
        ("owner", None, "owner"),
        ("owner", "x" * 2049, "owner"),
        ("id", True, "id"),
        ("id", "1", "id"),
        ("id", None, "id"),
        ("id", math.inf, "id"),
        ("at", "", "at"),
        ("at", b"now", "at"),
        ("at", "é" * 513, "at"),
    ],
)
def test_a_bad_value_is_refused_with_the_path_to_it(column: str, value: Any, path: str) -> None:
    """In the error's ``detail`` and in its message, which has no value in it."""
    with pytest.raises(InvalidValueError) as caught:
        made(**{column: value})
    assert (caught.value.column_name, caught.value.detail) == (column, path)
    assert path in str(caught.value)
    assert "é" not in str(caught.value)


@pytest.mark.parametrize("column", ["id", "at"])
def test_a_row_without_its_key_is_refused(column: str) -> None:
    """And says which part is missing."""
    columns = {"id": 1, "at": "now", "note": "x"}
    del columns[column]
    with pytest.raises(NotNullViolationError) as caught:
        plan_for(*columns).row(tuple(columns.values()))
    assert caught.value.column_name == column


@pytest.mark.parametrize("fill", ["x", "é", '"', "\x00"])
def test_a_row_may_have_exactly_what_dynamodb_takes(fill: str) -> None:
    """By DynamoDB's own count, however long its JSON is."""
    without = item_size(json.loads(made(note="").item))
    room = LARGEST - without
    width = len(fill.encode())
    full = fill * (room // width) + "x" * (room % width)
    assert item_size(json.loads(made(note=full).item)) == LARGEST
    with pytest.raises(RowTooLargeError):
        made(note=full + "x")


def test_a_row_is_a_piece_of_a_request() -> None:
    """A put, with an item; a delete, with a key."""
    row = made(**{"100%": "s", 'a "name"': 1})
    assert json.loads(row.request) == {"PutRequest": {"Item": json.loads(row.item)}}
    assert list(json.loads(row.item)) == ["id", "at", "100%", 'a "name"']
    delete = plan_for("id", "at", operation="delete", token="mark").row((1, "now"))  # noqa: S106 - a name
    assert json.loads(delete.request) == {"DeleteRequest": {"Key": {"id": {"N": "1"}, "at": {"S": "now"}}}}
    assert delete.is_delete
    assert delete.key == row.key


def test_each_row_gets_a_mark_of_its_own() -> None:
    """By which it is told from another of the same values, also if they come together."""
    plan = plan_for("id", "at", token="mark")  # noqa: S106 - a name
    rows = [plan.row((1, "now")) for _ in range(10)] + plan.rows([(1, "now")] * 10)
    assert len({json.loads(row.item)["mark"]["S"] for row in rows}) == 20


odd: st.SearchStrategy[Any] = st.sampled_from(
    [10**38, 10**38 - 1, -(10**40), 10**5000, 1.5, math.nan, Colour.RED, Level.HIGH, Money("1.50"), Name("n"), "\ud800"]
)


@hypothesis.given(st.lists(st.tuples(values | odd, values | odd), min_size=1, max_size=5))
def test_rows_that_come_together_are_as_those_that_come_alone(notes: list[tuple[Any, Any]]) -> None:
    """Whatever types their columns have; and refused if one of them is."""
    plan = plan_for("id", "at", "note", "100%")
    rows = [(number, str(number), *each) for number, each in enumerate(notes)]
    try:
        alone = [plan.row(row) for row in rows]
    except InvalidValueError:
        with pytest.raises((BadValueError, ValueError, InvalidValueError)):
            plan.rows(rows)
        return
    together = plan.rows(rows)
    assert [(row.request, row.key, row.values, row.plan) for row in together] == [
        (row.request, row.key, row.values, row.plan) for row in alone
    ]


@pytest.mark.parametrize(
    ("columns", "rows", "error"),
    [
        (("id", "note"), [(1, "a"), (2, "b")], NotNullViolationError),
        (("id", "at", "note"), [(1, "a", ""), (2, "a", "x" * LARGEST)], RowTooLargeError),
        (("id", "at"), [(1, "a"), (2, "")], BadValueError),
        (("id", "at"), [(1, "a"), ("2", "a")], BadValueError),
        (("id", "at", "owner"), [(1, "a", "me"), (2, "a", "")], BadValueError),
        (("id", "at", "owner"), [(1, "a", "me"), (2, "a", None)], BadValueError),
    ],
    ids=["no key", "too large", "an empty key", "another key", "an empty index's key", "no index's key"],
)
def test_rows_that_come_together_are_refused_for_one_of_them(
    columns: tuple[str, ...], rows: list[Any], error: type[Exception]
) -> None:
    """Whichever it is: each is looked at by itself then."""
    plan = plan_for(*columns)
    with pytest.raises(error):
        plan.rows(rows)
    with pytest.raises((NotNullViolationError, RowTooLargeError, InvalidValueError)):
        [plan.row(row) for row in rows]


def test_units_are_never_too_few() -> None:
    """A unit writes a kilobyte."""
    assert made().units == 1
    assert made(note="x" * 1025).units == 2


def test_decimals_are_encoded_whatever_the_context_is() -> None:
    """Nothing is rounded by the precision that somebody has set."""
    with decimal.localcontext(prec=3):
        assert encode(Decimal("123456.789")) == '{"N":"123456.789"}'
        assert number_size("123456.789") == 6

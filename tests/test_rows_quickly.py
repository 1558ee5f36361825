"""Rows like those before are read by code made for them: the answers are those of the general way."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import types
import uuid
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkwriter import BulkWriter
from bulkwriter.compiled import MOST_COLUMNS
from bulkwriter.errors import InvalidValueError, MisconfigurationError
from bulkwriter.rows import RowReader
from bulkwriter.sizes import row_size
from bulkwriter.testing import MemoryBackend


class Name(str):
    """A class of text that says of itself what it likes."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1_000_000


class Colour(enum.Enum):
    """Of a type of its own."""

    RED = 1


NAMES = ["id", "it's", 'say "x"', "{brace}", "back\\slash", "new\nline", "\ud800", "def", "v0", "row"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.binary(max_size=9),
    st.decimals(),
    st.dates(),
    st.datetimes(),
    st.uuids(),
    st.sampled_from([Colour.RED, Name("x"), (1, 2), range(3), 1j]),
    st.lists(st.one_of(st.integers(), st.just(bytearray(b"x" * 99))), max_size=2),
    st.dictionaries(st.text(max_size=2), st.lists(st.integers(), max_size=2), max_size=2),
)


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).flatmap(
        lambda names: st.lists(
            st.one_of(
                st.fixed_dictionaries(dict.fromkeys(names, VALUES)),
                st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=4),
            ),
            min_size=1,
            max_size=40,
        )
    )
)
def test_every_row_is_read_as_by_a_reader_that_meets_it_first(rows: list[dict[str, Any]]) -> None:
    """Whatever came before it, and in whatever order its columns stand."""
    reader = RowReader()
    for row in rows:
        columns, values, size = reader.quick(row)
        first_columns, first_values = RowReader().read(row)
        told = sorted(zip(columns, map(repr, values), strict=True))
        assert told == sorted(zip(first_columns, map(repr, first_values), strict=True))
        assert list(map(type, values)) == [type(value) for value in map(dict(row).__getitem__, columns)]
        assert size == row_size(values)


@dataclasses.dataclass
class Point:
    """A row by its attributes; it may lack one, for somebody has deleted it."""

    id: Any
    name: Any
    note: Any


class Place(NamedTuple):
    """A row by its places."""

    id: Any
    name: Any
    note: Any


Struct = msgspec.defstruct("Struct", [("id", Any), ("name", Any), ("note", Any)])


@given(
    st.lists(st.tuples(st.sampled_from([Point, Place, Struct, None]), VALUES, VALUES, VALUES), min_size=1, max_size=40),
    st.sampled_from([["id", "name", "note"], ["note", "id", "name"]]),
)
def test_every_object_is_read_as_by_a_reader_that_meets_it_first(rows: list[Any], columns: list[str]) -> None:
    """Objects, named tuples by their fields, and plain tuples by their places."""
    reader = RowReader(columns)
    for make, *values in rows:
        row = tuple(values) if make is None else make(*values)
        names, found, size = reader.quick(row)
        first_names, first_values = RowReader(columns).read(row)
        assert names == first_names
        assert list(map(repr, found)) == list(map(repr, first_values))
        assert type(found) is tuple
        assert size == row_size(found)


@pytest.mark.parametrize("make", [Point, Place, Struct])
def test_an_object_like_those_before_is_not_read_in_the_general_way(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a plain tuple, of which the columns say what it stands for."""
    for row, columns in ((make(1, "a", None), None), (make(1, "a", None), ["note", "id"]), ((1, None), ["id", "note"])):
        reader = taught(row, columns)
        expected = reader.read_sized(row)
        monkeypatch.setattr(reader, "_measures", None)
        assert reader.quick(row) == expected


def test_an_object_that_lacks_an_attribute_teaches_nothing() -> None:
    """What it lacks is in the next one."""
    reader = RowReader()
    for _ in range(5000):
        less = Point(1, "a", None)
        del less.note
        assert reader.quick(less)[:2] == (("id", "name"), (1, "a"))
    for _ in range(5000):
        assert reader.quick(Point(1, "a", "b"))[:2] == (("id", "name", "note"), (1, "a", "b"))
    assert reader.quick(less)[:2] == (("id", "name"), (1, "a"))


def test_a_tuple_of_another_length_is_refused() -> None:
    """Also after many that fit."""
    reader = taught((1, "a"), ["id", "name"])
    for bad in ((1,), (1, "a", 2), ()):
        with pytest.raises(InvalidValueError, match="one value for each of the 2 columns"):
            reader.quick(bad)


def test_a_value_that_stands_for_none_is_left_out() -> None:
    """The column of an unset field gets the database's default."""
    reader = taught(Struct(1, "a", None))
    for _ in range(5000):
        assert reader.quick(Struct(1, "a", msgspec.UNSET))[:2] == (("id", "name"), (1, "a"))


def test_names_that_python_reads_otherwise_are_found() -> None:
    """The compiler takes some letters for others, and keywords for no names at all."""
    for name in ("\ufb01", "class", "a b", "\u212a"):
        kind: Any = type("Odd", (), {"__attrs_attrs__": (types.SimpleNamespace(name=name),)})
        row = kind()
        setattr(row, name, 7)
        row.fi = row.K = 8
        reader = RowReader()
        for _ in range(100):
            assert reader.quick(row)[:2] == ((name,), (7,))


def taught(row: Any, columns: list[str] | None = None) -> RowReader:
    """Return a reader that has learnt to read rows like this one."""
    reader = RowReader(columns)
    for _ in range(10):
        reader.quick(row)
    assert reader.quick != reader.read_sized
    return reader


COMMON = {
    "id": 1,
    "name": "a",
    "at": dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
    "price": decimal.Decimal("1.10"),
    "uid": uuid.UUID(int=7),
    "note": None,
}


def test_a_row_like_those_before_is_not_read_in_the_general_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a value is missing now and then, once that has been seen."""
    reader = taught(COMMON)
    for number in range(100):
        reader.quick(COMMON | {"note": f"note {number}" if number % 2 else None})
    monkeypatch.setattr(reader, "_measures", None)
    for note in ("some", None):
        columns, values, size = reader.quick(COMMON | {"note": note})
        assert dict(zip(columns, values, strict=True)) == COMMON | {"note": note}
        assert size == row_size(values)
    with pytest.raises(AttributeError):
        reader.quick(COMMON | {"note": 1.5})


@pytest.mark.parametrize("tags", [["a"], {"a": ["a"]}, {"a"}, bytearray(b"a")])
@pytest.mark.parametrize("before", ["a", None, ["b"], {}])
def test_what_can_be_changed_is_still_copied(before: Any, tags: Any) -> None:
    """Whatever the rows before had in its place."""
    reader = RowReader()
    for _ in range(10):
        reader.quick({"id": 1, "tags": before})
    for _ in range(5000):
        _, values, size = reader.quick({"id": 1, "tags": tags})
        assert values[1] == tags
        assert values[1] is not tags
        assert size == row_size(values)
        if type(tags) is dict:
            assert values[1]["a"] is not tags["a"]
    assert reader.quick({"id": 1, "tags": None})[1] == (1, None)


def test_lists_and_dicts_are_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON, in a column or two of most tables."""
    for row, columns in (
        ({"id": 1, "tags": ["a"], "more": {"a": 1}}, None),
        ((1, ["a"], {"a": 1}), ["id", "tags", "m"]),
    ):
        reader = taught(row, columns)
        monkeypatch.setattr(reader, "_measures", None)
        assert reader.quick(row)[1] == (1, ["a"], {"a": 1})


def test_what_cannot_be_copied_is_told_as_ever() -> None:
    """By its column, for its row alone."""

    class Stubborn:
        __hash__ = None  # type: ignore[assignment]

        def __deepcopy__(self, memo: Any) -> Any:
            raise LookupError

    reader = taught({"id": 1, "tags": ["a"]})
    with pytest.raises(InvalidValueError, match="'tags'"):
        reader.quick({"id": 1, "tags": [Stubborn()]})
    assert reader.quick({"id": 1, "tags": ["b"]})[1] == (1, ["b"])


def test_a_class_of_text_is_not_taken_for_text() -> None:
    """It may be of any length, and do anything."""
    reader = taught({"id": 1, "name": "a"})
    _, (_, name), size = reader.quick({"id": 1, "name": Name("abc")})
    assert type(name) is Name
    assert size == row_size((1, name))


def test_columns_may_come_in_another_order() -> None:
    """They are found by name; names that are of a class of text are."""
    reader = taught({"id": 1, "name": "a"})
    assert reader.quick({"name": "b", "id": 2})[:2] == (("id", "name"), (2, "b"))
    assert reader.quick({type("T", (str,), {})("id"): 2, "name": "b"})[:2] == (("id", "name"), (2, "b"))
    assert all(type(name) is str for name in reader.quick({"name": "b", "id": 2})[0])


def test_other_columns_and_other_rows_are_read_as_ever() -> None:
    """Fewer, more, as many others, of another class, none at all, and what is no row."""
    reader = taught({"id": 1, "name": "a"})
    for row in ({"id": 1}, {"id": 1, "name": "a", "more": 2}, {"id": 1, "nome": "a"}):
        assert reader.quick(row)[:2] == (tuple(row), tuple(row.values()))
    made = collections.defaultdict(int, id=1)
    assert reader.quick(made)[:2] == (("id",), (1,))
    assert dict(made) == {"id": 1}, "to ask for what is missing would have made it"
    for bad in ({}, 7, None, {1: 2, 3: 4}):
        with pytest.raises(InvalidValueError):
            reader.quick(bad)


def test_columns_beyond_those_allowed_are_refused() -> None:
    """Also after rows that keep to them."""
    reader = taught({"id": 1, "name": "a"}, ["id", "name"])
    with pytest.raises(MisconfigurationError, match="nome"):
        reader.quick({"id": 1, "nome": "a"})


def test_a_key_whose_own_code_fails_is_told_as_ever() -> None:
    """Its row is bad; the next one is not."""

    class Key(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return hash("name")

        def __eq__(self, other: object) -> bool:
            raise LookupError

    reader = taught({"id": 1, "name": "a"})
    with pytest.raises(InvalidValueError):
        reader.quick({"id": 1, Key("x"): 2})
    assert reader.quick({"id": 1, "name": "b"})[1] == (1, "b")


def test_ever_new_columns_and_types_do_not_pile_up() -> None:
    """Neither code nor time is spent on rows of which no two are alike."""
    reader = RowReader()
    for number in range(100_000):
        reader.quick({f"c{number % 500}": number, "kind": (number, 1.5, "a", None, b"b")[number % 5]})
    assert len(reader._compiled) <= 32
    wide = {f"c{number}": number for number in range(MOST_COLUMNS + 1)}
    for _ in range(5000):
        assert reader.quick(wide)[1] == tuple(wide.values())


async def test_a_writer_meets_rows_of_two_kinds_in_turn() -> None:
    """Each goes to its own columns, and the bytes of the queue balance."""
    backend = MemoryBackend(key=("id",))
    async with BulkWriter[Any](backend, max_queue_bytes=10_000_000) as writer:
        futures = [
            writer.submit({"id": number, "a": "x" * (number % 7)} if number % 3 else {"id": number, "b": number})
            for number in range(3000)
        ]
        assert writer.statistics().queued_bytes > 0
        for future in futures:
            await future
        assert writer.statistics().queued_bytes == 0
    stored = {row["id"]: row for row in backend.rows}
    assert stored[3] == {"id": 3, "b": 3}
    assert stored[8] == {"id": 8, "a": "x"}
    assert len(stored) == 3000

"""What a row may be, what is read of it, and that nothing done to it afterwards changes what was read."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import gc
import sqlite3
import subprocess
import sys
import types
import typing
import uuid
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import msgspec
import pydantic
import pydantic.v1
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import orm

from bulkwriter.errors import InvalidValueError, MisconfigurationError
from bulkwriter.row_kinds import MAX_CACHED
from bulkwriter.rows import RowReader
from bulkwriter.runs import Run, size_if_immutable
from bulkwriter.sizes import row_size, run_size

SECRET = "s3cret"  # noqa: S105 - a value that no message may show


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    y: Any = None


@dataclasses.dataclass(slots=True)
class SlottedPoint:
    """A dataclass without a dictionary."""

    x: int
    y: Any = None


def columns_and_rows(run: Run | None) -> tuple[object, object] | None:
    """Return what a run of rows holds, beside its size."""
    return None if run is None else (run.columns, run.rows)


class PointModel(pydantic.BaseModel):
    """A pydantic model."""

    x: int
    y: Any = None


class OldPointModel(pydantic.v1.BaseModel):
    """A model of pydantic 1."""

    x: int
    y: Any = None


@attrs.define
class AttrsPoint:
    """An attrs class, with slots."""

    x: int
    y: Any = None


@attrs.frozen(slots=False)
class FrozenAttrsPoint:
    """An attrs class, without slots."""

    x: int
    y: Any = None


class PointStruct(msgspec.Struct):
    """A msgspec struct."""

    x: int
    y: Any = None


class PointTuple(typing.NamedTuple):
    """A named tuple."""

    x: int
    y: Any = None


class Proxy(Mapping[str, Any]):
    """A mapping of somebody's own, whose keys and values need not come in one order."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.held = held

    def __getitem__(self, name: str) -> Any:
        return self.held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.held, reverse=True))

    def __len__(self) -> int:
        return len(self.held)


class Base(orm.DeclarativeBase):
    """The mapped classes' base."""


class User(Base):
    """A class with a renamed, a deferred and a computed column, and a relationship."""

    __tablename__ = "users"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    full_name: orm.Mapped[str | None] = orm.mapped_column("name")
    biography: orm.Mapped[str | None] = orm.mapped_column(deferred=True)
    initials: orm.Mapped[str] = orm.column_property(sa.func.substr(full_name, 1, 1))
    orders: orm.Mapped[list[Order]] = orm.relationship(back_populates="user")


class Order(Base):
    """The other side of the relationship."""

    __tablename__ = "orders"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    user_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("users.id"))
    user: orm.Mapped[User] = orm.relationship(back_populates="orders")


class Manager(User):
    """A class whose columns are spread over two tables."""

    __tablename__ = "managers"

    id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("users.id"), primary_key=True)
    bonus: orm.Mapped[int | None]


def as_dict(row: object, columns: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return a row as a new reader reads it, checking that a reader that has met it before reads the same."""
    reader = RowReader(columns)
    first = reader.read(row)
    again = reader.read(row)
    assert [type(part) for part in first] == [tuple, tuple]
    assert dict(zip(*first, strict=True)) == dict(zip(*again, strict=True))
    return dict(zip(*first, strict=True))


ROWS_OF_EVERY_KIND = [
    {"x": 1, "y": "a"},
    collections.OrderedDict(x=1, y="a"),
    collections.ChainMap[str, Any]({"x": 1}, {"y": "a"}),
    collections.UserDict(x=1, y="a"),
    types.MappingProxyType({"x": 1, "y": "a"}),
    Proxy({"x": 1, "y": "a"}),
    Point(1, "a"),
    SlottedPoint(1, "a"),
    PointModel(x=1, y="a"),
    OldPointModel(x=1, y="a"),
    AttrsPoint(1, "a"),
    FrozenAttrsPoint(1, "a"),
    PointStruct(1, "a"),
    PointTuple(1, "a"),
]


@pytest.mark.parametrize("row", ROWS_OF_EVERY_KIND, ids=lambda row: type(row).__name__)
class TestEveryKind:
    """What holds for each kind of row."""

    def test_every_kind_of_row_gives_its_columns_and_values(self, row: Any) -> None:
        """Also the second time, when its type is known."""
        assert as_dict(row) == {"x": 1, "y": "a"}

    def test_every_kind_of_row_is_read_alike_where_columns_are_given(self, row: Any) -> None:
        """``columns=`` in another order changes neither columns nor values."""
        assert as_dict(row, ("y", "x")) == {"x": 1, "y": "a"}

    def test_a_run_of_rows_is_read_as_each_row_is(self, row: Any) -> None:
        """Where a kind can be read in runs at all."""
        reader = RowReader()
        run = reader.read_run([row, row, row])
        if run is not None:
            columns, values, _ = run
            assert [dict(zip(columns, each, strict=True)) for each in values] == [as_dict(row)] * 3

    def test_the_same_columns_are_the_same_object(self, row: Any) -> None:
        """Ten thousand queued rows do not hold ten thousand tuples of names."""
        reader = RowReader()
        assert reader.read(row)[0] is reader.read(row)[0]


class TestMappings:
    """Dicts, other mappings, and the records that databases answer with."""

    @given(st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(), min_size=1, max_size=5)))
    def test_any_mappings_in_any_succession_are_read_as_they_are(self, rows: list[dict[str, Any]]) -> None:
        """What one row taught the reader never distorts another."""
        reader = RowReader()
        for row in rows:
            assert dict(zip(*reader.read(row), strict=True)) == row

    def test_rows_of_equal_length_and_different_columns_are_told_apart(self) -> None:
        """Also where they alternate, and name their columns in different orders."""
        reader = RowReader()
        rows = [{"a": 1, "b": 2}, {"a": 1, "c": 2}, {"b": 2, "a": 1}, {"c": 3, "b": 2}]
        for row in rows * 3:
            assert dict(zip(*reader.read(row), strict=True)) == row

    def test_a_default_factory_is_never_called(self) -> None:
        """A ``defaultdict`` is not asked for columns that other rows had, and does not grow."""
        row: collections.defaultdict[str, Any] = collections.defaultdict(lambda: pytest.fail("called"), a=1)
        reader = RowReader()
        reader.read({"b": 1})
        assert reader.read(row) == (("a",), (1,))
        assert reader.read_run([row, collections.defaultdict(list, b=1)]) is None
        assert list(row) == ["a"]

    def test_keys_and_values_that_come_in_different_orders_stay_together(self) -> None:
        """Each value stays with its own column."""
        assert as_dict(Proxy({"a": 1, "b": 2})) == {"a": 1, "b": 2}

    def test_names_of_a_str_subclass_become_plain_str(self) -> None:
        """Enumerations and SQLAlchemy's quoted names are names."""

        class Column(str, enum.Enum):  # noqa: UP042 - str() of such a member is "Column.ID", and that is the point
            ID = "id"

        for name in (Column.ID, sa.sql.quoted_name("id", quote=True)):
            columns, _ = RowReader().read({name: 1})
            assert columns == ("id",)
            assert type(columns[0]) is str

    def test_a_record_of_a_database_is_a_row(self) -> None:
        """What one database answers can be written to another: anything with ``keys()``."""
        connection = sqlite3.connect(":memory:")
        connection.row_factory = sqlite3.Row
        record = connection.execute("SELECT 1 AS a, 'x' AS b").fetchone()
        connection.close()
        assert as_dict(record) == {"a": 1, "b": "x"}

    def test_a_row_of_a_sqlalchemy_result_is_a_row(self) -> None:
        """And so is its mapping."""
        engine = sa.create_engine("sqlite://")
        with engine.connect() as connection:
            row = connection.execute(sa.text("SELECT 1 AS a, 'x' AS b")).one()
            assert as_dict(row) == {"a": 1, "b": "x"}
            assert as_dict(row._mapping) == {"a": 1, "b": "x"}
        engine.dispose()

    def test_a_record_that_has_a_column_twice_is_refused(self) -> None:
        """A join may select two columns of one name."""
        connection = sqlite3.connect(":memory:")
        connection.row_factory = sqlite3.Row
        record = connection.execute("SELECT 1 AS a, 2 AS a").fetchone()
        connection.close()
        with pytest.raises(InvalidValueError, match="one twice"):
            RowReader().read(record)


class TestObjects:
    """Objects with declared fields."""

    @given(st.integers(), st.text() | st.none() | st.floats(allow_nan=False) | st.binary())
    def test_a_dataclass_gives_what_it_was_made_of(self, x: int, y: object) -> None:
        """As do attrs objects, structs and named tuples."""
        reader = RowReader()
        for kind in (Point, SlottedPoint, AttrsPoint, PointStruct, PointTuple):
            assert reader.read(kind(x, y)) == (("x", "y"), (x, y))

    def test_a_single_column_is_a_row_too(self) -> None:
        """Python's getters return no tuple for a single name."""

        @dataclasses.dataclass
        class Single:
            only: int

        assert as_dict(Single(1)) == {"only": 1}
        assert as_dict({"only": 1}) == {"only": 1}
        assert as_dict(Point(1, 2), ("y",)) == {"y": 2}
        assert columns_and_rows(RowReader().read_run([Single(1), Single(2)])) == (("only",), [(1,), (2,)])

    def test_an_attribute_that_was_never_set_is_a_column_left_out(self) -> None:
        """It gets the database's default, with ``columns=`` as without."""

        @dataclasses.dataclass
        class Event:
            id: int = dataclasses.field(init=False)
            name: str = "started"

        event = Event()
        assert as_dict(event) == {"name": "started"}
        assert as_dict(event, ("id", "name")) == {"name": "started"}
        event.id = 5
        assert as_dict(event) == {"id": 5, "name": "started"}

    def test_an_unset_field_of_a_struct_is_a_column_left_out(self) -> None:
        """``msgspec.UNSET`` is never stored, wherever it stands."""

        class Event(msgspec.Struct):
            id: int
            name: str | msgspec.UnsetType = msgspec.UNSET

        assert as_dict(Event(1)) == {"id": 1}
        assert as_dict(Event(1, "a")) == {"id": 1, "name": "a"}
        assert as_dict({"id": 1, "name": msgspec.UNSET}) == {"id": 1}
        assert RowReader().read_run([Event(1, "a"), Event(1)]) is None

    def test_a_struct_with_every_field_unset_is_an_empty_row(self) -> None:
        """What is left when all is left out is no row."""

        class Event(msgspec.Struct):
            name: str | msgspec.UnsetType = msgspec.UNSET

        with pytest.raises(InvalidValueError, match="at least one column"):
            RowReader().read(Event())

    def test_pydantic_fields_are_read_as_model_dump_gives_them(self) -> None:
        """By attribute name, with extra fields, without ``exclude=True`` unless ``columns=`` asks for it."""

        class Event(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(extra="allow")
            id: int = pydantic.Field(alias="eventId")
            password: str = pydantic.Field(default=SECRET, exclude=True)
            _cache: int = 0

        event = Event.model_validate({"eventId": 1, "more": 2})
        assert as_dict(event) == event.model_dump() == {"id": 1, "more": 2}
        assert as_dict(event, ("id", "password")) == {"id": 1, "password": SECRET}

    def test_fields_beyond_those_declared_differ_from_row_to_row(self) -> None:
        """With ``extra="allow"`` two instances of a class need not have the same columns."""

        class Event(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(extra="allow")
            id: int

        reader = RowReader()
        assert reader.read(Event(id=1)) == (("id",), (1,))
        assert reader.read(Event.model_validate({"id": 1, "a": 2})) == (("id", "a"), (1, 2))
        assert reader.read(Event.model_validate({"id": 1, "b": 3})) == (("id", "b"), (1, 3))

    def test_columns_may_name_a_property(self) -> None:
        """Whatever is an attribute can be a column."""

        class Circle(pydantic.BaseModel):
            radius: int

            @property
            def diameter(self) -> int:
                return 2 * self.radius

        assert as_dict(Circle(radius=2), ("radius", "diameter")) == {"radius": 2, "diameter": 4}

    def test_columns_cut_an_object_and_set_its_order(self) -> None:
        """Attributes that are no columns of the table can stay where they are."""
        assert RowReader(["y", "x"]).read(Point(1, 2)) == (("y", "x"), (2, 1))
        assert RowReader(["y"]).read(Point(1, 2)) == (("y",), (2,))
        assert RowReader(["y"]).read(PointTuple(1, 2)) == (("y",), (2,))

    @pytest.mark.parametrize("row", [Point(1, SECRET), PointModel(x=1, y=SECRET), PointTuple(1, SECRET)], ids=repr)
    def test_a_column_that_the_object_does_not_have_is_named(self, row: object) -> None:
        """In message and ``column_name``, without the values it has."""
        with pytest.raises(InvalidValueError, match="no attribute 'z', which columns= asks for") as raised:
            RowReader(["x", "z"]).read(row)
        assert raised.value.column_name == "z"
        assert SECRET not in str(raised.value)

    def test_class_variables_and_init_only_variables_are_no_columns(self) -> None:
        """Only fields are."""

        @dataclasses.dataclass
        class Event:
            kind: typing.ClassVar[str] = "event"
            seed: dataclasses.InitVar[int]
            id: int = 1

        assert as_dict(Event(3)) == {"id": 1}


class TestTuples:
    """Plain tuples."""

    def test_a_plain_tuple_stands_for_the_given_columns(self) -> None:
        """In their order."""
        assert RowReader(["a", "b"]).read((1, 2)) == (("a", "b"), (1, 2))
        assert columns_and_rows(RowReader(["a", "b"]).read_run([(1, 2), (3, 4)])) == (("a", "b"), [(1, 2), (3, 4)])

    def test_a_plain_tuple_without_columns_is_refused(self) -> None:
        """The message says what is missing."""
        with pytest.raises(InvalidValueError, match="only when columns= says what its 2 values stand for"):
            RowReader().read((1, SECRET))
        assert RowReader().read_run([(1, 2)]) is None

    @pytest.mark.parametrize("row", [(), (1,), (1, 2, 3)])
    def test_a_tuple_of_another_length_is_refused(self, row: tuple[int, ...]) -> None:
        """It is neither cut nor filled up."""
        reader = RowReader(["a", "b"])
        with pytest.raises(InvalidValueError, match=f"each of the 2 columns, not {len(row)}"):
            reader.read(row)
        assert reader.read_run([(1, 2), row]) is None


class TestColumns:
    """What ``columns=`` does to mappings."""

    def test_a_mapping_may_leave_columns_out(self) -> None:
        """They get the database's default."""
        assert as_dict({"b": 1}, ("a", "b")) == {"b": 1}

    def test_a_mapping_with_a_column_that_is_not_given_is_refused_each_time(self) -> None:
        """A misspelled column is an error, not a value lost."""
        reader = RowReader(["a", "b"])
        for _ in range(3):
            with pytest.raises(MisconfigurationError, match="this one of type dict also has 'c'") as raised:
                reader.read({"a": 1, "c": SECRET})
            assert SECRET not in str(raised.value)
            assert reader.read({"a": 1, "b": 2}) == (("a", "b"), (1, 2))

    @pytest.mark.parametrize("columns", [[], "ab", ["a", "a"], ["a", 1], [None]])
    def test_columns_that_are_no_list_of_names_are_a_misconfiguration(self, columns: Any) -> None:
        """Also a single str, which is a sequence of its letters."""
        with pytest.raises(MisconfigurationError, match="columns must"):
            RowReader(columns)


class TestRefusals:
    """What is no row is refused alone, by its type; its values are never shown."""

    @pytest.mark.parametrize(
        "row",
        [None, 1, 1.5, SECRET, SECRET.encode(), bytearray(b"s3cret"), [SECRET], {SECRET}, object(), iter([SECRET])],
        ids=lambda row: type(row).__name__,
    )
    def test_what_is_no_row_is_refused_by_its_type_and_never_shown(self, row: object) -> None:
        """Each time, and alone."""
        reader = RowReader(["a"])
        for _ in range(2):
            with pytest.raises(InvalidValueError, match=r"^a row must be a mapping, .* not [\w.]+$") as raised:
                reader.read(row)
            assert SECRET not in str(raised.value)
            assert type(row).__name__ in str(raised.value)
        assert reader.read_run([row]) is None

    @pytest.mark.parametrize("row", [Point, PointModel, AttrsPoint, PointStruct, PointTuple, User, dict])
    def test_a_class_is_not_an_instance_of_itself(self, row: type) -> None:
        """``insert(User)`` for ``insert(User(…))``."""
        with pytest.raises(InvalidValueError, match=f"instance, not the class .*{row.__name__} itself"):
            RowReader().read(row)

    @pytest.mark.parametrize("row", [{}, types.MappingProxyType({}), collections.OrderedDict()])
    def test_a_row_without_columns_is_refused(self, row: object) -> None:
        """There is no INSERT of nothing in bulk."""
        with pytest.raises(InvalidValueError, match="at least one column"):
            RowReader().read(row)

    @pytest.mark.parametrize("name", [1, None, b"a", ("a", "b")])
    def test_a_column_name_that_is_not_a_str_is_refused(self, name: object) -> None:
        """It would fail its whole batch later."""
        for row in ({name: SECRET, "a": 1}, types.MappingProxyType({name: SECRET})):
            with pytest.raises(InvalidValueError, match=f"a column's name must be a str, not {type(name).__name__}"):
                RowReader().read(row)

    def test_a_mapping_whose_own_code_raises_fails_alone(self) -> None:
        """Its own exception is the cause; the reader goes on with the next row."""

        class Broken(Proxy):
            def items(self) -> Any:
                raise OSError(SECRET)

        class NoPairs(Proxy):
            def items(self) -> Any:
                return [SECRET]

        reader = RowReader()
        for row, cause in ((Broken({"a": 1}), OSError), (NoPairs({"a": 1}), ValueError)):
            with pytest.raises(InvalidValueError, match=f"failed with {cause.__name__}$") as raised:
                reader.read(row)
            assert isinstance(raised.value.__cause__, cause)
            assert reader.read_run([row, row]) is None
        assert reader.read(Proxy({"a": 1})) == (("a",), (1,))

    def test_an_attribute_whose_own_code_raises_fails_its_row_alone(self) -> None:
        """Even if other instances of its class are fine."""

        @dataclasses.dataclass
        class Lazy:
            a: int

            @property
            def b(self) -> int:
                if self.a:
                    raise ValueError(SECRET)
                return 1

        reader = RowReader(["a", "b"])
        assert reader.read(Lazy(0)) == (("a", "b"), (0, 1))
        with pytest.raises(InvalidValueError, match=r"failed with ValueError$") as raised:
            reader.read(Lazy(1))
        assert isinstance(raised.value.__cause__, ValueError)

    def test_an_interrupt_is_not_taken_for_a_bad_row(self) -> None:
        """Control-C in a mapping's own code stays what it is."""

        class Interrupted(Proxy):
            def items(self) -> Any:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            RowReader().read(Interrupted({"a": 1}))


class TestSnapshots:
    """A row is taken at the call."""

    @pytest.mark.parametrize("row", ROWS_OF_EVERY_KIND, ids=lambda row: type(row).__name__)
    def test_changing_the_row_after_the_call_changes_nothing(self, row: Any) -> None:
        """However deep the change, for every kind of row, alone or in a run."""
        payload = {"tags": ["a", {"deep": [1]}], "seen": {1, 2}}
        expected = {"tags": ["a", {"deep": [1]}], "seen": {1, 2}}
        if isinstance(row, types.MappingProxyType | collections.ChainMap):
            row = {"x": 1, "y": payload}
        elif isinstance(row, Mapping):
            row = type(row)({"x": 1, "y": payload})  # type: ignore[call-arg]
        else:
            row = type(row)(x=1, y=payload)
        reader = RowReader()
        taken = [reader.read(row), reader.read(row)]
        run = reader.read_run([row, row])
        payload["tags"][1]["deep"].append(2)  # type: ignore[index]
        payload["seen"].add(3)  # type: ignore[attr-defined]
        payload["new"] = []
        for columns, values in taken:
            assert dict(zip(columns, values, strict=True)) == {"x": 1, "y": expected}
        assert run is None or [dict(zip(run[0], each, strict=True))["y"] for each in run[1]] == [expected] * 2

    def test_setting_another_value_after_the_call_changes_nothing(self) -> None:
        """The simplest change of all."""
        row, point = {"a": 1}, Point(1)
        reader = RowReader()
        taken = reader.read(row), reader.read(point)
        row["a"] = point.x = 2
        assert taken == ((("a",), (1,)), (("x", "y"), (1, None)))

    @pytest.mark.parametrize(
        "value",
        [
            None, True, 1, 1.5, "a", b"a", 1j, range(3), decimal.Decimal("1.5"), uuid.UUID(int=1),
            dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.timedelta(1),
            enum.Enum("Color", "RED").RED, (1, "a"), frozenset({1}), sa.func.now(),  # type: ignore[attr-defined]
        ],
        ids=lambda value: type(value).__name__,
    )  # fmt: skip
    def test_an_immutable_value_is_taken_as_it_is(self, value: object) -> None:
        """It is not copied: a row of such values costs next to nothing."""
        reader = RowReader()
        assert reader.read({"a": value})[1][0] is value
        assert reader.read({"a": value})[1][0] is value
        assert columns_and_rows(reader.read_run([{"a": value}])) == (("a",), [(value,)])

    @pytest.mark.parametrize(
        "value",
        [
            [1, [2]], {"a": {"b": []}}, {1}, (1, [2]), array.array("d", [1.5]), collections.deque([1]),
            collections.OrderedDict(a=[]), Point(1, []), PointModel(x=1, y=[]), PointStruct(1, []),
        ],
        ids=lambda value: type(value).__name__,
    )  # fmt: skip
    def test_a_value_that_can_change_is_copied_and_keeps_its_type(self, value: object) -> None:
        """Equal, of the same type, and another object."""
        for _, values in (RowReader().read({"a": value}), RowReader().read(Proxy({"a": value}))):
            assert values == (value,)
            assert values[0] is not value
            assert type(values[0]) is type(value)

    def test_buffers_become_bytes(self) -> None:
        """Also a read-only view, whose owner can still change or release it."""
        buffer = bytearray(b"abc")
        view = memoryview(buffer)
        row = {"a": buffer, "b": view, "c": view.toreadonly(), "d": memoryview(b"abc")}
        _, values = RowReader().read(row)
        view.release()
        buffer[:] = b"xyz"
        assert values == (b"abc",) * 4
        assert {type(value) for value in values} == {bytes}

    def test_a_value_that_can_change_and_cannot_be_copied_is_refused(self) -> None:
        """By its column and type; the promise could not be kept."""
        cycle: list[Any] = []
        cycle.append(cycle)

        class Stubborn(list[Any]):
            def __deepcopy__(self, memo: object) -> Any:
                raise RuntimeError(SECRET)

        reader = RowReader()
        for value in (cycle, Stubborn()):
            with pytest.raises(
                InvalidValueError, match="column 'b' can be changed later and cannot be copied"
            ) as raised:
                reader.read({"a": 1, "b": value})
            assert raised.value.column_name == "b"
            assert SECRET not in str(raised.value)
            assert reader.read_run([{"a": 1, "b": value}]) is None

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.dates(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )

    @given(json_values)
    def test_a_copy_equals_its_original_whatever_it_holds(self, value: Any) -> None:
        """Any JSON document, and dates."""
        (_, (taken,)) = RowReader().read({"a": value})
        assert taken == value
        assert columns_and_rows(RowReader().read_run([{"a": value}] * 2)) == (("a",), [(value,)] * 2)


class TestRuns:
    """Many like rows at once."""

    def test_rows_of_different_types_or_columns_are_no_run(self) -> None:
        """They are to be read one by one."""
        reader = RowReader()
        assert reader.read_run([{"a": 1}, {"b": 1}]) is None
        assert reader.read_run([{"a": 1}, {"a": 1, "b": 1}]) is None
        assert reader.read_run([{"a": 1, "b": 1}, {"a": 1}]) is None
        assert reader.read_run([{"x": 1, "y": 1}, Point(1, 1)]) is None
        assert reader.read_run([]) is None

    def test_columns_in_another_order_are_still_a_run(self) -> None:
        """All in the order of the first."""
        assert columns_and_rows(RowReader().read_run([{"a": 1, "b": 2}, {"b": 4, "a": 3}])) == (
            ("a", "b"),
            [(1, 2), (3, 4)],
        )

    def test_a_bad_name_makes_no_run(self) -> None:
        """``read`` says what is wrong with it."""
        assert RowReader().read_run([{1: 1}]) is None
        assert RowReader(["a"]).read_run([{"b": 1}]) is None

    @given(st.lists(st.integers() | st.lists(st.integers()) | st.decimals(allow_nan=False), min_size=1))
    def test_a_run_equals_its_rows_read_one_by_one(self, values: list[Any]) -> None:
        """Also where some of a column's values must be copied and some not."""
        rows = [{"a": value, "b": index} for index, value in enumerate(values)]
        reader = RowReader()
        assert columns_and_rows(reader.read_run(rows)) == (("a", "b"), [reader.read(row)[1] for row in rows])


class TestInstancesOfTheORM:
    """Instances of SQLAlchemy's ORM, read without touching them or their session."""

    @pytest.fixture
    def session(self) -> Iterator[orm.Session]:
        """A session on a database in memory."""
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        Base.metadata.create_all(engine)
        with orm.Session(engine) as session:
            yield session
        engine.dispose()

    @pytest.fixture
    def statements(self, session: orm.Session) -> list[str]:
        """The statements that the session has sent so far."""
        sent: list[str] = []

        @sa.event.listens_for(session.get_bind(), "before_cursor_execute")
        def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            sent.append(statement)

        return sent

    def test_attributes_give_the_columns_they_are_mapped_to(self) -> None:
        """By the database's name of the column, not the attribute's."""
        assert as_dict(User(id=1, full_name="Ada", biography="…")) == {"id": 1, "name": "Ada", "biography": "…"}

    def test_an_attribute_that_was_not_set_is_a_column_left_out(self) -> None:
        """A None that was set is NULL."""
        reader = RowReader()
        assert reader.read(User(full_name="Ada")) == (("name",), ("Ada",))
        assert reader.read(User(id=1)) == (("id",), (1,))
        assert reader.read(User(full_name=None)) == (("name",), (None,))

    def test_a_primary_key_of_none_is_left_out_for_the_database_to_generate(self) -> None:
        """As in a session; any other None is NULL."""
        assert as_dict(User(id=None, full_name=None)) == {"name": None}

    def test_columns_cut_an_instance_and_name_database_columns(self) -> None:
        """An attribute's name is not a column's."""
        assert as_dict(User(id=1, full_name="Ada", biography="…"), ("name", "id")) == {"id": 1, "name": "Ada"}
        with pytest.raises(InvalidValueError, match="User maps no column 'full_name', which columns= asks for"):
            RowReader(["id", "full_name"]).read(User(id=1))

    def test_an_inherited_table_gives_the_columns_of_the_class_own_table(self) -> None:
        """The parent's columns belong to the parent's table."""
        assert as_dict(Manager(id=1, full_name="Ada", bonus=5)) == {"id": 1, "bonus": 5}

    def test_reading_sends_no_statement_and_loads_nothing(self, session: orm.Session, statements: list[str]) -> None:
        """Not for deferred or expired attributes, of which the latter are refused; the instance stays as it is."""
        session.add(User(id=1, full_name="Ada", biography="…"))
        session.commit()
        session.expunge_all()
        user = session.scalars(sa.select(User)).one()
        held = dict(vars(user))
        statements.clear()
        assert as_dict(user) == {"id": 1, "name": "Ada"}
        assert vars(user) == held
        session.commit()
        assert sa.inspect(user).expired
        with pytest.raises(InvalidValueError, match=r"User: attribute .* has expired"):
            RowReader().read(user)
        user.full_name = "Grace"
        statements.clear()
        assert as_dict(user, ("name",)) == {"name": "Grace"}
        assert statements == []
        assert user in session.dirty

    def test_related_objects_are_no_columns(self) -> None:
        """The foreign key is one."""
        user = User(id=1)
        assert as_dict(Order(id=2, user_id=1, user=user)) == {"id": 2, "user_id": 1}

    def test_a_dataclass_that_is_mapped_is_read_as_the_mapper_says(self) -> None:
        """The first rule that fits is the mapper's."""

        class DataBase(orm.MappedAsDataclass, orm.DeclarativeBase):
            pass

        class Item(DataBase):
            __tablename__ = "items"
            id: orm.Mapped[int | None] = orm.mapped_column(init=False, default=None, primary_key=True)
            title: orm.Mapped[str] = orm.mapped_column("name", default="")

        assert as_dict(Item(title="a")) == {"name": "a"}

    def test_a_class_mapped_to_a_table_of_its_own_making_is_read(self) -> None:
        """Imperative mapping, a column with a key of its own, an attribute with yet another."""

        class Plain:
            a: int
            b: int

        table = sa.Table(
            "plain", sa.MetaData(), sa.Column("id", sa.Integer, key="key", primary_key=True), sa.Column("b")
        )
        orm.registry().map_imperatively(Plain, table, properties={"a": table.c.key})
        row = Plain()
        row.a, row.b = 1, 2
        assert as_dict(row) == {"id": 1, "b": 2}


class TestKeys:
    """The keys of rows to delete."""

    reader = RowReader()

    @pytest.mark.parametrize("key", [{"a": 1}, (1,), 1, types.MappingProxyType({"a": 1})])
    def test_a_key_of_one_column_is_a_mapping_a_tuple_or_the_value(self, key: object) -> None:
        """All three mean the same."""
        assert self.reader.read_key(key, ("a",)) == (1,)

    @pytest.mark.parametrize("key", ["abc", b"xyz", 1.5, uuid.UUID(int=1), dt.date(2024, 1, 1), False, 0])
    def test_a_value_of_any_type_is_a_key(self, key: object) -> None:
        """False and 0 too."""
        assert self.reader.read_key(key, ("a",)) == (key,)

    @pytest.mark.parametrize("key", [{"y": 2, "x": 1}, (1, 2), PointTuple(1, 2)])
    def test_a_key_of_many_columns_is_a_mapping_or_a_tuple_in_order(self, key: object) -> None:
        """A mapping's own order does not matter."""
        assert self.reader.read_key(key, ("x", "y")) == (1, 2)

    def test_a_named_tuple_is_read_by_its_names(self) -> None:
        """Never by position."""
        assert self.reader.read_key(PointTuple(1, 2), ("y", "x")) == (2, 1)

    @pytest.mark.parametrize(
        "key", [{"x": SECRET}, {"x": 1, "y": 2, "z": 3}, {}, (1,), (1, 2, 3), SECRET, 5, [1, 2], None, PointTuple]
    )
    def test_a_key_that_does_not_fit_is_refused_and_not_shown(self, key: object) -> None:
        """Nothing is deleted by half a key."""
        with pytest.raises(InvalidValueError, match=r"a key .*x, y") as raised:
            self.reader.read_key(key, ("x", "y"))
        assert SECRET not in str(raised.value)

    @pytest.mark.parametrize("key", [[1], {1}, int, {"b": 1}])
    def test_several_keys_at_once_are_refused(self, key: object) -> None:
        """``delete`` takes one key."""
        with pytest.raises(InvalidValueError, match="a key must"):
            self.reader.read_key(key, ("a",))

    @pytest.mark.parametrize("key", [{"x": 1, "y": None}, (1, None), (1, msgspec.UNSET)])
    def test_nothing_is_no_value_of_a_key(self, key: object) -> None:
        """NULL equals nothing: "it is absent now" would be a guess."""
        with pytest.raises(InvalidValueError, match="none in 'y'"):
            self.reader.read_key(key, ("x", "y"))
        with pytest.raises(InvalidValueError, match="none in 'a'"):
            self.reader.read_key(None, ("a",))

    def test_a_table_without_a_key_has_no_key_to_delete_by(self) -> None:
        """That is not the row's fault."""
        with pytest.raises(MisconfigurationError, match="only where there is one"):
            self.reader.read_key(1, ())

    def test_a_key_is_taken_at_the_call(self) -> None:
        """As a row is."""
        buffer = bytearray(b"abc")
        key = self.reader.read_key(buffer, ("a",))
        buffer[:] = b"xyz"
        assert key == (b"abc",)

    def test_a_mapping_whose_own_code_raises_is_a_bad_key(self) -> None:
        """Its own exception is the cause."""

        class Broken(Proxy):
            def __getitem__(self, name: str) -> Any:
                raise OSError(SECRET)

        with pytest.raises(InvalidValueError, match=r"failed with OSError$"):
            self.reader.read_key(Broken({"a": 1}), ("a",))


class TestMemory:
    """A reader that lives for months stays small."""

    def test_classes_made_on_the_fly_do_not_pile_up(self) -> None:
        """What is remembered of types is bounded."""
        reader = RowReader()
        classes = []
        for _ in range(3 * MAX_CACHED):
            kind: Any = type("Passing", (tuple,), {"_fields": ("a",)})
            classes.append(weakref.ref(kind))
            reader.read(kind([1]))
        del kind
        gc.collect()
        assert sum(made() is not None for made in classes) <= MAX_CACHED

    def test_rows_with_ever_new_columns_do_not_pile_up(self) -> None:
        """What is remembered of columns is bounded."""
        reader = RowReader()
        for number in range(3 * MAX_CACHED):
            row = {f"column{index}": 1 for index in range(number, number + 1 + number % 700)}
            assert dict(zip(*reader.read(row), strict=True)) == row
            reader.read_run([row])
        assert len(reader._known) <= MAX_CACHED
        assert len(reader._by_length) <= MAX_CACHED

    def test_nothing_is_imported_to_recognise_a_row(self) -> None:
        """``import bulkwriter`` stays light, and so does the first row."""
        script = (
            "import sys; from bulkwriter.rows import RowReader\n"
            "class Odd: pass\n"
            "try: RowReader().read(Odd())\n"
            "except Exception: pass\n"
            "RowReader().read({'a': [1]})\n"
            "loaded = {'pydantic', 'attrs', 'attr', 'msgspec', 'sqlalchemy', 'decimal', 'uuid'} & set(sys.modules)\n"
            "raise SystemExit(f'loaded {loaded}' if loaded else 0)"
        )
        path = list(filter(None, sys.path))
        code = f"import sys; sys.path[:] = {path!r}\n{script}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 0, done.stderr


class TestSizes:
    """A run is measured while it is read, and weighs what its rows weigh."""

    @pytest.mark.parametrize(
        "values",
        [
            [1, 2.5, True, None],
            ["", "a", "ä" * 199, "long" * 100],
            [None, "a", None],
            [b"", b"abc"],
            ["a", b"b", 3, None],
            [dt.date(2026, 1, 1), decimal.Decimal("1.5")],
            ["x" * 300, "y"],
        ],
        ids=repr,
    )
    def test_a_run_weighs_what_its_rows_weigh(self, values: list[Any]) -> None:
        """Whatever its columns hold, in whichever order."""
        for column in (values, values[::-1]):
            rows = [(number, value) for number, value in enumerate(column)]
            RowReader(["a", "b"]).read(rows[0])
            run = RowReader(["a", "b"]).read_run(rows)
            assert run is not None
            assert run_size(rows) == sum(map(row_size, rows))
            assert run.size in {None, run_size(rows)}

    @pytest.mark.parametrize("value", [[1], {"a": 1}, bytearray(b"a"), object()])
    def test_what_could_be_changed_is_looked_at_again(self, value: object) -> None:
        """Wherever in its column it stands."""
        for column in ([1, value], [value, 1], ["a", value], [value, "a"]):
            assert size_if_immutable([(0, each) for each in column], 2) is None

"""The kinds of objects that can be rows, and what takes the columns and values from each.

The packages whose objects are recognised (pydantic, attrs, msgspec, SQLAlchemy) are never imported: their classes are
known by the attributes they carry.
"""

from __future__ import annotations

import operator
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from bulkwriter.errors import InvalidValueError
from bulkwriter.snapshots import type_name

Columns: TypeAlias = tuple[str, ...]
Values: TypeAlias = tuple[Any, ...]
Reading: TypeAlias = tuple[Columns, Values]
Canonical: TypeAlias = Callable[[type, tuple[Any, ...]], Columns]

# What a full cache of shapes holds before it is emptied: rows with ever new sets of columns, or classes made on the
# fly, must not grow a writer that runs for months.
MAX_CACHED = 512

_ROW_KINDS = (
    "a mapping, a dataclass, pydantic, attrs or msgspec object, a named tuple, a SQLAlchemy ORM instance, "
    "or a plain tuple when columns= is given"
)


class Extractor:
    """How rows of one type are read.

    Attributes:
        read: Returns the columns and the values of one row.
        columns: The columns that every row of the type has, unless it is an exception for which ``take`` raises;
            ``None`` where rows of one type differ.
        take: Returns the values of one row, in the order of ``columns``.
    """

    __slots__ = ("columns", "read", "take")

    def __init__(
        self,
        read: Callable[[Any], Reading],
        columns: Columns | None = None,
        take: Callable[[Any], Values] | None = None,
    ) -> None:
        self.read: Callable[[Any], Reading] = read
        self.columns: Columns | None = columns
        self.take: Callable[[Any], Values] | None = take


def extractor_for(kind: type, columns: Columns | None, canonical: Canonical) -> Extractor:
    """Return what reads rows of a type; the first rule that fits wins, since a class may be several kinds at once.

    Args:
        kind: The type of the rows.
        columns: The columns to which objects are cut, and that a tuple stands for; ``None`` for all of an object's.
        canonical: Checks the names that a row of a type has, and returns the one tuple that stands for them.

    Raises:
        InvalidValueError: The class maps no such column.
    """
    mapper = _mapper_of(kind)
    if mapper is not None:
        return _orm_extractor(kind, mapper, columns, canonical)
    if issubclass(kind, Mapping):
        return Extractor(_mapping_reader(kind, canonical))
    if issubclass(kind, tuple):
        return _tuple_extractor(kind, columns, canonical)
    fields = _fields_of(kind)
    if fields is not None:
        return _object_extractor(kind, fields, columns, canonical)
    return Extractor(_other_reader(kind, canonical))


def many(getter: Any, names: Sequence[str]) -> Callable[[Any], Values]:
    """Return ``attrgetter`` or ``itemgetter`` of these names, one that gives a tuple also for a single name."""
    get: Callable[[Any], Any] = getter(*names)
    if len(names) > 1:
        return get
    return lambda row: (get(row),)


def _other_reader(kind: type, canonical: Canonical) -> Callable[[Any], Reading]:
    """Return what reads the rows that databases answer with, or what refuses anything else."""
    if issubclass(kind, type):
        return _refuse_class
    if hasattr(kind, "_mapping"):  # a row of a SQLAlchemy result
        return lambda row: _items(row._mapping, canonical)  # noqa: SLF001 - public, in spite of its name
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):
        return _record_reader(kind, canonical)
    return _refuse


def _refuse_class(row: type) -> NoReturn:
    message = f"a row must be an instance, not the class {type_name(row)} itself"
    raise InvalidValueError(message)


def _refuse(row: object) -> NoReturn:
    message = f"a row must be {_ROW_KINDS}, not {type_name(type(row))}"
    raise InvalidValueError(message)


# --- mappings and what is like them -------------------------------------------------------------------------------


def _mapping_reader(kind: type, canonical: Canonical) -> Callable[[Any], Reading]:
    if kind in (OrderedDict, defaultdict):
        return lambda row: (canonical(kind, tuple(row)), tuple(row.values()))
    return lambda row: _items(row, canonical)


def _items(row: Mapping[Any, Any], canonical: Canonical) -> Reading:
    # items() alone: a mapping of somebody's own may give its keys and its values in different orders.
    items = [(name, value) for name, value in row.items()]
    return canonical(type(row), tuple([name for name, _ in items])), tuple([value for _, value in items])


def _record_reader(kind: type, canonical: Canonical) -> Callable[[Any], Reading]:
    """Read what ``dict()`` takes by its ``keys()``, such as a ``sqlite3.Row`` or an ``asyncpg.Record``."""

    def read_record(row: Any) -> Reading:
        names = tuple(row.keys())
        return canonical(kind, names), tuple([row[name] for name in names])

    return read_record


# --- tuples -------------------------------------------------------------------------------------------------------


def _tuple_extractor(kind: type, columns: Columns | None, canonical: Canonical) -> Extractor:
    fields = getattr(kind, "_fields", None)
    if isinstance(fields, tuple):
        if columns is not None:
            return _object_extractor(kind, fields, columns, canonical)
        names = canonical(kind, fields)
        return Extractor(lambda row: (names, tuple(row)), names, tuple)
    if columns is None:
        return Extractor(_refuse_tuple)

    def read_tuple(row: tuple[Any, ...]) -> Reading:
        if len(row) != len(columns):
            message = f"a tuple as a row must have one value for each of the {len(columns)} columns, not {len(row)}"
            raise InvalidValueError(message)
        return columns, tuple(row)

    return Extractor(read_tuple)


def _refuse_tuple(row: tuple[Any, ...]) -> NoReturn:
    message = f"a tuple can be a row only when columns= says what its {len(row)} values stand for"
    raise InvalidValueError(message)


# --- objects with declared fields ---------------------------------------------------------------------------------


def _fields_of(kind: type) -> Columns | None:
    """Return the fields that a dataclass, pydantic, attrs or msgspec class declares; None for any other class."""
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses  # noqa: PLC0415 - who has made one has loaded it; for others it would be time lost

        return tuple([field.name for field in dataclasses.fields(kind)])
    attributes = getattr(kind, "__attrs_attrs__", None)
    if isinstance(attributes, tuple):
        return tuple([attribute.name for attribute in attributes])
    struct = getattr(kind, "__struct_fields__", None)
    if isinstance(struct, tuple):
        return struct
    return _pydantic_fields(kind)


def _pydantic_fields(kind: type) -> Columns | None:
    """Return the fields that ``model_dump`` would give: those declared with ``exclude=True`` are left out."""
    # Where pydantic keeps them: 2.10 and later, 2.0 and later, 1. In this order: 2 warns when it is asked as 1 was.
    for attribute in ("__pydantic_fields__", "model_fields", "__fields__"):
        fields = getattr(kind, attribute, None)
        if isinstance(fields, dict):
            return tuple(
                [
                    name
                    for name, field in fields.items()
                    if getattr(getattr(field, "field_info", field), "exclude", None) is not True
                ]
            )
    return None


def _object_extractor(kind: type, fields: Columns, columns: Columns | None, canonical: Canonical) -> Extractor:
    """Return what reads the attributes of an object: those in ``columns``, or all its fields."""
    if columns is None and _may_hold_more(kind):
        return Extractor(
            lambda row: _read_attributes(row, (*fields, *(row.__pydantic_extra__ or ())), fields, canonical)
        )
    names = canonical(kind, fields) if columns is None else columns
    take = many(operator.attrgetter, names)

    def read_object(row: Any) -> Reading:
        try:
            return names, take(row)
        except AttributeError:
            return _read_attributes(row, names, fields, canonical)

    return Extractor(read_object, names, take)


def _may_hold_more(kind: type) -> bool:
    """Whether it is a pydantic class with ``extra="allow"``, whose instances may have fields of their own."""
    config = getattr(kind, "model_config", None)
    return isinstance(config, Mapping) and config.get("extra") == "allow" and hasattr(kind, "__pydantic_extra__")


def _read_attributes(row: Any, names: Columns, fields: Columns, canonical: Canonical) -> Reading:
    """Read the attributes one by one: a declared field that was never set is a column that the row leaves out."""
    held = {}
    for name in names:
        try:
            held[name] = getattr(row, name)
        except AttributeError as error:
            if name not in fields:
                message = f"a row of type {type_name(type(row))} has no attribute {name!r}, which columns= asks for"
                raise InvalidValueError(message, column_name=name) from error
    return canonical(type(row), tuple(held)), tuple(held.values())


# --- SQLAlchemy ORM instances -------------------------------------------------------------------------------------


def _mapper_of(kind: type) -> Any:
    """Return the ORM mapper of a class, or None; where SQLAlchemy is not loaded, no class is mapped by it."""
    sqlalchemy = sys.modules.get("sqlalchemy")
    if sqlalchemy is None or not hasattr(kind, "_sa_class_manager"):
        return None
    return sqlalchemy.inspect(kind, raiseerr=False)


def _orm_extractor(kind: type, mapper: Any, columns: Columns | None, canonical: Canonical) -> Extractor:
    """Return what reads the attributes that an instance has loaded or set, and never makes it load one."""
    column_of = _columns_by_attribute(mapper)
    missing = [name for name in columns or () if name not in column_of.values()]
    if missing:
        message = f"{type_name(kind)} maps no column {missing[0]!r}, which columns= asks for"
        raise InvalidValueError(message, column_name=missing[0])
    generated = {column.name for column in mapper.local_table.primary_key}
    keys = [attribute for attribute, name in column_of.items() if name in generated]
    shapes: dict[tuple[str, ...], tuple[Columns, Callable[[Any], Values]]] = {}

    def shape_of(loaded: dict[str, Any]) -> tuple[Columns, Callable[[Any], Values]]:
        held = [name for name in loaded if name in column_of and (columns is None or column_of[name] in columns)]
        names = canonical(kind, tuple([column_of[attribute] for attribute in held]))
        if len(shapes) >= MAX_CACHED:
            shapes.clear()
        shape = shapes[tuple(loaded)] = (names, many(operator.itemgetter, held))
        return shape

    def read_instance(row: Any) -> Reading:
        # The instance's own dictionary: asking for an expired or deferred attribute would send a SELECT from here.
        loaded = row.__dict__
        expired = row._sa_instance_state.expired_attributes  # noqa: SLF001 - SQLAlchemy's own way takes three times as long
        if expired:
            _refuse_expired(row, column_of, columns)
        for key in keys:
            if loaded.get(key, key) is None:
                # As in a session: a primary key that is None is one that the database will generate.
                loaded = {name: value for name, value in loaded.items() if value is not None or name not in keys}
                break
        names, take = shapes.get(tuple(loaded)) or shape_of(loaded)
        return names, take(loaded)

    return Extractor(read_instance)


def _refuse_expired(row: Any, column_of: Mapping[str, str], columns: Columns | None) -> None:
    """Refuse an instance of which something has expired that is to be stored: a default would take its place.

    A commit lets all expire that the session holds.
    """
    left = [name for name in column_of if name not in row.__dict__ and (columns is None or column_of[name] in columns)]
    for name in row._sa_instance_state.expired_attributes.intersection(left):  # noqa: SLF001 - as above
        message = f"{type_name(type(row))}: attribute {name!r} has expired: refresh the instance, or name columns="
        raise InvalidValueError(message, column_name=column_of[name])


def _columns_by_attribute(mapper: Any) -> dict[str, str]:
    """Return, for each attribute that stands for a column of the class's own table, the column's name."""
    table = mapper.local_table
    return {
        attribute.key: column.name
        for attribute in mapper.column_attrs
        for column in attribute.columns
        if table.c.contains_column(column)
    }

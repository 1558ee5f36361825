"""What a caller may hand in as a row, and how its columns and values are taken from it.

A row is taken at the call: what ``read`` returns shares nothing with the caller's object that anybody can change.
Values that are not hashable (lists, dicts, sets, most models) are copied deep; a hashable value is immutable by
Python's own convention and is taken as it is. ``bytearray`` and ``memoryview`` become ``bytes``.

The packages whose objects are recognised (pydantic, attrs, msgspec, SQLAlchemy) are never imported: their classes are
known by the attributes they carry.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import itertools
import operator
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from bulkwriter.errors import InvalidValueError, MisconfigurationError

Columns: TypeAlias = tuple[str, ...]
Values: TypeAlias = tuple[Any, ...]
Reading: TypeAlias = tuple[Columns, Values]
Extractor: TypeAlias = Callable[[Any], Reading]

_ROW_KINDS = (
    "a mapping, a dataclass, pydantic, attrs or msgspec object, a named tuple, a SQLAlchemy ORM instance, "
    "or a plain tuple when columns= is given"
)

# Both caches are emptied when they are full: classes made on the fly, or rows with ever new sets of columns, must not
# grow a writer that runs for months.
_MAX_CACHED = 512


class RowReader:
    """Takes columns and values from rows of any kind; one extractor is made for each row type, and kept.

    Args:
        columns: The columns that a plain tuple stands for, to which objects are cut, and beyond which a mapping may
            not go; ``None`` takes every column that a row has.

    Raises:
        MisconfigurationError: ``columns`` is empty, names a column twice, or holds something that is not a name.
    """

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self.columns = None if columns is None else _checked_columns(columns)
        self._extractors: dict[type, Extractor] = {}
        self._shapes: dict[tuple[Any, ...], Columns] = {}

    def read(self, row: Any) -> Reading:
        """Return the column names and the values that a row holds now.

        A column that the row leaves out is not among the names. The same set of names is always the same tuple object.

        Args:
            row: A mapping, dataclass, pydantic, attrs or msgspec object, named tuple, SQLAlchemy ORM instance, or a
                plain tuple when ``columns`` is given.

        Raises:
            InvalidValueError: It is none of these, has no or wrong columns, or its own code failed. The message names
                its type and its columns, never a value.
        """
        kind = type(row)
        try:
            if kind is dict:
                names, values = tuple(row), tuple(row.values())
            else:
                names, values = (self._extractors.get(kind) or self._extractor_for(kind))(row)
            columns = self._shapes.get(names) or self._checked_names(kind, names)
        except InvalidValueError:
            raise
        except Exception as error:
            message = f"reading a row of type {_name(kind)} failed with {_name(type(error))}"
            raise InvalidValueError(message) from error
        if _IMMUTABLE.issuperset(map(type, values)):
            return columns, values
        return self._snapshot(kind, columns, values)

    def read_key(self, key: object, key_columns: tuple[str, ...]) -> Values:
        """Return the values of a key, in the order of ``key_columns``.

        Args:
            key: A mapping of exactly these columns, a named tuple of exactly these fields, a tuple in the order of
                ``key_columns``, or, for a single column, its value.
            key_columns: The columns that identify a row.

        Raises:
            InvalidValueError: The key does not fit the columns, or a value of it is None.
            MisconfigurationError: ``key_columns`` is empty: the table has no key.
        """
        if not key_columns:
            message = "rows of this table cannot be deleted by key: it has none, and no conflict_columns are given"
            raise MisconfigurationError(message)
        try:
            values = _key_values(key, key_columns)
        except InvalidValueError:
            raise
        except Exception as error:
            message = f"reading a key of type {_name(type(key))} failed with {_name(type(error))}"
            raise InvalidValueError(message) from error
        for column, value in zip(key_columns, values, strict=True):
            if value is None:
                message = f"a key must have a value in every column; {column} is None"
                raise InvalidValueError(message, column_name=column)
        return tuple(map(_taken, key_columns, values))

    def read_run(self, rows: Sequence[object]) -> tuple[Columns, list[Values]] | None:
        """Read rows that all have one type and one set of columns, at about half the cost of ``read`` for each.

        Returns:
            The column names and the values of each row; or None if the rows are not so alike, or one of them cannot
            be read: then ``read`` tells which.
        """
        readings = []
        for row in rows:
            try:
                readings.append(self.read(row))
            except InvalidValueError:
                return None
        if not readings or any(names is not readings[0][0] for names, _ in readings):
            return None
        return readings[0][0], [values for _, values in readings]

    def _extractor_for(self, kind: type) -> Extractor:
        extractor = _extractor_for(kind, self.columns)
        if len(self._extractors) >= _MAX_CACHED:
            self._extractors.clear()
        self._extractors[kind] = extractor
        return extractor

    def _checked_names(self, kind: type, names: tuple[Any, ...]) -> Columns:
        """Return the names as plain strings, and remember that they are good."""
        if not names:
            message = f"a row must have at least one column; this {_name(kind)} has none"
            raise InvalidValueError(message)
        for name in names:
            if not isinstance(name, str):
                message = f"column names must be str, not {_name(type(name))}"
                raise InvalidValueError(message)
            if self.columns is not None and name not in self.columns:
                message = f"the row has a column {str.__str__(name)!r}, which is not one of columns="
                raise InvalidValueError(message, column_name=str.__str__(name))
        if len(set(names)) < len(names):
            message = f"this {_name(kind)} names a column twice"
            raise InvalidValueError(message)
        if len(self._shapes) >= _MAX_CACHED:
            self._shapes.clear()
        columns = tuple(map(str.__str__, names))
        self._shapes[columns] = columns
        return columns

    def _snapshot(self, kind: type, columns: Columns, values: Values) -> Reading:
        taken = {name: _taken(name, value) for name, value in zip(columns, values, strict=True)}
        held = {name: value for name, value in taken.items() if not _is_left_out(value)}
        if len(held) == len(columns):
            return columns, tuple(held.values())
        names = tuple(held)
        return self._shapes.get(names) or self._checked_names(kind, names), tuple(held.values())


def _checked_columns(columns: Sequence[str]) -> Columns:
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        message = "columns must be a sequence of column names"
        raise MisconfigurationError(message)
    names = tuple(map(str.__str__, columns))
    if not names or len(set(names)) < len(names):
        message = f"columns must name at least one column and each only once, not {names!r}"
        raise MisconfigurationError(message)
    return names


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# --- one extractor for each kind of row ---------------------------------------------------------------------------


def _extractor_for(kind: type, columns: Columns | None) -> Extractor:
    """Return what reads rows of a type; the first rule that fits wins, since a class may be several kinds at once."""
    if issubclass(kind, type):
        return _refuse_class
    mapper = _mapper_of(kind)
    if mapper is not None:
        return _orm_extractor(mapper, columns)
    if kind in (OrderedDict, defaultdict):
        return _read_dict
    if issubclass(kind, Mapping):
        return _read_mapping
    if issubclass(kind, tuple):
        return _tuple_extractor(kind, columns)
    fields = _fields_of(kind)
    if fields is not None:
        return _object_extractor(kind, fields, columns)
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):
        return _read_record
    return _refuse


def _refuse_class(row: type) -> NoReturn:
    message = f"a row must be an instance, not the class {_name(row)} itself"
    raise InvalidValueError(message)


def _refuse(row: object) -> NoReturn:
    message = f"a row must be {_ROW_KINDS}, not {_name(type(row))}"
    raise InvalidValueError(message)


def _read_dict(row: dict[Any, Any]) -> Reading:
    return tuple(row), tuple(row.values())


def _read_mapping(row: Mapping[Any, Any]) -> Reading:
    # items() alone: a mapping of somebody's own may order its keys and its values differently.
    items = [(name, value) for name, value in row.items()]
    return tuple(name for name, _ in items), tuple(value for _, value in items)


def _read_record(row: Any) -> Reading:
    """Read what ``dict()`` would take by ``keys()``: a ``sqlite3.Row``, an ``asyncpg.Record``."""
    return tuple(row.keys()), tuple(row[name] for name in row.keys())  # noqa: SIM118 - iterating it gives values


def _tuple_extractor(kind: type, columns: Columns | None) -> Extractor:
    fields = getattr(kind, "_fields", None)
    if isinstance(fields, tuple) and all(isinstance(name, str) for name in fields):
        return _object_extractor(kind, fields, columns) if columns else lambda row: (fields, tuple(row))
    if columns is None:
        return _refuse_tuple

    def read_tuple(row: tuple[Any, ...]) -> Reading:
        if len(row) != len(columns):
            message = f"a row as a tuple must have one value for each of the {len(columns)} columns, not {len(row)}"
            raise InvalidValueError(message)
        return columns, tuple(row)

    return read_tuple


def _refuse_tuple(row: tuple[Any, ...]) -> NoReturn:
    message = f"a row can be a tuple only when columns= says what its {len(row)} values stand for"
    raise InvalidValueError(message)


def _fields_of(kind: type) -> Columns | None:
    """Return the fields that a dataclass, pydantic, attrs or msgspec class declares; None for any other class."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    attrs = getattr(kind, "__attrs_attrs__", None)
    if isinstance(attrs, tuple):
        return tuple(attribute.name for attribute in attrs)
    struct = getattr(kind, "__struct_fields__", None)
    if isinstance(struct, tuple):
        return struct
    # The names under which pydantic keeps its fields: 2.10 and later, 2.0 and later, 1.
    for attribute in ("__pydantic_fields__", "model_fields", "__fields__"):
        fields = getattr(kind, attribute, None)
        if isinstance(fields, dict):
            return tuple(name for name, field in fields.items() if not getattr(field, "exclude", None))
    return None


def _object_extractor(kind: type, fields: Columns, columns: Columns | None) -> Extractor:
    """Return what reads the attributes of an object: those in ``columns``, or all its fields."""
    wanted = fields if columns is None else columns
    if not wanted:
        return lambda _: ((), ())
    take = _many(operator.attrgetter, wanted)

    def read_object(row: Any) -> Reading:
        try:
            values = take(row)
        except AttributeError:
            return _read_attributes(row, wanted, fields)
        extra = getattr(row, "__pydantic_extra__", None) if columns is None else None
        if extra:
            return (*wanted, *extra), (*values, *extra.values())
        return wanted, values

    return read_object


def _read_attributes(row: Any, wanted: Columns, fields: Columns) -> Reading:
    """Read the attributes one by one: a declared field that was never set is a column that the row leaves out."""
    held = {}
    for name in wanted:
        try:
            held[name] = getattr(row, name)
        except AttributeError:
            if name not in fields:
                message = f"a row of type {_name(type(row))} has no attribute {name!r}, which columns= asks for"
                raise InvalidValueError(message, column_name=name) from None
    return tuple(held), tuple(held.values())


def _many(getter: Any, names: Sequence[str]) -> Callable[[Any], Values]:
    """Return ``attrgetter`` or ``itemgetter`` of these names, giving a tuple also for a single one."""
    get = getter(*names)
    if len(names) > 1:
        return get  # type: ignore[no-any-return]
    return lambda row: (get(row),)


# --- SQLAlchemy ORM instances -------------------------------------------------------------------------------------


def _mapper_of(kind: type) -> Any:
    """Return the ORM mapper of a class, or None; without SQLAlchemy loaded, nothing can be mapped by it."""
    sqlalchemy = sys.modules.get("sqlalchemy")
    if sqlalchemy is None or not hasattr(kind, "_sa_class_manager"):
        return None
    return sqlalchemy.inspect(kind, raiseerr=False)


def _orm_extractor(mapper: Any, columns: Columns | None) -> Extractor:
    """Return what reads the attributes that an instance has loaded or set, and never makes it load one."""
    attributes = _attributes_by_column(mapper)
    if columns is not None:
        missing = [name for name in columns if name not in attributes]
        if missing:
            message = f"{_name(mapper.class_)} maps no column {missing[0]!r}, which columns= asks for"
            raise InvalidValueError(message, column_name=missing[0])
        attributes = {name: attributes[name] for name in columns}
    names = tuple(attributes)
    take = _many(operator.itemgetter, tuple(attributes.values()))
    generated = {column.name for column in mapper.primary_key}

    def read_instance(row: Any) -> Reading:
        # The instance's own dictionary: asking for an expired or deferred attribute would send a SELECT from here.
        loaded = row._sa_instance_state.dict
        try:
            values = take(loaded)
        except KeyError:
            values = (None,)
        if None not in values:
            return names, values
        held = {
            name: loaded[attribute]
            for name, attribute in attributes.items()
            # As in a session: a primary key that is None is one that the database will generate.
            if attribute in loaded and not (loaded[attribute] is None and name in generated)
        }
        return tuple(held), tuple(held.values())

    return read_instance


def _attributes_by_column(mapper: Any) -> dict[str, str]:
    """Return the attribute that holds each column of the class's own table."""
    table = mapper.local_table
    return {
        column.name: attribute.key
        for attribute in mapper.column_attrs
        for column in attribute.columns
        if table.c.contains_column(column)
    }


# --- a value that nobody can change any more ----------------------------------------------------------------------

# Types whose values cannot change. It grows by the types in _LATE_IMMUTABLE as they are met, so that nothing is
# imported for their sake; it never shrinks.
_IMMUTABLE: set[type] = {type(None), bool, int, float, complex, str, bytes, range}

_LATE_IMMUTABLE = {
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "ipaddress": ("IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network"),
    "uuid": ("UUID",),
    "asyncpg.pgproto.pgproto": ("UUID",),
}


def _taken(column: str, value: Any) -> Any:
    """Return a value, or a copy of it where somebody else could still change it."""
    if type(value) in _IMMUTABLE or _is_immutable_type(type(value)):
        return value
    try:
        return _frozen(value)
    except Exception as error:
        message = f"the value of {column}, of type {_name(type(value))}, cannot be copied"
        raise InvalidValueError(message, column_name=column) from error


def _is_immutable_type(kind: type) -> bool:
    """Whether values of a type not met before are immutable; if so, it is not asked again."""
    names = _LATE_IMMUTABLE.get(kind.__module__, ())
    is_known = kind.__name__ in names and getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind
    if is_known:
        _IMMUTABLE.add(kind)
    return is_known


def _frozen(value: Any) -> Any:
    if isinstance(value, bytearray | memoryview):
        # A read-only memoryview hashes, but may look into a bytearray that changes.
        return bytes(value)
    kind = type(value)
    if kind is dict:
        return {key: item if type(item) in _IMMUTABLE else _frozen(item) for key, item in value.items()}
    if kind is list:
        return [item if type(item) in _IMMUTABLE else _frozen(item) for item in value]
    if _is_hashable(value):
        return value
    return copy.deepcopy(value)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_left_out(value: Any) -> bool:
    """Whether a value is msgspec's or pydantic's way of saying that there is none."""
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and value is msgspec.UNSET


# --- keys ---------------------------------------------------------------------------------------------------------


def _key_values(key: Any, columns: Columns) -> Values:
    if isinstance(key, Mapping):
        _require_columns(tuple(key), columns)
        return tuple(key[column] for column in columns)
    if isinstance(key, tuple):
        fields = getattr(key, "_fields", None)
        if fields is not None:
            _require_columns(fields, columns)
            return tuple(getattr(key, column) for column in columns)
        if len(key) != len(columns):
            message = f"a key as a tuple must have one value for each of ({', '.join(columns)}), not {len(key)} values"
            raise InvalidValueError(message)
        return tuple(key)
    if len(columns) == 1 and not isinstance(key, list | set | frozenset | type):
        return (key,)
    scalar = "a single value" if len(columns) == 1 else "a tuple in this order"
    message = f"a key must be a mapping of ({', '.join(columns)}) or {scalar}, not {_name(type(key))}"
    raise InvalidValueError(message)


def _require_columns(names: Iterable[Any], columns: Columns) -> None:
    if set(names) != set(columns):
        message = f"a key must name exactly the columns ({', '.join(columns)})"
        raise InvalidValueError(message)

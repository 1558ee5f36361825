"""What a caller hands in, read into columns and values: rows of any kind, and the keys of rows to delete.

A row is taken at the call: what is read shares nothing with the caller's object that anybody could still change.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bulkwriter.compiled import CompiledReader, can_compile
from bulkwriter.errors import BulkWriterError, InvalidValueError, MisconfigurationError
from bulkwriter.row_kinds import MAX_CACHED, Columns, Extractor, Reading, Values, extractor_for, many
from bulkwriter.runs import Run, size_if_immutable
from bulkwriter.sizes import column_size, measure_of, row_size
from bulkwriter.snapshots import IMMUTABLE, LEFT_OUT, taken, type_name

if TYPE_CHECKING:
    from bulkwriter.compiled import By

# As many sets of columns are worth a reader of their own; rows of further ones are read in the general way.
_MOST_COMPILED = 32
# A reader is taught again by the row at hand once so many more rows have been read in the general way: twice as many
# each time, up to the last number, so that rows which differ all the time do not cost more than that way does.
_FIRST_LESSON = 2
_LAST_LESSON = 1000


class RowReader:
    """Takes columns and values from rows of any kind; what reads a row type is made once, and kept.

    A row is a mapping; a dataclass, pydantic, attrs or msgspec object; a named tuple; a SQLAlchemy ORM instance; a
    record with ``keys()``, such as a ``sqlite3.Row``; or a plain tuple, when ``columns`` is given.

    Args:
        columns: The columns that a plain tuple stands for, to which objects are cut, and beyond which a mapping may
            not go; ``None`` takes every column that a row has.

    Raises:
        MisconfigurationError: ``columns`` is empty, names a column twice, or holds something that is not a name.
    """

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self.columns: Columns | None = None if columns is None else _checked_columns(columns)
        self._extractors: dict[type, Extractor] = {}
        # The names of a row as they came, str subclasses and all -> the one tuple of str that stands for them.
        self._known: dict[tuple[Any, ...], Columns] = {}
        # How a dict of this many columns is read, or None once two sets of as many columns have been met.
        self._by_length: dict[int, tuple[Columns, Callable[[Any], Values]] | None] = {}
        # The same for the types whose instances all have the same columns.
        self._by_type: dict[type, tuple[Columns, Callable[[Any], Values]]] = {}
        # What reads rows of a type and certain columns quickest.
        self._compiled: dict[tuple[type, Columns], CompiledReader] = {}
        self._until_lesson = self._next_lesson = _FIRST_LESSON
        # Does what read_sized does, in half of the time if the row is like those before. It is replaced as the reader
        # learns: to be looked up anew for each row.
        self.quick: Callable[[Any], tuple[Columns, Values, int]] = self.read_sized
        # How a row is measured whose values are of these types, all of them immutable; None is value by value.
        self._measures: dict[tuple[type, ...], tuple[int, tuple[int, ...] | None]] = {}

    def read(self, row: Any) -> Reading:
        """Return the columns and the values that a row holds now, in whichever order is cheapest.

        A column that the row leaves out is not among them. The same columns in the same order are the same object.

        Raises:
            InvalidValueError: It is no row, has no columns, lacks an attribute that ``columns`` names, or its own code
                failed. The message names types and columns, never a value.
            MisconfigurationError: It has a column that is not one of ``columns``.
        """
        return self.quick(row)[:2]

    def read_sized(self, row: Any) -> tuple[Columns, Values, int]:
        """Do the same, and return also the bytes that the row counts: less than ``row_size`` takes besides."""
        kind = type(row)
        known = self._by_length.get(len(row)) if kind is dict else self._by_type.get(kind)
        if known is None:
            columns, values = self._read_apart(kind, row)
        else:
            columns, take = known
            try:
                values = take(row)
            except Exception:  # noqa: BLE001 - the careful way finds out what is wrong, or that nothing is
                columns, values = self._read_apart(kind, row)
        # The types of the values, asked for once, tell both that nobody can change them and how they are measured.
        measure = self._measures.get(tuple(map(type, values)))
        if known is not None or kind is dict or kind is tuple:
            self._until_lesson -= 1
            if not self._until_lesson:
                self._learn(kind, columns, values)
        if measure is None:
            return self._read_closely(kind, columns, values)
        size, sized = measure
        if sized is None:
            return columns, values, row_size(values)
        for place in sized:
            size += len(values[place])
        return columns, values, size

    def read_run(self, rows: Sequence[Any], *, is_measured: bool = True) -> Run | None:
        """Read rows that are all alike, for less than ``read`` costs for each.

        Args:
            rows: The rows.
            is_measured: Whether their size is asked for, which takes as long as reading them.

        Returns:
            The rows; or None if they differ in type or columns, are of a type that can only be read one by one, or if
            one of them cannot be read: then ``read`` tells which.
        """
        if len(set(map(type, rows))) != 1:
            return None
        try:
            alike = self._alike(rows)
            if alike is None:
                return None
            columns, take = alike
            values = list(rows) if take is None else list(map(take, rows))
        except Exception:  # noqa: BLE001 - read() says what is wrong, of the row concerned alone
            return None
        if not is_measured:
            is_immutable = IMMUTABLE.issuperset(map(type, itertools.chain.from_iterable(values)))
            return Run(columns, values, None) if is_immutable else _snapshot_run(columns, values, is_measured=False)
        size = size_if_immutable(values, len(columns))
        return _snapshot_run(columns, values) if size is None else Run(columns, values, size)

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
        if len(key_columns) == 1 and key is not None and type(key) in IMMUTABLE:
            return (key,)
        if not key_columns:
            message = "rows can be deleted by key only where there is one: a primary key, or conflict_columns="
            raise MisconfigurationError(message)
        try:
            values = _key_values(key, key_columns)
        except InvalidValueError:
            raise
        except Exception as error:
            message = f"reading a key of type {type_name(type(key))} failed with {type_name(type(error))}"
            raise InvalidValueError(message) from error
        values = tuple(map(taken, key_columns, values))
        for column, value in zip(key_columns, values, strict=True):
            if value is None or value is LEFT_OUT:
                message = f"a key must have a value in each of its columns; there is none in {column!r}"
                raise InvalidValueError(message, column_name=column)
        return values

    def _learn(self, kind: type, columns: Columns, values: Values) -> None:
        """Let the next rows be read quickly that are like this one."""
        self._next_lesson = min(2 * self._next_lesson, _LAST_LESSON)
        self._until_lesson = self._next_lesson
        compiled = self._compiled.get((kind, columns))
        if compiled is None:
            by = self._found_by(kind, columns)
            if by is None or len(self._compiled) >= _MOST_COMPILED or not can_compile(by, columns):
                return
            compiled = self._compiled[kind, columns] = CompiledReader(kind, by, columns, self.read_sized)
        compiled.learn(values)
        self.quick = compiled.read

    def _found_by(self, kind: type, columns: Columns) -> By | None:
        """Return how the values of these columns are found in rows of a type; None if not in all of them alike."""
        if kind is dict:
            return "key"
        if kind is tuple:
            return "place"
        known, take = self._by_type.get(kind, (None, None))
        if known is not columns:
            # An object without one of its attributes.
            return None
        return "place" if take is tuple else "attribute"

    def _read_closely(self, kind: type, columns: Columns, values: Values) -> tuple[Columns, Values, int]:
        """Take a row whose types are met for the first time, or are to be looked at value by value."""
        if not IMMUTABLE.issuperset(map(type, values)):
            columns, values = self._snapshot(kind, columns, values)
        size = row_size(values)
        kinds = tuple(map(type, values))
        if IMMUTABLE.issuperset(kinds):
            if len(self._measures) >= MAX_CACHED:
                self._measures.clear()
            self._measures[kinds] = measure_of(kinds) or (0, None)
        return columns, values, size

    def _read_apart(self, kind: type, row: Any) -> Reading:
        """Read a row by itself, and say what is wrong with it."""
        try:
            if kind is dict:
                return self._read_dict(row)
            return (self._extractors.get(kind) or self._extractor_for(kind)).read(row)
        except BulkWriterError:
            raise
        except Exception as error:
            message = f"reading a row of type {type_name(kind)} failed with {type_name(type(error))}"
            raise InvalidValueError(message) from error

    def _read_dict(self, row: dict[Any, Any]) -> Reading:
        columns = self._columns_of(dict, tuple(row))
        length = len(columns)
        if length in self._by_length:
            # Rows of as many columns, but others: from here on they are told apart by their names. Trying the wrong
            # columns first would cost each of them an exception, several times as much.
            self._by_length[length] = None
        elif len(self._by_length) < MAX_CACHED:
            self._by_length[length] = (columns, many(operator.itemgetter, columns))
        return columns, tuple(row.values())

    def _alike(self, rows: Sequence[Any]) -> tuple[Columns, Callable[[Any], Values] | None] | None:
        """Return columns and getter (None for what is read already) of rows of one type.

        None altogether if they differ, or can only be read one by one.
        """
        kind = type(rows[0])
        if kind is dict or kind is tuple:
            columns = self.columns if kind is tuple else self._columns_of(dict, tuple(rows[0]))
            if columns is None or set(map(len, rows)) != {len(columns)}:
                return None
            return columns, (None if kind is tuple else many(operator.itemgetter, columns))
        if kind not in self._extractors:
            self._extractor_for(kind)
        return self._by_type.get(kind)

    def _extractor_for(self, kind: type) -> Extractor:
        extractor = extractor_for(kind, self.columns, self._columns_of)
        if len(self._extractors) >= MAX_CACHED:
            self._extractors.clear()
            self._by_type.clear()
        self._extractors[kind] = extractor
        if extractor.columns is not None and extractor.take is not None:
            self._by_type[kind] = (extractor.columns, extractor.take)
        return extractor

    def _columns_of(self, kind: type, names: tuple[Any, ...]) -> Columns:
        """Return the one tuple that stands for these names, having checked them when they were first met."""
        columns = self._known.get(names)
        if columns is None:
            columns = _checked_names(kind, names, self.columns)
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[columns] = columns
        return columns

    def _snapshot(self, kind: type, columns: Columns, values: Values) -> Reading:
        """Copy what could be changed, and drop what stands for no value."""
        held = tuple(map(taken, columns, values))
        if not any(value is LEFT_OUT for value in held):
            return columns, held
        kept = {name: value for name, value in zip(columns, held, strict=True) if value is not LEFT_OUT}
        return self._columns_of(kind, tuple(kept)), tuple(kept.values())


def _snapshot_run(columns: Columns, rows: list[Values], *, is_measured: bool = True) -> Run | None:
    """Copy what could be changed, column by column; None where a value stands for no value."""
    by_column: list[Sequence[Any]] = []
    # Measured here, while a few rows are looked at anyhow: those of a whole batch at once would hold the loop.
    size = 0
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        try:
            held = values if IMMUTABLE.issuperset(map(type, values)) else [taken(name, value) for value in values]
        except InvalidValueError:
            return None
        if held is not values and any(value is LEFT_OUT for value in held):
            return None
        size += column_size(held, set(map(type, held))) if is_measured else 0
        by_column.append(held)
    return Run(columns, list(zip(*by_column, strict=True)), size if is_measured else None)


def _checked_columns(columns: Sequence[str]) -> Columns:
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        message = "columns must be a sequence of column names"
        raise MisconfigurationError(message)
    names = tuple(map(str.__str__, columns))
    if not names or len(set(names)) < len(names):
        message = f"columns must name at least one column, and each only once, not {names!r}"
        raise MisconfigurationError(message)
    return names


def _checked_names(kind: type, names: tuple[Any, ...], allowed: Columns | None) -> Columns:
    """Return the names as plain strings."""
    if not names:
        message = f"a row must have at least one column; this one of type {type_name(kind)} has none"
        raise InvalidValueError(message)
    for name in names:
        if not isinstance(name, str):
            message = f"a column's name must be a str, not {type_name(type(name))}"
            raise InvalidValueError(message)
    # str() of an enumeration's member would be "Column.ID".
    columns = tuple(map(str.__str__, names))
    if len(set(columns)) < len(columns):
        message = f"a row must have each column once; this one of type {type_name(kind)} has one twice"
        raise InvalidValueError(message)
    foreign = [name for name in columns if allowed is not None and name not in allowed]
    if foreign:
        message = f"a row must keep to columns=; this one of type {type_name(kind)} also has {foreign[0]!r}"
        raise MisconfigurationError(message)
    return columns


def _key_values(key: Any, columns: Columns) -> Values:
    listed = ", ".join(columns)
    if isinstance(key, Mapping):
        _require_exactly(columns, tuple(key))
        return tuple([key[column] for column in columns])
    if isinstance(key, tuple):
        fields = getattr(key, "_fields", None)
        if fields is not None:
            _require_exactly(columns, fields)
            return tuple([getattr(key, column) for column in columns])
        if len(key) != len(columns):
            message = f"a key as a tuple must have one value for each of ({listed}), not {len(key)} values"
            raise InvalidValueError(message)
        return key
    if len(columns) == 1 and not isinstance(key, list | set | frozenset | type):
        return (key,)
    wanted = f"the value of {listed}" if len(columns) == 1 else f"a tuple of ({listed})"
    message = f"a key must be {wanted}, or a mapping, not {type_name(type(key))}"
    raise InvalidValueError(message)


def _require_exactly(columns: Columns, names: Iterable[Any]) -> None:
    if set(names) != set(columns):
        message = f"a key must have exactly the columns ({', '.join(columns)})"
        raise InvalidValueError(message)

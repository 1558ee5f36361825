"""From a row's values to the piece of a request that writes it: checked, keyed and encoded in one pass at the door."""

from __future__ import annotations

import itertools
import json
import operator
import os
from json.encoder import encode_basestring as quoted
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.dynamodb.encoding import ENCODERS, BadValueError, checked_name, encode_other
from bulkwriter.backends.dynamodb.keys import checked_key
from bulkwriter.backends.dynamodb.shapes import check_integers, kind_of, shape_of
from bulkwriter.backends.dynamodb.sizes import LARGEST, UNIT, item_size
from bulkwriter.contract import Plan
from bulkwriter.errors import InvalidValueError, NotNullViolationError, RowRejectedError, RowTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from bulkwriter.backends.dynamodb.target import KeyAttribute, Table
    from bulkwriter.contract import Operation

    _Template: TypeAlias = tuple[str, tuple[Callable[[Any], str], ...], tuple[int, ...]]

_WRAPPED: Final = {"insert": ('{"PutRequest":{"Item":', "}}"), "delete": ('{"DeleteRequest":{"Key":', "}}")}
_HEADS: Final = {operation: len(head) for operation, (head, _) in _WRAPPED.items()}
_TAIL: Final = 2

_MOST_TEMPLATES: Final = 1000
"""Rows of ever new types must not fill the memory."""


class Row:
    """One put or delete.

    Attributes:
        plan: What it is made by.
        values: The values that the caller gave.
        request: Its piece of a ``BatchWriteItem``.
        key: Its key.
    """

    __slots__ = ("key", "plan", "request", "values")

    def __init__(self, plan: RowPlan, values: tuple[Any, ...], request: bytes, key: Hashable) -> None:
        self.plan: RowPlan = plan
        self.values: tuple[Any, ...] = values
        self.request: bytes = request
        self.key: Hashable = key

    @property
    def is_delete(self) -> bool:
        """Whether it is a delete."""
        return self.plan.operation == "delete"

    @property
    def item(self) -> bytes:
        """The item, or for a delete the key, as DynamoDB's JSON."""
        return self.request[_HEADS[self.plan.operation] : -_TAIL]

    @property
    def units(self) -> int:
        """The units of write capacity that it takes at most: JSON is never shorter than DynamoDB's own count."""
        return -(-len(self.request) // UNIT)


class RowPlan(Plan):
    """Makes rows of one set of columns. Rows know what they are, so those of all plans share batches.

    Args:
        operation: Put or delete.
        columns: The columns of the values.
        lane: What all plans share.
        table: The target.
        write_token: The attribute in which each item gets a mark of its own.
    """

    __slots__ = ("_indexed", "_keys", "_missing", "_table", "_templates", "_token")

    def __init__(
        self, operation: Operation, columns: tuple[str, ...], lane: Plan, table: Table, write_token: str | None = None
    ) -> None:
        super().__init__(operation, columns, lane)
        self._table = table
        self._token = None if operation == "delete" else write_token
        self._missing = next((name for name in table.key_names if name not in columns), None)
        self._keys: tuple[tuple[int, KeyAttribute], ...] = ()
        if self._missing is None:
            self._keys = tuple((columns.index(attribute.name), attribute) for attribute in table.key)
        self._indexed = tuple(
            (place, table.indexed[name]) for place, name in enumerate(columns) if name in table.indexed
        )
        self._templates: dict[tuple[type, ...], _Template] = {}

    def row(self, values: tuple[Any, ...]) -> Row:
        """Return the row that writes these values.

        Raises:
            RowRejectedError: It cannot be stored.
        """
        if self._missing is not None:
            message = f"table {self._table.name}: the item has no {self._missing}, which is part of the key"
            raise NotNullViolationError(message, column_name=self._missing)
        kinds = tuple(map(type, values))
        template, encoders, integers = self._template_of(kinds)
        try:
            texts = list(map(operator.call, encoders, values))
            if integers:
                check_integers(integers, values, texts)
            keys = [checked_key(attribute, values[place]) for place, attribute in self._keys]
            for place, attribute in self._indexed:
                checked_key(attribute, values[place])
            if self._token is not None:
                texts.append(os.urandom(16).hex())
            request = (template % tuple(texts)).encode()
        except (BadValueError, ValueError):
            raise self._why_not(values) from None
        row = Row(self, values, request, keys[0] if len(keys) == 1 else tuple(keys))
        # JSON is never shorter than the item, so that those that may be too large are few.
        if len(request) > LARGEST and (size := item_size(json.loads(row.item))) > LARGEST:
            message = f"table {self._table.name}: the item has {size:,} bytes, and DynamoDB takes {LARGEST:,}"
            raise RowTooLargeError(message)
        return row

    def rows(self, rows: Sequence[tuple[Any, ...]]) -> list[Row]:
        """Return the rows that write these values: column by column, which takes a quarter less than row by row.

        Raises:
            Exception: One of them cannot be stored. ``row`` tells which, and why.
        """
        columns = list(zip(*rows, strict=True))
        template, encoders, integers = self._template_of(tuple(map(kind_of, columns)))
        texts = [list(map(encode, values)) for encode, values in zip(encoders, columns, strict=True)]
        for place in integers:
            check_integers(range(len(rows)), columns[place], texts[place])
        keys = [[checked_key(attribute, value) for value in columns[place]] for place, attribute in self._keys]
        for place, attribute in self._indexed:
            for value in columns[place]:
                checked_key(attribute, value)
        if self._token is not None:
            texts.append([os.urandom(16).hex() for _ in rows])
        requests = [(template % row).encode() for row in zip(*texts, strict=True)]
        if self._missing is not None or max(map(len, requests)) > LARGEST:
            return list(map(self.row, rows))
        of_rows: Iterable[Hashable] = keys[0] if len(keys) == 1 else zip(*keys, strict=True)
        return list(map(Row, itertools.repeat(self), rows, requests, of_rows))

    def mapping(self, values: tuple[Any, ...]) -> Mapping[str, Any]:
        """Return the values column by column."""
        return dict(zip(self.columns, values, strict=True))

    def _template_of(self, kinds: tuple[type, ...]) -> _Template:
        """Return the text of a row of these types, what makes its parts, and where its integers are."""
        known = self._templates.get(kinds)
        if known is not None:
            return known
        shape = shape_of(kinds)
        formats, columns = shape.formats, self.columns
        if self._token is not None:
            formats, columns = (*formats, '{"S":"%s"}'), (*columns, self._token)
        head, tail = _WRAPPED[self.operation]
        names = [f"{quoted(name).replace('%', '%%')}:{text}" for name, text in zip(columns, formats, strict=True)]
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        made = self._templates[kinds] = (f"{head}{{{','.join(names)}}}{tail}", shape.encoders, shape.integers)
        return made

    def _why_not(self, values: tuple[Any, ...]) -> RowRejectedError:
        """Look for the value that cannot be stored, and say where it is."""
        for column, value in zip(self.columns, values, strict=True):
            try:
                checked_name(column)
                ENCODERS.get(type(value), encode_other)(value, 0).encode()
                column.encode()
            except BadValueError as error:
                return self._refused(column, error)
            except UnicodeEncodeError:
                return self._refused(
                    column, BadValueError("must not have a surrogate by itself, which is no character")
                )
        for place, attribute in (*self._keys, *self._indexed):
            try:
                checked_key(attribute, values[place])
            except BadValueError as error:
                return self._refused(attribute.name, error)
        message = f"table {self._table.name}: the item cannot be encoded"
        return InvalidValueError(message)

    def _refused(self, column: str, error: BadValueError) -> InvalidValueError:
        path = column + "".join(reversed(error.path))
        shown = path.encode("ascii", "backslashreplace").decode()
        return InvalidValueError(f"table {self._table.name}: {shown} {error}", column_name=column, detail=path)

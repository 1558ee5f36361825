"""How Python's values are written into SQL, by the kind of the column: strictly, and a whole column at a time.

MySQL makes something of almost everything: 1.5 in an integer column is 2, 'abc' compared with 0 is equal, and a date
with a time zone loses it. So a value that its column would change in silence is refused here, and never sent.
"""

# ruff: noqa: D102 - ``Kind`` says what each of the methods does

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
import ipaddress
import json
import math
import numbers
import uuid
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from bulkwriter.backends.mysql.sql import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NOTHING: Final = type(None)

Encoded: TypeAlias = "tuple[str, Iterable[Any]]"
"""A piece of a template such as ``'%s'``, and what fills it, row by row."""


class UnfitError(Exception):
    """A value that its column cannot hold as it is; the message says what it is, and never which."""


class Kind:
    """Columns of a type that is not known here: text, numbers and bytes, as the server reads them."""

    types: frozenset[type] = frozenset()
    """Types whose values ``quick`` and ``piece`` are right for, all together."""

    piece: str = "%s"

    def encode(self, values: Sequence[Any], *, has_backslashes: bool) -> Encoded:
        """Encode a column.

        Args:
            values: One of each row.
            has_backslashes: Whether a backslash in a literal escapes what follows.

        Raises:
            UnfitError: One of them is unfit.
        """
        types = set(map(type, values))
        if types <= self.types:
            found = self.quick(values, has_backslashes=has_backslashes)
            if found is not None:
                return self.piece, found
        elif types - {_NOTHING} <= self.types:
            given = [value for value in values if value is not None]
            found = self.quick(given, has_backslashes=has_backslashes)
            if found is not None:
                written = map(self.piece.__mod__, found)
                return "%s", ["NULL" if value is None else next(written) for value in values]
        return "%s", [self.literal(value, has_backslashes=has_backslashes) for value in values]

    def quick(self, values: Sequence[Any], *, has_backslashes: bool) -> Iterable[Any] | None:  # noqa: ARG002
        """Return what fills ``piece`` for values of ``types``; ``None`` if they must be looked at one by one."""
        return values

    def literal(self, value: Any, *, has_backslashes: bool) -> str:
        """Return one value as a literal.

        Raises:
            UnfitError: It is unfit.
        """
        if value is None:
            return "NULL"
        if isinstance(value, enum.Enum):
            return self.literal(value.value, has_backslashes=has_backslashes)
        held = self.canonical(value)
        if isinstance(held, str):
            return f"'{escaped(encodable(held), has_backslashes=has_backslashes)}'"
        if isinstance(held, bytes):
            return f"X'{held.hex()}'"
        return self.written(held)

    def canonical(self, value: Any) -> Any:
        """Return what is stored for a value, equal for two of them if they are stored alike: not ``None``.

        Raises:
            UnfitError: It is unfit.
        """
        for kind in (_INTEGER, _DECIMAL, _BYTES, _TEXT):
            try:
                return kind.canonical(value)
            except UnfitError:
                continue
        message = f"a column of this type takes no {kind_of(value)}"
        raise UnfitError(message)

    def written(self, held: Any) -> str:
        """Return what is no text as it stands in SQL."""
        return format(held, "f") if isinstance(held, decimal.Decimal) else repr(held)


class Integer(Kind):
    """Integers, BIT and YEAR: the server checks their range, and rounds in silence what is none."""

    types: frozenset[type] = frozenset({int, bool})
    # It writes True as 1, and no integer becomes a text of its own on its way into the statement.
    piece: str = "%d"

    def canonical(self, value: Any) -> int:
        # Asking an abstract class takes ten times as long, and keys are read of every row.
        if value.__class__ is int or isinstance(value, numbers.Integral):
            return int(value)
        message = f"an integer column takes no {kind_of(value)}"
        raise UnfitError(message)


class Year(Integer):
    """YEAR, of which MySQL takes those of two digits for others."""

    types: frozenset[type] = frozenset()

    def canonical(self, value: Any) -> int:
        year = super().canonical(value)
        if 0 < year < 100:  # noqa: PLR2004
            message = "a year of two digits would be stored as one of four"
            raise UnfitError(message)
        return year


class Floating(Kind):
    """Floating-point numbers."""

    types: frozenset[type] = frozenset({float})

    def quick(self, values: Sequence[Any], *, has_backslashes: bool) -> Iterable[Any] | None:  # noqa: ARG002
        # A sum is finite only if all of it is; one that is too large for a float has each value looked at, for nothing.
        return values if math.isfinite(sum(values)) else None

    def canonical(self, value: Any) -> float:
        if not isinstance(value, numbers.Real | decimal.Decimal):
            message = f"a column of floating-point numbers takes no {kind_of(value)}"
            raise UnfitError(message)
        try:
            held = float(value)
        except OverflowError:
            held = math.inf
        if not math.isfinite(held):
            message = "a column of floating-point numbers holds neither NaN nor infinity here"
            raise UnfitError(message)
        return held


class Decimal(Kind):
    """Exact numbers."""

    types: frozenset[type] = frozenset({decimal.Decimal})

    def quick(self, values: Sequence[Any], *, has_backslashes: bool) -> Iterable[str] | None:  # noqa: ARG002
        texts = list(map(str, values))
        together = "".join(texts)
        # Neither an exponent, with which MySQL takes a number for a floating-point one, nor NaN, nor infinity.
        return None if any(letter in together for letter in "EeNI") else texts

    def canonical(self, value: Any) -> decimal.Decimal:
        if isinstance(value, numbers.Integral):
            return decimal.Decimal(int(value))
        held = decimal.Decimal(float.__repr__(value)) if isinstance(value, float) else value
        if not isinstance(held, decimal.Decimal):
            message = f"a decimal column takes no {kind_of(value)}"
            raise UnfitError(message)
        if not held.is_finite():
            message = "a decimal column holds neither NaN nor infinity"
            raise UnfitError(message)
        if not -_MOST_DIGITS < held.adjusted() < _MOST_DIGITS:
            message = "a decimal column does not hold numbers that large, or that small"
            raise UnfitError(message)
        return held


_MOST_DIGITS: Final = 200


class Text(Kind):
    """Text, ENUM and SET, and MariaDB's UUID and addresses."""

    types: frozenset[type] = frozenset({str})
    piece: str = "'%s'"

    def quick(self, values: Sequence[Any], *, has_backslashes: bool) -> Iterable[str] | None:
        together = "".join(values)
        if "'" in together or (has_backslashes and "\\" in together):
            return map(functools.partial(escaped, has_backslashes=has_backslashes), values)
        return values

    def canonical(self, value: Any) -> str:
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, uuid.UUID | ipaddress._IPAddressBase):  # noqa: SLF001 - the one base of all six classes
            return str(value)
        message = f"a text column takes no {kind_of(value)}"
        raise UnfitError(message)


class Bytes(Kind):
    """Bytes; a UUID is its sixteen."""

    types: frozenset[type] = frozenset({bytes})
    piece: str = "X'%s'"

    def quick(self, values: Sequence[Any], *, has_backslashes: bool) -> Iterable[str] | None:  # noqa: ARG002
        return map(bytes.hex, values)

    def canonical(self, value: Any) -> bytes:
        if isinstance(value, uuid.UUID):
            return value.bytes
        if not isinstance(value, bytes | bytearray | memoryview):
            message = f"a binary column takes no {kind_of(value)}"
            raise UnfitError(message)
        return bytes(value)


class Bits(Integer):
    """BIT: integers, or bytes."""

    def canonical(self, value: Any) -> Any:
        is_bytes = isinstance(value, bytes | bytearray | memoryview)
        return _BYTES.canonical(value) if is_bytes else super().canonical(value)


class Json(Kind):
    """JSON: text as it is, anything else by ``json.dumps``."""

    types: frozenset[type] = frozenset({dict, list})
    piece: str = "'%s'"

    def quick(self, values: Sequence[Any], *, has_backslashes: bool) -> Iterable[str] | None:
        return _TEXT.quick(list(map(dumps, values)), has_backslashes=has_backslashes)

    def canonical(self, value: Any) -> str:
        return str.__str__(value) if isinstance(value, str) else dumps(value)


class Date(Kind):
    """Days."""

    types: frozenset[type] = frozenset({dt.date})
    piece: str = "'%s'"

    def quick(self, values: Sequence[Any], *, has_backslashes: bool) -> Iterable[str] | None:  # noqa: ARG002
        # Rows that come together are mostly of the same few days: to look one up takes a fifth of writing it.
        days = set(values)
        if 2 * len(days) > len(values):
            return map(dt.date.isoformat, values)
        texts = {day: day.isoformat() for day in days}
        return map(texts.__getitem__, values)

    def canonical(self, value: Any) -> dt.date:
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            message = f"a date column takes no {kind_of(value)}"
            raise UnfitError(message)
        return value

    def written(self, held: Any) -> str:
        return f"'{held.isoformat()}'"


class DateTime(Kind):
    """DATETIME and TIMESTAMP. What has a time zone is stored as UTC; what has none, as it is."""

    types: frozenset[type] = frozenset({dt.datetime})
    piece: str = "'%s'"

    def quick(self, values: Sequence[Any], *, has_backslashes: bool) -> Iterable[str] | None:  # noqa: ARG002
        zones = {value.tzinfo for value in values}
        if not zones <= {None, dt.UTC}:
            return None
        given = values if zones == {None} else [value.replace(tzinfo=None) for value in values]
        return map(dt.datetime.isoformat, given)

    def canonical(self, value: Any) -> dt.datetime:
        if not isinstance(value, dt.datetime) or value != value:  # noqa: PLR0124 - pandas' NaT, a datetime too
            message = f"a column of dates with time takes no {kind_of(value)}"
            raise UnfitError(message)
        if value.tzinfo is None:
            return value
        try:
            return value.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError:
            message = "in UTC, the value is beyond the years 1 to 9999"
            raise UnfitError(message) from None

    def written(self, held: Any) -> str:
        return f"'{held.isoformat()}'"


class LocalTimestamp(DateTime):
    """TIMESTAMP in a session whose time zone is not UTC: it takes local times, as they are."""

    types: frozenset[type] = frozenset()

    def canonical(self, value: Any) -> dt.datetime:
        if isinstance(value, dt.datetime) and value.tzinfo is not None:
            message = "a TIMESTAMP takes a time zone only where the session's is UTC"
            raise UnfitError(message)
        return super().canonical(value)


class Time(Kind):
    """Times of day, and spans of time of up to 838 hours."""

    def canonical(self, value: Any) -> dt.timedelta:
        if isinstance(value, dt.time) and value.tzinfo is None:
            return dt.timedelta(
                hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
            )
        if not isinstance(value, dt.timedelta) or value != value:  # noqa: PLR0124 - as above
            message = f"a time column takes no {kind_of(value)}, nor a time zone"
            raise UnfitError(message)
        return value

    def written(self, held: Any) -> str:
        size = abs(held)
        seconds = size.days * 86_400 + size.seconds
        sign = "-" if held < dt.timedelta(0) else ""
        return f"'{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{size.microseconds:06d}'"


def encodable(text: str) -> str:
    """Return text, having seen that UTF-8 can hold it.

    Raises:
        UnfitError: It has a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        message = "text with a lone surrogate cannot be stored"
        raise UnfitError(message) from None
    return text


def dumps(value: Any) -> str:
    """Return a value as JSON text.

    Raises:
        UnfitError: It cannot be written as JSON; NaN and infinity cannot either.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        message = f"a {kind_of(value)} cannot be written as JSON"
        raise UnfitError(message) from None


def kind_of(value: object) -> str:
    """Return what a value is, without showing it."""
    return type(value).__qualname__


OTHER: Final[Kind] = Kind()
_INTEGER: Final = Integer()
_DECIMAL: Final = Decimal()
_TEXT: Final = Text()
_BYTES: Final = Bytes()
_FLOATING: Final = Floating()
_DATE_TIME: Final = DateTime()
JSON: Final[Json] = Json()
LOCAL_TIMESTAMP: Final[LocalTimestamp] = LocalTimestamp()

_BY_TYPE: Final[dict[str, Kind]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "integer", "bigint"), _INTEGER),
    **dict.fromkeys(("float", "double", "real"), _FLOATING),
    **dict.fromkeys(("decimal", "numeric"), _DECIMAL),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), _TEXT),
    **dict.fromkeys(("uuid", "inet4", "inet6"), _TEXT),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), _BYTES),
    "year": Year(),
    "bit": Bits(),
    "json": JSON,
    "date": Date(),
    **dict.fromkeys(("datetime", "timestamp"), _DATE_TIME),
    "time": Time(),
}


def kind_for(data_type: str, *, is_json: bool) -> Kind:
    """Return the kind of a column.

    Args:
        data_type: As ``information_schema.COLUMNS.DATA_TYPE`` says.
        is_json: Whether the column is checked to be JSON, as MariaDB's JSON columns are, which are ``longtext``.
    """
    return JSON if is_json else _BY_TYPE.get(data_type.lower(), OTHER)

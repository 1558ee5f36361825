"""Kinds of columns: which Python values each takes, and how they travel, as binary and as text.

A kind is found by the function with which PostgreSQL itself receives the type. Every kind is strict: what a column
would silently change is refused.

====================================  ==============================================================================
``smallint``, ``integer``, ``bigint`` ``int`` and what has ``__index__`` (numpy's); ``bool`` as 1 and 0. Never a float
                                      or ``Decimal``: asyncpg by itself would cut off the fraction.
``real``, ``double precision``        any number, NaN and infinity included; of an ``int`` only what the column holds
                                      exactly, as every one up to 2**53, or 2**24 in a ``real``
``numeric``                           ``Decimal``, ``int``, and ``float`` by its shortest decimal form
``boolean``                           ``bool``
``text`` and its like, enums          ``str``, and ``Enum`` members whose value is one
``bytea``                             ``bytes``, ``bytearray``, ``memoryview``
``uuid``                              ``UUID``, or its text
``date``                              ``date``, but no ``datetime``, whose time would be lost
``timestamp with time zone``          ``datetime`` with a time zone: a naive one would be taken for local time
``timestamp``                         ``datetime`` without one, whose zone would be lost
``time``                              ``time`` without a time zone
``interval``                          ``timedelta``
``json``, ``jsonb``                   ``str`` as JSON text; anything else by ``json.dumps``
``inet``, ``cidr``                    addresses, interfaces and networks of ``ipaddress``, or their text
arrays                                lists and tuples, also nested
ranges                                ``asyncpg.Range`` and what has its attributes, or text
composite types                       a tuple of the fields, a mapping of them, or text
anything else                         ``str`` as PostgreSQL reads the type, ``int``, ``Decimal``; ``dict`` for hstore,
                                      numbers in a list for pgvector's types, ``asyncpg.BitString`` for bit, ``time``
                                      with a time zone for timetz
====================================  ==============================================================================

The largest ``date`` and ``datetime`` are stored as they are, and never as infinity.
"""

# ruff: noqa: D102 - what each method does is said once, in Kind

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import json
import numbers
import operator
import struct
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from bulkwriter.backends.postgres import binary, texts
from bulkwriter.backends.postgres.texts import UnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Kind:
    """How values of one kind of column travel. This one is any type of which nothing is known: as text.

    Attributes:
        parameter: The type whose array carries the values of a column in a parameter.
        has_binary: Whether ``binary`` can be asked.
        fast: What encodes a common value in the generated encoder; ``{v}`` is the value, ``{canonical}`` the method of
            that name. ``None``: call ``binary``.
        is_fixed: For ``fast``: the ``struct`` format and the width in bytes of what it gives; ``None`` for ``bytes``.
        is_text: Whether a common value is text that travels as it is.
        has_array_text: Whether an array of ``parameter`` travels as text: joined here, it takes half of asyncpg's time,
            and no more of the server's. Not where text would be longer, or rounded otherwise.
    """

    parameter: str = "text"
    has_array_text: bool = True
    has_binary: bool = False
    fast: str | None = None
    is_fixed: tuple[str, int] | None = None
    is_text: bool = False

    def canonical(self, value: Any) -> Any:
        """Return the value in the one form that the other methods take.

        Raises:
            UnfitError: No column of this kind can hold it.
        """
        return texts.storable(texts.text_of_other(value))

    def binary(self, value: Any) -> bytes:
        """Return the value as the type's receive function takes it. Only if ``has_binary``.

        Raises:
            UnfitError: No column of this kind can hold it.
        """
        raise NotImplementedError

    def text(self, value: Any) -> str:
        """Return the value as the type's input function takes it.

        Raises:
            UnfitError: No column of this kind can hold it.
        """
        return str(self.canonical(value))

    def all_texts(self, values: list[Any]) -> list[Any] | None:  # noqa: ARG002 - nothing is known of any value here
        """Return what ``text`` makes of each, for less than asking for each; ``None`` if one needs a closer look."""
        return None

    def sent(self, value: Any) -> Any:
        """Return the value as an element of an array of ``parameter``.

        Raises:
            UnfitError: No column of this kind can hold it.
        """
        return self.text(value)

    def are_sent_as_they_are(self, values: list[Any]) -> bool:  # noqa: ARG002 - nothing is known of any value here
        """Whether it is certain that ``sent`` would change none of a column's values."""
        return False

    def all_sent(self, values: list[Any]) -> list[Any] | None:
        """Return what ``sent`` makes of each, for less than asking for each; ``None`` if one needs a closer look."""
        return values if self.are_sent_as_they_are(values) else None


def _all(convert: Callable[[Any], str], values: list[Any]) -> list[Any]:
    """Return the text of each value, and each ``None`` as it is."""
    if None in values:
        return [None if value is None else convert(value) for value in values]
    return list(map(convert, values))


class Integer(Kind):
    """Whole numbers of some bytes."""

    has_binary: bool = True

    def __init__(self, width: int) -> None:
        self.parameter: str = f"int{width}"
        code = {2: "h", 4: "i", 8: "q"}[width]
        self.is_fixed: tuple[str, int] | None = (code, width)
        self.fast: str | None = "{v}"
        self._least = -(1 << (8 * width - 1))
        self._most = -self._least - 1
        self._pack = struct.Struct(f">{code}").pack

    def canonical(self, value: Any) -> int:
        try:
            number = operator.index(value)
        except TypeError:
            message = f"an integer column takes no {texts.kind_of(value)}"
            raise UnfitError(message) from None
        if not self._least <= number <= self._most:
            message = f"the number is out of the range of {self.parameter}"
            raise UnfitError(message)
        return number

    def binary(self, value: Any) -> bytes:
        return self._pack(self.canonical(value))

    def sent(self, value: Any) -> int:
        return self.canonical(value)

    def are_sent_as_they_are(self, values: list[Any]) -> bool:
        if not {int, type(None)}.issuperset(map(type, values)):
            return False
        given = [value for value in values if value is not None] if None in values else values
        return not given or (self._least <= min(given) and max(given) <= self._most)

    def all_texts(self, values: list[Any]) -> list[Any] | None:
        return _all(str, values) if self.are_sent_as_they_are(values) else None


class Floating(Kind):
    """Binary floating-point numbers."""

    has_binary: bool = True

    def __init__(self, width: int) -> None:
        self.parameter: str = f"float{width}"
        # The text of a number half-way between two of them may be on the other side of it.
        self.has_array_text: bool = {4: False, 8: True}[width]
        code = {4: "f", 8: "d"}[width]
        self.is_fixed: tuple[str, int] | None = (code, width)
        # Beside other columns the look at the class is lost in the noise; by itself it is a quarter of a float's cost.
        self.fast: str | None = "({v} if {v}.__class__ is float else {canonical}({v}))"
        self._struct = struct.Struct(f">{code}")

    def canonical(self, value: Any) -> float:
        # By its type: what only says that it is a float has a text of its own.
        if type(value) is float and self.parameter == "float8":
            return value
        if isinstance(value, str | bytes):
            message = f"a floating-point column takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        try:
            number = float(value)
            (stored,) = self._struct.unpack(self._struct.pack(number))
        except (TypeError, ValueError, OverflowError, struct.error):
            message = f"a {texts.kind_of(value)} cannot be stored as {self.parameter}"
            raise UnfitError(message) from None
        # A float is known to be rounded, an integer is not: an identifier would silently become its neighbour.
        if isinstance(value, numbers.Integral) and stored != int(value):
            message = f"the integer has more digits than {self.parameter} keeps: it would be rounded"
            raise UnfitError(message)
        return number

    def binary(self, value: Any) -> bytes:
        return self._struct.pack(self.canonical(value))

    def text(self, value: Any) -> str:
        return repr(self.canonical(value))

    def sent(self, value: Any) -> float:
        return self.canonical(value)

    def are_sent_as_they_are(self, values: list[Any]) -> bool:
        return self.parameter == "float8" and {float, type(None)}.issuperset(map(type, values))

    def all_texts(self, values: list[Any]) -> list[Any] | None:
        return _all(repr, values) if self.are_sent_as_they_are(values) else None


class Boolean(Kind):
    """True and false."""

    parameter: str = "bool"
    has_binary: bool = True
    is_fixed: tuple[str, int] | None = ("?", 1)
    fast: str | None = "({v} if {v}.__class__ is bool else refuse({v}))"

    def canonical(self, value: Any) -> bool:
        if not isinstance(value, bool):
            message = f"a boolean column takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        return value

    def binary(self, value: Any) -> bytes:
        return b"\1" if self.canonical(value) else b"\0"

    def sent(self, value: Any) -> bool:
        return self.canonical(value)

    def are_sent_as_they_are(self, values: list[Any]) -> bool:
        return {bool, type(None)}.issuperset(map(type, values))

    def all_texts(self, values: list[Any]) -> list[Any] | None:
        return _all(str, values) if self.are_sent_as_they_are(values) else None


class Text(Kind):
    """Text, and what PostgreSQL receives as text: varchar, char, citext, xml, enums."""

    has_binary: bool = True
    is_text: bool = True
    fast: str | None = "{v}.encode()"

    def canonical(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            value = value.value
        if not isinstance(value, str):
            message = f"a text column takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        return texts.storable(str.__str__(value))

    def binary(self, value: Any) -> bytes:
        return self.canonical(value).encode()

    def are_sent_as_they_are(self, values: list[Any]) -> bool:
        return texts.are_storable(values)

    def all_texts(self, values: list[Any]) -> list[Any] | None:
        return self.all_sent(values)


_MOST_NAME_BYTES: Final = 63
"""``NAMEDATALEN`` of all but servers that somebody has built otherwise, less the NUL at its end."""


class Name(Text):
    """Names, as the catalogue has them: PostgreSQL cuts off in silence what is too long."""

    is_text: bool = False
    fast: str | None = None

    def canonical(self, value: Any) -> str:
        name = super().canonical(value)
        if len(name.encode()) > _MOST_NAME_BYTES:
            message = f"a name has at most {_MOST_NAME_BYTES} bytes"
            raise UnfitError(message)
        return name

    def are_sent_as_they_are(self, values: list[Any]) -> bool:  # noqa: ARG002 - their length is to be looked at
        return False


class Bytes(Kind):
    """Bytes."""

    parameter: str = "bytea"
    has_array_text: bool = False
    has_binary: bool = True
    fast: str | None = "({v} if {v}.__class__ is bytes else refuse({v}))"

    def canonical(self, value: Any) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            message = f"a bytea column takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        return bytes(value)

    def binary(self, value: Any) -> bytes:
        return self.canonical(value)

    def text(self, value: Any) -> str:
        return "\\x" + self.canonical(value).hex()

    def sent(self, value: Any) -> bytes:
        return self.canonical(value)

    def are_sent_as_they_are(self, values: list[Any]) -> bool:
        return {bytes, type(None)}.issuperset(map(type, values))


class Uuid(Kind):
    """Universally unique identifiers."""

    has_binary: bool = True
    is_fixed: tuple[str, int] | None = ("16s", 16)
    # Of the class that has always 16 of them: struct would cut off in silence what is longer, and fill up the rest.
    # Its own ``bytes`` is a call of Python.
    fast: str | None = "({v} if type({v}) is UUID else {canonical}({v})).int.to_bytes(16)"

    def canonical(self, value: Any) -> uuid.UUID:
        if type(value) is uuid.UUID:
            return value
        try:
            return uuid.UUID(int=value.int) if isinstance(value, uuid.UUID) else uuid.UUID(value)
        except (TypeError, ValueError, AttributeError):
            message = f"a uuid column takes no such {texts.kind_of(value)}"
            raise UnfitError(message) from None

    def binary(self, value: Any) -> bytes:
        return self.canonical(value).bytes

    def all_texts(self, values: list[Any]) -> list[Any] | None:
        return _all(str, values) if {uuid.UUID, type(None)}.issuperset(map(type, values)) else None

    def all_sent(self, values: list[Any]) -> list[Any] | None:
        return self.all_texts(values)


class Date(Kind):
    """Days."""

    has_binary: bool = True
    is_fixed: tuple[str, int] | None = ("i", 4)
    fast: str | None = f"({{v}}.toordinal() - {binary.EPOCH_DAY} if {{v}}.__class__ is date else refuse({{v}}))"

    def canonical(self, value: Any) -> dt.date:
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            message = f"a date column takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        return value

    def binary(self, value: Any) -> bytes:
        return struct.pack(">i", self.canonical(value).toordinal() - binary.EPOCH_DAY)

    def text(self, value: Any) -> str:
        return self.canonical(value).isoformat()

    def all_texts(self, values: list[Any]) -> list[Any] | None:
        return _all(str, values) if {dt.date, type(None)}.issuperset(map(type, values)) else None

    def all_sent(self, values: list[Any]) -> list[Any] | None:
        return self.all_texts(values)


# The numbers stay small for as long as they can: that is quicker.
_MICROSECONDS: Final = "((w := {v} - %s).days * 86400 + w.seconds) * 1000000 + w.microseconds"


_zone_of = operator.attrgetter("tzinfo")


class Moment(Kind):
    """Timestamps with time zone: moments in time."""

    has_binary: bool = True
    is_fixed: tuple[str, int] | None = ("q", 8)
    # A naive datetime cannot be subtracted from one with a time zone, nor the other way round: it is refused for free.
    fast: str | None = _MICROSECONDS % "EPOCH"

    def canonical(self, value: Any) -> dt.datetime:
        if not isinstance(value, dt.datetime) or value != value:  # noqa: PLR0124 - pandas' NaT, a datetime too
            message = f"a column of timestamps with time zone takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        if value.utcoffset() is None:
            message = "a column of timestamps with time zone takes no naive datetime: give it a time zone"
            raise UnfitError(message)
        return value

    def binary(self, value: Any) -> bytes:
        return binary.microseconds(self.canonical(value) - binary.EPOCH)

    def text(self, value: Any) -> str:
        if value.__class__ is dt.datetime and value.tzinfo is dt.UTC:
            return value.isoformat(" ")
        # By way of UTC: PostgreSQL takes no offsets with fractions of seconds, as some of Python's are.
        since = self.canonical(value) - binary.EPOCH
        return (dt.datetime(2000, 1, 1) + since).isoformat(" ") + "+00"  # noqa: DTZ001 - its zone is written behind it

    def all_sent(self, values: list[Any]) -> list[Any] | None:
        is_usual = set(map(type, values)) == {dt.datetime} and set(map(id, map(_zone_of, values))) == {id(dt.UTC)}
        return texts.moments(values) if is_usual else None

    def all_texts(self, values: list[Any]) -> list[Any] | None:
        return self.all_sent(values)


class Timestamp(Kind):
    """Timestamps without time zone."""

    has_binary: bool = True
    is_fixed: tuple[str, int] | None = ("q", 8)
    fast: str | None = _MICROSECONDS % "NAIVE_EPOCH"

    def canonical(self, value: Any) -> dt.datetime:
        if not isinstance(value, dt.datetime) or value != value:  # noqa: PLR0124 - as above
            message = f"a column of timestamps takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        if value.tzinfo is not None:
            message = "a column of timestamps without time zone takes no datetime with one: it would be lost"
            raise UnfitError(message)
        return value

    def binary(self, value: Any) -> bytes:
        return binary.microseconds(self.canonical(value) - binary.NAIVE_EPOCH)

    def text(self, value: Any) -> str:
        return self.canonical(value).isoformat(" ")


class Time(Kind):
    """Times of day."""

    has_binary: bool = True

    def canonical(self, value: Any) -> dt.time:
        if not isinstance(value, dt.time) or value.tzinfo is not None:
            message = f"a column of times takes no {texts.kind_of(value)}, nor a time zone"
            raise UnfitError(message)
        return value

    def binary(self, value: Any) -> bytes:
        time = self.canonical(value)
        return struct.pack(">q", ((time.hour * 60 + time.minute) * 60 + time.second) * 1_000_000 + time.microsecond)

    def text(self, value: Any) -> str:
        return self.canonical(value).isoformat()


class Interval(Kind):
    """Spans of time."""

    has_binary: bool = True

    def canonical(self, value: Any) -> dt.timedelta:
        if not isinstance(value, dt.timedelta) or value != value:  # noqa: PLR0124 - as above
            message = f"an interval column takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        return value

    def binary(self, value: Any) -> bytes:
        span = self.canonical(value)
        return struct.pack(">qii", span.seconds * 1_000_000 + span.microseconds, span.days, 0)

    def text(self, value: Any) -> str:
        # Every sign is written: in one IntervalStyle a sign at the beginning would be every part's.
        span = self.canonical(value)
        return f"{span.days:+d} days {span.seconds:+d}.{span.microseconds:06d} seconds"


class Numeric(Kind):
    """Decimal numbers."""

    has_binary: bool = True
    fast: str | None = "(numeric({v}) if {v}.__class__ is Decimal else refuse({v}))"

    def canonical(self, value: Any) -> decimal.Decimal:
        if isinstance(value, decimal.Decimal):
            return value
        if isinstance(value, numbers.Integral):
            return decimal.Decimal(int(value))
        if isinstance(value, float):
            return decimal.Decimal(float.__repr__(value))
        message = f"a numeric column takes no {texts.kind_of(value)}"
        raise UnfitError(message)

    def binary(self, value: Any) -> bytes:
        return binary.numeric(self.canonical(value))

    def text(self, value: Any) -> str:
        number = self.canonical(value)
        return "NaN" if number.is_nan() else str(number)


class Json(Kind):
    """JSON: text as it is, anything else by ``json.dumps``."""

    has_binary: bool = True
    _prefix: ClassVar[bytes] = b""
    fast: str | None = "({v} if {v}.__class__ is str else dumps({v})).encode()"

    def canonical(self, value: Any) -> str:
        return texts.storable(value if isinstance(value, str) else dumps(value))

    def binary(self, value: Any) -> bytes:
        return self._prefix + self.canonical(value).encode()

    def are_sent_as_they_are(self, values: list[Any]) -> bool:
        return texts.are_storable(values)

    def all_texts(self, values: list[Any]) -> list[Any] | None:
        return self.all_sent(values)


class Jsonb(Json):
    """JSON in PostgreSQL's own form, which is received with the number of a version before it."""

    _prefix: ClassVar[bytes] = b"\1"
    fast: str | None = "b'\\1' + ({v} if {v}.__class__ is str else dumps({v})).encode()"


_FAMILY: Final = {4: 2, 6: 3}
"""By the version of IP: ``PGSQL_AF_INET`` and ``PGSQL_AF_INET6`` in the server's ``inet.h``."""


class Network(Kind):
    """Addresses and networks of IP."""

    has_binary: bool = True

    def __init__(self, *, is_cidr: bool) -> None:
        self._is_cidr = is_cidr
        self._parse: Callable[[Any], Any] = ipaddress.ip_network if is_cidr else ipaddress.ip_interface

    def canonical(self, value: Any) -> Any:
        is_known = isinstance(value, str | ipaddress._IPAddressBase)  # noqa: SLF001 - the one base of all six classes
        try:
            if is_known and getattr(value, "scope_id", None) is None:
                # By their text: an interface given to ip_network, or the other way round, is read as it is written.
                return self._parse(str(value))
        except ValueError:
            pass
        message = f"a column of {'networks' if self._is_cidr else 'addresses'} takes no such {texts.kind_of(value)}"
        raise UnfitError(message)

    def binary(self, value: Any) -> bytes:
        held = self.canonical(value)
        packed: bytes = (held.network_address if self._is_cidr else held).packed
        length = held.prefixlen if self._is_cidr else held.network.prefixlen
        return bytes((_FAMILY[held.version], length, self._is_cidr, len(packed))) + packed

    def text(self, value: Any) -> str:
        return str(self.canonical(value))


class Array(Kind):
    """Arrays of any number of dimensions."""

    def __init__(self, element: Kind, element_oid: int) -> None:
        self._element = element
        self._oid = element_oid
        self.has_binary: bool = element.has_binary

    def canonical(self, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            message = f"an array column takes no {texts.kind_of(value)}: give it a list"
            raise UnfitError(message)
        return value

    def binary(self, value: Any) -> bytes:
        shape, elements = self._flat(self.canonical(value))
        return binary.array(self._oid, shape, [None if v is None else self._element.binary(v) for v in elements])

    def text(self, value: Any) -> str:
        shape, elements = self._flat(self.canonical(value))
        return texts.array(shape, [None if v is None else self._element.text(v) for v in elements])

    def _flat(self, value: Any) -> tuple[list[int], list[Any]]:
        """Return the lengths of the dimensions, and the elements one after the other."""
        shape, level = [len(value)], list(value)
        # In an array of a type that is itself written as a list or tuple, what is in the list is an element.
        nests = not isinstance(self._element, Json | Composite) and type(self._element) is not Kind
        while nests and level and any(isinstance(item, list | tuple) for item in level):
            lengths = {len(item) if isinstance(item, list | tuple) else -1 for item in level}
            if len(lengths) > 1:
                message = "an array's inner lists must be of one length"
                raise UnfitError(message)
            shape.append(lengths.pop())
            level = [inner for item in level for inner in item]
        return (shape, level) if level else ([], [])


class Range(Kind):
    """Ranges: what has the attributes of ``asyncpg.Range``, or text as PostgreSQL reads it."""

    def __init__(self, bound: Kind) -> None:
        self._bound = bound

    def canonical(self, value: Any) -> Any:
        if not isinstance(value, str | texts.RangeLike):
            message = f"a range column takes no {texts.kind_of(value)}"
            raise UnfitError(message)
        return value

    def text(self, value: Any) -> str:
        held = self.canonical(value)
        if isinstance(held, str):
            return texts.storable(held)
        lower, upper = (None if bound is None else self._bound.text(bound) for bound in (held.lower, held.upper))
        return texts.range_of(held, lower, upper)


class Composite(Kind):
    """Composite types: a tuple of all fields, a mapping of them, or text as PostgreSQL reads it."""

    def __init__(self, names: Sequence[str], kinds: Sequence[Kind]) -> None:
        self._names = tuple(names)
        self._kinds = tuple(kinds)

    def canonical(self, value: Any) -> Any:
        if isinstance(value, Mapping) and set(value) == set(self._names):
            return tuple(value[name] for name in self._names)
        if isinstance(value, str) or (isinstance(value, tuple) and len(value) == len(self._names)):
            return value
        message = f"a column of a composite type takes a tuple of its {len(self._names)} fields, or a mapping of them"
        raise UnfitError(message)

    def text(self, value: Any) -> str:
        held = self.canonical(value)
        if isinstance(held, str):
            return texts.storable(held)
        return texts.composite(
            [None if item is None else kind.text(item) for kind, item in zip(self._kinds, held, strict=True)]
        )


def dumps(value: Any) -> str:
    """Return a value as JSON text.

    Raises:
        UnfitError: It cannot be written as JSON; NaN and infinity cannot either.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        message = f"a {texts.kind_of(value)} cannot be written as JSON"
        raise UnfitError(message) from None


OTHER: Final = Kind()

_BY_RECEIVE: Final[dict[str, Kind]] = {
    "int2recv": Integer(2),
    "int4recv": Integer(4),
    "int8recv": Integer(8),
    "float4recv": Floating(4),
    "float8recv": Floating(8),
    "boolrecv": Boolean(),
    **dict.fromkeys(("textrecv", "varcharrecv", "bpcharrecv", "citextrecv", "xml_recv", "enum_recv"), Text()),
    "namerecv": Name(),
    "bytearecv": Bytes(),
    "uuid_recv": Uuid(),
    "date_recv": Date(),
    "timestamptz_recv": Moment(),
    "timestamp_recv": Timestamp(),
    "time_recv": Time(),
    "interval_recv": Interval(),
    "numeric_recv": Numeric(),
    "json_recv": Json(),
    "jsonb_recv": Jsonb(),
    "inet_recv": Network(is_cidr=False),
    "cidr_recv": Network(is_cidr=True),
}


def kind_for(receive: str, element: str = "", element_oid: int = 0) -> Kind:
    """Return the kind of a type.

    Args:
        receive: The name of the type's receive function; of a domain, its base type's.
        element: For an array or a range, the name of its elements' receive function.
        element_oid: For an array, its elements' type.
    """
    if receive == "array_recv" and element:
        return Array(_BY_RECEIVE.get(element, OTHER), element_oid)
    if receive == "range_recv":
        return Range(_BY_RECEIVE.get(element, OTHER))
    return _BY_RECEIVE.get(receive, OTHER)

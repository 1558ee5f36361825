"""Values as DynamoDB's JSON, checked on the way: one pass, since rows are many and the client's time is what is scarce.

========================================================  ====================================================
``str``                                                   ``S``
``int``, ``float``, ``Decimal``                           ``N``; a ``float`` by its shortest digits
``bytes``, ``bytearray``, ``memoryview``, boto3 ``Binary``  ``B``
``bool``; ``None``                                        ``BOOL``; ``NULL``
``set``, ``frozenset``                                    ``SS``, ``NS`` or ``BS``; not empty, and of one kind
``list``, ``tuple``                                       ``L``
a mapping with ``str`` keys                               ``M``
a member of an enumeration                                as its value
========================================================  ====================================================

Anything else is refused, with the path to it: DynamoDB refuses a whole batch for it, and does not say where it is.
"""

from __future__ import annotations

import decimal
import enum
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring as quoted
from typing import Any, Final

from bulkwriter.backends.dynamodb.numbers import BadNumberError, decimal_text, float_text, int_text

DEEPEST: Final = 31
"""Lists and maps that may lie within each other; DynamoDB counts the attribute itself as one level more, 32."""

_EASY: Final = 10**18

_TEXT: Final = {str}
_BETWEEN_TEXTS: Final = '},{"S":'

LONGEST_NAME: Final = 65_535
"""Bytes of an attribute's name."""


class BadValueError(ValueError):
    """A value that no attribute can hold.

    Args:
        why: What it must be.

    Attributes:
        path: The way to it from the attribute that holds it, the last step first.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str] = []


def encode(value: Any, depth: int = 0) -> str:
    """Return a value as DynamoDB's JSON.

    Args:
        value: The value.
        depth: How many lists and maps it lies in.

    Raises:
        BadValueError: It cannot be stored.
    """
    return ENCODERS.get(type(value), encode_other)(value, depth)


def encode_other(value: Any, depth: int) -> str:
    """Return a value whose type is not one of the usual ones.

    Raises:
        BadValueError: It cannot be stored.
    """
    if isinstance(value, enum.Enum):
        return encode(value.value, depth)
    for kind, encoder in _BASES:
        if isinstance(value, kind):
            return encoder(value, depth)
    if is_binary(value):
        return _binary(value.value, depth)
    message = f"must be text, a number, bytes, a bool, None, a set, a list or a mapping, not {type(value).__qualname__}"
    raise BadValueError(message)


def is_binary(value: object) -> bool:
    """Whether it is boto3's own wrapper around bytes."""
    return type(value).__name__ == "Binary" and type(value).__module__ == "boto3.dynamodb.types"


def checked_name(name: object) -> str:
    """Return the name of an attribute, or the key of a map.

    Raises:
        BadValueError: It is none.
    """
    if not isinstance(name, str):
        message = f"must have names that are text, not {type(name).__qualname__}"
        raise BadValueError(message)
    if not name:
        message = "must not have an empty name"
        raise BadValueError(message)
    if len(name) > LONGEST_NAME // 4 and len(name.encode(errors="surrogatepass")) > LONGEST_NAME:
        message = f"must have names of at most {LONGEST_NAME:,} bytes"
        raise BadValueError(message)
    return str.__str__(name)


def _text(value: str, _: int) -> str:
    return f'{{"S":{quoted(value)}}}'


def _int(value: int, _: int) -> str:
    # Nearly every number there is: asked here, it need not be handed on.
    if -_EASY < value < _EASY:
        return f'{{"N":"{value:d}"}}'
    return f'{{"N":"{_digits(int_text, value)}"}}'


def digits_of(value: int) -> str:
    """Return an integer as DynamoDB takes it.

    Raises:
        BadValueError: It does not.
    """
    return _digits(int_text, value)


def _float(value: float, _: int) -> str:
    return f'{{"N":"{_digits(float_text, value)}"}}'


def _decimal(value: decimal.Decimal, _: int) -> str:
    return f'{{"N":"{_digits(decimal_text, value)}"}}'


def _digits(text_of: Callable[[Any], str], number: Any) -> str:
    try:
        return text_of(number)
    except BadNumberError as error:
        raise BadValueError(str(error)) from None


def _bool(value: bool, _: int) -> str:  # noqa: FBT001 - as the others
    return '{"BOOL":true}' if value else '{"BOOL":false}'


def _none(_: None, __: int) -> str:
    return '{"NULL":true}'


def _binary(value: Any, _: int) -> str:
    return f'{{"B":"{_base64(value)}"}}'


def _base64(value: Any) -> str:
    # Of a memoryview, its bytes may lie apart.
    return b2a_base64(bytes(value), newline=False).decode("ascii")


def _list(values: Any, depth: int) -> str:
    _check_depth(depth)
    # Of text alone, as tags are: encoded without a call of Python's for each.
    if type(values) is list and set(map(type, values)) == _TEXT:
        return f'{{"L":[{{"S":{_BETWEEN_TEXTS.join(map(quoted, values))}}}]}}'
    texts: list[str] = []
    try:
        for value in values:
            texts.append(ENCODERS.get(type(value), encode_other)(value, depth + 1))  # noqa: PERF401 - for the path
    except BadValueError as error:
        error.path.append(f"[{len(texts)}]")
        raise
    return f'{{"L":[{",".join(texts)}]}}'


def _map(values: Mapping[Any, Any], depth: int) -> str:
    _check_depth(depth)
    texts: list[str] = []
    for name, value in values.items():
        text = quoted(checked_name(name))
        try:
            texts.append(f"{text}:{ENCODERS.get(type(value), encode_other)(value, depth + 1)}")
        except BadValueError as error:
            error.path.append(f".{name}")
            raise
    return f'{{"M":{{{",".join(texts)}}}}}'


def _check_depth(depth: int) -> None:
    if depth >= DEEPEST:
        message = f"must not have more than {DEEPEST} lists and maps within each other"
        raise BadValueError(message)


def _set(values: Any, _: int) -> str:
    members = [_plain(value) for value in values]
    if not members:
        message = "must not be an empty set"
        raise BadValueError(message)
    kinds = {_kind_of(member) for member in members}
    if len(kinds) > 1:
        message = "must be a set of text, of numbers or of bytes, and of one of them only"
        raise BadValueError(message)
    kind = kinds.pop()
    texts = [_MEMBERS[kind](member) for member in members]
    distinct = {decimal.Decimal(text[1:-1]) for text in texts} if kind == "NS" else set(texts)
    if len(distinct) < len(texts):
        # Python keeps 0.1 and Decimal("0.1") apart, and both are sent as 0.1; so it does with members of enumerations.
        message = "must not be a set that has a value twice"
        raise BadValueError(message)
    return f'{{"{kind}":[{",".join(texts)}]}}'


def _plain(value: Any) -> Any:
    value = value.value if isinstance(value, enum.Enum) else value
    return value.value if is_binary(value) else value


def _kind_of(member: object) -> str:
    if isinstance(member, str):
        return "SS"
    if isinstance(member, int | float | decimal.Decimal) and not isinstance(member, bool):
        return "NS"
    if isinstance(member, bytes | bytearray | memoryview):
        return "BS"
    message = f"must not be a set of {type(member).__qualname__}"
    raise BadValueError(message)


def _number(member: Any) -> str:
    for kind, text_of in ((int, int_text), (float, float_text)):
        if isinstance(member, kind):
            return f'"{_digits(text_of, member)}"'
    return f'"{_digits(decimal_text, member)}"'


_MEMBERS: Final[dict[str, Callable[[Any], str]]] = {
    "SS": quoted,
    "NS": _number,
    "BS": lambda member: f'"{_base64(member)}"',
}

Encoder = Callable[[Any, int], str]

ENCODERS: Final[dict[type, Encoder]] = {
    str: _text,
    int: _int,
    float: _float,
    bool: _bool,
    type(None): _none,
    decimal.Decimal: _decimal,
    bytes: _binary,
    dict: _map,
    list: _list,
    tuple: _list,
    set: _set,
    frozenset: _set,
    bytearray: _binary,
    memoryview: _binary,
}
"""What encodes values of exactly these types."""

_BASES: Final[tuple[tuple[type, Encoder], ...]] = (
    (str, _text),
    (int, _int),
    (float, _float),
    (decimal.Decimal, _decimal),
    (bytes, _binary),
    (bytearray, _binary),
    (Mapping, _map),
    (list, _list),
    (tuple, _list),
    (set, _set),
    (frozenset, _set),
)
"""The same for types derived from these; ``bool`` and ``None`` have none."""

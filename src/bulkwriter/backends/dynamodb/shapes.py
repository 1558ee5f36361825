"""How rows of the same types are encoded, found out once: then most values are encoded without a call of Python's."""

from __future__ import annotations

from json.encoder import encode_basestring as quoted
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bulkwriter.backends.dynamodb.encoding import ENCODERS, digits_of, encode, encode_other

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Encode = Callable[[Any], str]

_TRUE: Final = {None: "true"}
_BOOLS: Final = {False: "false", True: "true"}

_PLAIN: Final[dict[type, tuple[str, Encode]]] = {
    str: ('{"S":%s}', quoted),
    int: ('{"N":"%s"}', str),
    bool: ('{"BOOL":%s}', _BOOLS.__getitem__),
    type(None): ('{"NULL":%s}', _TRUE.__getitem__),
}

_LONGEST: Final = 38
"""Letters of an integer that need no second look: DynamoDB takes as many digits."""


class Shape(NamedTuple):
    """What values of certain types have in common.

    Attributes:
        formats: What is written of each, around ``%s``.
        encoders: What makes the text that goes there.
        integers: The places of integers.
    """

    formats: tuple[str, ...]
    encoders: tuple[Encode, ...]
    integers: tuple[int, ...]


class Mixed:
    """Stands for the type of values that are not all of one."""


def kind_of(values: Sequence[Any]) -> type:
    """Return the type that values have in common."""
    kinds = set(map(type, values))
    return kinds.pop() if len(kinds) == 1 else Mixed


def shape_of(kinds: Sequence[type]) -> Shape:
    """Return how values of these types are encoded."""
    parts = [_PLAIN.get(kind) or ("%s", _encoder_of(kind)) for kind in kinds]
    integers = tuple(place for place, kind in enumerate(kinds) if kind is int)
    return Shape(tuple(text for text, _ in parts), tuple(encode for _, encode in parts), integers)


def check_integers(places: Sequence[int], values: Sequence[Any], texts: list[str]) -> None:
    """Write long integers as DynamoDB takes them.

    Raises:
        BadValueError: One of them it does not take.
    """
    for place in places:
        if len(texts[place]) > _LONGEST:
            texts[place] = digits_of(values[place])


def _encoder_of(kind: type) -> Encode:
    if kind is Mixed:
        return encode
    encoder = ENCODERS.get(kind, encode_other)
    return lambda value: encoder(value, 0)

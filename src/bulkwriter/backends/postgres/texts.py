"""Values as the text that PostgreSQL's input functions read."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class UnfitError(ValueError):
    """A value that its column cannot hold. The message says why, without the value: any other error's might hold it."""


@runtime_checkable
class RangeLike(Protocol):
    """What ``asyncpg.Range`` has, and others' ranges too."""

    lower: Any
    upper: Any
    lower_inc: bool
    upper_inc: bool
    isempty: bool


@runtime_checkable
class _Bits(Protocol):
    """What ``asyncpg.BitString`` has."""

    def as_string(self) -> str:
        """Return the bits as digits."""


def kind_of(value: object) -> str:
    """Return the name by which a message calls a value's type."""
    return type(value).__qualname__


def is_storable(text: str) -> bool:
    """Whether it can be text in a database whose encoding is UTF-8: no NUL, and no lone surrogate."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def are_storable(values: list[Any]) -> bool:
    """Whether a column's values are certainly all ``str`` or ``None``, and can be stored as they are."""
    if not {str, type(None)}.issuperset(map(type, values)):
        return False
    return is_storable("".join([value for value in values if value is not None] if None in values else values))


def storable(text: str) -> str:
    """Return the text.

    Raises:
        UnfitError: PostgreSQL cannot hold it.
    """
    if is_storable(text):
        return text
    message = "PostgreSQL's text holds no NUL character" if "\0" in text else "UTF-8 holds no lone surrogate"
    raise UnfitError(message)


def text_of_other(value: Any) -> str:
    """Return a value for a type of which only its name is known, as text that the type's input function may read.

    Raises:
        UnfitError: It is of a type that has no obvious text.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str):
        return value
    if isinstance(value, int | decimal.Decimal) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, dt.time) and value.tzinfo is not None:
        return value.isoformat()
    if isinstance(value, dict):
        return _hstore(value)
    if isinstance(value, list):
        return f"[{','.join(_number(item) for item in value)}]"
    if isinstance(value, _Bits):
        return value.as_string().replace(" ", "")
    message = (
        f"values of type {kind_of(value)} cannot be stored in a column of this type: give the text it is read from"
    )
    raise UnfitError(message)


def moments(values: Sequence[dt.datetime]) -> list[str]:
    """Return moments in UTC as text.

    In half the time of ``isoformat``: many are of the same day, and days have the same minutes.
    """
    days, (minutes, seconds) = _Days(), _clock()
    return [
        f"{days[(since := value - _EPOCH).days]}{minutes[(second := since.seconds) // 60]}{seconds[second % 60]}"
        f"{f'.{since.microseconds:06}' if since.microseconds else ''}Z"
        for value in values
    ]


class _Days(dict[int, str]):
    """Days as text, by how many they are since 2000 began."""

    def __missing__(self, number: int) -> str:
        made = self[number] = (_EPOCH + dt.timedelta(number)).date().isoformat()
        return made


@functools.cache
def _clock() -> tuple[list[str], list[str]]:
    """Return the minutes of a day, and the seconds of a minute, as text."""
    minutes = [f"T{hour:02}:{minute:02}:" for hour in range(24) for minute in range(60)]
    return minutes, [f"{second:02}" for second in range(60)]


def array(shape: Sequence[int], elements: Sequence[str | None]) -> str:
    """Return an array as text.

    Args:
        shape: The lengths of its dimensions; none for an empty array.
        elements: The text of each element, one row after the other; ``None`` for NULL.
    """
    level = ["NULL" if element is None else quoted(element) for element in elements]
    for length in reversed(shape):
        level = [f"{{{','.join(level[start : start + length])}}}" for start in range(0, len(level), length)]
    return level[0] if shape else "{}"


def quoted(text: str) -> str:
    """Return an element of an array, or a field of a composite type, in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _hstore(value: dict[Any, Any]) -> str:
    if not all(isinstance(key, str) and isinstance(item, str | None) for key, item in value.items()):
        message = "an hstore's keys and values must be str or None"
        raise UnfitError(message)
    return ",".join(f"{quoted(key)}=>{'NULL' if item is None else quoted(item)}" for key, item in value.items())


def _number(value: Any) -> str:
    try:
        return repr(float(value))
    except (TypeError, ValueError):
        message = "a list for a type that is no array must hold numbers, as pgvector's types do"
        raise UnfitError(message) from None


def range_of(value: RangeLike, lower: str | None, upper: str | None) -> str:
    """Return a range as text, given the text of its bounds; ``None`` for one that is open."""
    if value.isempty:
        return "empty"
    brackets = "[" if value.lower_inc else "(", "]" if value.upper_inc else ")"
    return f"{brackets[0]}{composite([lower, upper])[1:-1]}{brackets[1]}"


def composite(fields: Sequence[str | None]) -> str:
    """Return a composite value as text, given the text of its fields."""
    return f"({','.join('' if field is None else quoted(field) for field in fields)})"

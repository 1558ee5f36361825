"""What the callers of a batch heard, kept as compact JSON: a repeated batch hears exactly the same."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import ipaddress
import json
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from bulkwriter import errors
from bulkwriter.contract import NotApplied, Uniform
from bulkwriter.errors import MisconfigurationError, NotWrittenError, RowRejectedError
from bulkwriter.results import DELETED, INSERTED, SKIPPED, STORED, SUPERSEDED, UNCHANGED, UPDATED, Outcome, WriteResult

if TYPE_CHECKING:
    from bulkwriter.contract import Reply, Verdict

# One letter for each row. The common results are shared objects: a repeated batch costs no more than the first.
_LETTERS: Final[dict[Outcome, str]] = {
    Outcome.INSERTED: "i",
    Outcome.UPDATED: "u",
    Outcome.STORED: "s",
    Outcome.SKIPPED: "k",
    Outcome.UNCHANGED: "n",
    Outcome.SUPERSEDED: "p",
    Outcome.DELETED: "d",
}
_SHARED: Final[dict[str, WriteResult]] = {
    _LETTERS[result.outcome]: result for result in (INSERTED, UPDATED, STORED, SKIPPED, UNCHANGED, SUPERSEDED, DELETED)
}
_REJECTED: Final = "r"
_NOT_APPLIED: Final = "x"
_ERROR_FIELDS: Final = ("sqlstate", "constraint_name", "column_name", "detail", "backend", "table")


def encode_answers(reply: Reply) -> str:
    """Return a reply as compact JSON, from which ``decode_answers`` makes an equal one.

    Uniform replies are ``{"all":"i","rows":1000}``, others ``{"each":"iirk", "errors":{"2":{…}}, "returned":{…}}``.

    Raises:
        MisconfigurationError: A returned value is of a type that cannot be kept exactly.
        ValueError: A verdict is ``Suspect`` or ``Doubtful``: there is nothing to remember of it.
    """
    if isinstance(reply, Uniform) and isinstance(reply.verdict, WriteResult) and reply.verdict.returned is None:
        # As json.dumps would write it, in a tenth of the time.
        return f'{{"all": "{_LETTERS[reply.verdict.outcome]}", "rows": {reply.rows}}}'
    verdicts = [reply.verdict] * reply.rows if isinstance(reply, Uniform) else reply
    said: dict[str, Any] = {"each": "".join(map(_letter, verdicts))}
    told = {str(n): _error_fields(v) for n, v in enumerate(verdicts) if not isinstance(v, WriteResult)}
    if told:
        said["errors"] = told
    returned = {
        str(n): _encoded(v.returned) for n, v in enumerate(verdicts) if isinstance(v, WriteResult) and v.returned
    }
    if returned:
        said["returned"] = returned
    return json.dumps(said, separators=(",", ":"))


def decode_answers(text: str, rows: int) -> Reply:
    """Return the reply that ``encode_answers`` made text of.

    Args:
        text: The JSON.
        rows: How many rows it is for.

    Raises:
        MisconfigurationError: It is not what this version of the library writes, or is for another number of rows.
    """
    try:
        reply = _decoded_answers(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = "the ledger holds answers that this version of bulkwriter cannot read"
        raise MisconfigurationError(message) from error
    found = reply.rows if isinstance(reply, Uniform) else len(reply)
    if found != rows:
        message = f"the ledger holds {found} answers for a batch of {rows} rows"
        raise MisconfigurationError(message)
    return reply


def _decoded_answers(said: Mapping[str, Any]) -> Reply:
    if "all" in said:
        return Uniform(_SHARED[said["all"]], int(said["rows"]))
    errors_said, returned = said.get("errors", {}), said.get("returned", {})
    verdicts: list[Verdict] = []
    for number, letter in enumerate(said["each"]):
        if letter in {_REJECTED, _NOT_APPLIED}:
            verdicts.append(_error(letter, errors_said[str(number)]))
        elif str(number) in returned:
            verdicts.append(WriteResult(_SHARED[letter].outcome, _decoded(returned[str(number)])))
        else:
            verdicts.append(_SHARED[letter])
    return verdicts


def _letter(verdict: Verdict) -> str:
    if isinstance(verdict, WriteResult):
        return _LETTERS[verdict.outcome]
    if isinstance(verdict, RowRejectedError):
        return _REJECTED
    if isinstance(verdict, NotApplied):
        return _NOT_APPLIED
    message = f"{type(verdict).__name__} is no final verdict"
    raise ValueError(message)


def _error_fields(verdict: Verdict) -> dict[str, Any]:
    error = verdict.error if isinstance(verdict, NotApplied) else verdict
    fields: dict[str, Any] = {"class": type(error).__name__, "message": str(error)}
    for name in _ERROR_FIELDS:
        value = getattr(error, name, None)
        if value is not None:
            fields[name] = value
    if isinstance(verdict, NotApplied):
        fields |= {"wait": verdict.wait, "retry": verdict.retry}
    return fields


def _error(letter: str, fields: Mapping[str, Any]) -> Verdict:
    kind = getattr(errors, fields["class"])
    message = fields["message"]
    known = {name: fields[name] for name in _ERROR_FIELDS if name in fields}
    if letter == _REJECTED:
        rejected = kind(message, **known)
        if not isinstance(rejected, RowRejectedError):
            raise TypeError
        return rejected
    not_written = kind(message, **known)
    if not isinstance(not_written, NotWrittenError):
        raise TypeError
    return NotApplied(not_written, wait=fields["wait"], retry=fields["retry"])


# -- returned values, exactly as they were: JSON has too few types

_TAG: Final = "$"
_AS_TEXT: Final[dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]]] = {
    "bytes": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "datetime": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "time": (dt.time, dt.time.isoformat, dt.time.fromisoformat),
    "timedelta": (
        dt.timedelta,
        lambda value: f"{value.days} {value.seconds} {value.microseconds}",
        lambda text: dt.timedelta(*map(int, text.split())),
    ),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
    **{
        kind.__name__: (kind, str, kind)
        for kind in (
            ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
            ipaddress.IPv4Interface, ipaddress.IPv6Interface,
        )
    },
}  # fmt: skip
_TAG_OF: Final = {kind: tag for tag, (kind, _, _) in _AS_TEXT.items()}


def _encoded(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in {bool, int, float, str}:
        return value
    if kind is list:
        return [_encoded(item) for item in value]
    if isinstance(value, Mapping):
        return {_TAG: "map", "v": [[_encoded(key), _encoded(item)] for key, item in value.items()]}
    if kind is tuple:
        return {_TAG: "tuple", "v": [_encoded(item) for item in value]}
    tag = _TAG_OF.get(kind) or next((tag for tag, (base, _, _) in _AS_TEXT.items() if isinstance(value, base)), None)
    if tag is None:
        message = f"with ledger=True, returning= cannot give back values of type {kind.__module__}.{kind.__qualname__}"
        raise MisconfigurationError(message)
    return {_TAG: tag, "v": _AS_TEXT[tag][1](value)}


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag, held = value[_TAG], value["v"]
    if tag == "map":
        return {_decoded(key): _decoded(item) for key, item in held}
    if tag == "tuple":
        return tuple(_decoded(item) for item in held)
    return _AS_TEXT[tag][2](held)

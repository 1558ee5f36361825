"""The values of many rows, column by column, as parameters take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.postgres.encoder import why_unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkwriter.backends.postgres.kinds import Kind
    from bulkwriter.backends.postgres.statements import Statements

Unfit = dict[int, tuple[str, str]]
"""Rows that cannot be sent: by index, the column at fault, and why."""


def columns(
    statements: Statements, rows: Sequence[Sequence[Any]], indexes: Sequence[int], unfit: Unfit
) -> tuple[list[list[Any]], Sequence[int]]:
    """Return the values of each column, in its own type where that has one here, and the indexes of the rows in them.

    Args:
        statements: How the rows are written.
        rows: The rows.
        indexes: The index of each.
        unfit: Where to note rows that cannot be sent; they are left out.
    """
    return _columns(statements, rows, indexes, unfit, [_sender(kind) for kind in statements.kinds])


def arrays(
    statements: Statements, rows: Sequence[Sequence[Any]], indexes: Sequence[int], unfit: Unfit
) -> tuple[list[Any], Sequence[int]]:
    """Return the same as an array for each column, most of them as PostgreSQL writes arrays as text."""
    kinds = statements.kinds
    senders = [_as_text(kind) if kind.has_array_text else _sender(kind) for kind in kinds]
    made, sent = _columns(statements, rows, indexes, unfit, senders)
    return [_array_text(c) if kind.has_array_text else c for kind, c in zip(kinds, made, strict=True)], sent


def empty_arrays(statements: Statements) -> list[Any]:
    """Return what ``arrays`` makes of no rows."""
    return ["{}" if kind.has_array_text else [] for kind in statements.kinds]


def single(statements: Statements, row: Sequence[Any], index: int, unfit: Unfit) -> list[Any] | None:
    """Return the values of one row, as ``columns`` has them; ``None`` if it cannot be sent.

    Args:
        statements: How the row is written.
        row: The row.
        index: Its index.
        unfit: Where to note that it cannot be sent, and why.
    """
    values = []
    for name, kind, value in zip(statements.names, statements.kinds, row, strict=True):
        try:
            values.append(None if value is None else kind.sent(value))
        except Exception as error:  # noqa: BLE001 - a value's own methods are the caller's code
            unfit[index] = (name, why_unfit(error))
            return None
    return values


def array_texts(
    statements: Statements, rows: Sequence[Sequence[Any]], indexes: Sequence[int], unfit: Unfit
) -> tuple[list[str], Sequence[int]]:
    """Return an array of texts for each column, as PostgreSQL writes it, whatever the column's type."""
    made, sent = _columns(statements, rows, indexes, unfit, [_as_text(kind) for kind in statements.kinds])
    return list(map(_array_text, made)), sent


def _array_text(values: list[str | None]) -> str:
    # https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    if None in values:
        return "{" + ",".join(["NULL" if value is None else f'"{_escaped(value)}"' for value in values]) + "}"
    if not values:
        return "{}"
    # All of them are escaped at once, with what no value holds between them, for PostgreSQL could not store it.
    joined = "\0".join(values)  # type: ignore[arg-type]
    assert joined.count("\0") == len(values) - 1, "a kind gives no text that PostgreSQL cannot hold"
    return '{"' + _escaped(joined).replace("\0", '","') + '"}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _sender(kind: Kind) -> Callable[[list[Any], Callable[[int, Exception], None]], list[Any]]:
    def send(values: list[Any], reject: Callable[[int, Exception], None]) -> list[Any]:
        sent = kind.all_sent(values)
        return _each(kind.sent, values, reject) if sent is None else sent

    return send


def _as_text(kind: Kind) -> Callable[[list[Any], Callable[[int, Exception], None]], list[Any]]:
    def send(values: list[Any], reject: Callable[[int, Exception], None]) -> list[Any]:
        texts = kind.all_texts(values)
        return _each(kind.text, values, reject) if texts is None else texts

    return send


def _each(convert: Callable[[Any], Any], values: list[Any], reject: Callable[[int, Exception], None]) -> list[Any]:
    converted = []
    for place, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except Exception as error:  # noqa: BLE001 - a value's own methods are the caller's code
            converted.append(None)
            reject(place, error)
    return converted


def _columns(
    statements: Statements,
    rows: Sequence[Sequence[Any]],
    indexes: Sequence[int],
    unfit: Unfit,
    senders: Sequence[Callable[[list[Any], Callable[[int, Exception], None]], list[Any]]],
) -> tuple[list[list[Any]], Sequence[int]]:
    made: list[list[Any]] = []
    bad: set[int] = set()
    for name, send, values in zip(statements.names, senders, zip(*rows, strict=True), strict=True):

        def reject(place: int, error: Exception, name: str = name) -> None:
            bad.add(place)
            unfit.setdefault(indexes[place], (name, why_unfit(error)))

        made.append(send(list(values), reject))
    if not bad:
        return made, indexes
    keep = [place for place in range(len(rows)) if place not in bad]
    return [[column[place] for place in keep] for column in made], [indexes[place] for place in keep]

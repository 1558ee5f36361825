"""What callers were told, and whether that is what is stored: the check that follows every test of the suite."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from bulkwriter.errors import BulkWriterError, NotWrittenError, OutcomeUnknownError, RowRejectedError
from bulkwriter.results import Outcome, WriteResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bulkwriter.contract import OnConflict

    Row = Mapping[str, Any]
    Merge = Callable[[Row, Row], Row]


class MismatchError(AssertionError):
    """A caller was told what is not so.

    A kind of its own, for runners that try a failed test again: no busy machine excuses this one.
    """


@dataclasses.dataclass(slots=True, eq=False)
class Telling:
    """One row that was handed to a writer, and what its caller was told.

    Attributes:
        row: The row, or for a delete its key, column by column.
        on_conflict: The writer's policy.
        is_delete: Whether it was a delete.
        answer: What the caller was told; ``None`` for one who was cancelled, and knows nothing.
    """

    row: Row
    on_conflict: OnConflict
    is_delete: bool = False
    answer: WriteResult | BulkWriterError | None = None


def keep_columns(stored: Row, new: Row) -> Row:
    """Merge as SQL does: an update sets the columns that the new row has."""
    return {**stored, **new}


def replace_row(stored: Row, new: Row) -> Row:  # noqa: ARG001 - as any merge
    """Merge as a put does: nothing of the stored row is left."""
    return dict(new)


def assert_told_equals_stored(
    tellings: Iterable[Telling], stored: Sequence[Row], merge: Merge, key_column: str = "id"
) -> None:
    """Follow the tellings in the order in which the rows were accepted, and compare where they lead with the table.

    Args:
        tellings: What was told of each row. Rows without a key are told apart by their ``name``.
        stored: All rows of the table.
        merge: What an update makes of the stored and the new row.
        key_column: The column that rows are told apart by.

    Raises:
        MismatchError: A caller was told what is not so.
    """
    states: dict[Any, list[Row | None]] = {}
    superseded: set[Any] = set()
    for telling in tellings:
        if isinstance(telling.answer, RowRejectedError | NotWrittenError) and not _has_key(telling.row, key_column):
            continue
        key = _key(telling.row, key_column)
        states[key] = _follow(states.get(key, [None]), telling, merge, key)
        _note_superseded(superseded, telling, key)
    _require(not superseded, f"callers were told that a later row was stored instead, and none was: {superseded}")
    by_key: dict[Any, list[Row]] = {}
    for row in stored:
        by_key.setdefault((key_column, row[key_column]), []).append(row)
        if ("name", row.get("name")) in states:
            by_key.setdefault(("name", row["name"]), []).append(row)
    for key, possible in states.items():
        found = by_key.pop(key, [])
        _require(len(found) <= 1, f"{key} is stored {len(found)} times")
        is_one_of_them = any(_matches(state, found[0] if found else None) for state in possible)
        _require(is_one_of_them, f"callers were told that {key} is one of {possible}, and stored is {found}")
    nobodys = [row for key, rows in by_key.items() for row in rows if ("name", row.get("name")) not in states]
    _require(not nobodys, f"stored, and nobody was told: {nobodys}")


def _require(holds: bool, message: str) -> None:  # noqa: FBT001 - a condition, as in assert
    if not holds:
        raise MismatchError(message)


def _has_key(row: object, key_column: str) -> bool:
    """Whether it is a row at all, with something to tell it apart by."""
    return isinstance(row, dict) and not row.keys().isdisjoint((key_column, "name"))


def _key(row: Row, key_column: str) -> tuple[str, Any]:
    return (key_column, row[key_column]) if row.get(key_column) is not None else ("name", row["name"])


def _follow(states: list[Row | None], telling: Telling, merge: Merge, key: object) -> list[Row | None]:
    """Return what may be stored after a telling, given what may have been stored before."""
    answer = telling.answer
    if isinstance(answer, RowRejectedError | NotWrittenError):
        return states
    if answer is None or isinstance(answer, OutcomeUnknownError):
        return _distinct([*states, *(_applied(state, telling, merge) for state in states)])
    assert isinstance(answer, WriteResult), f"{key} was told {answer!r}"
    is_told_of_delete = answer.outcome is Outcome.DELETED
    is_of_its_kind = telling.is_delete == is_told_of_delete
    _require(is_of_its_kind, f"{key} was told {answer.outcome}; a delete: {telling.is_delete}")
    following = [_FOLLOWED[answer.outcome](state, telling, merge) for state in states]
    possible = [state for state in following if state is not _IMPOSSIBLE]
    _require(bool(possible), f"{key} was told {answer.outcome}, and stored was {states}")
    return _distinct(possible)


def _note_superseded(superseded: set[Any], telling: Telling, key: object) -> None:
    """Note the keys of which a row was superseded, until a later row of theirs is stored, or may be."""
    answer = telling.answer
    if isinstance(answer, WriteResult) and answer.outcome is Outcome.SUPERSEDED:
        superseded.add(key)
    elif not (telling.is_delete or isinstance(answer, RowRejectedError | NotWrittenError)):
        superseded.discard(key)


_IMPOSSIBLE: Any = object()


def _inserted(state: Row | None, telling: Telling, merge: Merge) -> Row | None:  # noqa: ARG001
    return dict(telling.row) if state is None else _IMPOSSIBLE


def _updated(state: Row | None, telling: Telling, merge: Merge) -> Row | None:
    return _IMPOSSIBLE if state is None else merge(state, telling.row)


def _stored(state: Row | None, telling: Telling, merge: Merge) -> Row | None:
    return dict(telling.row) if state is None else merge(state, telling.row)


def _stands(state: Row | None, telling: Telling, merge: Merge) -> Row | None:  # noqa: ARG001
    return _IMPOSSIBLE if state is None else state


def _whatever(state: Row | None, telling: Telling, merge: Merge) -> Row | None:  # noqa: ARG001
    return state


def _deleted(state: Row | None, telling: Telling, merge: Merge) -> Row | None:  # noqa: ARG001
    return None


_FOLLOWED: dict[Outcome, Callable[[Row | None, Telling, Merge], Row | None]] = {
    Outcome.INSERTED: _inserted,
    Outcome.UPDATED: _updated,
    Outcome.STORED: _stored,
    Outcome.SKIPPED: _stands,
    Outcome.UNCHANGED: _stands,
    Outcome.SUPERSEDED: _whatever,
    Outcome.DELETED: _deleted,
}


def _applied(state: Row | None, telling: Telling, merge: Merge) -> Row | None:
    """Return what is stored if a row of unknown outcome was applied after all."""
    if telling.is_delete:
        return None
    if state is None:
        return dict(telling.row)
    return merge(state, telling.row) if telling.on_conflict == "update" else state


def _distinct(states: list[Row | None]) -> list[Row | None]:
    distinct: list[Row | None] = []
    for state in states:
        if state not in distinct:
            distinct.append(state)
    return distinct


def _matches(state: Row | None, stored: Row | None) -> bool:
    """Whether what is stored is what was told: columns that nobody gave are the database's own affair."""
    if state is None or stored is None:
        return state is None and stored is None
    return all(stored.get(column) == value for column, value in state.items())

"""Attempts of which only some rows are handed on, the others being decided already: poisoned, or left unprocessed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from bulkwriter.contract import Attempt, Uniform

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Reply, Verdict
    from bulkwriter.errors import RowRejectedError


class SimulatedFailureError(ConnectionError):
    """What the driver would have raised: the cause of every error that a ``FaultScript`` makes up."""


@dataclasses.dataclass(slots=True, eq=False)
class Part:
    """The token of such an attempt.

    Attributes:
        owner: The script that made it: a backend may be seen through several.
        attempt: The attempt at the rows that were handed on.
        decided: By place, the verdicts of the others.
    """

    owner: object
    attempt: Attempt
    decided: Mapping[int, Verdict]


async def write_others(
    owner: object, attempt: Attempt, write: Callable[[Attempt], Awaitable[Reply]], decided: Mapping[int, Verdict]
) -> Reply:
    """Hand on the rows that are not decided yet, and return a verdict for every row."""
    others = [row for place, row in enumerate(attempt.rows) if place not in decided]
    if not others:
        return list(decided.values())
    part = Attempt(attempt.plan, others, attempt.number, careful=attempt.careful, identity=attempt.identity)
    # Before the call, since an attempt that is given up on never returns.
    attempt.token = Part(owner, part, decided)
    return _merged(await write(part), part, decided)


async def settle_whole(owner: object, attempt: Attempt, settle: Callable[[Attempt], Awaitable[Reply]]) -> Reply:
    """Settle what was handed on of an attempt, and return a verdict for every row."""
    token = attempt.token
    if not (isinstance(token, Part) and token.owner is owner):
        return await settle(attempt)
    return _merged(await settle_whole(owner, token.attempt, settle), token.attempt, token.decided)


def verdicts_of(reply: Reply, rows: int) -> Sequence[Verdict]:
    """Return a reply's verdicts one by one.

    Raises:
        RuntimeError: They are not as many as the rows.
    """
    verdicts = [reply.verdict] * reply.rows if isinstance(reply, Uniform) else reply
    if len(verdicts) != rows:
        message = f"the backend gave {len(verdicts)} verdicts for {rows} rows"
        raise RuntimeError(message)
    return verdicts


def _merged(reply: Reply, part: Attempt, decided: Mapping[int, Verdict]) -> list[Verdict]:
    verdicts = iter(verdicts_of(reply, len(part.rows)))
    rows = len(part.rows) + len(decided)
    return [decided[place] if place in decided else next(verdicts) for place in range(rows)]


@dataclasses.dataclass(slots=True, eq=False)
class Poison:
    """Rows that the database refuses, whenever they come.

    Attributes:
        row: A predicate over a row, or which row, counted from 0 in the order in which rows first come.
        error: The class of the error.
        has_hit: Whether such a row has come.
    """

    row: Callable[[Mapping[str, Any]], object] | int
    error: type[RowRejectedError]
    has_hit: bool = False

    def is_in(self, ordinal: int, row: Mapping[str, Any]) -> bool:
        """Whether a row is poisoned."""
        is_bad = ordinal == self.row if isinstance(self.row, int) else bool(self.row(row))
        self.has_hit = self.has_hit or is_bad
        return is_bad

    def error_for(self, backend: Backend) -> RowRejectedError:
        """Return the error of a poisoned row, as the backend would raise it."""
        table = backend.table
        message = f"table {table}: the row is poisoned"
        error = self.error(message, sqlstate="23514", constraint_name="poison", backend=backend.name, table=table)
        error.__cause__ = SimulatedFailureError("the row is poisoned")
        return error


class Poisons:
    """All the poison of one script."""

    def __init__(self) -> None:
        self._poisons: list[Poison] = []
        self._ordinals: dict[int, int] = {}
        self._seen: list[Any] = []

    @property
    def is_spent(self) -> bool:
        """Whether rows have come for each."""
        return all(poison.has_hit for poison in self._poisons)

    def add(self, poison: Poison) -> None:
        """Let these rows be refused."""
        self._poisons.append(poison)

    def found(self, backend: Backend, attempt: Attempt) -> dict[int, RowRejectedError]:
        """Return by place the errors of the poisoned rows of an attempt; deletes are left alone."""
        if not self._poisons:
            return {}
        bad: dict[int, RowRejectedError] = {}
        for place, row in enumerate(attempt.rows):
            if backend.row_plan(attempt.plan, row).operation == "delete":
                continue
            ordinal, mapping = self._ordinal(row), backend.row_mapping(attempt.plan, row)
            poison = next((poison for poison in self._poisons if poison.is_in(ordinal, mapping)), None)
            if poison is not None:
                bad[place] = poison.error_for(backend)
        return bad

    def _ordinal(self, row: Any) -> int:
        if id(row) not in self._ordinals:
            # Kept, so that no other row can get its id.
            self._seen.append(row)
            self._ordinals[id(row)] = len(self._ordinals)
        return self._ordinals[id(row)]

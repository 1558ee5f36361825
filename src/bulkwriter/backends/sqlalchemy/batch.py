"""The rows of one attempt, as statements take them, and what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.sqlalchemy.errors import refused
from bulkwriter.backends.sqlalchemy.unfit import UnfitError
from bulkwriter.contract import Uniform
from bulkwriter.results import DELETED, INSERTED
from bulkwriter.sizes import run_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bulkwriter.backends.sqlalchemy.defaults import PythonDefault
    from bulkwriter.backends.sqlalchemy.slots import Slot
    from bulkwriter.backends.sqlalchemy.statements import Statements
    from bulkwriter.contract import Reply
    from bulkwriter.errors import RowRejectedError
    from bulkwriter.results import WriteResult


class Batch:
    """Rows with their defaults, every value as the driver is given it.

    A *place* counts the rows of the attempt, those that are out included.

    Attributes:
        rows: The rows.
        places: The places of those that can be sent.
    """

    def __init__(self, statements: Statements, rows: Sequence[tuple[Any, ...]]) -> None:
        """Compute defaults, and put aside the rows that a column's type does not take.

        Args:
            statements: How they are written.
            rows: The rows as the engine handed them over.
        """
        self._statements = statements
        self._usual: WriteResult = DELETED if statements.operation == "delete" else INSERTED
        self._told: dict[int, WriteResult] = {}
        self._unfit: dict[int, RowRejectedError] = {}
        self._rejected: dict[int, RowRejectedError] = {}
        self.rows: Sequence[tuple[Any, ...]] = self._sent(self._completed(rows))
        self.places: list[int] = [place for place in range(len(rows)) if place not in self._unfit]

    def _completed(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        statements = self._statements
        if not statements.defaults:
            return rows
        return [
            (*row, *[self._made(default, place, row) for default in statements.defaults])
            for place, row in enumerate(rows)
        ]

    def _made(self, default: PythonDefault, place: int, row: tuple[Any, ...]) -> Any:
        try:
            return default.value(row, self._statements.given_keys)
        except Exception as error:  # noqa: BLE001 - it is the caller's function
            self._put_aside(place, f"its default failed with {type(error).__name__}", default.name, error)
            return None

    def _put_aside(self, place: int, why: str, column: str, error: Exception) -> None:
        unfit = refused(why, self._statements.target.label, column)
        unfit.__cause__ = error.with_traceback(None)
        self._unfit.setdefault(place, unfit)

    def _sent(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """Return the rows as the driver is given them: a column at a time, for a fraction of the time."""
        slots = self._statements.slots
        if all(slot.is_plain for slot in slots):
            return rows
        columns = [list(column) for column in zip(*rows, strict=True)]
        for number, slot in enumerate(slots):
            if not slot.is_plain:
                columns[number] = self._bound(slot, columns[number])
        return list(zip(*columns, strict=True))

    def _bound(self, slot: Slot, values: list[Any]) -> list[Any]:
        try:
            return slot.sent_all(values)
        except Exception:  # noqa: BLE001 - one of them does not fit: it is found below
            return [self._bound_one(slot, place, value) for place, value in enumerate(values)]

    def _bound_one(self, slot: Slot, place: int, value: Any) -> Any:
        try:
            return slot.sent(value)
        except Exception as error:  # noqa: BLE001 - a type may be the caller's own, and raise whatever it likes
            kind, given = type(slot.column.type).__name__, type(value).__name__
            is_told = isinstance(error, UnfitError)
            why = str(error) if is_told else f"its type {kind} does not take a value of type {given}"
            self._put_aside(place, why, slot.name, error)
            return None

    def flat(self, places: Sequence[int]) -> tuple[Any, ...]:
        """Return the values of some rows, one row after the other."""
        values: list[Any] = []
        for place in places:
            values.extend(self.rows[place])
        return tuple(values)

    def flat_keys(self, places: Sequence[int]) -> tuple[Any, ...]:
        """Return the values of the keys of some rows, one row after the other."""
        values: list[Any] = []
        for place in places:
            values.extend(self._statements.keys_of(self.rows[place]))
        return tuple(values)

    def most_bytes(self, places: Sequence[int]) -> int:
        """Return the bytes that the values of some rows have in a statement at most, whatever is escaped in them."""
        return 4 * run_size([self.rows[place] for place in places])

    def least_bytes(self, place: int) -> int:
        """Return the bytes that the text and the bytes of a row have in a statement at least."""
        sent = [value.encode() if isinstance(value, str) else value for value in self.rows[place]]
        return sum(len(value) for value in sent if isinstance(value, bytes))

    def restart(self) -> None:
        """Forget what was told, since it was rolled back."""
        self._told.clear()
        self._rejected.clear()

    def forget(self, places: Iterable[int]) -> None:
        """Forget what was told of some rows, since it was undone."""
        for place in places:
            self._told.pop(place, None)

    def tell(self, told: Mapping[int, WriteResult]) -> None:
        """Note what becomes of rows, should the transaction be committed."""
        self._told.update(told)

    def reject(self, place: int, error: RowRejectedError) -> None:
        """Note that a row is bad."""
        self._rejected[place] = error

    def reply(self) -> Reply:
        """Return a verdict for every row; to be asked once the transaction is committed."""
        bad = {**self._unfit, **self._rejected}
        if not bad and not self._told:
            return Uniform(self._usual, len(self.rows))
        return [bad.get(place) or self._told.get(place, self._usual) for place in range(len(self.rows))]

"""The rows of one attempt, as statements take them, and what is known of each."""

from __future__ import annotations

import bisect
import itertools
from typing import TYPE_CHECKING, Any

from bulkwriter.backends.sqlite.errors import refused
from bulkwriter.backends.sqlite.values import find_unfit
from bulkwriter.contract import Uniform
from bulkwriter.results import INSERTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.contract import Reply, Verdict
    from bulkwriter.errors import RowRejectedError
    from bulkwriter.results import WriteResult


class Batch:
    """Rows on their way into statements.

    A *place* counts the rows that are still in; a row that is rejected is out, and the rows behind it move up.

    Attributes:
        size: How many rows are in.
        flat: Their values, one row after the other: what statements are given, in slices.
    """

    def __init__(
        self, rows: Sequence[tuple[Any, ...]], columns: tuple[str, ...], table: str, usual: WriteResult = INSERTED
    ) -> None:
        """Flatten the rows, and put aside those that SQLite cannot hold.

        Args:
            rows: The rows as the engine handed them over.
            columns: The columns of their values.
            table: The target's name, for messages.
            usual: What a row hears of which nothing else is said.
        """
        self._rows = rows
        self._usual = usual
        self._rejected: dict[int, RowRejectedError] = {}
        # By place; None while every row is told the usual.
        self._results: list[WriteResult] | None = None
        self._indexes: Sequence[int] = range(len(rows))
        self.width: int = len(columns)
        self.flat: list[Any] = []
        self.size: int = len(rows)
        extend = self.flat.extend
        # A loop with its overhead: chain.from_iterable asks each row for one value after the other, for twice the time.
        for row in rows:
            extend(row)
        assert len(self.flat) == self.size * self.width, "each row has a value for each column"
        for index, (column, why) in find_unfit(self.flat, self.width).items():
            name = columns[column]
            self._rejected[index] = refused(why, table, name)
        if self._rejected:
            self.restart()

    def values(self, start: int, stop: int) -> list[Any]:
        """Return the values of the rows from one place to another, one row after the other."""
        if stop - start == self.size:
            return self.flat
        return self.flat[start * self.width : stop * self.width]

    def column(self, column: int, start: int, stop: int) -> list[Any]:
        """Return the values of one column of the rows from one place to another."""
        return self.flat[start * self.width + column : stop * self.width : self.width]

    def tell(self, place: int, result: WriteResult) -> None:
        """Note what becomes of a row, should the transaction be committed."""
        self.tell_all(place, place + 1, [result])

    def tell_all(self, start: int, stop: int, results: Sequence[WriteResult]) -> None:
        """Note what becomes of the rows from one place to another."""
        if self._results is None:
            self._results = [self._usual] * self.size
        self._results[start:stop] = results

    def reject(self, place: int, error: RowRejectedError) -> None:
        """Note that a row is bad. It stays in its place until ``restart``."""
        self._rejected[self._indexes[place]] = error

    def index(self, place: int) -> int:
        """Return where among all rows of the attempt the row in a place is."""
        return self._indexes[place]

    def place(self, index: int) -> int:
        """Return how many rows are in that come before a row of the attempt."""
        return bisect.bisect_left(self._indexes, index)

    def restart(self) -> None:
        """Forget what was told, since it was rolled back, and take out the rows that are bad."""
        self._results = None
        keep = [place for place, index in enumerate(self._indexes) if index not in self._rejected]
        if len(keep) < self.size:
            parts = [self.values(place, place + 1) for place in keep]
            self.flat = list(itertools.chain.from_iterable(parts))
            self._indexes = [self._indexes[place] for place in keep]
            self.size = len(keep)

    def reply(self) -> Reply:
        """Return a verdict for every row; to be asked once the transaction is committed."""
        if not self._rejected:
            return Uniform(self._usual, self.size) if self._results is None else _compact(self._results)
        verdicts: list[Verdict] = [self._usual] * len(self._rows)
        if self._results is not None:
            for index, result in zip(self._indexes, self._results, strict=True):
                verdicts[index] = result
        for index, error in self._rejected.items():
            verdicts[index] = error
        return verdicts


def _compact(results: list[WriteResult]) -> Reply:
    """Return the cheap form of a reply, if all rows hear the same."""
    if all(result is results[0] for result in results):
        return Uniform(results[0], len(results))
    return list(results)

"""From what a caller hands in to what a backend is handed: rows read, planned and prepared at the door."""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from bulkwriter.errors import BulkWriterError, InvalidValueError, MisconfigurationError
from bulkwriter.rows import RowReader
from bulkwriter.snapshots import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Plan

# Ways to write the same columns differ only in their order; rows with arbitrary keys must not fill the memory.
MOST_SHAPES = 1000


class PreparedRun(NamedTuple):
    """Rows of one lane.

    Attributes:
        plan: Their lane.
        rows: The rows, each as the backend wants it.
        size: The bytes that they count together, if that was found out on the way.
        keys: The key of each, where the order of keys matters.
    """

    plan: Plan
    rows: list[Any]
    size: int | None
    keys: Sequence[Hashable | None] | None = None


class PlanBook:
    """Reads rows for one backend, which must be open to plan them.

    Rows of the same columns share a plan, in whichever order the rows name them.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.reader: RowReader = RowReader(backend.columns)
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._shapes: dict[tuple[str, ...], tuple[Plan, Callable[[Any], tuple[Any, ...]] | None]] = {}
        self._delete_plan: Plan | None = None
        self._prepares = backend.prepares_rows
        self._sizes = backend.sizes_rows
        # For the writer's hot path: the plan of rows that need neither another order nor the backend's preparation.
        self.ready: dict[tuple[str, ...], Plan] = {}

    def read(self, row: object) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Take the columns and values that a row holds now.

        Raises:
            RowRejectedError: It is no row, or has no columns.
            MisconfigurationError: It has a column that is not among the backend's ``columns=``.
        """
        try:
            return self.reader.read(row)
        except BulkWriterError as error:
            raise self.complete(error) from error.__cause__

    def prepare(self, columns: tuple[str, ...], values: tuple[Any, ...]) -> tuple[Plan, Any]:
        """Return the lane for these columns and the row as the backend wants it.

        Raises:
            RowRejectedError: The backend cannot store these values.
            MisconfigurationError: The table has no such column.
        """
        try:
            plan, permute = self._shapes.get(columns) or self._shape(columns)
            row = values if permute is None else permute(values)
            return plan.lane, self._prepared(plan, row) if self._prepares else row
        except BulkWriterError as error:
            error.row = dict(zip(columns, values, strict=True))
            raise self.complete(error) from error.__cause__

    def prepare_run(self, rows: Sequence[object], *, with_keys: bool = False) -> PreparedRun | None:
        """Read and prepare rows that are all alike and all good, for less than one by one; else ``None``."""
        # A backend that prepares rows, or sizes them itself, measures what it makes of them.
        run = self.reader.read_run(rows, is_measured=not (self._prepares or self._sizes))
        if run is None:
            return None
        columns, values, size = run
        try:
            plan, permute = self._shapes.get(columns) or self._shape(columns)
            if permute is not None:
                values = list(map(permute, values))
            if self._prepares:
                values = self._backend.prepare_run(plan, values)
            keys = self._backend.row_keys(plan, values) if with_keys else None
        except Exception:  # noqa: BLE001 - one of them is bad: the way for single rows tells which, and why
            return None
        return PreparedRun(plan.lane, values, size, keys)

    def prepare_key(self, key: object) -> tuple[Plan, Any]:
        """Return the lane of deletes and the key as the backend wants it.

        Raises:
            RowRejectedError: It is no key of this table.
            MisconfigurationError: The table has no key, or the backend cannot delete.
        """
        backend = self._backend
        try:
            if self._delete_plan is None:
                if not backend.capabilities.delete or not backend.key_columns:
                    message = (
                        f"{backend.name} table {backend.table}: rows cannot be deleted: it has no key to find them by"
                    )
                    raise MisconfigurationError(message)
                self._delete_plan = backend.plan("delete", backend.key_columns)
            plan = self._delete_plan
            values = self.reader.read_key(key, plan.columns)
            return plan.lane, self._prepared(plan, values) if self._prepares else values
        except BulkWriterError as error:
            raise self.complete(error) from error.__cause__

    def _prepared(self, plan: Plan, values: tuple[Any, ...]) -> Any:
        try:
            return self._backend.prepare(plan, values)
        except BulkWriterError:
            raise
        except Exception as error:
            # What a backend did not foresee is still this row's alone: it must not take others along.
            target = f"{self._backend.name} table {self._backend.table}"
            message = f"{target}: preparing the row failed with {type_name(type(error))}"
            raise InvalidValueError(message) from error

    def _shape(self, columns: tuple[str, ...]) -> tuple[Plan, Callable[[Any], tuple[Any, ...]] | None]:
        names = tuple(sorted(columns))
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = self._backend.plan("insert", columns)
        shape = (plan, None if plan.columns == columns else _permutation(columns, plan.columns))
        if len(self._shapes) >= MOST_SHAPES:
            self._plans.clear()
            self._shapes.clear()
            self.ready.clear()
        self._shapes[columns] = shape
        if shape[1] is None and not self._prepares:
            self.ready[columns] = plan
        return shape

    def complete(self, error: BulkWriterError) -> BulkWriterError:
        """Fill in where the error comes from."""
        error.backend = error.backend or self._backend.name
        error.table = error.table or self._backend.table
        return error


def joined(runs: Sequence[PreparedRun | None]) -> PreparedRun | None:
    """Return the run that several make together; ``None`` if one of them is none, or of another plan."""
    first = runs[0]
    if first is None or len(runs) == 1:
        return first
    rows: list[Any] = []
    size: int | None = 0
    all_keys: list[Sequence[Hashable | None] | None] = []
    for run in runs:
        if run is None or run.plan is not first.plan:
            return None
        rows += run.rows
        size = None if size is None or run.size is None else size + run.size
        all_keys.append(run.keys)
    keys = None if None in all_keys else list(itertools.chain.from_iterable(cast("Any", all_keys)))
    return PreparedRun(first.plan, rows, size, keys)


def cut(run: PreparedRun | None, start: int, stop: int) -> PreparedRun | None:
    """Return a part of a run, if there is one."""
    if run is None or (start == 0 and stop == len(run.rows)):
        return run
    return PreparedRun(run.plan, run.rows[start:stop], None)


def _permutation(given: tuple[str, ...], wanted: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what brings values in the given order of columns into the wanted one."""
    # More than one column, or the orders would be the same: itemgetter returns a tuple.
    return operator.itemgetter(*(given.index(name) for name in wanted))


def complete(backend: Backend, error: BulkWriterError, plan: Plan, row: Any, *, attempts: int) -> BulkWriterError:
    """Return ``error`` as the caller of this row is to hear it: an object of its own, with everything filled in."""
    mine = error.for_row(backend.row_mapping(plan, row), attempts=attempts)
    mine.backend = mine.backend or backend.name
    mine.table = mine.table or backend.table
    return mine

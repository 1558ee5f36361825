"""The conformance suite, run against the database in memory."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bulkwriter.backend import Backend
from bulkwriter.contract import Capabilities, OnConflict
from bulkwriter.results import STORED, WriteResult
from bulkwriter.testing import MemoryBackend, MemoryTable
from bulkwriter.testing.conformance import ConformanceSuite, Target
from bulkwriter.testing.conformance.target import DEFAULT_NOTE


def _sum(stored: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
    return stored["amount"] + new["amount"]


def _is_larger(stored: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return bool(new["amount"] > stored["amount"])


def _table(name: str) -> MemoryTable:
    return MemoryTable(
        name,
        columns=("id", "name", "amount", "note", "code", "parent"),
        not_null=("name",),
        unique=("code",),
        checks={"amount_not_negative": lambda row: row["amount"] is None or row["amount"] >= 0},
        defaults={"id": itertools.count(1_000_000).__next__, "note": DEFAULT_NOTE},
        foreign_keys={"parent": None},
        types={"id": int, "name": str, "amount": int, "note": str, "code": str, "parent": int},
        generated={"doubled": lambda row: None if row["amount"] is None else 2 * row["amount"]},
        max_row_bytes=30_000,
    )


class MemoryTarget(Target):
    """A ``MemoryTable`` of the suite's shape."""

    too_large: str | None = "x" * 30_000
    # Each backend says its expressions in its own language: here it is Python.
    sum_expression = staticmethod(_sum)
    larger_expression = staticmethod(_is_larger)

    def __init__(self) -> None:
        self._table = _table("items")

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the one table."""
        return MemoryBackend(self._table, **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that has been dropped."""
        table = _table("nonesuch")
        table.drop()
        return MemoryBackend(table)

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is in the table."""
        return self._table.rows


class TestMemoryBackend(ConformanceSuite):
    """In memory: nothing is declined."""

    @pytest.fixture
    def target(self) -> Target:
        """Return a fresh table."""
        return MemoryTarget()


class SplittingBackend(MemoryBackend):
    """A backend that cannot isolate bad rows by itself: the engine splits the batch."""

    capabilities = MemoryBackend.capabilities.but(isolates=False)


class SplittingTarget(MemoryTarget):
    """The same table, written by the backend that leaves isolating to the engine."""

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the one table."""
        return SplittingBackend(self._table, **options)


class TestSplittingBackend(ConformanceSuite):
    """The same promises where the engine finds the bad rows."""

    @pytest.fixture
    def target(self) -> Target:
        """Return a fresh table."""
        return SplittingTarget()


class PuttingBackend(MemoryBackend):
    """Stores rows whole, whatever was there, and can do nothing else: as little as a backend may be able to."""

    capabilities = Capabilities(
        on_conflict=frozenset({"update"}),
        tells_updated=False,
        expressions=False,
        returning=False,
        delete=False,
        ledger=False,
        settles=False,
        isolates=False,
        constraints=False,
        defaults=False,
        processes=False,
    )

    def __init__(self, table: MemoryTable, *, on_conflict: OnConflict = "update", **options: Any) -> None:
        declined = {"returning", "ledger", "update_columns", "update_where"}.intersection(options)
        if on_conflict != "update" or declined:
            self._refuse("this is not supported")
        super().__init__(table, on_conflict=on_conflict, **options)

    def _apply_insert(self, given: dict[str, Any]) -> WriteResult:
        row = self.store.complete(given)
        found = self.store.find(self.key_columns, row)
        if found is None:
            self.store.insert(row)
        else:
            self.store.update(found, row)
        return STORED


class PuttingTarget(MemoryTarget):
    """A table without constraints, defaults or generated columns."""

    generates_ids = False
    generated_column = None
    has_unique = False
    has_foreign_key = False
    replaces = True
    wrong_type = None
    too_large = None

    def __init__(self) -> None:
        self._table = MemoryTable("items", types={"note": (str, int)})

    def backend(self, **options: Any) -> Backend:
        """Return a backend over the one table."""
        return PuttingBackend(self._table, **options)

    def backend_without_table(self) -> Backend:
        """Return a backend over a table that has been dropped."""
        table = MemoryTable("nonesuch")
        table.drop()
        return PuttingBackend(table)


class TestPuttingBackend(ConformanceSuite):
    """What is declined is skipped, and the rest holds."""

    @pytest.fixture
    def target(self) -> Target:
        """Return a fresh table."""
        return PuttingTarget()

"""A backend that costs nothing, so that what is measured is the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bulkwriter.backend import Backend
from bulkwriter.contract import Capabilities, Plan, Uniform
from bulkwriter.results import INSERTED

if TYPE_CHECKING:
    from bulkwriter.contract import Attempt, Operation, Reply

COLUMNS = ("id", "name", "category", "amount", "created")


def row(number: int) -> tuple[Any, ...]:
    """Return a row of five narrow columns, with values of its own."""
    return number, f"row {number}", "abc"[number % 3], number / 4, 2 * number


def rows_as_tuples(rows: int) -> list[tuple[Any, ...]]:
    """Return so many rows."""
    return [row(number) for number in range(rows)]


def rows_as_dicts(rows: int) -> list[dict[str, Any]]:
    """Return the same rows as dicts."""
    return [dict(zip(COLUMNS, row(number), strict=True)) for number in range(rows)]


class StubBackend(Backend):
    """Takes every batch and says that it is stored."""

    name: ClassVar[str] = "stub"
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, columns: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.table = "rows"
        self.columns = columns

    async def open(self) -> None:
        """Do nothing."""
        self.is_open = True

    async def close(self, *, force: bool = False) -> None:  # noqa: ARG002 - there is nothing to give up
        """Do nothing."""
        self.is_open = False

    def plan(self, operation: Operation, columns: tuple[str, ...]) -> Plan:
        """Return a plan."""
        return Plan(operation, columns)

    async def attempt(self, attempt: Attempt) -> Reply:
        """Say that all is well."""
        return Uniform(INSERTED, len(attempt.rows))

    async def settle(self, attempt: Attempt) -> Reply:
        """Say the same again; it is never asked."""
        return await self.attempt(attempt)

"""The list of faults of a database: each is a function that brings one about, and its first line says what happens."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from bulkwriter.backend import Backend
    from integration.faults.stage import Stage

    Happen: TypeAlias = Callable[[Stage], Awaitable[None]]
    Arrange: TypeAlias = Callable[[Stage], AsyncIterator[Backend]]

Way = Literal["insert", "upsert"]

BOTH_WAYS: tuple[Way, ...] = ("insert", "upsert")


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: How its test is called.
        says: What happens, for the table in the documentation.
        happen: Opens a writer, brings the fault about, and ends when every caller has its answer.
        group: The heading it stands under.
        ways: The ways of writing that it can happen to.
        passes: Whether the writer goes on as before when it is over.
    """

    name: str
    says: str
    happen: Happen
    group: str
    ways: tuple[Way, ...]
    passes: bool


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong when a writer is opened.

    Attributes:
        name: How its test is called.
        says: What is wrong, for the table in the documentation.
        arrange: Makes it wrong for as long as the context lasts, and gives a backend that has not been opened.
        names: What the message must name, so that its reader knows where to look.
    """

    name: str
    says: str
    arrange: Callable[[Stage], AbstractAsyncContextManager[Backend]]
    names: str


class FaultList:
    """What can happen to one kind of database.

    Args:
        document: Where it is documented what callers hear then.

    Attributes:
        faults: By name, in the order of the document.
        problems: By name, in the order of the document.
    """

    def __init__(self, document: Path) -> None:
        self.document = document
        self.faults: dict[str, Fault] = {}
        self.problems: dict[str, Problem] = {}

    def fault(
        self, group: str, *, ways: tuple[Way, ...] = BOTH_WAYS, passes: bool = True
    ) -> Callable[[Happen], Happen]:
        """Put a function on the list."""

        def listed(happen: Happen) -> Happen:
            name = happen.__name__
            self.faults[name] = Fault(name, _first_line(happen), happen, group, ways, passes)
            return happen

        return listed

    def problem(self, names: str) -> Callable[[Arrange], Arrange]:
        """Put a function on the list of what can be wrong at opening."""

        def listed(arrange: Arrange) -> Arrange:
            name = arrange.__name__
            self.problems[name] = Problem(name, _first_line(arrange), contextlib.asynccontextmanager(arrange), names)
            return arrange

        return listed

    def each_way(self) -> Iterator[tuple[str, Fault, Way, bool]]:
        """Yield each fault for each way of writing, with and without a ledger, under a name of its own."""
        for fault in self.faults.values():
            for way in fault.ways:
                for ledger in (False, True):
                    yield f"{fault.name}-{way}-{'ledger' if ledger else 'plain'}", fault, way, ledger


def _first_line(function: Callable[..., Any]) -> str:
    return inspect.cleandoc(function.__doc__ or "").partition("\n")[0].rstrip(".")

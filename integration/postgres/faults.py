"""The list of faults: each is a function that brings one about, and its first line says what happens."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from integration.postgres.stage import Stage, Way

    Happen: TypeAlias = Callable[[Stage], Awaitable[None]]


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


FAULTS: dict[str, Fault] = {}


def fault(
    group: str, *, ways: tuple[Way, ...] = ("insert", "upsert"), passes: bool = True
) -> Callable[[Happen], Happen]:
    """Put a function on the list."""

    def listed(happen: Happen) -> Happen:
        name = happen.__name__
        says = inspect.cleandoc(happen.__doc__ or "").partition("\n")[0].rstrip(".")
        FAULTS[name] = Fault(name, says, happen, group, ways, passes)
        return happen

    return listed

"""One part of the scorecard: a database, the ways to write to it, and what happens to it."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeAlias

from scorecard.stage import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from integration.servers.registry import Servers
    from scorecard.score import Score
    from scorecard.ways import Way

    Scenario: TypeAlias = Callable[[Any], Awaitable[None]]
    MakeStage: TypeAlias = Callable[[Servers, type[Way]], AbstractAsyncContextManager[Any]]


@dataclasses.dataclass(frozen=True)
class Division:
    """One part.

    Attributes:
        title: Its heading.
        about: What is written to.
        ways: How; ours come first.
        scenarios: What happens; the first line of each docstring says it.
        stage: Makes the stage of one scenario for one way.
        packages: Whose versions are to be told.
    """

    title: str
    about: str
    ways: Sequence[type[Way]]
    scenarios: Sequence[Scenario]
    stage: MakeStage
    packages: Sequence[str]

    def play(self, servers: Servers, scenario: Scenario, way: type[Way]) -> Score | None:
        """Let one scenario happen to one way, on a loop of its own; return ``None`` where it cannot."""
        return asyncio.run(self._play(servers, scenario, way))

    async def _play(self, servers: Servers, scenario: Scenario, way: type[Way]) -> Score | None:
        async with self.stage(servers, way) as stage:
            try:
                await scenario(stage)
            except NotApplicableError:
                return None
            finally:
                await stage.close()
            score: Score = await stage.score()
            return score

    def versions(self) -> str:
        """Return what was installed, for the page."""
        return ", ".join(f"{package} {metadata.version(package)}" for package in self.packages)


def says(scenario: Scenario) -> str:
    """Return what happens, in words."""
    return inspect.cleandoc(scenario.__doc__ or "").partition("\n")[0].rstrip(".")

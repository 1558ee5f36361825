"""Interleaved rounds: what is compared runs in turns, so that whatever else the machine does meets all alike."""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        units: Items or rows done.
        wall: Seconds by the clock.
        cpu: Seconds of processor time, of all threads of this process.
    """

    units: int
    wall: float
    cpu: float


class Stopwatch:
    """Takes wall and processor time of what is done within ``with``."""

    def __enter__(self) -> Self:
        # The rubbish of the run before is not this one's.
        gc.collect()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._wall = time.perf_counter() - self._wall
        self._cpu = time.process_time() - self._cpu

    def sample(self, units: int) -> Sample:
        """Return what was taken, for as many items or rows."""
        return Sample(units, self._wall, self._cpu)


@dataclasses.dataclass(frozen=True)
class Case:
    """One of the ways that are compared.

    Attributes:
        name: What the table calls it.
        run: Does it once.
    """

    name: str
    run: Callable[[], Sample]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times as fast one way is as another: the median of the ratios of each round.

    Attributes:
        wall: By the clock.
        cpu: By processor time; other processes do not disturb it.
        low: The lower quartile of the ratios by the clock.
        high: The upper one.
    """

    wall: float
    cpu: float
    low: float
    high: float


@dataclasses.dataclass
class Measured:
    """The runs of one case, one a round."""

    name: str
    samples: list[Sample] = dataclasses.field(default_factory=list)

    @property
    def rate(self) -> float:
        """Units a second: the median."""
        return statistics.median(sample.units / sample.wall for sample in self.samples)

    @property
    def cpu_per_unit(self) -> float:
        """Microseconds of processor time a unit: the median."""
        return 1e6 * statistics.median(sample.cpu / sample.units for sample in self.samples)

    def against(self, other: Measured) -> Ratio:
        """Compare with another case of the same rounds."""
        pairs = list(zip(self.samples, other.samples, strict=True))
        wall = [(mine.units / mine.wall) / (yours.units / yours.wall) for mine, yours in pairs]
        cpu = [(mine.units / mine.cpu) / (yours.units / yours.cpu) for mine, yours in pairs if mine.cpu and yours.cpu]
        low, _, high = statistics.quantiles(wall, n=4, method="inclusive") if len(wall) > 1 else [wall[0]] * 3
        return Ratio(statistics.median(wall), statistics.median(cpu) if cpu else float("nan"), low, high)


def interleaved(cases: Sequence[Case], rounds: int) -> dict[str, Measured]:
    """Run all cases in each round, each round in another order, after a round that does not count."""
    measured = {case.name: Measured(case.name) for case in cases}
    for case in cases:
        case.run()
    for number in range(rounds):
        turn = number % len(cases)
        for case in (*cases[turn:], *cases[:turn]):
            measured[case.name].samples.append(case.run())
    return measured

"""What ``import bulkwriter`` costs a program that has ``asyncio`` already, and which module costs it.

Each import is one of a fresh process. Two ways to look at it: processor time of the statement itself, taken within the
process; and of whole processes with and without it, which sees also what the first way cannot.

``python -m benchmarks.imports``; what the numbers mean is in ``benchmarks/README.md``.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks._command import main
from benchmarks._report import Requirement, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks._command import Size

MOST_MS = 15.0
SHOWN = 15
MODULES = ("bulkwriter", "bulkwriter.backends.sqlite", "bulkwriter.testing")

STATEMENT = """
import asyncio, time
began = time.process_time()
import {}
print(time.process_time() - began)
"""
# As a user's process has it: compiled modules are kept.
_ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
_IMPORT_TIME = re.compile(r"import time: +(\d+) \| +(\d+) \| ( *)(\S+)")


def imports(size: Size) -> Iterator[Section]:
    """Ask for the library, and for its parts that are imported by name."""
    runs = size.pick(tiny=1, full=40)
    _output("-c", f"import {', '.join(MODULES)}")
    section = Section("Importing above asyncio, in ms of processor time", ["", "min", "quartile", "median"])
    within: dict[str, list[float]] = {module: [] for module in MODULES}
    whole: dict[str, list[float]] = {"asyncio": [], "bulkwriter": []}
    for _ in range(runs):
        for module, found in within.items():
            found.append(1000 * float(_output("-c", STATEMENT.format(module))))
        for module, found in whole.items():
            found.append(_process_ms(f"import asyncio, {module}"))
    for module, found in within.items():
        section.rows.append([f"import {module}", *_figures(found)])
    above = [with_us - without for with_us, without in zip(whole["bulkwriter"], whole["asyncio"], strict=True)]
    section.rows.append(["whole process with it, less one without", *_figures(above)])
    # Not the median: what another process takes is counted here in whole slices of time, of some milliseconds each,
    # and nothing is ever given back.
    ours = _quartile(within["bulkwriter"])
    section.requirements.append(Requirement("import bulkwriter above asyncio", ours, MOST_MS, "ms", is_most=True))
    yield section
    yield _modules(min(runs, 15))


def _figures(found: list[float]) -> list[str]:
    return [f"{figure:.2f}" for figure in (min(found), _quartile(found), statistics.median(found))]


def _quartile(found: list[float]) -> float:
    """Return what a quarter of them is below."""
    return statistics.quantiles(found, n=4, method="inclusive")[0] if len(found) > 1 else found[0]


def _output(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=_ENVIRONMENT).stdout


def _process_ms(statement: str) -> float:
    before = os.times()
    _output("-c", statement)
    after = os.times()
    return 1000 * (after.children_user - before.children_user + after.children_system - before.children_system)


def _modules(runs: int) -> Section:
    """Say where the time goes: each module without what it imports, ours and what is imported for our sake."""
    title = "The modules that cost most, in ms by the clock, without what they import"
    section = Section(title, ["", "min", "quartile", "median"])
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        for module, seconds in _import_times().items():
            found.setdefault(module, []).append(1000 * seconds)
    dearest = sorted(found, key=lambda module: -min(found[module]))
    section.rows += [[module, *_figures(found[module])] for module in dearest[:SHOWN]]
    rest = [min(found[module]) for module in dearest[SHOWN:]]
    section.rows.append([f"{len(rest)} others", f"{sum(rest):.2f}", "", ""])
    foreign = [module for module in found if not module.startswith("bulkwriter")]
    section.notes.append(f"not ours, and not there with asyncio alone: {', '.join(foreign) or 'none'}")
    return section


def _import_times() -> dict[str, float]:
    """Return the seconds of each module that is imported after ``asyncio``."""
    command = [sys.executable, "-X", "importtime", "-c", "import asyncio\nimport bulkwriter"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=_ENVIRONMENT)
    times: dict[str, float] = {}
    for own, _, _, module in _IMPORT_TIME.findall(done.stderr):
        times[module] = int(own) / 1e6
    modules = list(times)
    return {module: times[module] for module in modules[modules.index("asyncio") + 1 :]}


if __name__ == "__main__":
    main("imports", __doc__ or "", {"imports": imports})

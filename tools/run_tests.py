"""Runs the test suite on every supported Python of this machine, and in each on every kind of event loop.

``python3 -m tools.run_tests [--python 3.12] [--loop uvloop] [--jobs 1] [ARGUMENTS OF PYTEST...]``

Several runs go side by side, so the output of each is shown when it has ended; a run that is alone shows it at once.
The last line adds them up.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from tools.environments import ROOT, Environment, alone, build_wheel
from tools.interpreters import interpreters

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPS = ("asyncio", "eager", "uvloop")
EAGER_TASKS_SINCE = (3, 12, 0)

_DECORATION = re.compile(r"\x1b\[[0-9;]*m|=")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of the whole suite.

    Attributes:
        environment: Where it runs.
        loop: The kind of event loop, one of ``LOOPS``.
    """

    environment: Environment
    loop: str

    @property
    def name(self) -> str:
        """How it is called in what this prints."""
        return f"Python {self.environment.interpreter.name}, {self.loop}"

    def start(self, arguments: Sequence[str], *, is_alone: bool) -> subprocess.CompletedProcess[str]:
        """Run pytest and return how it went; its output goes to the terminal if the run is alone."""
        # Runs that go side by side would write to one cache at the same time.
        cache = f"cache_dir={self.environment.path / 'pytest-cache' / self.loop}"
        color = "yes" if sys.stdout.isatty() else "no"
        return subprocess.run(
            [self.environment.python, "-m", "pytest", "-o", cache, f"--color={color}", *arguments],
            cwd=ROOT,
            env={**self.environment.variables(), "BULKWRITER_TEST_LOOP": self.loop},
            stdin=subprocess.DEVNULL,
            stdout=None if is_alone else subprocess.PIPE,
            stderr=None if is_alone else subprocess.STDOUT,
            text=True,
            check=False,
        )


def main() -> int:
    """Run what the command line asks for; return 0 if every run passed."""
    options, arguments = _parser().parse_known_args()
    began = time.monotonic()
    environments = _prepare(options.python, options.jobs)
    loops = options.loop or LOOPS
    runs = [Run(environment, loop) for loop in loops for environment in environments]
    runs = [run for run in runs if run.loop != "eager" or run.environment.interpreter.version >= EAGER_TASKS_SINCE]
    if not runs:
        sys.exit("No Python of this machine fits.")
    if len(runs) == 1:
        return runs[0].start(arguments, is_alone=True).returncode
    results = _run_all(runs, arguments, options.jobs)
    _summarise(results, time.monotonic() - began)
    # A run that was killed has a negative code, which is no success either.
    return int(any(result.returncode for result in results.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="only this version, such as 3.12; may be repeated")
    parser.add_argument("--loop", action="append", choices=LOOPS, help="only this kind of loop; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many runs go side by side")
    return parser


def _prepare(names: list[str] | None, jobs: int) -> list[Environment]:
    found = interpreters()
    environments = [Environment("test", python) for python in found if names is None or python.name in names]
    try:
        with alone(), ThreadPoolExecutor(jobs) as threads:
            wheel = build_wheel()
            list(threads.map(lambda environment: environment.prepare(wheel), environments))
    except subprocess.CalledProcessError as error:
        sys.exit(f"Could not prepare an environment: {error}")
    return environments


def _run_all(runs: list[Run], arguments: Sequence[str], jobs: int) -> dict[str, subprocess.CompletedProcess[str]]:
    results = {}
    print(f"{len(runs)} runs, {jobs} side by side", flush=True)
    with ThreadPoolExecutor(jobs) as threads:
        waiting = {threads.submit(run.start, arguments, is_alone=False): run for run in runs}
        for done in as_completed(waiting):
            run = waiting[done]
            results[run.name] = done.result()
            print(f"\n──── {run.name} ────\n{done.result().stdout}", flush=True)
    return results


def _summarise(results: dict[str, subprocess.CompletedProcess[str]], seconds: float) -> None:
    total = dict.fromkeys(("passed", "failed", "skipped"), 0)
    print(f"──── {len(results)} runs in {seconds:.0f} s ────")
    for name, result in sorted(results.items()):
        last_line = _DECORATION.sub("", result.stdout.rstrip().rpartition("\n")[2])
        print(f"{name:22} {last_line.strip()}")
        for count, word in re.findall(r"(\d+) (passed|failed|error|skipped)", last_line):
            total["failed" if word == "error" else word] += int(count)
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")


if __name__ == "__main__":
    sys.exit(main())

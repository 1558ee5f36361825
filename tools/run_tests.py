"""Runs the tests: ``tests/`` on every supported Python here and every event loop, ``integration/`` twice.

``python3 -m tools.run_tests [--suite tests] [--python 3.12] [--loop uvloop] [--jobs 1] [ARGUMENTS OF PYTEST...]``

What real servers do depends on neither: ``integration/`` is run on asyncio with the oldest Python and older versions of
PostgreSQL, and on uvloop with the newest of both. What is of DynamoDB is run once more, with the newest aiobotocore:
aioboto3, which the others have, holds it back. Several runs go side by side, so the output of each is shown when it has
ended; a run that is alone shows it at once. The last line adds them up.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from tools.environments import ROOT, Environment, alone, build_wheel
from tools.interpreters import Interpreter, interpreters
from tools.servers import install_servers

if TYPE_CHECKING:
    from collections.abc import Sequence

SUITES = {"integration": "integration", "tests": "test"}
"""Each folder of tests, and the dependency group that it needs; the one that takes longest is begun first."""

NEWEST_AWS = "newest-aws"
"""The dependency group of the newest aiobotocore."""

OF_AWS = ("tests/test_dynamodb_*.py", "integration/test_dynamodb_*.py")
"""What is run with it."""

LOOPS = ("asyncio", "eager", "uvloop")
EAGER_TASKS_SINCE = (3, 12, 0)

LONGEST = 4500.0
"""Seconds that a run may take: one that hangs for ever would keep everybody from hearing what it was."""

JOBS = (os.cpu_count() or 1) + 1
"""Runs side by side: those on real servers spend half of their time waiting."""

ONCE_MORE = ("--reruns=1", "--reruns-delay=2", "--rerun-except=MismatchError")
"""On real servers a fault may miss on a busy machine, and the test fails for it: it is run once more, and named in the
summary with how it failed. Never again is asked where what callers heard is not what the table holds."""

NOTHING_SELECTED = 5
"""What pytest returns when no test was selected."""

_DECORATED = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of one suite.

    Attributes:
        suite: Which, one of ``SUITES``.
        environment: Where it runs.
        loop: The kind of event loop, one of ``LOOPS``.
        only: The files that it is of, if not of a whole folder.
        versions: Which of a server's versions it is of, ``"newest"`` or ``"older"``, if not of each.
    """

    suite: str
    environment: Environment
    loop: str
    only: tuple[str, ...] = ()
    versions: str | None = None

    @classmethod
    def of(cls, suite: str, interpreter: Interpreter, loop: str, versions: str | None = None) -> Run:
        """Return the run of a suite on a Python and a kind of event loop."""
        return cls(suite, Environment(SUITES[suite], interpreter), loop, versions=versions)

    @property
    def name(self) -> str:
        """How it is called in what this prints."""
        told = ", newest aiobotocore" if self.environment.group == NEWEST_AWS else ""
        return f"{self.suite}, Python {self.environment.interpreter.name}, {self.loop}{told}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables it runs with."""
        versions = {"BULKWRITER_TEST_VERSIONS": self.versions} if self.versions else {}
        # What goes wrong by chance is no other with another client: a few runs of it show that it is told alike.
        fewer = {"BULKWRITER_TEST_DYNAMODB_RUNS": "20", "BULKWRITER_TEST_DYNAMODB_LOCAL_RUNS": "4"} if self.only else {}
        return {**self.environment.variables(), "BULKWRITER_TEST_LOOP": self.loop, **versions, **fewer}

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return what runs pytest."""
        named = [argument for argument in arguments if _suite_of(argument)]
        # A run is given its own of the tests that were named, or else all that are in its folder.
        selected = [argument for argument in arguments if _suite_of(argument) in {None, self.suite}]
        folder = [] if named else [str(file) for glob in self.only for file in sorted(ROOT.glob(glob))] or [self.suite]
        # Runs that go side by side would write to one cache at the same time.
        cache = f"cache_dir={self.environment.path / 'pytest-cache' / self.loop}"
        color = "yes" if sys.stdout.isatty() else "no"
        again = ONCE_MORE if self.suite == "integration" else ()
        pytest = [str(self.environment.python), "-m", "pytest", "-o", cache, f"--color={color}", *again]
        return [*pytest, *folder, *selected]

    def start(self, arguments: Sequence[str], *, is_alone: bool) -> subprocess.CompletedProcess[str]:
        """Run pytest and return how it went; its output goes to the terminal if the run is alone."""
        return run_within(LONGEST, self.command(arguments), self.variables, is_alone=is_alone)


def run_within(
    seconds: float, command: Sequence[str], variables: dict[str, str], *, is_alone: bool
) -> subprocess.CompletedProcess[str]:
    """Run a command and return how it went; one that takes too long is killed, and says so where failures are named."""
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=None if is_alone else subprocess.PIPE,
            stderr=None if is_alone else subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        said = f"{(error.output or b'').decode(errors='replace')}\nERROR it was killed after {seconds:.0f} seconds"
        if is_alone:
            print(said)
        return subprocess.CompletedProcess(command, -signal.SIGKILL, said)


def main() -> int:
    """Run what the command line asks for; return 0 if every run passed."""
    options, arguments = _parser().parse_known_args()
    began = time.monotonic()
    pythons = [python for python in interpreters() if options.python is None or python.name in options.python]
    suites = options.suite or {_suite_of(argument) for argument in arguments} - {None} or SUITES
    runs = [run for suite in SUITES if suite in suites for run in _runs(suite, pythons, options.loop)]
    if pythons and "integration" in suites and not options.loop and not any(map(_suite_of, arguments)):
        runs.append(_newest_aws(pythons[-1]))
    if not runs:
        sys.exit("No Python of this machine fits.")
    prepare(runs, options.jobs)
    if len(runs) == 1:
        return runs[0].start(arguments, is_alone=True).returncode
    results = _run_all(runs, arguments, options.jobs)
    _summarise(results, time.monotonic() - began)
    return int(not _is_success({result.returncode for result in results.values()}, is_narrowed=bool(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this folder; may be repeated")
    parser.add_argument("--python", action="append", help="only this version, such as 3.12; may be repeated")
    parser.add_argument("--loop", action="append", choices=LOOPS, help="only this kind of loop; may be repeated")
    parser.add_argument("--jobs", type=int, default=JOBS, help="how many runs go side by side")
    return parser


def _suite_of(argument: str) -> str | None:
    """Return the suite that an argument of pytest names a folder, a file or a test of; ``None`` for other arguments."""
    path = Path(argument.partition("::")[0])
    return path.parts[0] if path.parts and path.parts[0] in SUITES and (ROOT / path).exists() else None


def _runs(suite: str, pythons: list[Interpreter], loops: list[str] | None) -> list[Run]:
    """Return the runs of a suite."""
    if suite == "integration" and pythons and not loops:
        # Each version is met once: it knows nothing of our loop, and takes as long on each.
        return [Run.of(suite, pythons[0], "asyncio", "older"), Run.of(suite, pythons[-1], "uvloop", "newest")]
    tried = pythons[-1:] if suite == "integration" else pythons
    pairs = [(python, loop) for loop in loops or LOOPS for python in tried]
    return [
        Run.of(suite, python, loop) for python, loop in pairs if loop != "eager" or python.version >= EAGER_TASKS_SINCE
    ]


def _newest_aws(interpreter: Interpreter) -> Run:
    """Return the run of what is of DynamoDB with the newest aiobotocore."""
    return Run("integration", Environment(NEWEST_AWS, interpreter), "asyncio", OF_AWS, "newest")


def prepare(runs: list[Run], jobs: int = 1) -> None:
    """Make what the runs need: their environments, the wheel and, where we may, servers.

    Raises:
        SystemExit: An environment could not be made.
    """
    environments = dict.fromkeys(run.environment for run in runs)
    try:
        with alone(), ThreadPoolExecutor(jobs) as threads:
            wheel = build_wheel()
            list(threads.map(lambda environment: environment.prepare(wheel), environments))
            if any(run.suite == "integration" for run in runs):
                install_servers()
    except subprocess.CalledProcessError as error:
        sys.exit(f"Could not prepare an environment: {error}")


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


def _is_success(codes: set[int], *, is_narrowed: bool) -> bool:
    """Whether every run passed; one that was killed has a negative code, which is no success either.

    Where the caller asked for some tests only, a suite may have none of them, as long as another one has.
    """
    return codes == {0} or (is_narrowed and codes == {0, NOTHING_SELECTED})


def _summarise(results: dict[str, subprocess.CompletedProcess[str]], seconds: float) -> None:
    total = dict.fromkeys(("passed", "failed", "skipped"), 0)
    print(f"──── {len(results)} runs in {seconds:.0f} s ────")
    for name, result in sorted(results.items()):
        last_line = _DECORATED.sub("", result.stdout.rstrip().rpartition("\n")[2]).strip("= ")
        print(f"{name:35} {last_line}")
        for count, word in re.findall(r"(\d+) (passed|failed|error|skipped)", last_line):
            total["failed" if word == "error" else word] += int(count)
        # Once more at the very end: of a long output often nothing else is kept.
        for line in _bad_news(result.stdout):
            print(f"    {line}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")


def _bad_news(output: str) -> list[str]:
    """Return the lines of pytest's own summary that name what went wrong."""
    lines = (_DECORATED.sub("", line) for line in output.splitlines())
    return [line for line in lines if line.startswith(("FAILED ", "ERROR ", "RERUN "))]


if __name__ == "__main__":
    sys.exit(main())

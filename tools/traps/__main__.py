"""Plants each trap into a copy of the sources, and shows that the tests notice.

``python3 -m tools.traps [--no-servers] [WORDS...]``

A trap is caught when a test fails by what it asserts, or because somebody was left waiting; a test that merely trips
over the planted code proves nothing, and counts as an escape. ``WORDS`` choose the traps whose names have one of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools.environments import ROOT, Environment, alone, build_wheel
from tools.interpreters import default_interpreter
from tools.run_tests import run_within
from tools.servers import install_servers
from tools.traps.planted import TRAPS

if TYPE_CHECKING:
    import subprocess

    from tools.traps.trap import Trap

LONGEST = 900.0
"""Seconds that the tests of one trap may take."""

# What a test ends with that has seen something wrong: its assertion; an error of the library that it did not expect; an
# answer that is not there, or that somebody waits for for ever.
_BEHAVIOUR = re.compile(
    r"^E\s+(?:assert |Failed: |TimeoutError"
    r"|(?:[\w.]+\.)?(?:AssertionError|MismatchError|EverybodyWaitsError|InvalidStateError: Result is not set)"
    r"|bulkwriter\.[\w.]+Error)",
    re.MULTILINE,
)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Finding:
    """What became of one trap.

    Attributes:
        trap: Which.
        test: The test that noticed it; ``None`` if none did.
        output: What pytest said.
    """

    trap: Trap
    test: str | None
    output: str


def main() -> int:
    """Plant what the command line asks for; return 0 if every trap was caught."""
    options = _parser().parse_args()
    traps = [trap for trap in TRAPS if _is_chosen(trap, options)]
    environment = Environment("integration", default_interpreter())
    with alone():
        environment.prepare(build_wheel())
        if any(trap.needs_servers for trap in traps):
            install_servers()
    escaped = [finding for finding in (_tell(_planted(trap, environment)) for trap in traps) if finding.test is None]
    print(f"{len(traps) - len(escaped)} of {len(traps)} traps caught")
    return int(bool(escaped))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-servers", action="store_true", help="only traps that are noticed without a server")
    parser.add_argument("words", nargs="*", help="only traps whose names have one of these")
    return parser


def _is_chosen(trap: Trap, options: argparse.Namespace) -> bool:
    if options.no_servers and trap.needs_servers:
        return False
    return not options.words or any(word in trap.name for word in options.words)


def _planted(trap: Trap, environment: Environment) -> Finding:
    """Plant a trap, and run the tests that should notice it until one does."""
    with tempfile.TemporaryDirectory(prefix="bulkwriter-trap-") as folder:
        package = Path(folder) / "bulkwriter"
        shutil.copytree(ROOT / "src" / "bulkwriter", package, ignore=shutil.ignore_patterns("__pycache__"))
        trap.plant(package)
        # Before the installed wheel, which has no traps.
        variables = {**environment.variables(), "PYTHONPATH": folder, "BULKWRITER_TEST_LOOP": "asyncio"}
        command = [str(environment.python), "-m", "pytest", "-x", "-p", "no:cacheprovider", "--timeout=30", *trap.tests]
        done = run_within(LONGEST, command, variables, is_alone=False)
    return Finding(trap, _noticed_by(done), done.stdout)


def _noticed_by(done: subprocess.CompletedProcess[str]) -> str | None:
    """Return the test that failed by what it asserts."""
    failed = _FAILED.search(done.stdout)
    return failed[1] if done.returncode == 1 and failed and _BEHAVIOUR.search(done.stdout) else None


def _tell(finding: Finding) -> Finding:
    if finding.test is None:
        print(f"ESCAPED  {finding.trap.name}\n{finding.output[-3000:]}", flush=True)
    else:
        print(f"caught   {finding.trap.name}\n         by {finding.test}", flush=True)
    return finding


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())

"""Runs ``integration/`` on servers in containers: ``python3 -m tools.containers [ARGUMENTS OF PYTEST...]``.

The engine that ``DOCKER_HOST`` names serves, or Docker's own; it fetches what ``docker-compose.yml`` names. Where there
is neither, root on Debian installs one from the system's packages. It is run for these tests alone, in namespaces of
its own: nothing outside sees its network, its mounts or its processes, and nothing of it is left. No registry is asked
there: its images are made of what this machine has installed, and are named as what they are.

Where no engine is to be had this fails, unless ``BULKWRITER_ALLOW_NO_ENGINE`` is ``yes``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, NoReturn

from tools.containers import NO_ENGINE
from tools.environments import ROOT
from tools.interpreters import default_interpreter
from tools.run_tests import LONGEST, Run, prepare, run_within
from tools.servers import install_engine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# The mounts and the processes of the engine end with their namespaces, whatever ends this; /proc shows these alone.
_APART = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def main(arguments: Sequence[str]) -> int:
    """Run the tests and return pytest's exit code; 1 where there is no engine, or 0 where that is allowed."""
    run = Run.of("integration", default_interpreter(), "asyncio")
    prepare([run])
    reason = _why_no_engine(run)
    if reason is None:
        return _run(run, arguments, [], {"BULKWRITER_TEST_PULL": os.environ.get("BULKWRITER_TEST_PULL", "1")})
    print(f"[{reason}]", file=sys.stderr)
    if not install_engine():
        return _without("it can be installed by root on Debian alone")
    with tempfile.TemporaryDirectory(prefix="bulkwriter-engine-") as folder:
        apart = [*_APART, str(run.environment.python), "-m", "tools.containers.private_engine", folder]
        code = _run(run, arguments, apart, {})
    return _without("none could be started") if code == NO_ENGINE else code


def _why_no_engine(run: Run) -> str | None:
    """Return why there is no engine, asked as the tests ask for it."""
    asked: list[str | Path] = [run.environment.python, "-m", "integration.servers.engine"]
    told = subprocess.run(asked, cwd=ROOT, env=run.variables, capture_output=True, text=True, check=False)
    return (told.stdout or told.stderr).strip() if told.returncode else None


def _run(run: Run, arguments: Sequence[str], before: Sequence[str], variables: dict[str, str]) -> int:
    pinned = {**run.variables, **variables, "BULKWRITER_TEST_PROVIDER": "docker"}
    return run_within(LONGEST, [*before, *run.command(arguments)], pinned, is_alone=True).returncode


def _without(reason: str) -> int:
    print(f"No container engine: {reason}.", file=sys.stderr)
    return int(os.environ.get("BULKWRITER_ALLOW_NO_ENGINE") != "yes")


def _leave(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    # What is asked to end takes its namespaces with it: left alone, they would go on to the end of the tests.
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main(sys.argv[1:]))

"""Finds the Pythons of this machine that the project supports: on the PATH, and where pyenv and uv keep theirs.

``python3 -m tools.interpreters`` prints the newest of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = (3, 11)

_NAME = re.compile(r"python3\.(1[1-9]|[2-9]\d)")
# What an interpreter must be able to do to be of use. Being asked for it is also how a pyenv shim is found out that
# stands for a version which is not switched on.
_PROBE = """
import json, sqlite3, sys, venv
has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
print(json.dumps([sys.version_info[:3], sys.implementation.name, has_gil]))
"""


@dataclasses.dataclass(frozen=True, order=True)
class Interpreter:
    """A Python that runs.

    Attributes:
        version: Major, minor and micro.
        path: Its executable.
    """

    version: tuple[int, int, int]
    path: Path

    @property
    def name(self) -> str:
        """Its version as its executable is called, such as ``"3.12"``."""
        return f"{self.version[0]}.{self.version[1]}"


def interpreters() -> list[Interpreter]:
    """Return the machine's supported Pythons, oldest first: of each minor version the newest that runs.

    One that is there but of no use is named on standard error.
    """
    newest: dict[str, Interpreter] = {}
    candidates = set(_candidates())
    with ThreadPoolExecutor() as threads:
        for found in filter(None, threads.map(_probe, candidates)):
            newest[found.name] = max(found, newest.get(found.name, found))
    for name in sorted({path.name.removeprefix("python") for path in candidates} - newest.keys()):
        print(f"Python {name} is left out: it does not run, or has no sqlite3 or venv.", file=sys.stderr)
    return sorted(newest.values())


def default_interpreter() -> Interpreter:
    """Return the Python that runs this if it is a supported one, else the machine's newest.

    Raises:
        SystemExit: There is none.
    """
    running = _probe(Path(sys.executable))
    if running:
        return running
    others = interpreters()
    if not others:
        sys.exit(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, with its sqlite3 and venv modules.")
    return others[-1]


def _candidates() -> Iterator[Path]:
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += (pyenv / "versions").glob("*/bin")
    folders += (home / ".local/share/uv/python").glob("*/bin")
    for folder in folders:
        yield from (path for path in folder.glob("python3.*") if _NAME.fullmatch(path.name))


def _probe(path: Path) -> Interpreter | None:
    try:
        answer = subprocess.run([path, "-c", _PROBE], capture_output=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    version, implementation, has_gil = json.loads(answer.stdout)
    # A build without the GIL is another animal under the same name; it is not claimed to be supported.
    if tuple(version[:2]) < OLDEST or implementation != "cpython" or not has_gil:
        return None
    return Interpreter(tuple(version), path)


if __name__ == "__main__":
    print((interpreters() or [default_interpreter()])[-1].path)

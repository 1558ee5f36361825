"""Makes the virtual environments that everything here runs in, and runs a command in one of them.

``python3 -m tools.environments GROUP COMMAND...`` runs ``COMMAND`` in an environment that holds a dependency group of
``pyproject.toml`` and the built wheel of this checkout: what is tested, shown and measured is what would be published.
An environment is made once and kept under ``.venvs/``; it is made anew when the dependency groups change, and the wheel
when the sources do. Needs nothing but a supported Python with its ``venv`` module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.interpreters import Interpreter, default_interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows has none; there, two commands must not be started at once
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venvs"
WHEELS = HOME / "wheels"

_BIN = "Scripts" if os.name == "nt" else "bin"
# Compiled modules are kept also where the machine is set to keep none: else every run of pytest would spend 2.5 of its
# first 3 seconds on compiling hypothesis again.
_INHERITED = {name: value for name, value in os.environ.items() if name not in {"PYTHONHOME", "PYTHONPATH"}}
_VARIABLES = {**_INHERITED, "PYTHONDONTWRITEBYTECODE": ""}


@dataclasses.dataclass(frozen=True)
class Environment:
    """A virtual environment of one Python with one dependency group and this project's wheel.

    Attributes:
        group: The dependency group it holds.
        interpreter: The Python it is made from.
    """

    group: str
    interpreter: Interpreter

    @property
    def path(self) -> Path:
        """Its folder."""
        return HOME / f"{self.group}-{self.interpreter.name}"

    @property
    def python(self) -> Path:
        """Its own Python."""
        return self.path / _BIN / "python"

    def prepare(self, wheel: Path) -> None:
        """Make it if it is not there or out of date, and install the wheel if it is another than last time.

        Raises:
            subprocess.CalledProcessError: It could not be made; the reason is on standard error.
        """
        recipe = _recipe(self.group, self.interpreter)
        if _stamp(self.path, "recipe") != recipe:
            _announce(f"making {self.path.relative_to(ROOT)} with Python {self.interpreter.name}")
            shutil.rmtree(self.path, ignore_errors=True)
            # One pip fills every environment: installing pip itself into each takes longer than what we need it for.
            _run(self.interpreter.path, "-m", "venv", "--without-pip", self.path)
            _pip("--python", self.python, "install", "--group", self.group)
            _write_stamp(self.path, "recipe", recipe)
        if _stamp(self.path, "wheel") != wheel.parent.name:
            _pip("--python", self.python, "install", "--no-index", "--no-deps", "--force-reinstall", wheel)
            _write_stamp(self.path, "wheel", wheel.parent.name)

    def variables(self) -> dict[str, str]:
        """Return the environment variables of a command that runs in it, as its ``activate`` would set them."""
        search = os.pathsep.join([str(self.path / _BIN), os.environ.get("PATH", os.defpath)])
        return {**_VARIABLES, "VIRTUAL_ENV": str(self.path), "PATH": search}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other commands of this checkout out while environments are made: two would remove each other's."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_wheel() -> Path:
    """Build this checkout's wheel, unless it is there already, and return where it is."""
    sources = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    digest = _digest(*sources, *(ROOT / name for name in ("LICENSE", "README.md", "pyproject.toml")))
    folder = WHEELS / digest
    if not list(folder.glob("*.whl")):
        builder = _builder()
        _announce("building the wheel")
        shutil.rmtree(WHEELS, ignore_errors=True)
        _run(builder, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    return next(folder.glob("*.whl"))


@functools.cache
def _builder() -> Path:
    """Return the Python of the environment that holds pip and what builds wheels."""
    interpreter = default_interpreter()
    path = HOME / "build"
    python = path / _BIN / "python"
    recipe = _recipe("build", interpreter)
    if _stamp(path, "recipe") != recipe:
        _announce(f"making {path.relative_to(ROOT)} with Python {interpreter.name}")
        shutil.rmtree(path, ignore_errors=True)
        _run(interpreter.path, "-m", "venv", path)
        # The pip that comes with a Python is often older than dependency groups.
        _run(python, "-m", "pip", "install", "-qq", "--upgrade", "pip", "hatchling")
        _write_stamp(path, "recipe", recipe)
    return python


def _pip(*arguments: str | Path) -> None:
    _run(_builder(), "-m", "pip", "-qq", "--disable-pip-version-check", *arguments)


def _run(*command: str | Path) -> None:
    # What these say of success is for nobody: the terminal belongs to the command that the caller asked for.
    done = subprocess.run(
        command, cwd=ROOT, env=_VARIABLES, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        done.check_returncode()


def _recipe(group: str, interpreter: Interpreter) -> str:
    """Return what an environment is made from; it changes when the environment is to be made anew."""
    # Read as text: the Python that runs this may be older than tomllib.
    groups = re.search(r"(?ms)^\[dependency-groups]$.*?^\[", (ROOT / "pyproject.toml").read_text())
    return hashlib.sha256(f"{group} {interpreter} {groups and groups[0]}".encode()).hexdigest()[:16]


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"\0{file.relative_to(ROOT)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _stamp(folder: Path, name: str) -> str | None:
    file = folder / f"{name}.stamp"
    return file.read_text() if file.exists() else None


def _write_stamp(folder: Path, name: str, value: str) -> None:
    (folder / f"{name}.stamp").write_text(value)


def _announce(message: str) -> None:
    print(f"[{message}]", file=sys.stderr, flush=True)


def main(group: str, *command: str) -> int:
    """Run a command in the environment of a dependency group and return its exit code."""
    environment = Environment(group, default_interpreter())
    try:
        with alone():
            environment.prepare(build_wheel())
    except subprocess.CalledProcessError as error:
        return error.returncode
    variables = environment.variables()
    program = shutil.which(command[0], path=variables["PATH"]) or command[0]
    try:
        return subprocess.run([program, *command[1:]], cwd=ROOT, env=variables, check=False).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""What a user installs: the built package, typed, that loads nothing nobody asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import bulkwriter

LOADED = """
import asyncio, sys
before = {name.partition(".")[0] for name in sys.modules}
import bulkwriter
print(*sorted({name.partition(".")[0] for name in sys.modules} - before))
"""


def test_what_is_tested_is_the_installed_package() -> None:
    """A module that the build forgets fails here, not at the user's."""
    assert Path(bulkwriter.__file__).is_relative_to(sys.prefix)


def test_the_package_says_that_it_is_typed() -> None:
    """Type checkers read a package's annotations only if it has this file."""
    assert any(file.match("bulkwriter/py.typed") for file in metadata.files("bulkwriter") or ())


def test_the_package_depends_on_nothing() -> None:
    """Whatever it requires belongs to an extra."""
    requirements = metadata.requires("bulkwriter") or []
    assert [requirement for requirement in requirements if "extra ==" not in requirement] == []


def test_importing_loads_no_driver_and_no_other_package() -> None:
    """``import bulkwriter`` is a matter of milliseconds, with every driver installed."""
    answer = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)  # noqa: S603 - the command is above
    loaded = set(answer.stdout.split())
    assert loaded - sys.stdlib_module_names == {"bulkwriter"}
    assert "sqlite3" not in loaded

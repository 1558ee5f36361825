"""The scripts that find Pythons find the right ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tools import interpreters

if TYPE_CHECKING:
    from pathlib import Path


def test_the_python_that_runs_this_is_found() -> None:
    """Whatever runs the tests is one that they are run on."""
    assert interpreters.default_interpreter().version == sys.version_info[:3]
    assert any(found.version[:2] == sys.version_info[:2] for found in interpreters.interpreters())


def test_a_python_that_does_not_run_is_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shim of pyenv for a version that is switched off is on the PATH, and fails."""
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\necho 'python3.99: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "3.99" not in {found.name for found in interpreters.interpreters()}
    assert "Python 3.99 is left out" in capsys.readouterr().err


def test_an_old_python_is_no_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than the project supports is not even asked."""
    (tmp_path / "python3.10").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert interpreters.interpreters() == []


def test_no_supported_python_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A newcomer with an old Python alone hears what is needed."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed"):
        interpreters.default_interpreter()

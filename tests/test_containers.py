"""``make integration-docker`` runs the tests in containers or fails: it never passes by having run nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools import containers
from tools.containers import NO_ENGINE
from tools.containers import __main__ as script
from tools.interpreters import Interpreter
from tools.run_tests import Run

if TYPE_CHECKING:
    from collections.abc import Sequence


class Machine:
    """A machine of the test's choice, and what was run on it."""

    def __init__(self) -> None:
        self.why_no_engine: str | None = None
        self.can_install = False
        self.code = 0
        self.commands: list[Sequence[str]] = []
        self.variables: dict[str, str] = {}

    def run(
        self, _: float, command: Sequence[str], variables: dict[str, str], *, is_alone: bool
    ) -> subprocess.CompletedProcess[str]:
        """Note what is to be run."""
        assert is_alone
        self.commands.append(command)
        self.variables = variables
        return subprocess.CompletedProcess(command, self.code)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One where nothing is run, and an engine answers."""
    made = Machine()
    monkeypatch.setattr(script, "default_interpreter", lambda: Interpreter((3, 12, 1), Path("python3.12")))
    monkeypatch.setattr(script, "prepare", lambda _: None)
    monkeypatch.setattr(script, "_why_no_engine", lambda _: made.why_no_engine)
    monkeypatch.setattr(script, "install_engine", lambda: made.can_install)
    monkeypatch.setattr(script, "run_within", made.run)
    for variable in ("BULKWRITER_ALLOW_NO_ENGINE", "BULKWRITER_TEST_PROVIDER", "BULKWRITER_TEST_PULL"):
        monkeypatch.delenv(variable, raising=False)
    return made


def test_an_engine_that_answers_is_used(machine: Machine) -> None:
    """And nothing else is, and what it lacks is fetched."""
    machine.code = 3
    assert script.main(["integration/test_wire.py", "-x"]) == 3
    (command,) = machine.commands
    assert command[1:3] == ["-m", "pytest"]
    assert command[-2:] == ["integration/test_wire.py", "-x"]
    assert machine.variables["BULKWRITER_TEST_PROVIDER"] == "docker"
    assert machine.variables["BULKWRITER_TEST_PULL"] == "1"


def test_where_there_is_none_root_has_one_of_its_own(machine: Machine) -> None:
    """In namespaces of their own, and with nothing that is fetched."""
    machine.why_no_engine, machine.can_install = "nobody answers", True
    assert script.main(["-x"]) == 0
    (command,) = machine.commands
    assert command[:2] == ["unshare", "--net"]
    assert f"{containers.__name__}.private_engine" in command
    assert command[-2:] == ["integration", "-x"]
    assert machine.variables["BULKWRITER_TEST_PROVIDER"] == "docker"
    assert "BULKWRITER_TEST_PULL" not in machine.variables


@pytest.mark.parametrize("can_install", [False, True])
@pytest.mark.parametrize(("allowed", "code"), [(None, 1), ("", 1), ("no", 1), ("yes", 0)])
def test_no_engine_at_all_is_a_failure_unless_it_is_allowed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, allowed: str | None, code: int, *, can_install: bool
) -> None:
    """Whether none may be installed, or the one that was installed does not start."""
    machine.why_no_engine, machine.can_install, machine.code = "nobody answers", can_install, NO_ENGINE
    if allowed is not None:
        monkeypatch.setenv("BULKWRITER_ALLOW_NO_ENGINE", allowed)
    assert script.main([]) == code


def test_tests_that_fail_are_not_taken_for_a_missing_engine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be missing is the engine, and nothing that its tests find."""
    monkeypatch.setenv("BULKWRITER_ALLOW_NO_ENGINE", "yes")
    machine.why_no_engine, machine.can_install, machine.code = "nobody answers", True, 1
    assert script.main([]) == 1


def test_an_engine_is_asked_for_as_the_tests_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason comes from the same place, so that the two never differ."""
    asked: list[Any] = []

    def run(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, "", "nobody answers\n")

    monkeypatch.setattr(subprocess, "run", run)
    made = Run.of("integration", Interpreter((3, 12, 1), Path("python3.12")), "asyncio")
    assert script._why_no_engine(made) == "nobody answers"
    assert asked[0][1:] == ["-m", "integration.servers.engine"]

"""The script that runs the tests runs those that were asked for, and does not take nothing for success."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import run_tests, servers
from tools.interpreters import Interpreter

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHONS = [Interpreter((3, minor, 1), Path(f"python3.{minor}")) for minor in (11, 12, 13)]


def _names(suite: str, loops: list[str] | None = None, pythons: Sequence[Interpreter] = PYTHONS) -> list[str]:
    return [run.name for run in run_tests._runs(suite, list(pythons), loops)]


def test_the_tests_without_servers_are_run_on_every_python_and_loop() -> None:
    """Except on eager tasks where there are none."""
    names = _names("tests")
    assert len(names) == 8
    assert "tests, Python 3.11, eager" not in names


def test_the_tests_on_real_servers_are_run_on_either_end() -> None:
    """The oldest Python and the newest, on one loop each; what was asked for comes before that."""
    assert _names("integration") == ["integration, Python 3.11, asyncio", "integration, Python 3.13, uvloop"]
    assert _names("integration", ["asyncio"]) == ["integration, Python 3.13, asyncio"]
    assert _names("integration", pythons=[]) == []


def test_each_version_of_a_server_is_met_once() -> None:
    """It knows nothing of our loop, and takes as long on each. On one loop alone, each version is met on that."""
    by_name = {run.name: run.variables for run in run_tests._runs("integration", PYTHONS, None)}
    assert by_name["integration, Python 3.11, asyncio"]["BULKWRITER_TEST_VERSIONS"] == "older"
    assert by_name["integration, Python 3.13, uvloop"]["BULKWRITER_TEST_VERSIONS"] == "newest"
    assert [run.versions for run in run_tests._runs("integration", PYTHONS, ["asyncio"])] == [None]


def test_the_newest_aiobotocore_is_met_once() -> None:
    """By what is of DynamoDB in either folder."""
    run = run_tests._newest_aws(PYTHONS[-1])
    assert run.name == "integration, Python 3.13, asyncio, newest aiobotocore"
    assert run.variables["BULKWRITER_TEST_VERSIONS"] == "newest"
    root = Path(__file__).parents[1]
    assert all(list(root.glob(glob)) for glob in run.only)


@pytest.mark.parametrize(
    ("argument", "suite"),
    [
        ("tests/test_rows.py", "tests"),
        ("tests/test_rows.py::test_nothing", "tests"),
        ("integration", "integration"),
        ("-k", None),
        ("tests or nothing", None),
        ("cancel", None),
        ("", None),
    ],
)
def test_a_path_among_the_arguments_chooses_its_suite(argument: str, suite: str | None) -> None:
    """Whoever names a file waits for no other folder."""
    assert run_tests._suite_of(argument) == suite


def test_a_run_without_any_test_is_a_success_only_where_few_were_asked_for() -> None:
    """A folder of which nothing is collected any more must not pass in silence."""
    assert run_tests._is_success({0}, is_narrowed=False)
    assert not run_tests._is_success({0, run_tests.NOTHING_SELECTED}, is_narrowed=False)
    assert run_tests._is_success({0, run_tests.NOTHING_SELECTED}, is_narrowed=True)
    assert not run_tests._is_success({run_tests.NOTHING_SELECTED}, is_narrowed=True)
    assert not run_tests._is_success({0, 1}, is_narrowed=True)
    assert not run_tests._is_success({-9}, is_narrowed=True)


def test_the_summary_names_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the end of an output so long that its beginning may be gone."""
    output = "\x1b[31mFAILED\x1b[0m tests/test_a.py::\x1b[1mtest_b\x1b[0m - assert 1\nFAILED to see\n"
    output += "ERROR tests/test_c.py\n SKIPPED [1] d\n== \x1b[31m2 passed, 1 failed, 1 error in 3.00s\x1b[0m ==\n"
    run_tests._summarise({"tests": subprocess.CompletedProcess([], 1, output)}, 3)
    said = capsys.readouterr().out
    assert (
        "    FAILED tests/test_a.py::test_b - assert 1\n    FAILED to see\n    ERROR tests/test_c.py\n2 passed, 2"
        in said
    )
    assert "2 passed, 1 failed, 1 error in 3.00s\n" in said


def test_nothing_is_installed_where_we_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for an ordinary user, nor on another system."""
    asked: list[tuple[str, ...]] = []

    def apt_get(*arguments: str) -> bool:
        asked.append(arguments)
        return True

    monkeypatch.setattr(servers, "_fetch", lambda _: None)
    monkeypatch.setattr(servers, "_missing_packages", lambda: ["pgbouncer"])
    monkeypatch.setattr(servers, "_apt_get", apt_get)
    monkeypatch.setattr(servers, "_may_install", lambda: False)
    servers.install_servers()
    assert asked == []
    monkeypatch.setattr(servers, "_may_install", lambda: True)
    servers.install_servers()
    assert [arguments[0] for arguments in asked] == ["update", "install"]
    assert asked[1][-1] == "pgbouncer"


def test_a_run_that_hangs_is_killed_and_named() -> None:
    """With what it had said until then."""
    script = "import time; print('so far', flush=True); time.sleep(60)"
    done = run_tests.run_within(4, [sys.executable, "-I", "-S", "-c", script], {}, is_alone=False)
    assert done.returncode < 0
    assert "so far" in done.stdout
    assert run_tests._bad_news(done.stdout) == ["ERROR it was killed after 4 seconds"]

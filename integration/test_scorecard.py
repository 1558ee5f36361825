"""The scorecard: it still runs, tells what is so of ours, and the page is what it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from integration.servers.postgres_providers import postgres_names, provide_postgres
from scorecard.__main__ import DIVISIONS, PAGE
from scorecard.page import division_text, parts, shape
from tests.test_documentation import ROOT

if TYPE_CHECKING:
    from integration.servers.registry import Servers

OURS = "| bulkwriter"
PARTS = sorted(DIVISIONS)


@pytest.mark.skipif(
    os.environ.get("BULKWRITER_TEST_LOOP", "asyncio") != "asyncio", reason="the scorecard runs loops of its own"
)
@pytest.mark.timeout(300)
def test_a_scenario_runs_and_ours_tells_nobody_what_is_not_so(servers: Servers) -> None:
    """One of which others hear what is wrong: the comparison sees that they do, and finds what the page says."""
    # Where there is none, it is told as in any other test.
    provide_postgres(servers, postgres_names()[0])
    # In a process of its own: async-batcher sets up logging for the whole process.
    command = [sys.executable, "-m", "scorecard", "--only", "postgres", "--scenario", "swallowed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - written above
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert "\n".join(table) in parts(PAGE)["postgres"]
    lines = [line.strip("| ").split(" | ") for line in table]
    told = {name: (right, wrong, lost) for name, _, _, right, wrong, _, lost, *_ in lines[2:]}
    ours = {told[name] for name in told if name.startswith("bulkwriter")}
    others = {told[name] for name in told if not name.startswith("bulkwriter")}
    assert ours == {("100", "0", "0")}
    assert others == {("99", "1", "1")}


@pytest.mark.parametrize("name", PARTS)
def test_the_page_has_every_scenario_and_every_way(name: str) -> None:
    """In the order in which they are written; what was found is in the cells behind."""
    assert shape(parts(PAGE)[name]) == shape(division_text(DIVISIONS[name], {}, ""))


@pytest.mark.parametrize("name", PARTS)
def test_the_page_tells_of_no_lie_of_ours(name: str) -> None:
    """Whoever writes it anew after a change sees it here if there is one."""
    lines = [line.strip("| ").split(" | ") for line in parts(PAGE)[name].splitlines() if line.startswith(OURS)]
    found = [line for line in lines if len(line) > 7]
    assert len(found) >= len(DIVISIONS[name].scenarios)
    assert {(wrong, lost, twice) for _, _, _, _, wrong, _, lost, twice, *_ in found} == {("0", "0", "0")}

"""The benchmarks run, so that they do not rot. How fast anything is, no test can say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Those that need a server are run by integration/.
WITH_SERVER = {"dynamodb", "mysql", "postgres"}
BENCHMARKS = sorted({path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")} - WITH_SERVER)

pytestmark = pytest.mark.skipif(
    os.environ.get("BULKWRITER_TEST_LOOP", "asyncio") != "asyncio", reason="benchmarks choose their loops themselves"
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_and_prints_its_ratios(name: str, tmp_path: Path) -> None:
    """At tiny size each one ends well, prints what it found, and writes the same for machines."""
    run_tiny(name, tmp_path)


@pytest.mark.parametrize("name", BENCHMARKS + sorted(WITH_SERVER))
def test_a_benchmark_needs_nothing_of_the_tests(name: str) -> None:
    """Its environment has no pytest, though it starts the servers that integration/ starts."""
    code = f"import sys, benchmarks.{name}; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)  # noqa: S603 - written above


def run_tiny(name: str, tmp_path: Path) -> None:
    """Run a benchmark at tiny size, and look at what it says."""
    file = tmp_path / "found.json"
    # In a process of its own: what it is compared with sets up logging for the whole process.
    command = [sys.executable, "-m", f"benchmarks.{name}", "--size", "tiny", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - written above
    assert done.returncode == 0, done.stderr
    sections = json.loads(file.read_text(encoding="utf-8"))["sections"]
    assert sections
    for section in sections:
        assert section["title"] in done.stdout
        assert all(each["what"] in done.stdout for each in section["requirements"])
    assert any(section["requirements"] for section in sections)
    assert "MISSED" not in done.stdout, "a tiny run judges nothing"

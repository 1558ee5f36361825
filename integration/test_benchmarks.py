"""The benchmarks that need a server run, so that they do not rot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.test_benchmarks import WITH_SERVER, run_tiny

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(WITH_SERVER))
@pytest.mark.skipif(
    os.environ.get("BULKWRITER_TEST_LOOP", "asyncio") != "asyncio", reason="benchmarks choose their loops themselves"
)
def test_a_benchmark_runs_and_prints_its_ratios(name: str, tmp_path: Path) -> None:
    """At tiny size, as those of tests/."""
    run_tiny(name, tmp_path)

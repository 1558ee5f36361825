"""The faults of MariaDB and MySQL."""

from __future__ import annotations

from pathlib import Path

from integration.faults.listing import FaultList

FAULTS = FaultList(Path(__file__).parents[2] / "docs" / "mysql-faults.md")

fault = FAULTS.fault
problem = FAULTS.problem

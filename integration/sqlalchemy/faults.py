"""The faults of servers that are reached by way of SQLAlchemy."""

from __future__ import annotations

from pathlib import Path

from integration.faults.listing import FaultList

FAULTS = FaultList(Path(__file__).parents[2] / "docs" / "sqlalchemy-faults.md")

fault = FAULTS.fault

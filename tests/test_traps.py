"""The traps fit the sources; that the tests notice them shows ``make traps``, which takes its time."""

from __future__ import annotations

import pytest

from tools.environments import ROOT
from tools.traps.planted import TRAPS
from tools.traps.trap import Edit, MissingPlaceError, Trap

PACKAGE = ROOT / "src" / "bulkwriter"


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_a_trap_can_be_planted(trap: Trap) -> None:
    """Each of its places is there, once, and what it puts there is Python."""
    for edit in trap.edits:
        compile(edit.applied(PACKAGE), edit.file, "exec")


def test_its_tests_are_there() -> None:
    """By the names of their files."""
    named = {word for trap in TRAPS for word in trap.tests if word.endswith(".py")}
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_place_that_is_gone_is_told() -> None:
    """Who changes the source is to change the trap."""
    with pytest.raises(MissingPlaceError, match=r"retry\.py has 'nonesuch' 0 times"):
        Edit("retry.py", "nonesuch", "x").applied(PACKAGE)

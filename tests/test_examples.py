"""The examples do what they say, and notice when it is not so."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from examples import unicode_table

if TYPE_CHECKING:
    from pathlib import Path

# Every 544th code point: 2,048 rows, four of them surrogates.
ROWS = "2048"


def test_the_unicode_table_tells_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every caller's answer is in the file, and the summary says so in plain lines where there is no terminal."""
    assert unicode_table.main(["--rows", ROWS, "--callers", "50", "--file", str(tmp_path / "unicode.db")]) == 0
    said = capsys.readouterr().out
    assert "heard    2,044 inserted, 4 InvalidValueError" in said
    assert "heard    2,044 skipped, 4 InvalidValueError" in said
    assert "counted  2,048 = 2,044 skipped + 4 rejected" in said
    assert "0 differ" in said
    assert "FAILED" not in said


def test_a_row_that_is_lost_afterwards_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The comparison at the end compares: with one row changed behind its back the demonstration fails."""
    file = tmp_path / "unicode.db"
    runs = []

    def keep(path: Path, first: unicode_table.Run, second: unicode_table.Run) -> bool:
        runs.append((path, first, second))
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unicode_table, "check", keep)
        unicode_table.main(["--rows", ROWS, "--callers", "50", "--file", str(file)])
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE unicode SET character = 'X' WHERE code_point = 544")
        database.commit()
    assert unicode_table.check(*runs[0]) is False
    assert "FAILED what the callers heard is what the file holds, row by row: 1 differ" in capsys.readouterr().out


def test_a_file_that_is_already_there_is_left_alone(tmp_path: Path) -> None:
    """Nobody's file is overwritten."""
    file = tmp_path / "mine.db"
    file.write_text("mine")
    with pytest.raises(SystemExit, match="already there"):
        unicode_table.main(["--file", str(file)])
    assert file.read_text() == "mine"


@pytest.mark.parametrize("option", ["--rows", "--callers"])
def test_a_number_that_makes_no_sense_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option is checked at the door."""
    with pytest.raises(SystemExit):
        unicode_table.main([option, "0"])
    assert "must be 1 or more, not 0" in capsys.readouterr().err

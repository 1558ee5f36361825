"""Columns as arrays: whatever a value's own methods make of it, it stays a single element."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bulkwriter.backends.postgres import parameters
from bulkwriter.backends.postgres.kinds import kind_for


class SplitDay(dt.date):
    """A day that shows itself as two."""

    def isoformat(self) -> str:
        """Return two days."""
        return "2026-01-01,2026-01-02"


class SplitFloat:
    """No float, for all that it says so."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Lie."""
        return float

    def __repr__(self) -> str:
        return "1,2"


def arrays(receive: str, *values: Any) -> tuple[Any, list[int], dict[int, tuple[str, str]]]:
    """Return the array of one column, the rows in it, and those that cannot be sent."""
    statements = SimpleNamespace(names=("a",), kinds=(kind_for(receive),))
    unfit: dict[int, tuple[str, str]] = {}
    rows = [(value,) for value in values]
    made, sent = parameters.arrays(cast("Any", statements), rows, range(len(rows)), unfit)
    return made[0], list(sent), unfit


def test_text_with_the_signs_of_an_array_is_one_element() -> None:
    """More elements than rows would shift all values behind them to other rows: a delete would hit these."""
    assert arrays("date_recv", SplitDay(2026, 1, 1), dt.date(2026, 1, 3)) == (
        '{"2026-01-01,2026-01-02","2026-01-03"}',
        [0, 1],
        {},
    )
    assert arrays("textrecv", 'a","b', "{}", None, "NULL") == (r'{"a\",\"b","{}",NULL,"NULL"}', [0, 1, 2, 3], {})


@pytest.mark.parametrize("receive", ["float4recv", "float8recv"])
def test_what_only_says_that_it_is_a_float_is_refused(receive: str) -> None:
    """Also among real ones."""
    _, sent, unfit = arrays(receive, 0.5, SplitFloat())
    assert sent == [0]
    assert list(unfit) == [1]

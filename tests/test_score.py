"""How the scorecard counts: what callers heard against what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkwriter import NotWrittenError, OutcomeUnknownError
from scorecard.calls import Call, make_row
from scorecard.score import scored
from scorecard.ways import Ours, Way

if TYPE_CHECKING:
    from bulkwriter.backend import Backend
    from scorecard.calls import Row
    from scorecard.score import Score


class Theirs(Way):
    """A way of which only the answers matter."""

    name = "theirs"

    async def open(self) -> None:
        """Do nothing."""

    async def insert(self, row: Row) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""


class OursInName(Ours):
    """The same for ours."""

    def backend(self) -> Backend:
        """Return none."""
        raise NotImplementedError


def told(number: int, error: Exception | None = None) -> Call:
    """Return a call that was answered, by an error or by "stored"."""
    return Call(make_row(number), has_returned=error is None, error=error)


def judged(*calls: Call, table: tuple[Row, ...] = (), way: type[Way] = Theirs, replaces: bool = False) -> Score:
    """Score calls against a table."""
    return scored(way(None), calls, table, replaces=replaces)


def test_stored_is_right_only_of_what_is_there_as_it_was_given() -> None:
    """Another value in the table is as wrong as no row at all."""
    table = (make_row(0), make_row(1, amount=7))
    score = judged(told(0), told(1), told(2), table=table)
    assert (score.stored, score.right, score.wrong, score.lost) == (1, 1, 2, 2)


def test_a_row_that_is_there_twice_is_counted() -> None:
    """Its caller heard what is so, and the table has one too many."""
    score = judged(told(0), table=(make_row(0), make_row(0)))
    assert (score.right, score.stored, score.twice) == (1, 1, 1)


def test_an_error_of_ones_own_says_that_the_row_is_not_stored() -> None:
    """It is right where that is so, and wrong where it is there."""
    score = judged(told(0, ValueError()), told(1, ValueError()), table=(make_row(1),))
    assert (score.right, score.wrong, score.lost, score.nothing) == (1, 1, 0, 0)
    assert score.heard == "2 `ValueError`"


def test_an_error_of_the_batch_says_nothing_of_a_row() -> None:
    """Whether it is stored or not."""
    error = ValueError()
    score = judged(told(0, error), told(1, error), table=(make_row(1),))
    assert (score.right, score.wrong, score.nothing) == (0, 0, 2)
    assert score.heard == "2 `ValueError` for the batch"


def test_who_waits_heard_nothing_and_who_left_is_not_counted() -> None:
    """The row of one who left may be stored all the same."""
    left = Call(make_row(1), has_left=True)
    score = judged(Call(make_row(0)), left, table=(make_row(1),))
    assert (score.rows, score.stored, score.right, score.wrong, score.nothing) == (2, 1, 0, 0, 1)
    assert score.heard == "1 no answer, 1 left"


def test_of_ours_only_what_promises_it_says_that_a_row_is_not_stored() -> None:
    """A lie of ours would be counted, and an unknown outcome is no answer."""
    lie, unknown = told(0, NotWrittenError("no")), told(1, OutcomeUnknownError("who knows"))
    score = judged(lie, unknown, table=(make_row(0), make_row(1)), way=OursInName)
    assert (score.wrong, score.nothing) == (1, 1)


def test_a_row_may_be_replaced_by_a_later_one_and_by_no_earlier_one() -> None:
    """Where a put takes the place of what is there, the last one of a key is to stand."""
    first, last = make_row(0), make_row(0, name="row 0 again")
    calls = [Call(first, has_returned=True), Call(last, has_returned=True)]
    right = judged(*calls, table=(last,), replaces=True)
    wrong = judged(*calls, table=(first,), replaces=True)
    assert (right.stored, right.lost) == (2, 0)
    assert (wrong.stored, wrong.lost) == (1, 1)

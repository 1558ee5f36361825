"""Frozen values: what crosses the interface behaves as a value and cannot be changed."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from bulkwriter import Outcome, RetryPolicy, Statistics, WriteResult
from bulkwriter.contract import Capabilities, Limits
from bulkwriter.results import Report
from bulkwriter.statistics import Counts

if TYPE_CHECKING:
    from bulkwriter.values import Value

VALUES = [
    WriteResult(Outcome.UPDATED, {"id": 1}, 3),
    Counts(inserted=2, rejected=1),
    Statistics(accepted=3, inserted=2, queued=1, paths={"copy": 2}),
    RetryPolicy(max_attempts=3, attempt_timeout=None),
    Limits(max_batch_size=7),
    Capabilities(delete=False),
    Report(Counts(inserted=1), (WriteResult(Outcome.INSERTED),), ()),
]
each = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@each
def test_a_value_equals_its_copies_and_nothing_else(value: Value) -> None:
    """Also one that went through pickle, as to another process."""
    for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value)), value.but()):  # noqa: S301
        assert twin == value
        assert type(twin) is type(value)
        assert twin.as_dict() == value.as_dict()
    assert value != value.as_dict()
    assert [value == other for other in VALUES].count(True) == 1


@each
def test_a_value_cannot_be_changed(value: Value) -> None:
    """Neither what it has nor by what it has not."""
    name = next(iter(value.as_dict()))
    before = repr(value)
    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(value, name, None)
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(value, name)
    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(value, "another", 1)  # noqa: B010 - the type checker knows that it has none
    assert repr(value) == before


def test_a_value_shows_what_it_holds_in_the_order_in_which_it_is_built() -> None:
    """As it would be typed."""
    assert repr(WriteResult(Outcome.SKIPPED)) == f"WriteResult(outcome={Outcome.SKIPPED!r}, returned=None, attempts=1)"
    assert list(Statistics().as_dict())[-1] == "paths"


def test_a_result_can_be_matched_by_its_places() -> None:
    """As callers like to write it."""
    match WriteResult(Outcome.INSERTED, {"id": 1}):
        case WriteResult(Outcome.INSERTED, {"id": number}, attempts):
            assert (number, attempts) == (1, 1)


def test_a_value_can_be_made_from_another() -> None:
    """It differs in what is named; a name that is none is refused, as is what the constructor refuses."""
    policy = RetryPolicy(max_attempts=3)
    assert policy.but(max_time=1) == RetryPolicy(max_attempts=3, max_time=1)
    with pytest.raises(TypeError):
        policy.but(patience=1)
    with pytest.raises(ValueError, match="max_attempts must be"):
        policy.but(max_attempts=0)
    with pytest.raises(AttributeError):
        Counts().but(lost=1)


def test_values_that_can_be_hashed_count_once_in_a_set() -> None:
    """Equal ones are one."""
    assert len({RetryPolicy(), RetryPolicy(), RetryPolicy(max_time=1)}) == 2

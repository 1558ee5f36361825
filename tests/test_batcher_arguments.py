"""What a batcher is made of, checked at the door: a wrong value says what would be right."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from bulkwriter import AsyncBatcher
from tests.processors import Echo


class Defined(AsyncBatcher[int, int]):
    """Defines what processes a batch."""

    async def process_batch(self, batch: list[int]) -> list[int]:
        """Do nothing."""
        return batch


LIMITS = ["max_batch_size", "max_batch_bytes", "concurrency", "max_queue_size", "max_queue_bytes"]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -2, -7, 1.0, 2.5, True, False, None, "3", float("inf")], ids=repr)
def test_a_limit_is_a_positive_integer_or_minus_one(name: str, value: Any) -> None:
    """Nothing else is taken for one of them."""
    options = {name: value}
    with pytest.raises(
        ValueError, match=f"^{name} must be an integer of 1 or more, or -1 for no limit, not "
    ) as caught:
        Defined(**options)
    assert str(caught.value).endswith(repr(value))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [-1, 1, 2, 10**12])
def test_a_limit_may_be_as_low_as_one_or_none_at_all(name: str, value: int) -> None:
    """-1 means no limit."""
    options: dict[str, Any] = {name: value}
    Defined(**options)


@pytest.mark.parametrize("value", [-1, -0.001, None, "0.01", True, float("nan"), float("inf")], ids=repr)
def test_max_queue_time_is_a_number_of_seconds(value: Any) -> None:
    """0 or more, and finite."""
    with pytest.raises(ValueError, match=r"^max_queue_time must be 0 or more seconds, not "):
        Defined(max_queue_time=value)


@pytest.mark.parametrize("value", [0, 0.0, 1, 0.25, 3600])
def test_max_queue_time_may_be_zero(value: float) -> None:
    """That is natural batching."""
    Defined(max_queue_time=value)


@pytest.mark.parametrize("value", ["block", "", None, True, "WAIT"], ids=repr)
def test_when_full_is_one_of_two_words(value: Any) -> None:
    """And the message says which."""
    with pytest.raises(ValueError, match=r'^when_full must be "raise" or "wait", not '):
        Defined(when_full=value)


@pytest.mark.parametrize("name", ["batch_size", "sleep_time", "buffering_time", "max_batchsize", "loop"])
def test_an_unknown_keyword_is_an_error(name: str) -> None:
    """A misspelt limit must not be no limit."""
    options: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=name):
        Defined(**options)


def test_options_are_given_by_name() -> None:
    """Nobody can tell what a bare number means."""
    with pytest.raises(TypeError):
        AsyncBatcher(Echo(), 100)  # type: ignore[call-arg]


def test_without_a_function_there_is_nothing_to_do() -> None:
    """It is given, or a subclass defines it."""
    with pytest.raises(TypeError, match="give AsyncBatcher a process_batch function, or define process_batch"):
        AsyncBatcher[int, int]()

    class Empty(AsyncBatcher[int, int]):
        """Defines nothing."""

    with pytest.raises(TypeError, match="define process_batch in a subclass"):
        Empty()


def test_two_functions_are_one_too_many() -> None:
    """Which is meant?"""
    with pytest.raises(TypeError, match="Defined defines process_batch and was given another one: which is meant"):
        Defined(Echo())


@pytest.mark.parametrize("value", [3, "process", [], object()], ids=lambda value: type(value).__name__)
def test_what_cannot_be_called_is_refused(value: Any) -> None:
    """And not when the first batch is sent."""
    with pytest.raises(TypeError, match=f"process_batch must be a function, not {type(value).__name__}"):
        AsyncBatcher[int, int](value)


def test_the_function_may_be_given_by_name() -> None:
    """As everything else."""
    AsyncBatcher[int, int](process_batch=Echo())


def test_the_defaults_are_those_of_its_predecessor() -> None:
    """Who comes from there finds what they know: no limits, one batch at a time, 10 ms of company, errors when full."""
    parameters = inspect.signature(AsyncBatcher).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        "process_batch": None,
        "max_batch_size": -1,
        "max_batch_bytes": -1,
        "max_queue_time": 0.01,
        "concurrency": 1,
        "max_queue_size": -1,
        "max_queue_bytes": -1,
        "when_full": "raise",
        "executor": None,
        "name": None,
    }


def test_a_subclass_may_have_arguments_of_its_own() -> None:
    """And hand the rest on."""

    class Scaling(AsyncBatcher[int, int]):
        def __init__(self, factor: int, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        async def process_batch(self, batch: list[int]) -> list[int]:
            return [self.factor * item for item in batch]

    assert Scaling(3, max_batch_size=5).factor == 3

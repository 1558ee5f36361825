"""Whose code a function is, whatever it says of itself."""

from __future__ import annotations

import functools
import types
from typing import Any

import pytest
import wrapt
from aiobotocore.client import AioBaseClient
from botocore.client import BaseClient
from botocore.retries import adaptive

from bulkwriter.backends.dynamodb.origins import is_own, module_of

CALL = AioBaseClient._make_api_call


def traced(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
    """Call what is wrapped, as tools that trace calls do."""
    return wrapped(*args, **kwargs)


def of_a_script() -> Any:
    """Return a function of a module that is in no package, as scripts are."""
    script = types.ModuleType("__main__")
    exec("def handler(**told): pass", vars(script))  # noqa: S102 - three words
    return script.handler


class Handler:
    """One that is an object."""

    def __call__(self, **told: Any) -> None:
        """Do nothing."""

    def method(self, **told: Any) -> None:
        """Do nothing."""


@functools.wraps(CALL)
def wrapping(*args: Any) -> Any:
    """Say that it is botocore's."""
    return CALL(*args)


@pytest.mark.parametrize("function", [CALL, BaseClient.__init__, AioBaseClient.get_paginator])
def test_what_is_botocores(function: Any) -> None:
    """As it was made."""
    assert is_own(function)


@pytest.mark.parametrize(
    "function",
    [
        traced,
        wrapping,
        of_a_script(),
        Handler(),
        Handler().method,
        functools.partial(CALL),
        wrapt.FunctionWrapper(CALL, traced),
        wrapt.FunctionWrapper(CALL, traced).__get__(object(), AioBaseClient),
        adaptive.ClientRateLimiter.on_sending_request,
    ],
    ids=["function", "wrapping", "script", "object", "method", "partial", "wrapt", "wrapt, bound", "adaptive"],
)
def test_what_is_not(function: Any) -> None:
    """Or does more than may be left out."""
    assert not is_own(function)
    assert module_of(function)

"""Where the code of a function is from: botocore's, or of somebody who has put his own in its place."""

from __future__ import annotations

import types
from typing import Any, Final

_OWN: Final = frozenset({"aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "bulkwriter"})
_LIVELY: Final = frozenset({"adaptive", "discovery", "stub"})
"""Modules of botocore's whose handlers do more than what is done here as well, or is not needed: they hold requests
back, send them to another place, or answer them in a test."""


def is_own(function: Any) -> bool:
    """Whether the code of a function is part of the client, and may be left out."""
    path = module_of(function).split(".")
    return path[0] in _OWN and path[-1] not in _LIVELY


def module_of(function: Any) -> str:
    """Return the module in which the code of a function is.

    Its ``__module__`` does not say: who wraps a function copies it. Nor does ``isinstance``: a wrapper of wrapt's, with
    which tools trace calls, says that it is of the class of what it wraps.
    """
    function = bare(function)
    if type(function) is types.FunctionType:
        return str(function.__globals__.get("__name__", ""))
    return type(function).__module__


def bare(function: Any) -> Any:
    """Return the function of a method, which is another object each time that it is asked for."""
    return function.__func__ if type(function) is types.MethodType else function

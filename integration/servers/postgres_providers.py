"""Where a PostgreSQL server for the tests comes from: an address, containers, binaries; in this order."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, TypeAlias

from integration.servers.addresses import URL_VARIABLES, external_url
from integration.servers.choosing import choose, why_no_binaries, why_no_container
from integration.servers.external import ExternalPostgres
from integration.servers.images import Image
from integration.servers.postgres import PostgresServer
from integration.servers.postgres_binaries import Installation, installations
from integration.servers.postgres_container import PostgresContainer
from integration.servers.postgres_process import PostgresProcess
from integration.servers.requirements import missing, not_ours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.servers.registry import Servers
    from integration.servers.site import Site

AnyPostgres: TypeAlias = PostgresServer | ExternalPostgres

_AT_AN_ADDRESS = "url"
_ANOTHER = "another-postgres"


@functools.cache
def binaries() -> dict[str, Installation]:
    """Return this machine's versions of PostgreSQL, the newest first, by what tests on them are called."""
    return {f"postgres{installation.major}": installation for installation in installations()}


@functools.cache
def found() -> Mapping[str, Image | Installation]:
    """Return what servers are run from, the newest version first, by what tests on them are called."""
    return choose("postgres", binaries())


def postgres_names() -> list[str]:
    """Return what tests of PostgreSQL are run on: each version here.

    Where there is but one, the place of a second is taken by a test that is skipped, so that it can be seen.
    """
    if external_url("postgres"):
        return [_AT_AN_ADDRESS]
    names = list(found())
    if names and os.environ.get("BULKWRITER_TEST_VERSIONS") == "newest":
        return names[:1]
    return names if len(names) > 1 else [*names, _ANOTHER if names else "postgres"]


def names_here() -> list[str]:
    """Return on which of ``postgres_names()`` this run tests what goes for each version.

    All but the newest, where that is left to another run.
    """
    is_left_out = os.environ.get("BULKWRITER_TEST_VERSIONS") == "older" and len(found()) > 1
    return postgres_names()[1:] if is_left_out and not external_url("postgres") else postgres_names()


def describe_postgres() -> str:
    """Return, for the header of the test run, which servers of which version it uses."""
    address = external_url("postgres")
    if address:
        # Without the password, if there is one.
        return f"PostgreSQL: at {address.rpartition('@')[2]}"
    return f"PostgreSQL: {', '.join(f'{one.version} ({one.origin})' for one in found().values()) or 'none'}"


def provide_postgres(servers: Servers, name: str, settings: Mapping[str, str] | None = None) -> AnyPostgres:
    """Return one of the servers of ``postgres_names()``, at work, or end the test with the reasons why there is none.

    Args:
        servers: Keeps it for the next test.
        name: Which.
        settings: Server settings other than the usual ones; a server of its own for each set of them.
    """
    address = external_url("postgres")
    if address and not settings:
        return servers.get("url", lambda _: ExternalPostgres(address))
    if address:
        not_ours("postgres", URL_VARIABLES["postgres"])
    source = found().get(name)
    if source is None:
        missing(name if name == _ANOTHER else "postgres", *_why_missing(name))
    key = ("postgres", name, tuple(sorted((settings or {}).items())))
    return servers.get(key, lambda site: make_postgres(source, site, settings))


def make_postgres(
    source: Image | Installation, site: Site, settings: Mapping[str, str] | None = None
) -> PostgresServer:
    """Return a new server, run from an image or from binaries."""
    if isinstance(source, Image):
        return PostgresContainer(source, site, settings)
    return PostgresProcess(source, site, settings)


def _why_missing(name: str) -> list[str]:
    if name == _ANOTHER:
        return ["only one version was found"]
    unset = f"{URL_VARIABLES['postgres']} is not set"
    return [unset, why_no_container("postgres"), why_no_binaries("no binaries were found")]

"""Where a MariaDB or MySQL server for the tests comes from: an address, containers, binaries; in this order."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, TypeAlias, cast

from integration.servers.addresses import URL_VARIABLES, external_url
from integration.servers.choosing import choose, why_no_binaries, why_no_container
from integration.servers.external import ExternalMySQL
from integration.servers.images import Image
from integration.servers.mysql import MySQLServer
from integration.servers.mysql_binaries import NAMES, Installation, Product, installations
from integration.servers.mysql_container import MySQLContainer
from integration.servers.mysql_process import MySQLProcess
from integration.servers.requirements import missing, not_ours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.servers.registry import Servers
    from integration.servers.site import Site

AnyMySQL: TypeAlias = MySQLServer | ExternalMySQL

PRODUCTS: tuple[Product, ...] = ("mariadb", "mysql")
"""What tests are run on, whatever is here: two products with one protocol, of which neither stands for the other."""


@functools.cache
def binaries() -> dict[Product, Installation]:
    """Return this machine's server of each product."""
    return installations()


@functools.cache
def found(product: Product) -> Mapping[str, Image | Installation]:
    """Return what servers of a product are run from, the newest version first, by what tests on them are called."""
    local = binaries()
    return choose(product, {product: local[product]} if product in local else {})


def mysql_names() -> list[str]:
    """Return what tests are run on: of each product every version here, or its own name where there is none."""
    return [name for product in PRODUCTS for name in _names(product)]


def describe_mysql() -> list[str]:
    """Return, for the header of the test run, which servers of which version it uses."""
    return [f"{NAMES[product]}: {_origin(product)}" for product in PRODUCTS]


def provide_mysql(servers: Servers, name: str, settings: Mapping[str, str] | None = None) -> AnyMySQL:
    """Return one of the servers of ``mysql_names()``, at work, or end the test with the reasons why there is none.

    Args:
        servers: Keeps it for the next test.
        name: Which; a product's own name for the newest version of it.
        settings: Server settings other than the usual ones; a server of its own for each set of them.
    """
    product = cast("Product", name.rstrip("0123456789"))
    address = external_url(product)
    if address and not settings:
        return servers.get(("url", product), lambda _: ExternalMySQL(product, address))
    if address:
        not_ours(product, URL_VARIABLES[product])
    sources = found(product)
    # Who asks for a product gets its newest version.
    source = sources.get(name) or (next(iter(sources.values()), None) if name == product else None)
    if source is None:
        unset = f"{URL_VARIABLES[product]} is not set"
        missing(product, unset, why_no_container(product), why_no_binaries("no binaries were found"))
    key = (source, tuple(sorted((settings or {}).items())))
    return servers.get(key, lambda site: _make(source, site, settings))


def _make(source: Image | Installation, site: Site, settings: Mapping[str, str] | None) -> MySQLServer:
    if isinstance(source, Image):
        return MySQLContainer(source, site, settings)
    return MySQLProcess(source, site, settings)


def _names(product: Product) -> list[str]:
    if external_url(product):
        return [product]
    names = list(found(product))
    if os.environ.get("BULKWRITER_TEST_VERSIONS") == "newest":
        names = names[:1]
    return names or [product]


def _origin(product: Product) -> str:
    address = external_url(product)
    if address:
        # Without the password, if there is one.
        return f"at {address.rpartition('@')[2]}"
    return ", ".join(f"{one.version} ({one.origin})" for one in found(product).values()) or "none"

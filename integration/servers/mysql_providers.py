"""Where a MariaDB or MySQL server for the tests comes from: an address, later containers, binaries; in this order."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeAlias

from integration.servers.addresses import URL_VARIABLES, external_url
from integration.servers.external import ExternalMySQL
from integration.servers.mysql import MySQLServer
from integration.servers.mysql_binaries import NAMES, Installation, Product, installations
from integration.servers.requirements import missing, not_ours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.servers.registry import Servers

AnyMySQL: TypeAlias = MySQLServer | ExternalMySQL

PRODUCTS: tuple[Product, ...] = ("mariadb", "mysql")
"""What tests are run on, whatever is here: two products with one protocol, of which neither stands for the other."""


@functools.cache
def found() -> dict[Product, Installation]:
    """Return this machine's server of each product."""
    return installations()


def describe_mysql() -> list[str]:
    """Return, for the header of the test run, which servers of which version it uses."""
    return [f"{NAMES[product]}: {_origin(product)}" for product in PRODUCTS]


def provide_mysql(servers: Servers, product: Product, settings: Mapping[str, str] | None = None) -> AnyMySQL:
    """Return a server of a product, at work, or end the test with the reasons why there is none.

    Args:
        servers: Keeps it for the next test.
        product: Whose.
        settings: Server settings other than the usual ones; a server of its own for each set of them.
    """
    address = external_url(product)
    if address and not settings:
        return servers.get(("url", product), lambda _: ExternalMySQL(product, address))
    if address:
        not_ours(product, URL_VARIABLES[product])
    installation = found().get(product)
    if installation is None:
        # Containers come second in the order of providers; what starts them is not written yet.
        missing(
            product, f"{URL_VARIABLES[product]} is not set", "containers are not used yet", "no binaries were found"
        )
    key = (product, tuple(sorted((settings or {}).items())))
    return servers.get(key, lambda site: MySQLServer(installation, site, settings))


def _origin(product: Product) -> str:
    address = external_url(product)
    if address:
        # Without the password, if there is one.
        return f"at {address.rpartition('@')[2]}"
    installation = found().get(product)
    return f"{installation.version} ({installation.origin})" if installation else "none"

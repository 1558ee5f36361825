"""A MariaDB or MySQL server in a container."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NoReturn, cast

import pymysql

from integration.servers.containers import PORT_IS_TAKEN, Container
from integration.servers.mysql import MySQLServer, roles_sql
from integration.servers.requirements import not_in_a_container

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.servers.images import Image
    from integration.servers.mysql_binaries import Product
    from integration.servers.site import Site

_PROGRAMS = {"mariadb": "mariadbd", "mysql": "mysqld"}


class MySQLContainer(MySQLServer):
    """One server in a container.

    Args:
        image: What it is made from.
        site: Where it lives.
        settings: Server settings beside, or instead of, the usual ones, which trade durability for time.
    """

    port_is_taken = PORT_IS_TAKEN

    def __init__(self, image: Image, site: Site, settings: Mapping[str, str] | None = None) -> None:
        product = cast("Product", image.kind)
        # One that needs no quoting: the images write it into SQL as it is.
        self._password = secrets.token_hex(16)
        environment = {f"{product.upper()}_ROOT_PASSWORD": self._password}
        runs = Container(image, site, inside=3306, outside=lambda: self.port, environment=environment)
        super().__init__(runs, product, image.version, settings)

    @property
    def elsewhere(self) -> NoReturn:
        """No folder: what is mounted on this machine is not to be seen in there."""
        not_in_a_container("small disk")

    def _command(self) -> list[str]:
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        return [_PROGRAMS[self.product], "--bind-address=*", *options]

    def _is_ready(self) -> bool:
        # What the images start for their own set-up listens on no port: whoever answers there is the server itself.
        return super()._is_ready() or (self._make_roles() and super()._is_ready())

    def _make_roles(self) -> bool:
        """Make the roles, if it answers: the first time that it is started."""
        try:
            with self._connected("root", self._password) as connection, connection.cursor() as cursor:
                for statement in roles_sql().splitlines():
                    cursor.execute(statement)
        except pymysql.MySQLError:
            return False
        return True

"""A server that is not ours: an address from the environment. It is used, and never paused, killed or configured."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any, NoReturn

from integration.servers.addresses import URL_VARIABLES
from integration.servers.mysql_binaries import NAMES
from integration.servers.requirements import not_ours

if TYPE_CHECKING:
    from integration.servers.mysql_binaries import Product
    from integration.servers.postgres import Role


class External:
    """A server at an address from the environment.

    Args:
        kind: What tests call it, one of ``URL_VARIABLES``.
        name: What people call it.
        address: Its URL.
        port: Where it listens if the URL does not say.
    """

    def __init__(self, kind: str, name: str, address: str, port: int) -> None:
        self._kind = kind
        self._name = name
        self._address = urllib.parse.urlsplit(address)
        self.host = self._address.hostname or "127.0.0.1"
        self.port = self._address.port or port

    def __repr__(self) -> str:
        return f"<{self._name} at {self.host}:{self.port}, not ours>"

    def url(self, role: Role = "writer", *, port: int | None = None, database: str = "") -> str:
        """Return its address, or that of what stands before it at another port of this machine."""
        if role == "superuser":
            not_ours(self._kind, URL_VARIABLES[self._kind])
        credentials, at, place = self._address.netloc.rpartition("@")
        if port is not None:
            place = f"127.0.0.1:{port}"
        path = f"/{database}" if database else self._address.path
        return self._address._replace(netloc=f"{credentials}{at}{place}", path=path).geturl()

    def revive(self) -> None:
        """Leave it as it is."""

    def close(self) -> None:
        """Leave it as it is."""

    def __getattr__(self, name: str) -> NoReturn:
        # A method, or a dunder that some tool looks for.
        if name.startswith("_"):
            raise AttributeError(name)
        not_ours(self._kind, URL_VARIABLES[self._kind])


class ExternalPostgres(External):
    """A PostgreSQL server whose user may create schemas.

    Args:
        address: Its URL.
    """

    def __init__(self, address: str) -> None:
        super().__init__("postgres", "PostgreSQL", address, 5432)


class ExternalMySQL(External):
    """A MariaDB or MySQL server whose user may create databases.

    Args:
        product: Which of the two.
        address: Its URL.
    """

    def __init__(self, product: Product, address: str) -> None:
        super().__init__(product, NAMES[product], address, 3306)
        self.product = product

    def address(self, role: Role = "writer") -> dict[str, Any]:
        """Return what aiomysql is told to connect to it."""
        if role == "superuser":
            not_ours(self._kind, URL_VARIABLES[self._kind])
        user, password = self._address.username or "", self._address.password or ""
        named = {"user": urllib.parse.unquote(user), "password": urllib.parse.unquote(password)}
        return {"host": self.host, "port": self.port, **named}


class ExternalDynamoDB(External):
    """An emulator of DynamoDB: requests to it carry no signature that the service would accept.

    Args:
        address: Its URL.
    """

    def __init__(self, address: str) -> None:
        super().__init__("dynamodb", "DynamoDB", address, 8000)

    @property
    def endpoint_url(self) -> str:
        """Where clients find it."""
        return self._address.geturl()

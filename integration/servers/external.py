"""A server that is not ours: an address from the environment. It is used, and never paused, killed or configured."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, NoReturn

from integration.servers.addresses import URL_VARIABLES
from integration.servers.requirements import not_ours

if TYPE_CHECKING:
    from integration.servers.postgres import Role


class ExternalPostgres:
    """A PostgreSQL server at an address from the environment, whose user may create schemas.

    Args:
        address: Its URL.
    """

    def __init__(self, address: str) -> None:
        self._address = urllib.parse.urlsplit(address)
        self.host = self._address.hostname or "127.0.0.1"
        self.port = self._address.port or 5432

    def __repr__(self) -> str:
        return f"<PostgreSQL at {self.host}:{self.port}, not ours>"

    def url(self, role: Role = "writer", *, port: int | None = None) -> str:
        """Return its address, or that of what stands before it at another port of this machine."""
        if role == "superuser":
            not_ours("postgres", URL_VARIABLES["postgres"])
        if port is None:
            return self._address.geturl()
        credentials, at, _ = self._address.netloc.rpartition("@")
        return self._address._replace(netloc=f"{credentials}{at}127.0.0.1:{port}").geturl()

    def revive(self) -> None:
        """Leave it as it is."""

    def close(self) -> None:
        """Leave it as it is."""

    def __getattr__(self, name: str) -> NoReturn:
        # A method, or a dunder that some tool looks for.
        if name.startswith("_"):
            raise AttributeError(name)
        not_ours("postgres", URL_VARIABLES["postgres"])

"""A hot standby: a copy of a running server that follows it and takes no writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.servers.external import URL_VARIABLES
from integration.servers.ports import LOOPBACK
from integration.servers.postgres import ROLES, PostgresServer
from integration.servers.requirements import not_ours

if TYPE_CHECKING:
    from pathlib import Path

    from integration.servers.postgres_providers import AnyPostgres
    from integration.servers.registry import Servers
    from integration.servers.site import Site


def provide_standby(servers: Servers, server: AnyPostgres) -> PostgresServer:
    """Return the hot standby of a server, at work."""
    if not isinstance(server, PostgresServer):
        not_ours("postgres", URL_VARIABLES["postgres"])
    return servers.get(("standby", server.port), lambda site: make_standby(server, site))


def make_standby(primary: PostgresServer, site: Site) -> PostgresServer:
    """Copy a running server by ``pg_basebackup``, and return its standby, not yet started.

    Raises:
        ServerError: It could not be copied.
    """
    name, password = ROLES["superuser"]
    data = site.make_folder("standby") / "data"
    source: list[str | Path] = ["-h", LOOPBACK, "-p", str(primary.port), "-U", name, "-D", data]
    how = ["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]
    primary.command("pg_basebackup", *source, *how, environment={"PGPASSWORD": password})
    return PostgresServer(primary.installation, site, primary.settings, data=data)

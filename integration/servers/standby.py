"""A hot standby: a copy of a running server that follows it and takes no writes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from integration.servers.addresses import URL_VARIABLES
from integration.servers.ports import LOOPBACK
from integration.servers.postgres import ROLES, PostgresServer
from integration.servers.postgres_process import PostgresProcess
from integration.servers.requirements import not_in_a_container, not_ours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration.servers.postgres_providers import AnyPostgres
    from integration.servers.registry import Servers
    from integration.servers.site import Site


@contextlib.contextmanager
def fresh_standby(servers: Servers, server: AnyPostgres) -> Iterator[PostgresServer]:
    """Give a hot standby of a server, at work.

    It is not kept for the next test: a server that is killed may forget what its standby has heard already, and then
    the standby follows it no more.
    """
    if not isinstance(server, PostgresServer):
        not_ours("postgres", URL_VARIABLES["postgres"])
    made = make_standby(server, servers.site)
    try:
        made.start()
        yield made
    finally:
        made.close()


def make_standby(primary: PostgresServer, site: Site) -> PostgresProcess:
    """Copy a running server by ``pg_basebackup``, and return its standby, not yet started.

    Raises:
        ServerError: It could not be copied.
    """
    if not isinstance(primary, PostgresProcess):
        not_in_a_container("standby")
    name, password = ROLES["superuser"]
    data = site.make_folder("standby") / "data"
    source: list[str | Path] = ["-h", LOOPBACK, "-p", str(primary.port), "-U", name, "-D", data]
    how = ["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]
    primary.command("pg_basebackup", *source, *how, environment={"PGPASSWORD": password})
    return PostgresProcess(primary.installation, site, primary.settings, data=data)

"""PgBouncer in transaction mode in front of a PostgreSQL server: each transaction may meet another connection."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from integration.servers.addresses import URL_VARIABLES
from integration.servers.ports import LOOPBACK, free_port
from integration.servers.postgres import DATABASE, ROLES, PostgresServer
from integration.servers.processes import Process
from integration.servers.requirements import missing, not_ours

if TYPE_CHECKING:
    from integration.servers.postgres import Role
    from integration.servers.postgres_providers import AnyPostgres
    from integration.servers.registry import Servers
    from integration.servers.site import Site

_CONFIGURATION = """
[databases]
{database} = host={loopback} port={server} dbname={database}

[pgbouncer]
listen_addr = {loopback}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
server_login_retry = 0
log_connections = 0
log_disconnections = 0
"""


def find_pgbouncer() -> Path | None:
    """Return the program, from the path or from where Debian keeps it, which is on root's path alone."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def pgbouncer_version(program: Path) -> str:
    """Return its version, such as ``"1.18.0"``."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - found by us
    found = re.search(r"\d+\.\d+(\.\d+)?", told.stdout)
    return found[0] if found else "unknown"


def describe_pgbouncer() -> str:
    """Return, for the header of the test run, which PgBouncer it uses."""
    program = find_pgbouncer()
    return f"PgBouncer: {f'{pgbouncer_version(program)} ({program})' if program else 'none'}"


def provide_pgbouncer(servers: Servers, server: AnyPostgres) -> PgBouncer:
    """Return the PgBouncer before a server, at work, or end the test with the reason why there is none."""
    program = find_pgbouncer()
    if program is None:
        missing("pgbouncer", "there is no program of that name")
    if not isinstance(server, PostgresServer):
        not_ours("pgbouncer", URL_VARIABLES["postgres"])
    return servers.get(("pgbouncer", server.port), lambda site: PgBouncer(program, server, site))


class PgBouncer:
    """One PgBouncer before one server.

    Args:
        program: Its binary.
        server: What stands behind it.
        site: Where it lives.
        pool_size: Connections to the server for each user: fewer than clients, so that these have to share.
    """

    def __init__(self, program: Path, server: PostgresServer, site: Site, pool_size: int = 4) -> None:
        self.port = free_port()
        self.version = pgbouncer_version(program)
        self._server = server
        self._pool_size = pool_size
        home = site.make_folder("pgbouncer")
        configuration = home / "pgbouncer.ini"
        self._write(configuration, home / "users")
        site.account.own(home)
        self._process = Process([program, configuration], home / "log", site.account, site.keeper)

    def __repr__(self) -> str:
        return f"<PgBouncer {self.version} before {self._server!r}>"

    def url(self, role: Role = "writer") -> str:
        """Return where a role finds it."""
        return self._server.url(role, port=self.port)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        if not self._process.is_running:
            self._process.start()
            self._process.wait_until(self._is_ready)

    def stop(self) -> None:
        """Stop it at once."""
        self._process.stop(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()

    def pause(self) -> None:
        """Hold it."""
        self._process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._process.resume()

    def restart(self) -> None:
        """Stop it and start it on the same port."""
        self.stop()
        self.start()

    def revive(self) -> None:
        """Bring it back to work, whatever was done to it."""
        if self._process.is_running:
            self._process.resume()
        self.start()

    def close(self) -> None:
        """Stop it for good."""
        self.stop()

    def _write(self, configuration: Path, users: Path) -> None:
        users.write_text("".join(f'"{name}" "{password}"\n' for name, password in ROLES.values()))
        text = _CONFIGURATION.format(
            database=DATABASE,
            loopback=LOOPBACK,
            server=self._server.port,
            port=self.port,
            users=users,
            pool_size=self._pool_size,
        )
        configuration.write_text(text)

    def _is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0

"""PgBouncer in transaction mode in front of a PostgreSQL server: each transaction may meet another connection."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from integration.servers.addresses import URL_VARIABLES
from integration.servers.choosing import images_at_hand, provider, why_no_binaries, why_no_container
from integration.servers.containers import PORT_IS_TAKEN, Container
from integration.servers.ports import LOOPBACK
from integration.servers.postgres import DATABASE, ROLES, PostgresServer
from integration.servers.postgres_container import PORT, PostgresContainer
from integration.servers.processes import Process
from integration.servers.requirements import missing, not_ours
from integration.servers.server import Server

if TYPE_CHECKING:
    from integration.servers.images import Image
    from integration.servers.postgres import Role
    from integration.servers.postgres_providers import AnyPostgres
    from integration.servers.registry import Servers
    from integration.servers.running import Running
    from integration.servers.site import Site

KIND = "pgbouncer"

# Fewer connections to the server for each user than clients have, so that these have to share.
_POOL_SIZE = 4

_CONFIGURATION = """
[databases]
{database} = host={host} port={port} dbname={database}

[pgbouncer]
listen_addr = {address}
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
admin_users = {admin}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
server_login_retry = 0
log_connections = 0
log_disconnections = 0
"""

# Since then SIGTERM waits until the last client has gone.
_PATIENT_SINCE = (1, 23)


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
    image = images_at_hand(KIND).get(KIND)
    if image:
        return f"PgBouncer: {image.version} ({image.origin}), before a container"
    program = _local_one()
    return f"PgBouncer: {f'{pgbouncer_version(program)} ({program})' if program else 'none'}"


def provide_pgbouncer(servers: Servers, server: AnyPostgres) -> PgBouncer:
    """Return the PgBouncer before a server, at work, or end the test with the reason why there is none."""
    if not isinstance(server, PostgresServer):
        not_ours(KIND, URL_VARIABLES["postgres"])
    key = (KIND, server.port)
    # One in a container finds only what is in another.
    image = images_at_hand(KIND).get(KIND)
    if image and isinstance(server, PostgresContainer):
        return servers.get(key, lambda site: PgBouncerContainer(image, server, site))
    program = _local_one()
    if program is None:
        missing(KIND, why_no_container(KIND), why_no_binaries("there is no program of that name"))
    return servers.get(key, lambda site: PgBouncerProcess(program, server, site))


class PgBouncer(Server):
    """One PgBouncer before one server.

    Args:
        runs: The process or the container that it is to run in.
        version: Such as ``"1.18.0"``.
        server: What stands behind it.
    """

    def __init__(self, runs: Running, version: str, server: PostgresServer) -> None:
        super().__init__(runs)
        self._version = version
        self._server = server

    @property
    def label(self) -> str:
        """How it is called."""
        return "PgBouncer"

    @property
    def version(self) -> str:
        """Such as ``"1.18.0"``."""
        return self._version

    def url(self, role: Role = "writer", *, database: str = DATABASE) -> str:
        """Return where a role finds it."""
        return self._server.url(role, port=self.port, database=database)

    def stop(self) -> None:
        """Stop it at once."""
        is_patient = tuple(map(int, self._version.split(".")[:2])) >= _PATIENT_SINCE
        self._process.stop(signal.SIGQUIT if is_patient else signal.SIGTERM)

    def _is_ready(self) -> bool:
        # Its own database is there whatever has become of the server.
        try:
            psycopg.connect(self.url("superuser", database="pgbouncer"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


class PgBouncerProcess(PgBouncer):
    """One from this machine's binary.

    Args:
        program: The binary.
        server: What stands behind it.
        site: Where it lives.
    """

    port_is_taken = "in use"

    def __init__(self, program: Path, server: PostgresServer, site: Site) -> None:
        self._program = program
        self._site = site
        self._home = site.make_folder(KIND)
        runs = Process([], self._home / "log", site.account, site.keeper)
        super().__init__(runs, pgbouncer_version(program), server)

    def _command(self) -> list[str | Path]:
        configuration, users = self._home / "pgbouncer.ini", self._home / "users"
        users.write_text(_users())
        text = _configuration(LOOPBACK, self._server.port, LOOPBACK, self.port, str(users))
        configuration.write_text(text)
        self._site.account.own(self._home)
        return [self._program, configuration]


class PgBouncerContainer(PgBouncer):
    """One in a container, before a server in another.

    Args:
        image: What it is made from.
        server: What stands behind it.
        site: Where it lives.
    """

    port_is_taken = PORT_IS_TAKEN

    def __init__(self, image: Image, server: PostgresContainer, site: Site) -> None:
        host = server.container.hostname
        runs = Container(
            image,
            site,
            inside=PORT,
            outside=lambda: self.port,
            environment={},
            # Each image has a way of its own to be told its configuration; the program has but one.
            entrypoint=["pgbouncer"],
            files={
                "/ours/pgbouncer.ini": _configuration(host, PORT, "*", PORT, "/ours/users"),
                "/ours/users": _users(),
            },
        )
        super().__init__(runs, image.version, server)

    def _command(self) -> list[str]:
        return ["/ours/pgbouncer.ini"]


def _configuration(host: str, port: int, address: str, listen: int, users: str) -> str:
    return _CONFIGURATION.format(
        database=DATABASE,
        host=host,
        port=port,
        address=address,
        listen=listen,
        users=users,
        admin=ROLES["superuser"][0],
        pool_size=_POOL_SIZE,
    )


def _users() -> str:
    return "".join(f'"{name}" "{password}"\n' for name, password in ROLES.values())


def _local_one() -> Path | None:
    return None if provider() == "docker" else find_pgbouncer()

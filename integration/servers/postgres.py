"""A PostgreSQL server of our own, in a temporary folder."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Literal

from integration.servers.families import family, wait_for_the_end
from integration.servers.ports import LOOPBACK
from integration.servers.processes import ServerError
from integration.servers.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from integration.servers.postgres_binaries import Installation
    from integration.servers.site import Site

Role = Literal["writer", "superuser"]

ROLES: dict[Role, tuple[str, str]] = {
    "superuser": ("postgres", "superuser's password"),
    "writer": ("writer", "writer's password"),
}
"""Name and password of each role; both servers and passwords live as long as a test run."""

DATABASE = "bulkwriter"

# No data of a test is worth an fsync; a test of durability asks for it.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "unix_socket_directories": "",
    "listen_addresses": LOOPBACK,
    "lc_messages": "C",
    "log_min_messages": "warning",
    # A checkpoint in the middle of a test must not be what it happens to measure.
    "checkpoint_timeout": "1h",
    # What is not committed is on no disk when a server is killed: only then are numbers of transactions given again.
    "wal_writer_delay": "10s",
}

_STOPPED_BY: dict[str, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


class PostgresServer(Server):
    """One server: started on first use, stopped and started at will.

    Args:
        installation: Its binaries.
        site: Where it lives.
        settings: Server settings beside, or instead of, the usual ones, which trade durability for time.
        data: A data folder that is there already; ``None`` makes a new one.
    """

    port_is_taken = "could not bind"

    def __init__(
        self,
        installation: Installation,
        site: Site,
        settings: Mapping[str, str] | None = None,
        *,
        data: Path | None = None,
    ) -> None:
        super().__init__(site, f"postgres-{installation.major}")
        self.installation = installation.reachable(site.account, site.folder)
        self.settings = {**_SETTINGS, **(settings or {})}
        self.data = data or self._home / "data"
        if data is None:
            self._make_data()

    @property
    def label(self) -> str:
        """How it is called."""
        return "PostgreSQL"

    @property
    def version(self) -> str:
        """Such as ``"18.6"``."""
        return self.installation.version

    @property
    def major(self) -> int:
        """The version's first number."""
        return self.installation.major

    def url(self, role: Role = "writer", *, port: int | None = None, database: str = DATABASE) -> str:
        """Return where a role finds it, or what stands before it at another port."""
        name, password = ROLES[role]
        return f"postgresql://{name}:{password.replace(' ', '%20')}@{LOOPBACK}:{port or self.port}/{database}"

    def run(self, sql: str, role: Role = "superuser", *, database: str = DATABASE) -> str:
        """Run SQL, outside every event loop, and return what it says, a line for each row and ``|`` between columns.

        Raises:
            ServerError: It fails.
        """
        name, password = ROLES[role]
        address = ["-h", LOOPBACK, "-p", str(self.port), "-U", name, "-d", database]
        done = subprocess.run(  # noqa: S603 - our own SQL
            [self.installation.binaries / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *address, "-f", "-"],
            input=sql,
            env={"PGPASSWORD": password, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(done.stderr)
        return done.stdout.strip()

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop it: "smart" waits for every client, "fast" sends them away, "immediate" leaves a recovery to be done."""
        self._process.stop(_STOPPED_BY[mode])

    def begin_stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Ask it to stop and do not wait."""
        self._process.send(_STOPPED_BY[mode])

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop it and start it on the same port."""
        self.stop(mode)
        self.start()

    def kill_backend(self, pid: int) -> None:
        """End one of its processes with SIGKILL: the postmaster ends the others, and begins to recover.

        Raises:
            ServerError: It is none of its processes.
        """
        members = family(self.pid)[1:]
        if pid not in members:
            message = f"process {pid} is none of this server's"
            raise ServerError(message)
        os.kill(pid, signal.SIGKILL)
        # When these have gone, too, the postmaster knows of it: until then it would still say that it is ready.
        wait_for_the_end(members)

    def revive(self) -> None:
        """Bring it back to work, whatever was done to it, or to one of its processes."""
        super().revive()
        self._process.wait_until(self._is_ready)

    def command(self, name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> None:
        """Run one of PostgreSQL's own commands as the server's account.

        Raises:
            ServerError: It fails.
        """
        done = subprocess.run(  # noqa: S603 - found by us
            [self.installation.binaries / name, *arguments],
            cwd=self._home,
            env={"LC_ALL": "C", **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            **self._site.account.popen_options(),
        )
        if done.returncode:
            message = f"{name} failed:\n{done.stdout}{done.stderr}"
            raise ServerError(message)

    def close(self) -> None:
        """Stop it for good."""
        if self._process.is_running:
            self.stop("immediate")

    def _command(self) -> list[str | Path]:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        return [self.installation.binaries / "postgres", "-D", self.data, "-p", str(self.port), *settings]

    def _make_data(self) -> None:
        """Make the data folder, and in it the roles and the database that tests use."""
        password = self._home / "password"
        password.write_text(ROLES["superuser"][1])
        self._site.account.own(self._home)
        where: list[str | Path] = ["-D", self.data, "-U", ROLES["superuser"][0], "--pwfile", password]
        how = ["--auth=scram-sha-256", "--no-sync", "--locale=C", "--encoding=UTF8", "--no-instructions"]
        self.command("initdb", *where, *how)
        self.start()
        name, secret = ROLES["writer"]
        quoted = secret.replace("'", "''")
        self.run(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'", database="postgres")
        self.run(f"CREATE DATABASE {DATABASE} OWNER {name}", database="postgres")

    def _is_ready(self) -> bool:
        where = ["-h", LOOPBACK, "-p", str(self.port), "-q"]
        return subprocess.run([self.installation.binaries / "pg_isready", *where], check=False).returncode == 0  # noqa: S603

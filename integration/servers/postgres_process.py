"""A PostgreSQL server from this machine's binaries, in a temporary folder."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from integration.servers.families import family, wait_for_the_end
from integration.servers.ports import LOOPBACK
from integration.servers.postgres import DATABASE, ROLES, PostgresServer
from integration.servers.processes import Process
from integration.servers.running import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from integration.servers.postgres import Role
    from integration.servers.postgres_binaries import Installation
    from integration.servers.site import Site

_PLACES = {"unix_socket_directories": "", "listen_addresses": LOOPBACK}


class PostgresProcess(PostgresServer):
    """One server from binaries.

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
        self._site = site
        self._home = site.make_folder(f"postgres-{installation.major}")
        runs = Process([], self._home / "log", site.account, site.keeper)
        super().__init__(runs, installation.version, installation.origin, {**_PLACES, **(settings or {})})
        self.installation = installation.reachable(site.account, site.folder)
        self.data = data or self._home / "data"
        if data is None:
            self._make_data()

    @property
    def elsewhere(self) -> Path:
        """A folder outside the data folder, in which it may keep tables."""
        return self._site.folder

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
        """Stop it for good: in such order that it gives back the memory it shares."""
        if self._process.is_running:
            self.stop("immediate")

    def _command(self) -> list[str | Path]:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        return [self.installation.binaries / "postgres", "-D", self.data, "-p", str(self.port), *settings]

    def _make_data(self) -> None:
        """Make the data folder, and in it the role and the database that tests use."""
        password = self._home / "password"
        password.write_text(ROLES["superuser"][1])
        self._site.account.own(self._home)
        where: list[str | Path] = ["-D", self.data, "-U", ROLES["superuser"][0], "--pwfile", password]
        how = ["--auth=scram-sha-256", "--no-sync", "--locale=C", "--encoding=UTF8", "--no-instructions"]
        self.command("initdb", *where, *how)
        self._make_database()

    def _is_ready(self) -> bool:
        where = ["-h", LOOPBACK, "-p", str(self.port), "-q"]
        return subprocess.run([self.installation.binaries / "pg_isready", *where], check=False).returncode == 0  # noqa: S603

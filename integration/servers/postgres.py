"""A PostgreSQL server of our own: what is the same of one that runs from binaries and of one in a container."""

from __future__ import annotations

import abc
import signal
from typing import TYPE_CHECKING, Literal

from integration.servers.ports import LOOPBACK
from integration.servers.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from integration.servers.running import Running

Role = Literal["writer", "superuser"]
Mode = Literal["smart", "fast", "immediate"]

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
        runs: The process or the container that it is to run in.
        version: Such as ``"18.6"``.
        origin: Where it is from.
        settings: Server settings beside, or instead of, the usual ones, which trade durability for time.
    """

    def __init__(self, runs: Running, version: str, origin: str, settings: Mapping[str, str] | None) -> None:
        super().__init__(runs)
        self.origin = origin
        self.settings = {**_SETTINGS, **(settings or {})}
        self._version = version

    @property
    def label(self) -> str:
        """How it is called."""
        return "PostgreSQL"

    @property
    def version(self) -> str:
        """Such as ``"18.6"``."""
        return self._version

    @property
    def major(self) -> int:
        """The version's first number."""
        return int(self._version.partition(".")[0])

    @property
    @abc.abstractmethod
    def elsewhere(self) -> Path:
        """A folder outside the data folder, in which it may keep tables."""

    @abc.abstractmethod
    def run(self, sql: str, role: Role = "superuser", *, database: str = DATABASE) -> str:
        """Run SQL, outside every event loop, and return what it says, a line for each row and ``|`` between columns.

        Raises:
            ServerError: It fails.
        """

    @abc.abstractmethod
    def kill_backend(self, pid: int) -> None:
        """End one of its processes with SIGKILL: the postmaster ends the others, and begins to recover.

        Args:
            pid: Its number, as the server itself tells it.

        Raises:
            ServerError: It is none of its processes.
        """

    def url(self, role: Role = "writer", *, port: int | None = None, database: str = DATABASE) -> str:
        """Return where a role finds it, or what stands before it at another port."""
        name, password = ROLES[role]
        return f"postgresql://{name}:{password.replace(' ', '%20')}@{LOOPBACK}:{port or self.port}/{database}"

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it: "smart" waits for every client, "fast" sends them away, "immediate" leaves a recovery to be done."""
        self._process.stop(_STOPPED_BY[mode])

    def begin_stop(self, mode: Mode = "fast") -> None:
        """Ask it to stop and do not wait."""
        self._process.send(_STOPPED_BY[mode])

    def restart(self, mode: Mode = "fast") -> None:
        """Stop it and start it on the same port."""
        self.stop(mode)
        self.start()

    def revive(self) -> None:
        """Bring it back to work, whatever was done to it, or to one of its processes."""
        super().revive()
        self._process.wait_until(self._is_ready)

    def _make_database(self) -> None:
        """Make the role and the database that tests use, on a server that has only just been made."""
        self.start()
        name, secret = ROLES["writer"]
        quoted = secret.replace("'", "''")
        self.run(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'", database="postgres")
        self.run(f"CREATE DATABASE {DATABASE} OWNER {name}", database="postgres")

"""A MariaDB or MySQL server of our own, in a temporary folder."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import pymysql

from integration.servers.mysql_binaries import NAMES
from integration.servers.ports import LOOPBACK, free_port
from integration.servers.processes import Process, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from integration.servers.mysql_binaries import Installation
    from integration.servers.site import Site

Role = Literal["writer", "superuser"]

ROLES: dict[Role, tuple[str, str]] = {
    "superuser": ("admin", "superuser's password"),
    "writer": ("writer", "writer's password"),
}
"""Name and password of each role; both servers and passwords live as long as a test run."""

# A commit reaches the system and not the disk: it outlives a killed server, and no test switches off the machine.
_SETTINGS = {
    "bind-address": LOOPBACK,
    "skip-name-resolve": "ON",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-flush-method": "nosync",
    "innodb-doublewrite": "OFF",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-buffer-size": "4M",
    "max-connections": "60",
    "loose-skip-log-bin": "ON",
    "loose-mysqlx": "OFF",
}

# One statement a line. MySQL runs it at each start, MariaDB as well: roles that are there already stay as they are.
_ROLES_SQL = """
CREATE USER IF NOT EXISTS '{admin}'@'%' IDENTIFIED BY '{secret}';
GRANT ALL ON *.* TO '{admin}'@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS '{writer}'@'%' IDENTIFIED BY '{password}';
"""


class MySQLServer:
    """One server: started on first use, stopped and started at will.

    Args:
        installation: Its binaries.
        site: Where it lives.
        settings: Server settings beside, or instead of, the usual ones, which trade durability for time.

    Attributes:
        elsewhere: A folder outside the data folder in which it may keep tables.
    """

    def __init__(self, installation: Installation, site: Site, settings: Mapping[str, str] | None = None) -> None:
        self.installation = installation.reachable(site.account, site.folder)
        self.product = installation.product
        self.settings = {**_SETTINGS, **(settings or {})}
        self.host = LOOPBACK
        self.port = free_port()
        self._site = site
        self._home = site.make_folder(self.product)
        self.elsewhere = site.make_folder("elsewhere")
        self._has_served = False
        self._is_held = False
        self._write_roles()
        shutil.copytree(_template(self.installation, site), self._home / "data")
        site.account.own(self._home)
        self._process = Process(self._command(), self._home / "log", site.account, site.keeper)

    def __repr__(self) -> str:
        return f"<{NAMES[self.product]} {self.version} at port {self.port}>"

    @property
    def version(self) -> str:
        """Such as ``"10.11.18"``."""
        return self.installation.version

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """The last lines of its log."""
        return self._process.end_of_log()

    def url(self, role: Role = "writer", *, port: int | None = None, database: str = "") -> str:
        """Return where a role finds it, or what stands before it at another port."""
        name, password = ROLES[role]
        return f"mysql://{name}:{quote(password)}@{LOOPBACK}:{port or self.port}/{database}"

    def run(self, sql: str, role: Role = "superuser") -> list[tuple[Any, ...]]:
        """Run one statement, outside every event loop, and return its rows.

        Raises:
            pymysql.MySQLError: It fails.
        """
        with self._connected(role) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def start(self) -> None:
        """Start it and wait until it takes connections; nothing happens if it runs."""
        while not self._process.is_running:
            self._process.start()
            try:
                self._process.wait_until(self._is_ready)
            except ServerError:
                if self._has_served or "Address already in use" not in self.log:
                    raise
                # Somebody took the port between our asking for a free one and listening on it.
                self.port = free_port()
                self._process.command = self._command()
        self._has_served = True

    def stop(self) -> None:
        """Shut it down: it sends its clients away."""
        self._process.stop(signal.SIGTERM)

    def restart(self) -> None:
        """Stop it and start it on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End it with SIGKILL: what is not committed is lost, and only that."""
        self._process.kill()

    def pause(self) -> None:
        """Hold it: connections stay open, and nothing is answered."""
        self._is_held = True
        self._process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._is_held = False
        self._process.resume()

    def revive(self) -> None:
        """Bring it back to work, whatever was done to it."""
        # One process that runs and is not held is at work: to ask it each time would take as long as many a test.
        if self._is_held and self._process.is_running:
            self.resume()
        self._is_held = False
        self.start()

    def close(self) -> None:
        """Stop it for good."""
        if self._process.is_running:
            # Nobody is going to read what a proper end would save.
            self.kill()

    def _command(self) -> list[str | Path]:
        places: dict[str, object] = {
            "datadir": self._home / "data",
            "tmpdir": self._home,
            "socket": self._home / "socket",
            "pid-file": self._home / "pid",
            "init-file": self._home / "roles.sql",
            "port": self.port,
            # MySQL opens a table outside of its data folder where it was told of the place, MariaDB anywhere.
            "loose-innodb-directories": self.elsewhere,
        }
        options = [f"--{name}={value}" for name, value in {**places, **self.settings}.items()]
        return [*self.installation.command, *options]

    def _write_roles(self) -> None:
        (admin, secret), (writer, password) = ROLES["superuser"], ROLES["writer"]
        quoted = [word.replace("'", "''") for word in (admin, secret, writer, password)]
        names = dict(zip(("admin", "secret", "writer", "password"), quoted, strict=True))
        (self._home / "roles.sql").write_text(_ROLES_SQL.format(**names).lstrip())

    def _is_ready(self) -> bool:
        try:
            with self._connected("superuser"):
                return True
        except pymysql.MySQLError:
            return False

    @contextlib.contextmanager
    def _connected(self, role: Role) -> Iterator[Any]:
        user, password = ROLES[role]
        connection = pymysql.connect(
            host=LOOPBACK, port=self.port, user=user, password=password, autocommit=True, connect_timeout=5
        )
        try:
            yield connection
        finally:
            connection.close()


def _template(installation: Installation, site: Site) -> Path:
    """Return a data folder to be copied: to make one takes seconds.

    Raises:
        ServerError: It could not be made.
    """
    made = site.folder / f"{installation.product}-template"
    if not made.exists():
        made.mkdir(mode=0o700)
        site.account.own(made)
        command = [*installation.initialising(made), *_sizes(installation)]
        done = subprocess.run(  # noqa: S603 - found by us
            command, cwd=made, capture_output=True, text=True, check=False, env={}, **site.account.popen_options()
        )
        if done.returncode:
            message = f"{command[0]} failed:\n{done.stdout}{done.stderr}"
            raise ServerError(message)
    return made


def _sizes(installation: Installation) -> list[str]:
    """Return what makes a data folder small, so that it is quickly copied."""
    return ["--innodb-redo-log-capacity=32M"] if installation.product == "mysql" else ["--innodb-log-file-size=16M"]

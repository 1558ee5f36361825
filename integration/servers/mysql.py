"""A MariaDB or MySQL server of our own, in a temporary folder."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import pymysql

from integration.servers.mysql_binaries import NAMES
from integration.servers.ports import LOOPBACK
from integration.servers.processes import ServerError
from integration.servers.server import Server

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


class MySQLServer(Server):
    """One server: started on first use, stopped and started at will.

    Args:
        installation: Its binaries.
        site: Where it lives.
        settings: Server settings beside, or instead of, the usual ones, which trade durability for time.

    Attributes:
        elsewhere: A folder outside the data folder in which it may keep tables.
    """

    def __init__(self, installation: Installation, site: Site, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(site, installation.product)
        self.product = installation.product
        self.installation = installation.reachable(site.account, site.folder)
        self.settings = {**_SETTINGS, **(settings or {})}
        self.elsewhere = site.make_folder("elsewhere")
        self._write_roles()
        shutil.copytree(_template(self.installation, site), self._home / "data")
        site.account.own(self._home)

    @property
    def label(self) -> str:
        """How it is called."""
        return NAMES[self.product]

    @property
    def version(self) -> str:
        """Such as ``"10.11.18"``."""
        return self.installation.version

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

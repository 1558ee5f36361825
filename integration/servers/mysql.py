"""A MariaDB or MySQL server of our own: what is the same of one from binaries and of one in a container."""

from __future__ import annotations

import abc
import contextlib
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import pymysql

from integration.servers.mysql_binaries import NAMES
from integration.servers.ports import LOOPBACK
from integration.servers.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from integration.servers.mysql_binaries import Product
    from integration.servers.running import Running

Role = Literal["writer", "superuser"]

ROLES: dict[Role, tuple[str, str]] = {
    "superuser": ("admin", "superuser's password"),
    "writer": ("writer", "writer's password"),
}
"""Name and password of each role; both servers and passwords live as long as a test run."""

# A commit reaches the system and not the disk: it outlives a killed server, and no test switches off the machine.
_SETTINGS = {
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

_ROLES_SQL = """
CREATE USER IF NOT EXISTS '{admin}'@'%' IDENTIFIED BY '{secret}';
GRANT ALL ON *.* TO '{admin}'@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS '{writer}'@'%' IDENTIFIED BY '{password}';
"""


class MySQLServer(Server):
    """One server: started on first use, stopped and started at will.

    Args:
        runs: The process or the container that it is to run in.
        product: Whose it is.
        version: Such as ``"10.11.18"``.
        settings: Server settings beside, or instead of, the usual ones, which trade durability for time.
    """

    def __init__(self, runs: Running, product: Product, version: str, settings: Mapping[str, str] | None) -> None:
        super().__init__(runs)
        self.product = product
        self.settings = {**_SETTINGS, **(settings or {})}
        self._version = version

    @property
    def label(self) -> str:
        """How it is called."""
        return NAMES[self.product]

    @property
    def version(self) -> str:
        """Such as ``"10.11.18"``."""
        return self._version

    @property
    @abc.abstractmethod
    def elsewhere(self) -> Path:
        """A folder outside the data folder, in which it may keep tables."""

    def url(self, role: Role = "writer", *, port: int | None = None, database: str = "") -> str:
        """Return where a role finds it, or what stands before it at another port."""
        name, password = ROLES[role]
        return f"mysql://{name}:{quote(password)}@{LOOPBACK}:{port or self.port}/{database}"

    def run(self, sql: str, role: Role = "superuser") -> list[tuple[Any, ...]]:
        """Run one statement, outside every event loop, and return its rows.

        Raises:
            pymysql.MySQLError: It fails.
        """
        with self._connected(*ROLES[role]) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def _is_ready(self) -> bool:
        try:
            with self._connected(*ROLES["superuser"]):
                return True
        except pymysql.MySQLError:
            return False

    @contextlib.contextmanager
    def _connected(self, user: str, password: str) -> Iterator[Any]:
        connection = pymysql.connect(
            host=LOOPBACK, port=self.port, user=user, password=password, autocommit=True, connect_timeout=5
        )
        try:
            yield connection
        finally:
            connection.close()


def roles_sql() -> str:
    """Return what makes the roles, one statement a line; those that are there already stay as they are."""
    (admin, secret), (writer, password) = ROLES["superuser"], ROLES["writer"]
    quoted = [word.replace("'", "''") for word in (admin, secret, writer, password)]
    names = dict(zip(("admin", "secret", "writer", "password"), quoted, strict=True))
    return _ROLES_SQL.format(**names).lstrip()

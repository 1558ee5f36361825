"""A MariaDB or MySQL server from this machine's binaries, in a temporary folder."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from integration.servers.mysql import MySQLServer, roles_sql
from integration.servers.ports import LOOPBACK
from integration.servers.processes import Process
from integration.servers.running import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from integration.servers.mysql_binaries import Installation
    from integration.servers.site import Site


class MySQLProcess(MySQLServer):
    """One server from binaries.

    Args:
        installation: Its binaries.
        site: Where it lives.
        settings: Server settings beside, or instead of, the usual ones, which trade durability for time.
    """

    def __init__(self, installation: Installation, site: Site, settings: Mapping[str, str] | None = None) -> None:
        self._home = site.make_folder(installation.product)
        runs = Process([], self._home / "log", site.account, site.keeper)
        super().__init__(
            runs, installation.product, installation.version, {"bind-address": LOOPBACK, **(settings or {})}
        )
        self.installation = installation.reachable(site.account, site.folder)
        self._elsewhere = site.make_folder("elsewhere")
        (self._home / "roles.sql").write_text(roles_sql())
        shutil.copytree(make_template(self.installation, site), self._home / "data")
        site.account.own(self._home)

    @property
    def elsewhere(self) -> Path:
        """A folder outside the data folder, in which it may keep tables."""
        return self._elsewhere

    def _command(self) -> list[str | Path]:
        places: dict[str, object] = {
            "datadir": self._home / "data",
            "tmpdir": self._home,
            "socket": self._home / "socket",
            "pid-file": self._home / "pid",
            # MySQL runs it at each start, MariaDB as well.
            "init-file": self._home / "roles.sql",
            "port": self.port,
            # MySQL opens a table outside of its data folder where it was told of the place, MariaDB anywhere.
            "loose-innodb-directories": self.elsewhere,
        }
        options = [f"--{name}={value}" for name, value in {**places, **self.settings}.items()]
        return [*self.installation.command, *options]


def make_template(installation: Installation, site: Site) -> Path:
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

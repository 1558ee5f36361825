"""Where this machine keeps MariaDB and MySQL: two products that share a name on the wire, and are told apart here."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tools.mysql_package import unpacked_mysql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.servers.accounts import Account

Product = Literal["mariadb", "mysql"]

NAMES: dict[Product, str] = {"mariadb": "MariaDB", "mysql": "MySQL"}

# Servers are on root's path alone.
_SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"])
_SYSTEM = ("usr/local/mysql/bin/mysqld", "opt/homebrew/opt/mysql*/bin/mysqld", "usr/local/opt/mysql*/bin/mysqld")


@dataclasses.dataclass(frozen=True)
class Installation:
    """The binaries of one server.

    Attributes:
        product: Whose.
        version: Such as ``"10.11.18"``.
        origin: Where it is from, for the header of the test run.
        program: The server.
        root: What stands for the root of its files, where they are only unpacked; it then runs with their own loader.
    """

    product: Product
    version: str
    origin: str
    program: Path
    root: Path | None = None

    def __str__(self) -> str:
        return f"{NAMES[self.product]} {self.version} ({self.origin})"

    @property
    def command(self) -> list[str | Path]:
        """What runs the server, without any of its options."""
        if self.root is None:
            return [self.program, "--no-defaults"]
        return [
            *_with_own_loader(self.root),
            self.program,
            "--no-defaults",
            f"--basedir={self.root / 'usr'}",
            f"--lc-messages-dir={self.root / 'usr/share/mysql'}",
            f"--character-sets-dir={self.root / 'usr/share/mysql/charsets'}",
            f"--plugin-dir={self.root / 'usr/lib/mysql/plugin'}",
            # Its folder for files of queries is the system's, which is not there.
            "--secure-file-priv=NULL",
        ]

    def initialising(self, data: Path) -> list[str | Path]:
        """Return the command that makes a data folder."""
        if self.product == "mysql":
            return [*self.command, "--initialize-insecure", f"--datadir={data}"]
        installer = shutil.which("mariadb-install-db", path=f"{self.program.parent}{os.pathsep}{_SEARCHED}")
        how = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        return [installer or "mariadb-install-db", "--no-defaults", *how, f"--datadir={data}"]

    def reachable(self, account: Account, folder: Path) -> Installation:
        """Return an installation that the account can run: other links to its files, if the way to these is closed.

        A cache in root's home is closed to the account that root's servers run under.
        """
        if self.root is None or account.can_reach(self.program):
            return self
        copied = folder / f"{self.product}-{self.version}"
        if not copied.exists():
            shutil.copytree(self.root, copied, symlinks=True, copy_function=_link)
        return dataclasses.replace(self, root=copied, program=copied / self.program.relative_to(self.root))


def installations() -> dict[Product, Installation]:
    """Return the server of each product on this machine."""
    found: dict[Product, Installation] = {}
    for program, root in _candidates():
        installation = _installation(program, root)
        if installation is not None:
            found.setdefault(installation.product, installation)
    return found


def _candidates() -> Iterator[tuple[Path, Path | None]]:
    for name in ("mariadbd", "mysqld"):
        on_path = shutil.which(name, path=_SEARCHED)
        if on_path is not None:
            yield Path(on_path).resolve(), None
    for pattern in _SYSTEM:
        for program in sorted(Path("/").glob(pattern)):
            yield program, None
    root = unpacked_mysql()
    yield root / "usr/sbin/mysqld", root


def _installation(program: Path, root: Path | None) -> Installation | None:
    """Return what a program is; ``None`` if it does not run."""
    try:
        loader = [] if root is None else _with_own_loader(root)
        command = [*loader, program, "--no-defaults", "--version"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - found by us
    except (OSError, subprocess.CalledProcessError):
        return None
    version = re.search(r"Ver (\d+\.\d+\.\d+)", told)
    product: Product = "mariadb" if "MariaDB" in told else "mysql"
    origin = str(program) if root is None else "Debian's unstable suite, unpacked in the cache"
    return version and Installation(product, version[1], origin, program, root)


def _with_own_loader(root: Path) -> list[str | Path]:
    """Return what runs a program with the libraries beside it, which may be newer than the system's.

    Raises:
        FileNotFoundError: Nothing has been unpacked there.
    """
    for loader in sorted(root.glob("usr/lib/*/ld-linux*.so.*")):
        libraries = (loader.parent, root / "usr/lib/mysql/private")
        return [loader, "--library-path", ":".join(map(str, libraries))]
    raise FileNotFoundError(root)


def _link(source: str, target: str) -> None:
    """Make another link to a file, or a copy where that is on another disk."""
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)

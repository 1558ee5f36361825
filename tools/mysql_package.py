"""Fetches a real MySQL server for the tests, where the system's packages know MariaDB alone: as root on Debian.

Debian's unstable suite has it. Its files, and those of the libraries that it needs, are unpacked into a folder of the
user's cache and run from there with their own loader: nothing is installed, and what is installed is not touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_PACKAGES = ("mysql-server-core", "libc-bin")
# What the server runs on; clients, Perl and documentation of the packages are not kept.
_KEPT = ("usr/sbin/mysqld", "usr/lib", "usr/share/mysql")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpacked_mysql() -> Path:
    """Return the folder that stands for the root of the server's files; it is there if it has been fetched."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bulkwriter" / "mysql"


def fetch_mysql() -> None:
    """Fetch and unpack the server, unless it is there.

    Raises:
        OSError: There is no mirror of Debian in apt's configuration, or no program that is needed.
        subprocess.CalledProcessError: The package could not be fetched.
    """
    home = unpacked_mysql()
    if home.exists():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        root = Path(folder) / "root"
        for package in _download(Path(folder)):
            _run("dpkg", "-x", str(package), str(root))
        kept = Path(folder) / "kept"
        for name in _KEPT:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / name, kept / name)
        # At once: another run that looks meanwhile finds all of it or nothing.
        if not home.exists():
            kept.rename(home)


def _download(folder: Path) -> list[Path]:
    """Return the packages, fetched with lists and an archive of our own, so that the system's stay as they are."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    sources = folder / "unstable.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {_mirror()} unstable main\n")
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": folder / "cache",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
    }
    told = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    _run("apt-get", "-qq", *told, "update")
    _run("apt-get", "-qq", "-y", *told, "--download-only", "install", *_PACKAGES)
    return sorted((folder / "cache/archives").glob("*.deb"))


def _mirror() -> str:
    """Return where this machine gets Debian from."""
    told = _run("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Origin: Debian", "Created-By: Packages")
    for line in told.splitlines():
        label, _, address = line.partition(" ")
        # The security updates are on a host of their own, which has no unstable suite.
        if label == "Debian":
            return address
    message = "apt knows no mirror of Debian"
    raise OSError(message)


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout

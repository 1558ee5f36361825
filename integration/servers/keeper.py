"""Cleans up after a test process that was killed: servers, mounts and folders that it could not put away itself.

A small process that waits at the end of a pipe. What is to be put away is told to it line by line, and so is what has
been; when the pipe closes, which no way of dying can prevent, it puts away the rest.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from integration.servers.engine import remove_container, remove_network
from integration.servers.families import birth, signal_family, wait_for_the_end

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]


class Keeper:
    """The test process's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "integration.servers.keeper"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            text=True,
            # Ctrl-C at the terminal is for pytest, which then closes the pipe.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def watch_process(self, pid: int) -> None:
        """See to it that a process and its descendants do not outlive us."""
        self._tell("+", f"process {pid} {birth(pid)}")

    def forget_process(self, pid: int, born: str | None) -> None:
        """Hear that a process has ended."""
        self._tell("-", f"process {pid} {born}")

    def watch_folder(self, folder: Path) -> None:
        """See to it that a folder does not outlive us."""
        self._tell("+", f"folder {folder}")

    def watch_mount(self, folder: Path) -> None:
        """See to it that a mounted file system does not outlive us."""
        self._tell("+", f"mount {folder}")

    def forget_mount(self, folder: Path) -> None:
        """Hear that it is no longer mounted."""
        self._tell("-", f"mount {folder}")

    def watch_container(self, name: str) -> None:
        """See to it that a container does not outlive us."""
        self._tell("+", f"container {name}")

    def forget_container(self, name: str) -> None:
        """Hear that it is no more."""
        self._tell("-", f"container {name}")

    def watch_network(self, name: str) -> None:
        """See to it that a network of containers does not outlive us."""
        self._tell("+", f"network {name}")

    def close(self) -> None:
        """Let it put away what is left, and wait until it has."""
        assert self._process.stdin
        self._process.stdin.close()
        # As long as it takes: a run leaves tens of thousands of files, and on a busy machine nobody knows how long.
        self._process.wait()

    def _tell(self, sign: str, what: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{sign}{what}\n")
        self._process.stdin.flush()


def _left(lines: Iterable[str]) -> list[str]:
    """Return what is to be put away when the pipe has closed, the latest first."""
    left: list[str] = []
    for line in lines:
        what = line[1:].rstrip("\n")
        if line[0] == "+":
            left.insert(0, what)
        else:
            with contextlib.suppress(ValueError):
                left.remove(what)
    return left


def _put_away(what: str) -> None:
    kind, _, rest = what.partition(" ")
    if kind == "process":
        pid, born = rest.split(" ", 1)
        if birth(int(pid)) == born:
            wait_for_the_end(signal_family(int(pid), signal.SIGKILL))
    elif kind == "container":
        remove_container(rest)
    elif kind == "network":
        remove_network(rest)
    elif kind == "mount":
        subprocess.run(["umount", "--lazy", rest], check=False, capture_output=True)  # noqa: S603, S607 - told by us
    else:
        shutil.rmtree(rest, ignore_errors=True)


def main() -> None:
    """Wait for the end of the pipe, and put away what is left."""
    left = _left(sys.stdin)
    # Servers first, then what joined or held them; a folder is an empty mount point by its turn.
    for kind in ("process", "container", "network", "mount", "folder"):
        for what in left:
            if what.startswith(kind):
                _put_away(what)


if __name__ == "__main__":
    main()

"""A server's processes: itself and those it started. Only these are ever signalled, and only by their own number."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROC = Path("/proc")
# Of what /proc tells of a process (proc(5)), counted from its state on, which is the first.
_ZOMBIE = "Z"
_BEGAN = 19


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, the eldest first; empty if it is gone."""
    children: dict[int, list[int]] = {}
    parents = _parents()
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    members = [pid] if pid in parents else []
    for member in members:
        members.extend(children.get(member, []))
    return members


def signal_family(pid: int, number: signal.Signals) -> list[int]:
    """Send a signal to a process and all its descendants, and return who they are.

    The eldest is held while the others are looked up: a server that is just answering a connection would else start a
    process that nobody has counted.
    """
    _send(pid, signal.SIGSTOP)
    members = family(pid)
    for member in members[1:]:
        _send(member, number)
    _send(pid, number)
    return members


def wait_for_the_end(pids: Iterable[int]) -> None:
    """Wait until processes that are bound to end have ended."""
    for pid in pids:
        while birth(pid):
            time.sleep(0.002)


def birth(pid: int) -> str | None:
    """Return when a process began, in the system's own unit; ``None`` if it is gone.

    A number alone names nobody: it may have been given to another process since.
    """
    if _PROC.joinpath("self").exists():
        fields = _stat(pid)
        return fields[_BEGAN] if fields and fields[0] != _ZOMBIE else None
    told = _ps("-o", "lstart=", "-p", str(pid)).strip()
    return told or None


def _parents() -> dict[int, int]:
    if not _PROC.joinpath("self").exists():
        pairs = (line.split() for line in _ps("-A", "-o", "pid=,ppid=").splitlines())
        return {int(pid): int(parent) for pid, parent in pairs}
    numbers = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    found = {pid: _stat(pid) for pid in numbers}
    # A zombie is gone: it waits for nothing but to be counted by its parent.
    return {pid: int(fields[1]) for pid, fields in found.items() if fields and fields[0] != _ZOMBIE}


def _stat(pid: int) -> list[str] | None:
    """Return what the kernel tells of a process, from its state on: its name may hold blanks and brackets."""
    try:
        return _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607 - ours

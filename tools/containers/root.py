"""The files of an image, put together from files of this machine."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = 999
"""Who everything in there that can be written to belongs to, and who its server runs as."""

_ACCOUNTS = {
    "etc/passwd": f"root:x:0:0::/root:/bin/sh\nserver:x:{USER}:{USER}::/tmp:/bin/sh\n",
    "etc/group": f"root:x:0:\nserver:x:{USER}:\n",
}

_LINKED = re.compile(r"(?:=> |^\s+)(/\S+) \(0x", re.MULTILINE)
# What no server of the tests reads or runs, and much of it is large.
_LEFT_OUT = {"doc", "man", "legal", "jmods", "src.zip", "llvmjit.so", "bitcode"}


class Root:
    """A root folder in the making."""

    def __init__(self) -> None:
        self._sources: dict[str, Path] = {}
        self._texts: dict[str, str] = dict(_ACCOUNTS)
        self._folders: list[str] = []
        self._copies: dict[str, Path] = {}

    def add(self, path: Path) -> None:
        """Put a program, or a folder with all that is in it, where it is here, and with it what it is linked to."""
        self._sources[_place(path)] = path
        programs = [file for file, _ in _files(path) if _is_linked(file)]
        for library in _libraries(programs):
            if not library.parent.resolve().is_relative_to(path.resolve()):
                self._sources[_place(library)] = library

    def add_whole(self, path: Path) -> None:
        """Put a folder where it is here that has all that its programs are linked to."""
        self._sources[_place(path)] = path

    def add_copy(self, path: Path, place: str) -> None:
        """Put a folder elsewhere; it may be written to there."""
        self._copies[place.lstrip("/")] = path

    def make_folder(self, place: str) -> None:
        """Make a folder that may be written to."""
        self._folders.append(place.lstrip("/"))

    def write_file(self, place: str, text: str) -> None:
        """Write a file that may be run."""
        self._texts[place.lstrip("/")] = text

    def write(self, archive: Path) -> None:
        """Write them all to an archive."""
        with tarfile.open(archive, "w", dereference=True) as tar:
            # Where the system keeps /bin in /usr, these are links, and everything else was put behind them.
            for name in ("bin", "sbin", "lib", "lib64"):
                if Path("/", name).is_symlink():
                    tar.addfile(_entry(name, tarfile.SYMTYPE, link=f"usr/{name}"))
            tar.addfile(_entry("tmp", tarfile.DIRTYPE, mode=0o1777))
            for place in self._folders:
                tar.addfile(_owned(_entry(place, tarfile.DIRTYPE)))
            for place, text in self._texts.items():
                entry = _entry(place, tarfile.REGTYPE)
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
            for place, path in self._sources.items():
                for file, inside in _files(path):
                    tar.add(file, str(Path(place, inside)), recursive=False)
            for place, path in self._copies.items():
                tar.add(path, place, filter=_owned)


def _place(path: Path) -> str:
    """Return where a file is when no folder on the way to it is a link; it keeps its own name."""
    return str(path.parent.resolve() / path.name).lstrip("/")


def _is_linked(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(4) == b"\x7fELF"


def _libraries(programs: list[Path]) -> set[Path]:
    if not programs:
        return set()
    # What is linked to nothing is told as a failure.
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout  # noqa: S607
    return {Path(found) for found in _LINKED.findall(told)}


def _entry(place: str, kind: bytes, *, mode: int = 0o755, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(place)
    entry.type, entry.mode, entry.linkname = kind, mode, link
    return entry


def _files(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a file, or all that are wanted of a folder, and where each is in there; links that lead nowhere are not."""
    if path.is_file():
        yield path, Path()
    for folder, folders, names in os.walk(path, followlinks=True):
        folders[:] = set(folders) - _LEFT_OUT
        for name in set(names) - _LEFT_OUT:
            file = Path(folder, name)
            if file.is_file():
                yield file, file.relative_to(path)


def _owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = USER
    return entry

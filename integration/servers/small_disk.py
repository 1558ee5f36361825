"""A file system of a few megabytes in memory, for what happens when the disk is full."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from integration.servers.requirements import missing
from integration.servers.running import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration.servers.site import Site

MEGABYTES = 8


@contextlib.contextmanager
def small_disk(site: Site, within: Path | None = None, *, megabytes: int = MEGABYTES) -> Iterator[Path]:
    """Mount one and give its folder, which is the servers' account's; or end the test with the reason why it cannot.

    Args:
        site: Where it lives.
        within: The folder that it is to be in, where a server is particular about that.
        megabytes: How small.
    """
    if sys.platform != "linux" or os.geteuid():
        missing("small-disk", "a file system in memory is mounted by root on Linux alone")
    folder = site.make_folder("small-disk", within)
    try:
        _mount(folder, site, megabytes)
    except ServerError as error:
        # A container's root may not mount.
        missing("small-disk", str(error))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))
        site.keeper.forget_mount(folder)


def _mount(folder: Path, site: Site, megabytes: int) -> None:
    options = f"size={megabytes}m,mode=0700,uid={site.account.uid},gid={site.account.gid}"
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    site.keeper.watch_mount(folder)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - written above
    if done.returncode:
        message = f"{command[0]} failed: {done.stderr.strip()}"
        raise ServerError(message)

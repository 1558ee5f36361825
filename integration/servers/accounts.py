"""The account that servers run under: our own, or an ordinary one where we are root, whom database servers refuse."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import Any

_ORDINARY = ("postgres", "nobody")


@dataclasses.dataclass(frozen=True)
class Account:
    """Who a server runs as.

    Attributes:
        uid: The user's number.
        gid: The number of the user's group.
        is_another: Whether it is not the one we run under.
    """

    uid: int
    gid: int
    is_another: bool

    def popen_options(self) -> dict[str, Any]:
        """Return what ``subprocess`` is told, so that a command runs as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_another else {}

    def own(self, path: Path) -> None:
        """Hand a folder or file, with all that is in it, over to this account."""
        if self.is_another:
            shutil.chown(path, self.uid, self.gid)
            for inside in path.rglob("*"):
                os.chown(inside, self.uid, self.gid, follow_symlinks=False)

    def can_reach(self, path: Path) -> bool:
        """Whether this account may walk down to a path; what lies there is asked of nobody."""
        return not self.is_another or all(_is_open(folder) for folder in path.resolve().parents)


def server_account() -> Account:
    """Return the account for servers: our own, unless that is root."""
    if os.geteuid():
        return Account(os.geteuid(), os.getegid(), is_another=False)
    for name in _ORDINARY:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, is_another=True)
    # Numbers need no entry in any list; this one is nobody's on every system we know.
    return Account(65534, 65534, is_another=True)


def make_folder(account: Account) -> Path:
    """Make a temporary folder that the account can walk into.

    Raises:
        FileNotFoundError: No folder for temporary files is open to it.
    """
    for base in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - mkdtemp makes it private
        if base.is_dir() and account.can_reach(base / "inside"):
            folder = Path(tempfile.mkdtemp(prefix="bulkwriter-", dir=base))
            # Open to walk through, closed to look into: the servers' own folders inside are theirs alone.
            folder.chmod(0o711)
            return folder
    message = "no folder for temporary files is open to the account of the servers"
    raise FileNotFoundError(message)


def _is_open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o001)

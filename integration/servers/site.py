"""Where servers of one test process live: a temporary folder, an account, and who cleans up after a killed process."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import shutil
from typing import TYPE_CHECKING

from integration.servers.accounts import Account, make_folder, server_account
from integration.servers.keeper import Keeper

if TYPE_CHECKING:
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Site:
    """What every server needs to be started.

    Attributes:
        account: Who servers run as.
        folder: What they write goes below it.
        keeper: Who puts away what we could not.
    """

    account: Account
    folder: Path
    keeper: Keeper
    _numbers: itertools.count[int] = dataclasses.field(default_factory=itertools.count)

    @classmethod
    def make(cls) -> Site:
        """Make one."""
        account = server_account()
        keeper = Keeper()
        folder = make_folder(account)
        keeper.watch_folder(folder)
        return cls(account, folder, keeper)

    @functools.cached_property
    def network(self) -> str:
        """The name of the network on which containers find each other; made with the first of them."""
        from testcontainers.core.network import Network  # noqa: PLC0415 - nothing for those who have no containers

        made = Network()
        self.keeper.watch_network(made.name)
        return made.create().name

    def make_folder(self, name: str, within: Path | None = None) -> Path:
        """Return a new folder that belongs to the servers' account alone."""
        folder = (within or self.folder) / f"{name}-{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        self.account.own(folder)
        return folder

    def close(self) -> None:
        """Remove all that is left."""
        self.keeper.close()
        shutil.rmtree(self.folder, ignore_errors=True)

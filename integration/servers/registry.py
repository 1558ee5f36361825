"""The servers of one test process: each is started when a test first needs it, and stopped at the end."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from integration.servers.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Server(Protocol):
    """What the registry does with a server of any kind."""

    def revive(self) -> None:
        """Bring it to work, whatever was done to it."""

    def close(self) -> None:
        """Stop it, if it is ours."""


S = TypeVar("S", bound=Server)


class Servers:
    """Keeps one server of each kind, version and configuration."""

    def __init__(self) -> None:
        self._exit = contextlib.ExitStack()
        self._kept: dict[Hashable, Server] = {}

    @functools.cached_property
    def site(self) -> Site:
        """Where they live; made with the first of them."""
        made = Site.make()
        self._exit.callback(made.close)
        return made

    def get(self, key: Hashable, make: Callable[[Site], S]) -> S:
        """Return the server of a key, at work; the first call makes it.

        Args:
            key: Names kind, version and configuration.
            make: Makes it. A server that it stands before, or copies, is to be had before this is called, so that it
                is stopped after it.
        """
        if key not in self._kept:
            server = make(self.site)
            self._kept[key] = server
            self._exit.callback(server.close)
        kept = cast("S", self._kept[key])
        kept.revive()
        return kept

    def close(self) -> None:
        """Stop them all, the latest first, and remove what they left."""
        self._exit.close()

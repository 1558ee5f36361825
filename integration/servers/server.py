"""What is the same in every server of our own: started on first use, held, killed and brought back at will."""

from __future__ import annotations

import abc
import signal
from typing import TYPE_CHECKING, ClassVar

from integration.servers.ports import LOOPBACK, free_port
from integration.servers.running import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from integration.servers.running import Running


class Server(abc.ABC):
    """One server on loopback.

    Args:
        runs: The process or the container that it is to run in.

    Attributes:
        host: Where it listens.
        port: Where it listens. It stays the same, but for one that somebody else takes before the first start.
    """

    port_is_taken: ClassVar[str] = "Address already in use"
    """What its log says then."""

    def __init__(self, runs: Running) -> None:
        self.host = LOOPBACK
        self.port = free_port()
        self._has_served = False
        self._is_awaited = False
        self._is_held = False
        self._process = runs

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """How it is called."""

    @property
    @abc.abstractmethod
    def version(self) -> str:
        """Such as ``"10.11.18"``."""

    @abc.abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """Return the command that runs it, with whatever it reads written to where it reads it."""

    @abc.abstractmethod
    def _is_ready(self) -> bool:
        """Whether it answers."""

    def __repr__(self) -> str:
        return f"<{self.label} {self.version} at port {self.port}>"

    @property
    def pid(self) -> int:
        """The number of its process, the first if it has several."""
        return self._process.pid

    @property
    def log(self) -> str:
        """The last lines of its log."""
        return self._process.end_of_log()

    def start(self) -> None:
        """Start it and wait until it answers; nothing happens if it does.

        Raises:
            ServerError: It does not; the end of its log is in the message.
        """
        # One that took too long the last time runs, and is waited for again.
        while self._is_awaited or not self._process.is_running:
            self.begin()
            try:
                self._process.wait_until(self._is_ready)
            except ServerError:
                if self._has_served or self._process.is_running or self.port_is_taken not in self.log:
                    raise
                # Somebody took the port between our asking for a free one and listening on it.
                self.port = free_port()
            else:
                self._is_awaited = False
        self._has_served = True

    def begin(self) -> None:
        """Start it and do not wait."""
        if not self._process.is_running:
            self._is_awaited = True
            self._process.command = self._command()
            self._process.start()

    def stop(self) -> None:
        """Shut it down in good order."""
        self._process.stop(signal.SIGTERM)

    def restart(self) -> None:
        """Stop it and start it on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End every process of it with SIGKILL, as a power cut would."""
        self._process.kill()

    def pause(self) -> None:
        """Hold it: connections stay open, and nothing is answered."""
        self._is_held = True
        self._process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._is_held = False
        self._process.resume()

    def revive(self) -> None:
        """Bring it back to work, whatever was done to it."""
        # One that runs and is not held is at work: to ask it each time would take as long as many a test.
        if self._is_held and self._process.is_running:
            self.resume()
        self._is_held = False
        self.start()

    def close(self) -> None:
        """Stop it for good."""
        self._process.put_away()

"""What runs a server, a process or a container: started in the background, held, let go, killed and stopped."""

from __future__ import annotations

import abc
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
    from pathlib import Path

PATIENCE = 60.0
"""Seconds that a server is given to start or stop: a second at rest, on a machine with much else to do many."""


class ServerError(Exception):
    """A server did not start or stop; the end of its log is in the message."""


class Running(abc.ABC):
    """What runs one server, and may be started again after it has ended.

    Attributes:
        command: What it runs.
    """

    command: Sequence[str | Path]

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """How messages call it."""

    @property
    @abc.abstractmethod
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""

    @property
    @abc.abstractmethod
    def pid(self) -> int:
        """The number of the server's process on this machine, the first if it has several.

        Raises:
            ServerError: None runs.
        """

    @abc.abstractmethod
    def start(self) -> None:
        """Start it; does not wait until it answers. What cannot be started has ended, and its log says why."""

    @abc.abstractmethod
    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""

    @abc.abstractmethod
    def pause(self) -> None:
        """Hold it and its descendants: connections stay open, and nothing is answered."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Let a held one go on; nothing happens to one that is not held."""

    @abc.abstractmethod
    def kill(self) -> None:
        """End it and its descendants as a power cut would."""

    @abc.abstractmethod
    def put_away(self) -> None:
        """End it for good, and leave nothing of it."""

    @abc.abstractmethod
    def end_of_log(self) -> str:
        """Return the last lines it wrote."""

    @abc.abstractmethod
    def wait_for_the_end(self) -> None:
        """Wait until one that is bound to end has ended.

        Raises:
            TimeoutError: It has not, for longer than ``PATIENCE``.
        """

    def stop(self, number: signal.Signals) -> None:
        """Ask it to end and wait until it has; one that does not is killed.

        Raises:
            ServerError: It had to be killed.
        """
        if not self.is_running:
            return
        # A held one would not hear of it; one that has heard may be gone before it could be let go.
        self.resume()
        self.send(number)
        try:
            self.wait_for_the_end()
        except TimeoutError:
            self.kill()
            message = f"{self.name} did not end within {PATIENCE} seconds"
            raise ServerError(message) from None

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until it is ready to serve.

        Raises:
            ServerError: It ended, or took too long.
        """
        deadline = time.monotonic() + PATIENCE
        while not is_ready():
            if not self.is_running or time.monotonic() > deadline:
                message = f"{self.name} did not start:\n{self.end_of_log()}"
                raise ServerError(message)
            time.sleep(0.01)

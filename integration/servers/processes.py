"""One server process: started in the background, held, let go, killed and stopped by its own number."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from integration.servers.families import birth, signal_family, wait_for_the_end
from integration.servers.running import PATIENCE, Running, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from integration.servers.accounts import Account
    from integration.servers.keeper import Keeper


class Process(Running):
    """A server's process, which may be started again after it has ended.

    Args:
        command: What to run.
        log: Where its output goes.
        account: Who it runs as.
        keeper: Who puts it away if we are killed.
        environment: Its environment variables; ``None`` for none.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        account: Account,
        keeper: Keeper,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = command
        self.log = log
        self._account = account
        self._keeper = keeper
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._born: str | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return str(self.command[0])

    @property
    def pid(self) -> int:
        """The number of the running process.

        Raises:
            ServerError: None runs.
        """
        if not self.is_running:
            message = f"{self.name} is not running"
            raise ServerError(message)
        assert self._process
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; does not wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the commands are written in these files
                self.command,
                cwd=self.log.parent,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at the terminal is for pytest, which stops its servers in order.
                start_new_session=True,
                **self._account.popen_options(),
            )
        self._born = birth(self._process.pid)
        self._keeper.watch_process(self._process.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        assert self._process
        # Popen sends nothing to a number that may have been given to another process since.
        self._process.send_signal(number)

    def pause(self) -> None:
        """Hold it and its descendants: connections stay open, and nothing is answered."""
        signal_family(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a held one go on; nothing happens to one that is not held."""
        signal_family(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it and its descendants as a power cut would."""
        members = signal_family(self.pid, signal.SIGKILL)
        self.wait_for_the_end()
        wait_for_the_end(members)

    def put_away(self) -> None:
        """End it for good; its files go with the folder they are in."""
        if self.is_running:
            # Nobody is going to read what a proper end would save.
            self.kill()

    def end_of_log(self) -> str:
        """Return the last lines it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def wait_for_the_end(self) -> None:
        """Wait until it has ended.

        Raises:
            TimeoutError: It has not, for longer than ``PATIENCE``.
        """
        assert self._process
        pid = self._process.pid
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        self._keeper.forget_process(pid, self._born)

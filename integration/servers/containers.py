"""One server in a container: made when it is first started, held, let go, killed, stopped and started again."""

from __future__ import annotations

import secrets
import signal
from typing import TYPE_CHECKING, Any

from integration.servers.engine import remove_container
from integration.servers.ports import LOOPBACK
from integration.servers.running import PATIENCE, Running, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from integration.servers.images import Image
    from integration.servers.site import Site

PORT_IS_TAKEN = "already"
"""What the engine says of a port that somebody else has: that it is already in use, or already allocated."""


class Container(Running):
    """A server's container. Others find it by its name, which is that of its host on the site's network.

    Args:
        image: What it is made from.
        site: Where it lives.
        inside: The port that the server listens on in there.
        outside: Says at which port of this machine's loopback it is to be found.
        environment: Its environment variables.
        entrypoint: What its command is handed to; ``None`` for the image's own.
        files: What is to be in it beside the image's own files, by path.
    """

    def __init__(
        self,
        image: Image,
        site: Site,
        *,
        inside: int,
        outside: Callable[[], int],
        environment: Mapping[str, str],
        entrypoint: Sequence[str] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.command: Sequence[str | Path] = ()
        self.hostname = f"bulkwriter-{image.service}-{secrets.token_hex(6)}"
        self._image = image
        self._site = site
        self._inside = inside
        self._outside = outside
        self._environment = environment
        self._entrypoint = entrypoint
        self._files = files or {}
        self._made: Any = None
        self._refusal = ""

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"a {self._image.origin}"

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended; a held one runs."""
        return bool(self._state().get("Running"))

    @property
    def pid(self) -> int:
        """The number of its first process on the machine of the engine.

        Raises:
            ServerError: None runs.
        """
        state = self._state()
        if not state.get("Running"):
            message = f"{self.name} is not running"
            raise ServerError(message)
        return int(state["Pid"])

    def start(self) -> None:
        """Start it, or make it if there is none; does not wait until it answers."""
        from docker.errors import APIError  # noqa: PLC0415 - there is an engine by now

        self._refusal = ""
        is_new = self._made is None
        try:
            if is_new:
                self._make()
            else:
                self._made.start()
        except APIError as error:
            self._refusal = str(error)
            if is_new:
                self.put_away()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its first process alone; nothing happens if it has ended meanwhile."""
        from docker.errors import APIError  # noqa: PLC0415 - as above

        try:
            self._made.kill(number.name)
        except APIError:
            if self.is_running:
                raise

    def pause(self) -> None:
        """Hold it: connections stay open, and nothing is answered."""
        self._made.pause()

    def resume(self) -> None:
        """Let a held one go on; nothing happens to one that is not held."""
        if self._state().get("Paused"):
            self._made.unpause()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.send(signal.SIGKILL)
        self.wait_for_the_end()

    def put_away(self) -> None:
        """End it for good, and leave nothing of it."""
        remove_container(self.hostname)
        self._site.keeper.forget_container(self.hostname)
        self._made = None

    def end_of_log(self) -> str:
        """Return the last lines it wrote, or why the engine did not start it."""
        return self._refusal or (self._made.logs(tail=20).decode(errors="replace") if self._made else "")

    def wait_for_the_end(self) -> None:
        """Wait until it has ended.

        Raises:
            TimeoutError: It has not, for longer than ``PATIENCE``.
        """
        from requests.exceptions import RequestException  # noqa: PLC0415 - as above

        try:
            self._made.wait(timeout=PATIENCE)
        except RequestException as error:
            raise TimeoutError from error

    def execute(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a command in it, and return what it says.

        Raises:
            ServerError: It fails.
        """
        code, (said, complained) = self._made.exec_run(list(command), environment=dict(environment or {}), demux=True)
        if code:
            raise ServerError((complained or said or b"").decode())
        return (said or b"").decode().strip()

    def _make(self) -> None:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - as above

        # Before it is made: whatever kills us in the midst of that, the keeper knows of it.
        self._site.keeper.watch_container(self.hostname)
        made = DockerContainer(self._image.name, env=dict(self._environment), name=self.hostname)
        # On loopback, and at a port that stays the same when it is started again.
        made.with_kwargs(
            hostname=self.hostname,
            network=self._site.network,
            entrypoint=self._entrypoint,
        )
        made.ports = {f"{self._inside}/tcp": (LOOPBACK, self._outside())}  # type: ignore[dict-item] # passed on as it is
        for path, text in self._files.items():
            made.with_copy_into_container(text.encode(), path)
        self._made = made.with_command(list(map(str, self.command))).start().get_wrapped_container()

    def _state(self) -> dict[str, Any]:
        if self._made is None:
            return {}
        self._made.reload()
        return dict(self._made.attrs["State"])

"""The container engine of this machine, if there is one: the one that ``DOCKER_HOST`` names, or else Docker's own."""

from __future__ import annotations

import contextlib
import functools
import socket
import sys
from typing import Any

_DEFAULT = "unix:///var/run/docker.sock"


class NoEngineError(Exception):
    """No engine is to be had; the message says why."""


@functools.cache
def engine() -> Any:
    """Return a client of the engine, which has answered.

    Raises:
        NoEngineError: There is none on this machine.
    """
    found, reason = _look()
    if found is None:
        raise NoEngineError(reason)
    return found


def why_no_engine() -> str | None:
    """Return why there is none; ``None`` if there is one."""
    return _look()[1] or None


def has_image(name: str) -> bool:
    """Whether the engine has an image, so that nothing need be fetched."""
    from docker.errors import ImageNotFound  # noqa: PLC0415 - there is an engine, or we would not have been asked

    try:
        engine().images.get(name)
    except ImageNotFound:
        return False
    return True


def fetch_image(name: str) -> None:
    """Let the engine fetch an image from its registry; that takes as long as it takes.

    Raises:
        docker.errors.DockerException: It cannot.
    """
    engine().images.pull(name)


def remove_container(name: str) -> None:
    """Remove a container and what it wrote, running or not; nothing happens if there is none."""
    from docker.errors import NotFound  # noqa: PLC0415 - as above

    with contextlib.suppress(NotFound):
        engine().containers.get(name).remove(force=True, v=True)


def remove_network(name: str) -> None:
    """Remove a network of containers; nothing happens if there is none."""
    from docker.errors import NotFound  # noqa: PLC0415 - as above

    with contextlib.suppress(NotFound):
        engine().networks.get(name).remove()


@functools.cache
def _look() -> tuple[Any, str]:
    # Half a second, and nothing for those who have no containers: the benchmarks have neither of the two libraries.
    try:
        from docker.errors import DockerException  # noqa: PLC0415
        from testcontainers.core.config import testcontainers_config  # noqa: PLC0415
        from testcontainers.core.docker_client import DockerClient, get_docker_host  # noqa: PLC0415
    except ImportError:
        return None, "testcontainers is not installed"
    # Its own way to clean up after a killed process is one more container, of one more image; ours is the keeper.
    testcontainers_config.ryuk_disabled = True
    address = get_docker_host() or _DEFAULT
    try:
        _knock(address)
        client = DockerClient().client
        client.ping()
    except (DockerException, OSError) as error:
        return None, f"no container engine answers at {address} ({error})"
    if not client.api.base_url.startswith(("http+docker://", "http+unix://", "npipe://")):
        return None, "the container engine is on another machine, where loopback is another"
    return client, ""


def _knock(address: str) -> None:
    """Connect to an engine's socket, if it has one: the client would leave one open that nobody listens to.

    Raises:
        OSError: Nobody listens to it.
    """
    kind, _, path = address.partition("://")
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)


if __name__ == "__main__":
    # For who has to know before the tests are begun: the reason why there is none, and a failure.
    sys.exit(why_no_engine())

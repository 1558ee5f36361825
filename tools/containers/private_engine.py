"""Runs a command beside a container engine of its own: ``python -m tools.containers.private_engine FOLDER COMMAND...``.

To be started in a network of its own: the engine's bridge, its addresses and its rules for packets are in there alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import docker
from docker.errors import DockerException

from integration.servers.images import images, variable
from integration.servers.site import Site
from tools.containers import NO_ENGINE
from tools.containers.stand_ins import stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PATIENCE = 60.0
"""Seconds that it is given to start: a second or two at rest."""


class EngineError(Exception):
    """It did not start; the end of its log is in the message."""


@contextlib.contextmanager
def private_engine(folder: Path) -> Iterator[str]:
    """Run an engine that keeps all it has in a folder, and give its address.

    Raises:
        EngineError: It does not start.
    """
    address = f"unix://{folder}/socket"
    places = {"data-root": folder / "data", "exec-root": folder / "run", "pidfile": folder / "pid"}
    command = ["dockerd", f"--host={address}", *(f"--{name}={place}" for name, place in places.items())]
    log = folder / "log"
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607 - root's own path
        with log.open("wb") as output:
            daemon = subprocess.Popen(command, stdout=output, stderr=output)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineError(str(error)) from error
    try:
        _wait_for(daemon, address, log)
        yield address
    finally:
        daemon.terminate()
        daemon.wait()


def _wait_for(daemon: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _answers(address):
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise EngineError("\n".join(log.read_text(errors="replace").splitlines()[-20:]))
        time.sleep(0.05)


def _answers(address: str) -> bool:
    try:
        with contextlib.closing(docker.DockerClient(base_url=address)) as client:
            return bool(client.ping())
    except (DockerException, OSError):
        return False


def _make_images(folder: Path, address: str) -> dict[str, str]:
    """Make stand-ins for the images of ``docker-compose.yml``, and return the variables that tell tests of them."""
    known = {image.service for image in images()}
    made = {}
    with contextlib.closing(Site.make()) as site, contextlib.closing(docker.DockerClient(base_url=address)) as client:
        for one in stand_ins(site):
            if one.service in known:
                print(f"[making {one.name} of what is installed here]", file=sys.stderr, flush=True)
                made[variable(one.service)] = one.load(client, folder)
    return made


def main(folder: Path, command: Sequence[str]) -> int:
    """Run the command on stand-ins for the images of ``docker-compose.yml``, and return its exit code."""
    try:
        with private_engine(folder) as address:
            variables = {**os.environ, **_make_images(folder, address), "DOCKER_HOST": address}
            return subprocess.run(command, env=variables, check=False).returncode
    except EngineError as error:
        print(error, file=sys.stderr)
        return NO_ENGINE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

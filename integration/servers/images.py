"""Which images containers are made from: those of ``docker-compose.yml``, unless the environment names others.

``BULKWRITER_TEST_POSTGRES18_IMAGE`` stands for the image of the service ``postgres18``, and so on.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from pathlib import Path

import yaml

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.yml"


@dataclasses.dataclass(frozen=True)
class Image:
    """What containers of one service are made from.

    Attributes:
        service: Such as ``"postgres18"``.
        name: Such as ``"postgres:18.6"``.
    """

    service: str
    name: str

    @property
    def kind(self) -> str:
        """What kind of server is in it, such as ``"postgres"``."""
        return self.service.rstrip("0123456789")

    @property
    def version(self) -> str:
        """The server's version, which is its tag: such as ``"18.6"``."""
        found = re.match(r"v?(\d+(\.\d+)*)", self.name.rpartition(":")[2])
        return found[1] if found else "of an unknown version"

    @property
    def origin(self) -> str:
        """Where it is from, for the header of the test run."""
        return f"container of {self.name}"


def variable(service: str) -> str:
    """Return the environment variable that names another image for a service."""
    return f"BULKWRITER_TEST_{service.upper()}_IMAGE"


def images() -> list[Image]:
    """Return the image of each service."""
    return [Image(service, os.environ.get(variable(service)) or name) for service, name in _pinned().items()]


@functools.cache
def _pinned() -> dict[str, str]:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    return {name: service["image"] for name, service in services.items()}

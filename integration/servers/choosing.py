"""What a kind of server is run from: containers, or else binaries of this machine.

``BULKWRITER_TEST_PROVIDER`` is ``docker`` or ``local`` for one of them alone. An image that the engine has not is
fetched only where ``BULKWRITER_TEST_PULL`` is ``1``; else what is not there steps aside.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Literal, TypeVar

import pytest

from integration.servers.engine import fetch_image, has_image, why_no_engine
from integration.servers.images import Image, images

if TYPE_CHECKING:
    from collections.abc import Mapping

PROVIDER = "BULKWRITER_TEST_PROVIDER"
PULL = "BULKWRITER_TEST_PULL"

L = TypeVar("L")


def provider() -> Literal["docker", "local"] | None:
    """Return what the environment pins; ``None`` for containers where there are any, and else binaries.

    Raises:
        pytest.UsageError: It names something unknown.
    """
    match os.environ.get(PROVIDER, ""):
        case "":
            return None
        case "docker" | "local" as named:
            return named
        case named:
            pass
    message = f"{PROVIDER} must be docker or local, not {named}"
    raise pytest.UsageError(message)


def choose(kind: str, local: Mapping[str, L]) -> Mapping[str, Image | L]:
    """Return what servers of a kind are run from, by what tests on them are called.

    Args:
        kind: Such as ``"postgres"``.
        local: This machine's binaries of that kind.
    """
    return images_at_hand(kind) or ({} if provider() == "docker" else local)


@functools.cache
def images_at_hand(kind: str) -> dict[str, Image]:
    """Return the images of a kind that containers may be made from, the newest first, by the service's name."""
    if provider() == "local" or why_no_engine():
        return {}
    found = [image for image in images() if image.kind == kind and _is_at_hand(image)]
    return {image.service: image for image in reversed(found)}


def _is_at_hand(image: Image) -> bool:
    if not has_image(image.name) and os.environ.get(PULL) == "1":
        # Now, and not when a test needs it: a test has a limit of time.
        fetch_image(image.name)
    return has_image(image.name)


def why_no_container(kind: str) -> str:
    """Return why no container of a kind is used."""
    if provider() == "local":
        return f"{PROVIDER} is local"
    reason = why_no_engine()
    if reason:
        return reason
    names = " or ".join(image.name for image in images() if image.kind == kind)
    return f"the container engine has no {names}, and {PULL}=1 is not set"


def why_no_binaries(reason: str) -> str:
    """Return why no binaries are used, which were not found for a reason, or not even looked for."""
    return f"{PROVIDER} is docker" if provider() == "docker" else reason

"""``docker-compose.yml`` is pinned, healthy and on loopback, and is where the tests' containers come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from integration.servers import choosing, images
from integration.servers.images import COMPOSE, Image

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
IMAGES = {name: service["image"] for name, service in SERVICES.items()}
each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let there be an engine with these images alone; or none, for a reason."""

    def let_there_be(*names: str, reason: str | None = None) -> None:
        monkeypatch.setattr(choosing, "why_no_engine", lambda: reason)
        there = {*names}
        monkeypatch.setattr(choosing, "has_image", there.__contains__)
        monkeypatch.setattr(choosing, "fetch_image", there.add)

    for variable in (choosing.PROVIDER, choosing.PULL, *map(images.variable, SERVICES)):
        monkeypatch.delenv(variable, raising=False)
    choosing.images_at_hand.cache_clear()
    monkeypatch.setattr(choosing, "images_at_hand", choosing.images_at_hand.__wrapped__)
    return let_there_be


@each_service
def test_each_image_is_pinned_to_a_version(service: str) -> None:
    """What a tag such as ``latest`` or ``18`` stands for changes overnight."""
    tag = IMAGES[service].partition(":")[2]
    assert re.match(r"v?\d+\.\d+", tag)
    assert Image(service, IMAGES[service]).version in tag


@each_service
def test_each_service_says_when_it_is_ready(service: str) -> None:
    """``docker compose up --wait`` returns when the databases take rows."""
    check = SERVICES[service]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert len(check["test"]) > 1
    assert check["interval"]


@each_service
def test_each_service_is_on_loopback_alone(service: str) -> None:
    """The passwords are in this file for everybody to read."""
    ports = SERVICES[service]["ports"]
    assert ports
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_no_two_services_share_a_port() -> None:
    """All of them may be up at once."""
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service["ports"]]
    assert len(set(ports)) == len(ports)


def test_a_service_is_called_by_the_version_that_it_runs() -> None:
    """Tests on it go by that name."""
    for service, image in IMAGES.items():
        number = service.removeprefix(service.rstrip("0123456789"))
        assert Image(service, image).version.startswith(number)


def test_containers_are_made_from_these_images(has: Callable[..., None]) -> None:
    """The file is the only place in which an image is named."""
    has(*IMAGES.values())
    for kind in ("postgres", "mariadb", "mysql", "dynamodb", "pgbouncer"):
        found = {name: image.name for name, image in choosing.images_at_hand(kind).items()}
        assert found
        assert found == {name: image for name, image in IMAGES.items() if name.rstrip("0123456789") == kind}


def test_the_environment_may_name_another_image(has: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """For a registry of one's own, or an image that is made on the spot."""
    monkeypatch.setenv("BULKWRITER_TEST_POSTGRES17_IMAGE", "example/postgres:17.2")
    has("example/postgres:17.2")
    assert choosing.images_at_hand("postgres") == {"postgres17": Image("postgres17", "example/postgres:17.2")}


def test_containers_come_before_binaries(has: Callable[..., None]) -> None:
    """Where their image is there; the newest version is the first."""
    has(IMAGES["postgres15"], IMAGES["postgres18"])
    assert [*choosing.choose("postgres", {"local": "binaries"})] == ["postgres18", "postgres15"]
    assert choosing.choose("mysql", {"local": "binaries"}) == {"local": "binaries"}


def test_an_image_is_fetched_only_for_who_asks_for_it(
    has: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's tests begin with gigabytes that nobody asked for."""
    has()
    assert choosing.images_at_hand("postgres") == {}
    assert f"has no {IMAGES['postgres15']} or {IMAGES['postgres16']} or" in choosing.why_no_container("postgres")
    monkeypatch.setenv(choosing.PULL, "1")
    assert len(choosing.images_at_hand("postgres")) == 4


def test_no_engine_steps_aside_with_its_reason(has: Callable[..., None]) -> None:
    """Binaries serve, as if there were no containers."""
    has(IMAGES["postgres18"], reason="nobody answers")
    assert choosing.choose("postgres", {"local": "binaries"}) == {"local": "binaries"}
    assert choosing.why_no_container("postgres") == "nobody answers"


def test_either_may_be_pinned(has: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run then says what it was run on, whatever else is there."""
    has(IMAGES["postgres18"])
    monkeypatch.setenv(choosing.PROVIDER, "local")
    assert choosing.choose("postgres", {"local": "binaries"}) == {"local": "binaries"}
    has()
    monkeypatch.setenv(choosing.PROVIDER, "docker")
    assert choosing.choose("postgres", {"local": "binaries"}) == {}
    monkeypatch.setenv(choosing.PROVIDER, "podman")
    with pytest.raises(pytest.UsageError, match="must be docker or local, not podman"):
        choosing.provider()

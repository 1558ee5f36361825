"""Where a DynamoDB for the tests comes from: an address, a container, the jar with Java; in this order."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeAlias

from integration.servers.addresses import URL_VARIABLES, external_url
from integration.servers.choosing import choose, why_no_binaries, why_no_container
from integration.servers.dynamodb import DynamoDBServer
from integration.servers.dynamodb_binaries import Installation, installation
from integration.servers.dynamodb_container import DynamoDBContainer
from integration.servers.dynamodb_process import DynamoDBProcess
from integration.servers.external import ExternalDynamoDB
from integration.servers.images import Image
from integration.servers.requirements import missing, not_ours

if TYPE_CHECKING:
    from integration.servers.registry import Servers
    from integration.servers.site import Site

AnyDynamoDB: TypeAlias = DynamoDBServer | ExternalDynamoDB

KIND = "dynamodb"


@functools.cache
def found() -> Image | Installation | None:
    """Return what a server is run from."""
    local = installation()
    return choose(KIND, {KIND: local} if local else {}).get(KIND)


def describe_dynamodb() -> str:
    """Return, for the header of the test run, which server of which version it uses."""
    address = external_url(KIND)
    if address:
        return f"DynamoDB: at {address}"
    source = found()
    return f"DynamoDB: {f'DynamoDB Local {source.version} ({source.origin})' if source else 'none'}"


def provide_dynamodb(servers: Servers, *, is_on_disk: bool = False) -> AnyDynamoDB:
    """Return a server at work, or end the test with the reasons why there is none.

    Args:
        servers: Keeps it for the next test.
        is_on_disk: Whether its tables are to outlive a stop or a kill; a server of its own.
    """
    address = external_url(KIND)
    if address and not is_on_disk:
        return servers.get(("url", KIND), lambda _: ExternalDynamoDB(address))
    if address:
        not_ours(KIND, URL_VARIABLES[KIND])
    source = found()
    if source is None:
        unset = f"{URL_VARIABLES[KIND]} is not set"
        missing(KIND, unset, why_no_container(KIND), why_no_binaries("no jar, or no Java to run it"))
    return servers.get((KIND, is_on_disk), lambda site: _make(source, site, is_on_disk=is_on_disk))


def _make(source: Image | Installation, site: Site, *, is_on_disk: bool) -> DynamoDBServer:
    if isinstance(source, Image):
        return DynamoDBContainer(source, site, is_on_disk=is_on_disk)
    return DynamoDBProcess(source, site, is_on_disk=is_on_disk)

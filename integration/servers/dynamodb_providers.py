"""Where a DynamoDB for the tests comes from: an address, later containers, the jar with Java; in this order."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeAlias

from integration.servers.addresses import URL_VARIABLES, external_url
from integration.servers.dynamodb import DynamoDBServer
from integration.servers.dynamodb_binaries import Installation, installation
from integration.servers.external import ExternalDynamoDB
from integration.servers.requirements import missing, not_ours

if TYPE_CHECKING:
    from integration.servers.registry import Servers

AnyDynamoDB: TypeAlias = DynamoDBServer | ExternalDynamoDB

KIND = "dynamodb"


@functools.cache
def found() -> Installation | None:
    """Return this machine's DynamoDB Local."""
    return installation()


def describe_dynamodb() -> str:
    """Return, for the header of the test run, which server of which version it uses."""
    address = external_url(KIND)
    return f"DynamoDB: {f'at {address}' if address else found() or 'none'}"


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
    local = found()
    if local is None:
        # Containers come second in the order of providers; what starts them is not written yet.
        missing(
            KIND, f"{URL_VARIABLES[KIND]} is not set", "containers are not used yet", "no jar, or no Java to run it"
        )
    return servers.get((KIND, is_on_disk), lambda site: DynamoDBServer(local, site, is_on_disk=is_on_disk))

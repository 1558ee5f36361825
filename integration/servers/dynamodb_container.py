"""DynamoDB Local in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.servers.containers import PORT_IS_TAKEN, Container
from integration.servers.dynamodb import DynamoDBServer
from integration.servers.dynamodb_binaries import VIRTUAL_MACHINE

if TYPE_CHECKING:
    from integration.servers.images import Image
    from integration.servers.site import Site


class DynamoDBContainer(DynamoDBServer):
    """One server in a container.

    Args:
        image: What it is made from.
        site: Where it lives.
        is_on_disk: Whether its tables outlive a stop or a kill; in memory they do not, and writes are faster.
    """

    port_is_taken = PORT_IS_TAKEN

    def __init__(self, image: Image, site: Site, *, is_on_disk: bool = False) -> None:
        # It sends telemetry unless told not to.
        environment = {"DDB_LOCAL_TELEMETRY": "0"}
        self.container = Container(image, site, inside=8000, outside=lambda: self.port, environment=environment)
        super().__init__(self.container, image.version, is_on_disk=is_on_disk)

    def _command(self) -> list[str]:
        # On disk means in the folder that it is started in.
        memory = [] if self.is_on_disk else ["-inMemory"]
        library = "-Djava.library.path=./DynamoDBLocal_lib"
        return [*VIRTUAL_MACHINE, library, "-jar", "DynamoDBLocal.jar", "-sharedDb", *memory]

"""DynamoDB Local, a server of our own: what is the same of one from its jar and of one in a container."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from integration.servers.server import Server

if TYPE_CHECKING:
    from integration.servers.running import Running

HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    # It reads whose tables are meant, and checks no signature. Names and keys are letters and digits, or it refuses.
    "Authorization": "AWS4-HMAC-SHA256 Credential=tests/20260101/eu-central-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
}
"""What every request says beside its ``X-Amz-Target``."""

TARGET = "DynamoDB_20120810."
"""What stands before the name of an operation in ``X-Amz-Target``."""


class DynamoDBServer(Server):
    """One server: started on first use, stopped and started at will.

    Args:
        runs: The process or the container that it is to run in.
        version: Such as ``"1.25.1"``.
        is_on_disk: Whether its tables outlive a stop or a kill; in memory they do not, and writes are faster.
    """

    def __init__(self, runs: Running, version: str, *, is_on_disk: bool) -> None:
        super().__init__(runs)
        self.is_on_disk = is_on_disk
        self._version = version

    @property
    def label(self) -> str:
        """How it is called."""
        return "DynamoDB Local"

    @property
    def version(self) -> str:
        """Such as ``"1.25.1"``."""
        return self._version

    @property
    def endpoint_url(self) -> str:
        """Where clients find it."""
        return f"http://{self.host}:{self.port}"

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("POST", "/", b"{}", {**HEADERS, "X-Amz-Target": f"{TARGET}ListTables"})
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

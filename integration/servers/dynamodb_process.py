"""DynamoDB Local from its jar, by this machine's Java: on loopback, its tables in memory or in a temporary folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.servers.dynamodb import DynamoDBServer
from integration.servers.processes import Process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from integration.servers.dynamodb_binaries import Installation
    from integration.servers.site import Site

# What it is checked against is in Jetty's own jar: nothing is fetched. The numbers and flags are: read capacity to be
# had, whether in memory, the folder for its file, whether every region and account sees the same tables, and whether
# tables take a while to be made and dropped.
_CONFIGURATION = """<?xml version="1.0"?>
<!DOCTYPE Configure PUBLIC "-//Jetty//Configure//EN" "https://www.eclipse.org/jetty/configure_9_3.dtd">
<Configure id="Server" class="org.eclipse.jetty.server.Server">
  <Call name="addConnector">
    <Arg>
      <New class="org.eclipse.jetty.server.ServerConnector">
        <Arg><Ref refid="Server"/></Arg>
        <Set name="host">{host}</Set>
        <Set name="port">{port}</Set>
      </New>
    </Arg>
  </Call>
  <Set name="handler">
    <New class="com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBServerHandler">
      <Arg>
        <New class="com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBRequestHandler">
          <Arg type="int">0</Arg>
          <Arg type="boolean">{is_in_memory}</Arg>
          <Arg>{folder}</Arg>
          <Arg type="boolean">true</Arg>
          <Arg type="boolean">false</Arg>
        </New>
      </Arg>
      <Arg/>
    </New>
  </Set>
</Configure>
"""


class DynamoDBProcess(DynamoDBServer):
    """One server from the jar.

    Args:
        installation: Its jar, and the Java to run it.
        site: Where it lives.
        is_on_disk: Whether its tables outlive a stop or a kill; in memory they do not, and writes are faster.
    """

    def __init__(self, installation: Installation, site: Site, *, is_on_disk: bool = False) -> None:
        self._site = site
        self._home = site.make_folder("dynamodb")
        runs = Process([], self._home / "log", site.account, site.keeper)
        super().__init__(runs, installation.version, is_on_disk=is_on_disk)
        self.installation = installation.reachable(site.account, site.folder)

    def _command(self) -> Sequence[str | Path]:
        folder: Path | str = self._home if self.is_on_disk else ""
        is_in_memory = "false" if self.is_on_disk else "true"
        text = _CONFIGURATION.format(host=self.host, port=self.port, is_in_memory=is_in_memory, folder=folder)
        configuration = self._home / "server.xml"
        configuration.write_text(text)
        self._site.account.own(self._home)
        return self.installation.command(configuration)

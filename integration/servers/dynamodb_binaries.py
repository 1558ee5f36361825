"""Where this machine keeps DynamoDB Local: the jar that was fetched, and a Java to run it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tools.dynamodb_package import unpacked_dynamodb

if TYPE_CHECKING:
    from integration.servers.accounts import Account

# Jetty's own main program, from the libraries beside the jar, instead of the jar's: that one listens on every address
# of the machine and cannot be told otherwise, and sends telemetry unless told not to.
_MAIN = "org.eclipse.jetty.xml.XmlConfiguration"
# A server of a test lives for minutes and is small: half the time to start, and a quarter of the memory.
VIRTUAL_MACHINE = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx768m")


@dataclasses.dataclass(frozen=True)
class Installation:
    """DynamoDB Local and what runs it.

    Attributes:
        java: The program.
        home: The folder with the jar.
        version: Such as ``"1.25.1"``.
    """

    java: Path
    home: Path
    version: str

    @property
    def origin(self) -> str:
        """Where it is from, for the header of the test run."""
        return "unpacked in the cache"

    def command(self, configuration: Path) -> list[str | Path]:
        """Return what runs a server as a configuration of Jetty's says."""
        libraries = self.home / "DynamoDBLocal_lib"
        paths = os.pathsep.join(map(str, (self.home / "DynamoDBLocal.jar", libraries / "*")))
        own = [f"-Djava.library.path={libraries}", f"-Djava.io.tmpdir={configuration.parent}"]
        return [self.java, *VIRTUAL_MACHINE, *own, "-cp", paths, _MAIN, configuration]

    def reachable(self, account: Account, folder: Path) -> Installation:
        """Return an installation that the account can read: other links to its files, if the way to these is closed.

        A cache in root's home is closed to the account that root's servers run under.
        """
        if account.can_reach(self.home / "inside"):
            return self
        copied = folder / f"dynamodb-local-{self.version}"
        if not copied.exists():
            shutil.copytree(self.home, copied, copy_function=_link)
        return dataclasses.replace(self, home=copied)


def installation() -> Installation | None:
    """Return what this machine has; ``None`` if the jar has not been fetched, or there is no Java."""
    java, home = shutil.which("java"), unpacked_dynamodb()
    if java is None or not (home / "DynamoDBLocal.jar").exists():
        return None
    told = re.search(r"\((\d+\.\d+\.\d+)\)", (home / "README.txt").read_text(errors="replace"))
    return Installation(Path(java), home, told[1] if told else "of an unknown version")


def _link(source: str, target: str) -> None:
    """Make another link to a file, or a copy where that is on another disk."""
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)

"""Images made of the servers that are installed here: they stand in for the official ones where no registry is at hand.

Each holds a server, the libraries that it is linked to, a shell and a few small programs, and an entrypoint that does
what the official image's does, as far as the tests use it. They are named ``bulkwriter-test/...``: nobody is to take
one for what it stands for.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.servers import dynamodb_binaries, mysql_binaries, postgres_binaries
from integration.servers.mysql_process import make_template
from integration.servers.pgbouncer import find_pgbouncer, pgbouncer_version
from tools.containers.root import USER, Root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.servers.site import Site

# What entrypoints and tests run in there beside the server.
_SMALL_PROGRAMS = ("sh", "cat", "mkdir", "sleep")
_ENTRYPOINT = "/entrypoint.sh"

# The password may hold a quote, which is why it goes by a file.
_POSTGRES = """#!/bin/sh
set -e
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    printf '%s\\n' "$POSTGRES_PASSWORD" > /tmp/password
    initdb --username=postgres --pwfile=/tmp/password --auth=trust $POSTGRES_INITDB_ARGS
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi
exec "$@"
"""

# Root comes in from everywhere, by the password that is given. The data folder is there already.
_MYSQL = """#!/bin/sh
set -e
shift
password=${MARIADB_ROOT_PASSWORD:-$MYSQL_ROOT_PASSWORD}
{
    echo "CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$password';"
    echo "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
} > /tmp/root.sql
exec COMMAND --datadir=/var/lib/mysql --tmpdir=/tmp --socket=/tmp/socket --pid-file=/tmp/pid \\
    --init-file=/tmp/root.sql "$@"
"""


@dataclasses.dataclass(frozen=True)
class StandIn:
    """An image that can be made here.

    Attributes:
        service: Whose image it stands in for, by its name in ``docker-compose.yml``.
        version: The server's version.
        root: Its files.
        settings: What the engine is told of it, as a Dockerfile would.
    """

    service: str
    version: str
    root: Root
    settings: tuple[str, ...]

    @property
    def name(self) -> str:
        """Such as ``"bulkwriter-test/postgres:18.6"``."""
        return f"bulkwriter-test/{self.service.rstrip('0123456789')}:{self.version}"

    def load(self, client: Any, folder: Path) -> str:
        """Hand it to an engine by way of a file in a folder, and return its name."""
        archive = folder / f"{self.service}.tar"
        self.root.write(archive)
        repository, tag = self.name.split(":")
        settings = [*self.settings, f"USER {USER}"]
        client.api.import_image(src=str(archive), repository=repository, tag=tag, changes=settings)
        archive.unlink()
        return self.name


def stand_ins(site: Site) -> Iterator[StandIn]:
    """Make ready what can be made of what this machine has; they read what they write at the site."""
    for postgres in postgres_binaries.installations():
        yield _postgres(postgres)
    for mysql in mysql_binaries.installations().values():
        yield _mysql(mysql, site)
    dynamodb = dynamodb_binaries.installation()
    if dynamodb:
        yield _dynamodb(dynamodb)
    pgbouncer = find_pgbouncer()
    if pgbouncer:
        yield _pgbouncer(pgbouncer)


def _root() -> Root:
    root = Root()
    for name in _SMALL_PROGRAMS:
        root.add(Path(shutil.which(name) or f"/bin/{name}"))
    return root


def _postgres(installation: postgres_binaries.Installation) -> StandIn:
    root = _root()
    home = installation.binaries.parent
    root.add(home)
    # Debian keeps apart what does not depend on the processor, and the time zones are the system's.
    for shared in (Path("/usr/share/postgresql") / str(installation.major), Path("/usr/share/zoneinfo")):
        if shared.exists():
            root.add(shared)
    for folder in ("/var/lib/postgresql", "/var/run/postgresql"):
        root.make_folder(folder)
    root.write_file(_ENTRYPOINT, _POSTGRES)
    data = "ENV PGDATA=/var/lib/postgresql/data"
    settings = (data, f"ENV PATH={installation.binaries}:/usr/bin:/bin", _entrypoint(_ENTRYPOINT), 'CMD ["postgres"]')
    return StandIn(f"postgres{installation.major}", installation.version, root, settings)


def _mysql(installation: mysql_binaries.Installation, site: Site) -> StandIn:
    root = _root()
    if installation.root:
        root.add_whole(installation.root)
    else:
        root.add(installation.program)
        for folder in (Path("/usr/share/mysql"), Path("/usr/share/mariadb"), Path("/usr/lib/mysql/plugin")):
            if folder.exists():
                root.add(folder)
    made = make_template(installation.reachable(site.account, site.folder), site)
    root.add_copy(made, "/var/lib/mysql")
    command = " ".join(f"'{part}'" for part in installation.command)
    root.write_file(_ENTRYPOINT, _MYSQL.replace("COMMAND", command))
    settings = (_entrypoint(_ENTRYPOINT), f'CMD ["{installation.product}d"]')
    return StandIn(
        f"{installation.product}{installation.version.partition('.')[0]}", installation.version, root, settings
    )


def _dynamodb(installation: dynamodb_binaries.Installation) -> StandIn:
    root = _root()
    java = installation.java.resolve()
    root.add(java.parents[1])
    home = "/home/dynamodblocal"
    root.add_copy(installation.home, home)
    return StandIn("dynamodb", installation.version, root, (_entrypoint(str(java)), f"WORKDIR {home}"))


def _pgbouncer(program: Path) -> StandIn:
    root = _root()
    root.add(program)
    path = f"ENV PATH={program.parent}:/usr/bin:/bin"
    return StandIn("pgbouncer", pgbouncer_version(program), root, (path, _entrypoint("pgbouncer")))


def _entrypoint(program: str) -> str:
    return f"ENTRYPOINT {json.dumps([program])}"

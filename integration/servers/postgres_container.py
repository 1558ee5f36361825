"""A PostgreSQL server in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import psycopg

from integration.servers.containers import PORT_IS_TAKEN, Container
from integration.servers.postgres import DATABASE, ROLES, PostgresServer
from integration.servers.requirements import not_in_a_container
from integration.servers.running import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.servers.images import Image
    from integration.servers.postgres import Role
    from integration.servers.site import Site

PORT = 5432
"""Where it listens inside its container."""

# Those that it looks for are the children of the first process. When the others have gone, too, that one knows of it:
# until then it would still say that it is ready.
_KILL = """
children=$(cat /proc/1/task/1/children)
case " $children " in *" $0 "*) ;; *) exit 1 ;; esac
kill -9 "$0"
for child in $children; do
    while [ -d "/proc/$child" ]; do sleep 0.01; done
done
"""


class PostgresContainer(PostgresServer):
    """One server in a container.

    Args:
        image: What it is made from.
        site: Where it lives.
        settings: Server settings beside, or instead of, the usual ones, which trade durability for time.
    """

    port_is_taken = PORT_IS_TAKEN

    def __init__(self, image: Image, site: Site, settings: Mapping[str, str] | None = None) -> None:
        environment = {
            "POSTGRES_PASSWORD": ROLES["superuser"][1],
            "POSTGRES_INITDB_ARGS": "--no-sync --locale=C --encoding=UTF8",
        }
        self.container = Container(image, site, inside=PORT, outside=lambda: self.port, environment=environment)
        super().__init__(self.container, image.version, image.origin, settings)
        self._make_database()

    @property
    def elsewhere(self) -> NoReturn:
        """No folder: what is mounted on this machine is not to be seen in there."""
        not_in_a_container("small disk")

    def run(self, sql: str, role: Role = "superuser", *, database: str = DATABASE) -> str:
        """Run SQL, outside every event loop, and return what it says, a line for each row and ``|`` between columns.

        Raises:
            ServerError: It fails.
        """
        name, password = ROLES[role]
        query = f'printf %s "$SQL" | psql -XAtq -v ON_ERROR_STOP=1 -h 127.0.0.1 -U {name} -d {database} -f -'
        return self.container.execute("sh", "-c", query, environment={"SQL": sql, "PGPASSWORD": password})

    def kill_backend(self, pid: int) -> None:
        """End one of its processes with SIGKILL: the postmaster ends the others, and begins to recover.

        Raises:
            ServerError: It is none of its processes.
        """
        try:
            self.container.execute("sh", "-c", _KILL, str(pid))
        except ServerError as error:
            message = f"process {pid} is none of this server's"
            raise ServerError(message) from error

    def _command(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        return ["postgres", "--listen-addresses=*", *settings]

    def _is_ready(self) -> bool:
        # By a real query: the engine takes connections before there is anybody to hand them to.
        try:
            with psycopg.connect(self.url("superuser", database="postgres"), connect_timeout=5) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

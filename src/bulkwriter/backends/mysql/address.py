"""URLs of MySQL and MariaDB."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from bulkwriter.options import OptionCheck

_SCHEMES: Final = ("mysql", "mariadb")
_PORT: Final = 3306


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and who wants to use which of its databases.

    Attributes:
        host: The server's name or address.
        port: Its port.
        unix_socket: The path of its socket instead.
        user: Who connects; ``None`` for the account that runs this.
        password: Their password; not shown.
        database: The database.
    """

    host: str
    port: int
    unix_socket: str | None
    user: str | None
    password: str = dataclasses.field(repr=False)
    database: str | None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``aiomysql.connect`` that stand for it."""
        return {
            "host": self.host,
            "port": self.port,
            "unix_socket": self.unix_socket,
            "user": self.user,
            "password": self.password,
            "db": self.database,
        }


def address_of(check: OptionCheck, url: str) -> Address:
    """Return what a URL such as ``mysql://user:password@host:3306/database?unix_socket=/run/mysqld.sock`` means.

    Raises:
        MisconfigurationError: It is malformed. The message never shows it, since it may hold a password.
    """
    parts = _split(check, url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    socket = query.pop("unix_socket", None)
    if query:
        names = ", ".join(sorted(query))
        check.refuse(f"a mysql URL has no option but unix_socket, not {names}: give the others as keywords")
    database = unquote(parts.path.removeprefix("/"))
    if "/" in database:
        check.refuse("a mysql URL has one name behind its host, that of the database")
    return Address(
        host=unquote(parts.hostname or "localhost"),
        port=parts.port or _PORT,
        unix_socket=socket,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
        database=database or None,
    )


def _split(check: OptionCheck, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_known = parts.scheme in _SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        is_known = False
    if not is_known or not url.startswith(f"{parts.scheme}://"):
        check.refuse("the database must be a URL such as mysql://user:password@host:3306/database")
    if parts.fragment:
        check.refuse("a mysql URL has no fragment: write # as %23 in a password")
    return parts

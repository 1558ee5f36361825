"""From a URL to a writer: the scheme picks the backend, and each option goes where it belongs."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bulkwriter.errors import MisconfigurationError
from bulkwriter.writer import BulkWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from bulkwriter.backend import Backend


def connect(url: str, table: str, **options: Any) -> BulkWriter[Any]:
    """Return a writer to a table of the database that a URL names. It opens and connects when it is first used.

    ========================================  =======================================================
    ``sqlite:///data/events.db``              the SQLite file ``data/events.db``, from the current folder
    ``sqlite:////srv/data/events.db``         the SQLite file ``/srv/data/events.db``
    ``sqlite://``, ``sqlite:///:memory:``     a SQLite database in memory, gone when the writer stops
    ``postgresql://user:password@host/db``    PostgreSQL, with whatever else asyncpg reads from its URLs
    ``mysql://user:password@host/db``         MySQL or MariaDB, ``?unix_socket=/path`` for one behind a socket
    ``mariadb://user:password@host/db``       the same
    ``dynamodb://eu-central-1``               DynamoDB in a region, ``dynamodb://`` in that of the environment;
                                              ``?endpoint_url=http://localhost:8000`` for one that is elsewhere
    ``dialect+driver://...``                  what SQLAlchemy reads as a URL, as in
                                              ``sqlite+aiosqlite:///data/events.db``: a dialect that is async
    ========================================  =======================================================

    A character that means something in a URL (``? # %``) is written as a percent code in a file's name: ``%3F``.

    Args:
        url: Where the database is.
        table: The table's name, with its schema if need be.
        **options: The keyword options of the backend's constructor, such as ``on_conflict=``, and those of
            ``BulkWriter``, such as ``max_batch_size=``. They cannot be given in the URL.

    Raises:
        MisconfigurationError: No backend for this scheme, a malformed URL, or an option that cannot be honoured. The
            message never shows the URL, which may hold a password.
        TypeError: An option that neither the backend nor the writer has.
        ValueError: An option of the writer is outside its range.
    """
    parts = _split(url)
    entry = _SQLALCHEMY if "+" in parts.scheme else _BACKENDS.get(parts.scheme)
    if entry is None:
        there = ", ".join(f"{scheme}://" for scheme in [*sorted(_BACKENDS), "dialect+driver"])
        message = f"this version has no backend for {parts.scheme}:// URLs, only for: {there}"
        raise MisconfigurationError(message)
    arguments = entry.arguments(parts)
    kind = _imported(entry)
    for_backend, for_writer = _share_out(options, kind)
    return BulkWriter(kind(**arguments, table=table, **for_backend), **for_writer)


class _Entry(NamedTuple):
    """A backend that URLs can name.

    Attributes:
        module: Where its class is. Imported when it is asked for: ``import bulkwriter`` loads no driver.
        name: The class's name.
        arguments: Returns the arguments of the constructor that a URL stands for, by their names.
        extra: What must be installed beside; empty if nothing.
    """

    module: str
    name: str
    arguments: Callable[[SplitResult], dict[str, Any]]
    extra: str = ""


def _split(url: str) -> SplitResult:
    if not isinstance(url, str):
        message = f"url must be a str such as 'sqlite:///events.db', not {type(url).__name__}"
        raise TypeError(message)
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
        message = "url must begin with a scheme and ://, as in sqlite:///events.db"
        raise MisconfigurationError(message)
    from urllib.parse import urlsplit  # noqa: PLC0415 - a tenth of importing the library, for one call

    try:
        return urlsplit(url)
    except ValueError:
        # Not as its cause: it may quote what stands between // and /, a password among it.
        message = "url is malformed: what stands between // and the next / is no host"
        raise MisconfigurationError(message) from None


def _sqlite_arguments(parts: SplitResult) -> dict[str, Any]:
    """Return the path that a SQLite URL names.

    Raises:
        MisconfigurationError: It names a host, or has a query or a fragment.
    """
    if parts.netloc:
        message = "a sqlite URL has three slashes before a relative path and four before an absolute one"
        raise MisconfigurationError(message)
    if parts.query or parts.fragment:
        message = (
            "a sqlite URL is a path and nothing more: give options as keywords of connect(), "
            "and write ? as %3F and # as %23 in a file's name"
        )
        raise MisconfigurationError(message)
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415 - as above

    # By way of bytes, as the operating system sees names: not every file's name is text.
    return {"path": os.fsdecode(unquote_to_bytes(parts.path[1:])) or ":memory:"}


def _postgres_arguments(parts: SplitResult) -> dict[str, Any]:
    """Return the URL as it is: asyncpg reads it.

    Raises:
        MisconfigurationError: It has a fragment, which means nothing there.
    """
    if parts.fragment:
        message = "a postgresql URL has no fragment: write # as %23 in a password"
        raise MisconfigurationError(message)
    return {"dsn_or_pool": parts.geturl()}


def _mysql_arguments(parts: SplitResult) -> dict[str, Any]:
    """Return the URL as it is: the backend reads it."""
    return {"url_or_connect_function": parts.geturl()}


def _sqlalchemy_arguments(parts: SplitResult) -> dict[str, Any]:
    """Return the URL as it is: SQLAlchemy reads it."""
    # Not geturl(), which leaves out the slashes before an empty host.
    tail = "".join(mark + part for mark, part in (("?", parts.query), ("#", parts.fragment)) if part)
    return {"engine_or_url": f"{parts.scheme}://{parts.netloc}{parts.path}{tail}"}


def _dynamodb_arguments(parts: SplitResult) -> dict[str, Any]:
    """Return the region and the endpoint that a URL names; the credentials are those of the environment.

    Raises:
        MisconfigurationError: It says anything else.
    """
    from urllib.parse import parse_qsl  # noqa: PLC0415 - as above

    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    endpoint = query.pop("endpoint_url", None)
    if query or parts.path.strip("/") or parts.fragment or not re.fullmatch(r"[A-Za-z0-9-]*", parts.netloc):
        message = (
            "a dynamodb URL is a region and perhaps an endpoint, as in "
            "dynamodb://eu-central-1?endpoint_url=http://localhost:8000: credentials come from the environment"
        )
        raise MisconfigurationError(message)
    return {"session_or_client": None, "region_name": parts.netloc or None, "endpoint_url": endpoint}


_MYSQL = _Entry("bulkwriter.backends.mysql", "MySQLBackend", _mysql_arguments, extra="mysql")
_POSTGRES = _Entry("bulkwriter.backends.postgres", "PostgresBackend", _postgres_arguments, extra="postgres")

_SQLALCHEMY = _Entry("bulkwriter.backends.sqlalchemy", "SQLAlchemyBackend", _sqlalchemy_arguments, extra="sqlalchemy")

_BACKENDS = {
    "dynamodb": _Entry("bulkwriter.backends.dynamodb", "DynamoDBBackend", _dynamodb_arguments, extra="dynamodb"),
    "sqlite": _Entry("bulkwriter.backends.sqlite", "SQLiteBackend", _sqlite_arguments),
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}


def _imported(entry: _Entry) -> Callable[..., Backend]:
    """Return a backend's class.

    Raises:
        MisconfigurationError: Its driver is not installed; the message says how to get it.
    """
    try:
        kind: Callable[..., Backend] = getattr(importlib.import_module(entry.module), entry.name)
    except ModuleNotFoundError as error:
        if not entry.extra:
            raise
        message = f"{entry.name} needs {error.name}: pip install bulkwriter[{entry.extra}]"
        raise MisconfigurationError(message) from error
    return kind


def _share_out(options: dict[str, Any], kind: Callable[..., Backend]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the options into the backend's and the writer's.

    Raises:
        TypeError: For one that neither has; the message names those that are spelled alike.
    """
    of_backend = _keyword_options(kind)
    of_writer = _keyword_options(BulkWriter)
    for option in options:
        if option not in of_backend and option not in of_writer:
            import difflib  # noqa: PLC0415 - for a misspelled option alone

            alike = difflib.get_close_matches(option, [*of_backend, *of_writer])
            hint = f"; did you mean {' or '.join(alike)}?" if alike else ""
            message = f"connect() has no option {option!r} for {kind.__name__}{hint}"
            raise TypeError(message)
    return (
        {option: value for option, value in options.items() if option in of_backend},
        {option: value for option, value in options.items() if option not in of_backend},
    )


def _keyword_options(kind: Callable[..., object]) -> list[str]:
    parameters = inspect.signature(kind).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]

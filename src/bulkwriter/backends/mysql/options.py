"""The options of ``MySQLBackend``, checked at construction."""

from __future__ import annotations

import dataclasses
import re
import ssl as tls
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from bulkwriter.backends.mysql.address import Address, address_of
from bulkwriter.backends.mysql.errors import BACKEND
from bulkwriter.options import CommonOptions, OptionCheck

Isolation: TypeAlias = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

STRICT: Final = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    "NO_AUTO_VALUE_ON_ZERO"
)
"""A value that does not fit is an error, and a key of 0 is 0 and not the next number."""

UTC: Final = "+00:00"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options(CommonOptions):
    """What the caller asked for; see ``MySQLBackend`` for what each means."""

    address: Address | None
    connect_function: Callable[[], Any] | None
    ssl: tls.SSLContext | bool | None
    connect_timeout: float
    read_timeout: float
    sql_mode: str
    isolation: Isolation
    time_zone: str | None
    session: dict[str, str]


def checked(
    *,
    url_or_connect_function: object,
    table: object,
    ssl: object,
    connect_timeout: object,
    read_timeout: object,
    sql_mode: object,
    isolation: object,
    time_zone: object,
    session: object,
    **common: Any,
) -> Options:
    """Check everything that can be checked without the database.

    Raises:
        MisconfigurationError: An option is wrong; the message says what would be right.
    """
    check = OptionCheck(BACKEND, table, folds_case=True)
    is_url = isinstance(url_or_connect_function, str)
    if not is_url and ssl is not None:
        check.refuse("ssl belongs to the connections that your own function opens")
    if not isinstance(ssl, tls.SSLContext | bool | None):
        check.refuse("ssl must be an ssl.SSLContext, True, False, or None")
    return Options(
        **check.common(**common),
        address=address_of(check, cast("str", url_or_connect_function)) if is_url else None,
        connect_function=None if is_url else _function(check, url_or_connect_function),
        ssl=ssl,
        connect_timeout=check.seconds("connect_timeout", connect_timeout, may_be_zero=False),
        read_timeout=check.seconds("read_timeout", read_timeout, may_be_zero=False),
        sql_mode=_words("sql_mode", sql_mode, check),
        isolation=cast("Isolation", check.word("isolation", isolation, get_args(Isolation))),
        time_zone=None if time_zone is None else check.text("time_zone", time_zone),
        session=_settings(check, session),
    )


def _function(check: OptionCheck, function: object) -> Callable[[], Any]:
    if isinstance(function, type) or not callable(function):
        # Without what was given, which may hold a password.
        message = "the database must be a URL that begins with mysql:// or mariadb://, or a coroutine function "
        check.refuse(f"{message}that returns a new aiomysql.Connection")
    return cast("Callable[[], Any]", function)


def _words(option: str, value: object, check: OptionCheck) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_0-9, ]*", value):
        return value
    return check.refuse_value(f"{option} must be names of SQL modes with commas between them", value)


def _settings(check: OptionCheck, settings: object) -> dict[str, str]:
    if settings is None:
        return {}
    if not isinstance(settings, Mapping) or not all(
        isinstance(part, str) for item in settings.items() for part in item
    ):
        check.refuse("session must map names of MySQL's session variables to SQL expressions, all of them str")
    for name in settings:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", name):
            check.refuse_value("session must name session variables", name)
        if name.lower() in {"autocommit", "character_set_client", "character_set_connection", "sql_mode", "time_zone"}:
            check.refuse(f"session must not set {name}, on which what is stored depends")
    return dict(settings)

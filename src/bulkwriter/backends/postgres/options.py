"""The options of ``PostgresBackend``, checked at construction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from bulkwriter.backends.postgres.errors import BACKEND
from bulkwriter.options import CommonOptions, OptionCheck

Method: TypeAlias = Literal["auto", "copy", "unnest", "executemany"]

_SCHEMES: Final = ("postgresql://", "postgres://")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options(CommonOptions):
    """What the caller asked for; see ``PostgresBackend`` for what each means."""

    dsn: str | None
    pool: Any
    method: Method
    connect_timeout: float
    ssl: Any
    server_settings: dict[str, str]
    statement_cache_size: int | None


def checked(
    *,
    dsn_or_pool: object,
    table: object,
    method: object,
    connect_timeout: object,
    ssl: object,
    server_settings: object,
    statement_cache_size: object,
    **common: Any,
) -> Options:
    """Check everything that can be checked without the database.

    Raises:
        MisconfigurationError: An option is wrong; the message says what would be right.
    """
    check = OptionCheck(BACKEND, table)
    pool = None if isinstance(dsn_or_pool, str) else _pool(check, dsn_or_pool)
    if pool is not None and (ssl is not None or server_settings is not None or statement_cache_size is not None):
        check.refuse("ssl, server_settings and statement_cache_size belong to the connections of your own pool")
    options = Options(
        **check.common(**common),
        dsn=_dsn(check, dsn_or_pool) if isinstance(dsn_or_pool, str) else None,
        pool=pool,
        method=cast("Method", check.word("method", method, get_args(Method))),
        connect_timeout=check.seconds("connect_timeout", connect_timeout, may_be_zero=False),
        ssl=ssl,
        server_settings=_settings(check, server_settings),
        statement_cache_size=_cache_size(check, statement_cache_size),
    )
    if options.method in {"copy", "executemany"} and (options.on_conflict != "error" or options.returning):
        check.refuse(f'method="{options.method}" can neither handle conflicts nor give anything back: use "auto"')
    return options


def _dsn(check: OptionCheck, dsn: str) -> str:
    if not dsn.startswith(_SCHEMES):
        # Without what was given, which may hold a password.
        check.refuse("the database must be a URL that begins with postgresql://, or an asyncpg.Pool")
    return dsn


def _pool(check: OptionCheck, pool: object) -> object:
    # By what it can do: a pool may be wrapped, for instrumentation.
    if (
        isinstance(pool, type)
        or not callable(getattr(pool, "acquire", None))
        or not callable(getattr(pool, "release", None))
    ):
        check.refuse(f"the database must be a URL or an asyncpg.Pool, not {type(pool).__name__}")
    return pool


def _settings(check: OptionCheck, settings: object) -> dict[str, str]:
    if settings is None:
        return {}
    if isinstance(settings, Mapping) and all(isinstance(part, str) for item in settings.items() for part in item):
        return dict(settings)
    return check.refuse("server_settings must map names of PostgreSQL's settings to values, all of them str")


def _cache_size(check: OptionCheck, size: object) -> int | None:
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        return size
    return check.refuse_value("statement_cache_size must be an integer of 0 or more, or None", size)

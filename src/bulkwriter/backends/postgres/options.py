"""The options of the backend, checked at the door."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from bulkwriter.backends.postgres.errors import misconfigured, refuse
from bulkwriter.contract import OnConflict

if TYPE_CHECKING:
    from bulkwriter.errors import MisconfigurationError

Method: TypeAlias = Literal["auto", "copy", "unnest", "executemany"]

_SCHEMES: Final = ("postgresql://", "postgres://")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller asked for; see ``PostgresBackend`` for what each means."""

    dsn: str | None
    pool: Any
    table: str
    columns: tuple[str, ...] | None
    on_conflict: OnConflict
    conflict_columns: tuple[str, ...] | None
    update_columns: tuple[str, ...] | dict[str, str] | None
    update_where: str | None
    returning: tuple[str, ...]
    ledger: bool
    ledger_table: str
    ledger_retention: float
    method: Method
    connect_timeout: float
    ssl: Any
    server_settings: dict[str, str]
    statement_cache_size: int | None


def checked(
    *,
    dsn_or_pool: object,
    table: object,
    columns: object,
    on_conflict: object,
    conflict_columns: object,
    update_columns: object,
    update_where: object,
    returning: object,
    ledger: object,
    ledger_table: object,
    ledger_retention: object,
    method: object,
    connect_timeout: object,
    ssl: object,
    server_settings: object,
    statement_cache_size: object,
) -> Options:
    """Check everything that can be checked without the database.

    Raises:
        MisconfigurationError: An option is wrong; the message says what would be right.
    """
    name = _text("table", table, str(table))
    if on_conflict not in get_args(OnConflict):
        refuse(f'on_conflict must be "error", "skip" or "update", not {on_conflict!r}', name)
    if on_conflict != "update" and (update_columns is not None or update_where is not None):
        refuse(f'update_columns and update_where need on_conflict="update", not {on_conflict!r}', name)
    pool = None if isinstance(dsn_or_pool, str) else _pool(dsn_or_pool, name)
    if pool is not None and (ssl is not None or server_settings is not None or statement_cache_size is not None):
        refuse("ssl, server_settings and statement_cache_size belong to the connections of your own pool", name)
    wanted_method = _method(method, name)
    wanted_returning = _names("returning", returning, name, may_be_empty=True) or ()
    _check_method(wanted_method, on_conflict, wanted_returning, name)
    return Options(
        dsn=_dsn(dsn_or_pool, name) if isinstance(dsn_or_pool, str) else None,
        pool=pool,
        table=name,
        columns=_names("columns", columns, name),
        on_conflict=on_conflict,  # type: ignore[arg-type]
        conflict_columns=_names("conflict_columns", conflict_columns, name),
        update_columns=_updates(update_columns, name),
        update_where=None if update_where is None else _text("update_where", update_where, name),
        returning=wanted_returning,
        ledger=_flag("ledger", ledger, name),
        ledger_table=_text("ledger_table", ledger_table, name),
        ledger_retention=_seconds("ledger_retention", ledger_retention, name),
        method=wanted_method,
        connect_timeout=_seconds("connect_timeout", connect_timeout, name),
        ssl=ssl,
        server_settings=_settings(server_settings, name),
        statement_cache_size=_cache_size(statement_cache_size, name),
    )


def _check_method(method: Method, on_conflict: object, returning: tuple[str, ...], table: str) -> None:
    if method in {"copy", "executemany"} and (on_conflict != "error" or returning):
        refuse(f'method="{method}" can neither handle conflicts nor give anything back: use "auto"', table)


def _dsn(dsn: str, table: str) -> str:
    if not dsn.startswith(_SCHEMES):
        refuse("the database must be a URL that begins with postgresql://, or an asyncpg.Pool", table)
    return dsn


def _pool(pool: object, table: str) -> object:
    # By what it can do: a pool may be wrapped, for instrumentation.
    if (
        isinstance(pool, type)
        or not callable(getattr(pool, "acquire", None))
        or not callable(getattr(pool, "release", None))
    ):
        refuse(f"the database must be a URL or an asyncpg.Pool, not {type(pool).__name__}", table)
    return pool


def _method(method: object, table: str) -> Any:
    if method not in get_args(Method):
        message = f"method must be one of {', '.join(get_args(Method))}"
        raise _wrong(message, method, table)
    return method


def _names(option: str, names: object, table: str, *, may_be_empty: bool = False) -> tuple[str, ...] | None:
    if names is None:
        return None
    wanted = f"{option} must be a sequence of column names, each once"
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
        raise _wrong(wanted, names, table)
    listed = tuple(names)
    if not all(isinstance(name, str) and name for name in listed) or len(set(listed)) < len(listed):
        raise _wrong(wanted, names, table)
    if not listed and not may_be_empty:
        wanted = f"{option} must name at least one column, or be None"
        raise _wrong(wanted, names, table)
    return listed


def _updates(updates: object, table: str) -> tuple[str, ...] | dict[str, str] | None:
    if not isinstance(updates, Mapping):
        return _names("update_columns", updates, table)
    names = _names("update_columns", list(updates), table) or ()
    for name in names:
        if not isinstance(updates[name], str) or not updates[name].strip():
            message = f"update_columns[{name!r}] must be an SQL expression such as 't.n + excluded.n'"
            raise _wrong(message, updates[name], table)
    return {name: updates[name] for name in names}


def _text(option: str, value: object, table: str) -> str:
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return value
    message = f"{option} must be a str that is not empty"
    raise _wrong(message, value, table)


def _flag(option: str, value: object, table: str) -> bool:
    if isinstance(value, bool):
        return value
    message = f"{option} must be True or False"
    raise _wrong(message, value, table)


def _seconds(option: str, value: object, table: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        message = f"{option} must be more than 0 seconds"
        raise _wrong(message, value, table)
    return float(value)


def _settings(settings: object, table: str) -> dict[str, str]:
    if settings is None:
        return {}
    if isinstance(settings, Mapping) and all(isinstance(part, str) for item in settings.items() for part in item):
        return dict(settings)
    message = "server_settings must map names of PostgreSQL's settings to values, all of them str"
    raise misconfigured(message, table)


def _cache_size(size: object, table: str) -> int | None:
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        return size
    message = "statement_cache_size must be an integer of 0 or more, or None"
    raise _wrong(message, size, table)


def _wrong(message: str, value: object, table: str) -> MisconfigurationError:
    return misconfigured(f"{message}, not {value!r}", table)

"""The options of ``SQLAlchemyBackend``, checked at construction."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, NoReturn

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from bulkwriter.backends.sqlalchemy.families import FAMILIES, Family
from bulkwriter.options import CommonOptions, OptionCheck

BACKEND: Final = "sqlalchemy"

_NOT_YOURS: Final = (
    "must be an AsyncEngine or a URL: a batch is a transaction of its own, which the backend commits, so that it "
    "cannot be a part of one of yours"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options(CommonOptions):
    """What the caller asked for; see ``SQLAlchemyBackend`` for what each means.

    Attributes:
        engine: The caller's engine; ``None`` for one of our own.
        url: Where our own engine connects to.
        given: The table as the caller has defined it; ``None`` if only its name was given.
        family: The database.
    """

    engine: AsyncEngine | None
    url: sa.URL | None
    given: sa.Table | None
    family: Family


def checked(*, engine_or_url: object, table: object, **common: Any) -> Options:
    """Check everything that can be checked without the database.

    Raises:
        MisconfigurationError: An option is wrong; the message says what would be right.
    """
    given = _given_table(table)
    check = OptionCheck(BACKEND, table if given is None else given.fullname)
    engine, url = _database(check, engine_or_url)
    family = _family(check, engine, url)
    wanted = check.common(**common)
    _check_can(check, family, wanted)
    return Options(**wanted, engine=engine, url=url, given=given, family=family)


def _given_table(table: object) -> sa.Table | None:
    if isinstance(table, sa.Table):
        return table
    mapper: Any = sa.inspect(table, raiseerr=False) if isinstance(table, type) else None
    mapped = getattr(mapper, "local_table", None)
    return mapped if isinstance(mapped, sa.Table) else None


def _database(check: OptionCheck, given: object) -> tuple[AsyncEngine | None, sa.URL | None]:
    if isinstance(given, AsyncEngine):
        if given.sync_engine.get_execution_options().get("schema_translate_map"):
            check.refuse("the engine's schema_translate_map is not honoured: give a table with its own schema")
        return given, None
    if isinstance(given, AsyncSession | async_sessionmaker | AsyncConnection):
        check.refuse(f"an {type(given).__name__} cannot be written through: engine_or_url {_NOT_YOURS}")
    if isinstance(given, sa.Engine):
        check.refuse("engine_or_url is an engine that blocks: make it by create_async_engine()")
    if not isinstance(given, str | sa.URL):
        check.refuse(f"engine_or_url {_NOT_YOURS}")
    try:
        url = sa.make_url(given)
        # Loads the driver, and connects to nothing.
        create_async_engine(url)
    except (sa.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        _refuse_url(check, error)
    return None, url


def _refuse_url(check: OptionCheck, error: Exception) -> NoReturn:
    if isinstance(error, ImportError):
        check.refuse(f"the driver that the URL names cannot be loaded: pip install {error.name}")
    if isinstance(error, sa.exc.NoSuchModuleError):
        check.refuse("SQLAlchemy has no such dialect and driver as the URL names")
    if isinstance(error, sa.exc.InvalidRequestError):
        check.refuse("the driver that the URL names is not async: name one that is, as in sqlite+aiosqlite:///file.db")
    # Not its message: it may quote the URL, and a password with it.
    check.refuse("the URL is malformed: dialect+driver://user:password@host/database is what SQLAlchemy reads")


def _family(check: OptionCheck, engine: AsyncEngine | None, url: sa.URL | None) -> Family:
    if engine is not None:
        name, driver = engine.dialect.name, engine.dialect.driver
    else:
        assert url is not None
        kind = url.get_dialect()
        name, driver = kind.name, getattr(kind, "driver", "")
    family = FAMILIES.get(name)
    if family is None:
        check.refuse(f"the dialect {name} was never tried, so that nothing can be promised: {_known()} were")
    if driver not in family.drivers:
        check.refuse(f"the driver {driver} was never tried, so that nothing can be promised: {_known()} were")
    return family


def _known() -> str:
    return ", ".join(f"{name}+{driver}" for name, family in FAMILIES.items() for driver in sorted(family.drivers))


def _check_can(check: OptionCheck, family: Family, wanted: dict[str, Any]) -> None:
    can = family.capabilities
    has_expressions = isinstance(wanted["update_columns"], dict) or wanted["update_where"] is not None
    if has_expressions and not can.expressions:
        check.refuse("expressions in update_columns, and update_where, are not possible on this dialect")
    if wanted["returning"] and not can.returning:
        check.refuse("returning is not possible on this dialect, whose INSERT gives nothing back")

"""Whatever goes wrong on a real server, in whatever order: what callers were told is what is stored.

A short run of each by default; ``make soak SECONDS=600`` makes long ones, which must have met every trouble often.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from integration.servers.scratch import Scratch
from integration.servers.small_disk import small_disk
from integration.sqlalchemy.places import wired
from integration.sqlalchemy.target import FaultTarget as SQLAlchemyTarget
from integration.truth.arenas import Arena, MySQLArena, PostgresArena, ServerArena
from integration.truth.files import FileArena
from integration.truth.runs import Figures, run_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from integration.servers.mysql_scratch import MySQLScratch
    from integration.servers.registry import Servers
    from integration.wire import Wire

    Record = Callable[[str, object], None]

SECONDS = float(os.environ.get("BULKWRITER_SOAK_SECONDS", "10"))
"""How long each server is soaked."""

SEED = int(os.environ.get("BULKWRITER_SOAK_SEED", "0")) or random.randrange(10**6)  # noqa: S311 - printed, to be given again
A_RUN = 3.0
"""Seconds of trouble in each run."""

LONG = 600.0
"""Seconds from which on every trouble must have hit."""

BY_SQLALCHEMY = ("postgresql+psycopg", "mariadb+asyncmy")
"""Those of the dialects and drivers that are soaked: the others are to be named here by hand."""

OFTEN = 20
"""How often."""


@pytest.fixture
def postgres_arena(postgres: Scratch, wire: Wire) -> PostgresArena:
    """A table on PostgreSQL."""
    return PostgresArena(postgres, wire)


@pytest.fixture
def mysql_arena(mysql: MySQLScratch, mysql_wire: Wire) -> MySQLArena:
    """A table on MariaDB or MySQL."""
    return MySQLArena(mysql, mysql_wire)


@pytest.fixture
def disk(servers: Servers) -> Iterator[Path]:
    """A disk that is soon filled, and has room for all that one run writes: of a ledger that is megabytes."""
    with small_disk(servers.site, megabytes=64) as folder:
        yield folder


@pytest.mark.timeout(3 * SECONDS + 300)
async def test_postgres(postgres_arena: PostgresArena, record_property: Record) -> None:
    """PostgreSQL."""
    await _soak(postgres_arena, record_property)


@pytest.mark.timeout(3 * SECONDS + 300)
async def test_mysql(mysql_arena: MySQLArena, record_property: Record) -> None:
    """MariaDB and MySQL."""
    await _soak(mysql_arena, record_property)


@pytest.mark.timeout(3 * SECONDS + 300)
@pytest.mark.parametrize("dialect", BY_SQLALCHEMY)
async def test_sqlalchemy(servers: Servers, dialect: str, record_property: Record) -> None:
    """PostgreSQL, MariaDB and MySQL, by way of SQLAlchemy."""
    async with wired(servers, dialect) as (scratch, wire):
        made: ServerArena = PostgresArena(scratch, wire) if isinstance(scratch, Scratch) else MySQLArena(scratch, wire)
        made.target = SQLAlchemyTarget(scratch, wire, dialect)
        await _soak(made, record_property, f"{dialect}, ")


@pytest.mark.timeout(3 * SECONDS + 300)
@pytest.mark.parametrize("way", ["sqlite", "sqlalchemy"])
async def test_sqlite(disk: Path, way: str, record_property: Record) -> None:
    """A SQLite file, by the library's own backend and by way of SQLAlchemy."""
    arena = FileArena(disk, way)
    try:
        await _soak(arena, record_property)
    finally:
        await arena.close()


async def _soak(arena: Arena, record_property: Record, what: str = "") -> None:
    # Where the server is not ours to be killed, this ends the test.
    if isinstance(arena, ServerArena):
        arena.server.resume()
    figures = Figures()
    began = time.monotonic()
    seed = SEED
    while not figures.runs or time.monotonic() - began < SECONDS or _must_go_on(arena, figures, began):
        await run_once(arena, seed, A_RUN, figures)
        seed += 1
    record_property("figures", f"{what}{arena!r}, seeds {SEED} to {seed - 1}: {figures}")
    if SECONDS >= LONG:
        # What was told was compared after each run; this says whether enough has happened for that to mean something.
        assert {name: figures.hits[name] for name in arena.kinds if figures.hits[name] < OFTEN} == {}


def _must_go_on(arena: Arena, figures: Figures, began: float) -> bool:
    """Whether some trouble has hit too seldom in a long soak, on a machine with much else to do, and there is time."""
    is_long = SECONDS >= LONG and time.monotonic() - began < 2.5 * SECONDS
    return is_long and any(figures.hits[name] < OFTEN for name in arena.kinds)

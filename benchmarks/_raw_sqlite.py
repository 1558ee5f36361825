"""SQLite by hand: what one writes with the standard library alone, a thread hop and a commit a batch."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from typing import TYPE_CHECKING, Any

from benchmarks._stub import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

TABLE = "CREATE TABLE events (id INTEGER PRIMARY KEY, name TEXT, category TEXT, amount REAL, created INTEGER)"
INSERT = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES"
PLACES = f"({','.join('?' * len(COLUMNS))})"
NAMES = f"({','.join(f':{name}' for name in COLUMNS)})"
# Rows of one statement with its values by hand: beyond some dozens nothing is gained.
CHUNK = 250


def connected(file: Path) -> sqlite3.Connection:
    """Connect as the backend does."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def make_table(file: Path) -> None:
    """Make the table in a new file."""
    with contextlib.closing(connected(file)) as connection:
        connection.execute(TABLE)


def rows_in(file: Path) -> int:
    """Count what is stored."""
    with contextlib.closing(connected(file)) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM events").fetchone()
    return int(rows)


def batches(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the rows in batches."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


async def write(
    connection: sqlite3.Connection,
    execute: Callable[[sqlite3.Connection, Sequence[Any]], None],
    rows: Sequence[Any],
    batch: int,
) -> None:
    """Write all rows, each batch in a transaction of its own, in the loop's thread pool."""

    def transaction(part: Sequence[Any]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        execute(connection, part)
        connection.execute("COMMIT")

    for part in batches(rows, batch):
        await asyncio.to_thread(transaction, part)


def executemany_tuples(connection: sqlite3.Connection, rows: Sequence[Any]) -> None:
    """Insert ready tuples."""
    connection.executemany(f"{INSERT} {PLACES}", rows)


def executemany_dicts(connection: sqlite3.Connection, rows: Sequence[Any]) -> None:
    """Insert dicts by name."""
    connection.executemany(f"{INSERT} {NAMES}", rows)


def multi_row(connection: sqlite3.Connection, rows: Sequence[Any]) -> None:
    """Insert ready tuples, many a statement; the statement of a full chunk is cached by sqlite3."""
    for part in batches(rows, CHUNK):
        values = list(itertools.chain.from_iterable(part))
        connection.execute(f"{INSERT} {','.join([PLACES] * len(part))}", values)

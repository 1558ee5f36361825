"""The databases behind the dialects: what each can do, and what it needs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from bulkwriter.contract import Capabilities, Limits

if TYPE_CHECKING:
    from bulkwriter.ledger import Dialect, ParameterStyle


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A database, whichever of its drivers is used.

    Attributes:
        language: What the ledger calls its SQL.
        drivers: The drivers that the conformance suite was run with.
        capabilities: What the backend can do there.
        limits: The batch sizes for it.
        lock: What a query says to keep the rows that it finds until the transaction ends.
        isolation: The isolation level in which batches are written, in which each statement sees what others have
            committed meanwhile; ``None`` leaves it alone.
        begins: What must be said first of all for a transaction to hold the statements to come; empty if nothing.
        most_parameters: How many values a statement may have.
    """

    language: Dialect
    drivers: frozenset[str]
    capabilities: Capabilities
    limits: Limits
    lock: str = " FOR UPDATE"
    isolation: str | None = "READ COMMITTED"
    begins: str = ""
    most_parameters: int = 30_000


WIDEST: Final = Capabilities()
"""What some dialects can do; each by itself may be able to do less."""

LIMITS: Final = Limits(
    max_batch_size=1000,
    max_batch_bytes=4 * 2**20,
    concurrency=2,
    max_queue_size=20_000,
    max_queue_bytes=64 * 2**20,
)

FAMILIES: Final[dict[str, Family]] = {
    "sqlite": Family(
        language="sqlite",
        drivers=frozenset({"aiosqlite"}),
        capabilities=WIDEST,
        # Connections side by side would only wait for each other's lock.
        limits=LIMITS.but(concurrency=1),
        lock="",
        isolation=None,
        # Python's sqlite3 begins by itself only at the first INSERT: a savepoint before it would be committed by its
        # release, and what was read before it would be no part of the transaction.
        begins="BEGIN IMMEDIATE",
    ),
    "mysql": Family(
        language="mysql",
        drivers=frozenset({"aiomysql", "asyncmy"}),
        # Its INSERT gives nothing back, and an UPDATE sets one column after the other, so that an expression may read
        # what another has just set.
        capabilities=WIDEST.but(expressions=False, returning=False),
        limits=LIMITS,
    ),
    "mariadb": Family(
        language="mysql",
        drivers=frozenset({"aiomysql", "asyncmy"}),
        capabilities=WIDEST.but(expressions=False),
        limits=LIMITS,
    ),
    "postgresql": Family(
        language="postgresql",
        drivers=frozenset({"asyncpg", "psycopg"}),
        capabilities=WIDEST,
        limits=LIMITS,
    ),
}
"""By the name of the dialect."""

STYLES: Final[dict[str, ParameterStyle]] = {
    "qmark": "qmark",
    "format": "format",
    "pyformat": "format",
    "numeric_dollar": "numeric_dollar",
}
"""How statements mark their values, by what SQLAlchemy calls the driver's way."""

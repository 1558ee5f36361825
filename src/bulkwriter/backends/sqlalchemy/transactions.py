"""BEGIN, COMMIT and ROLLBACK that hold, whatever the engine, or the driver, makes of them."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy import errors

if TYPE_CHECKING:
    from bulkwriter.backends.sqlalchemy.options import Options

_MANNER: Final = "bulkwriter: autocommit"
"""Under which a connection remembers what its driver calls ``autocommit``: it is asked once."""

# What sqlite3 says of a connection that begins by itself before it writes, and commits when it is told to.
_LEGACY: Final = -1


class Transactions:
    """Begins and ends transactions on connections of an engine.

    Args:
        options: What the caller asked for.
    """

    def __init__(self, options: Options) -> None:
        self._table = options.table
        self._begins = options.family.begins

    def begin(self, connection: sa.Connection, *, writes_first: bool = False) -> None:
        """Begin a transaction that holds every statement to come.

        Args:
            connection: The connection.
            writes_first: Whether the first of them writes rows: with that, most drivers begin by themselves.

        Raises:
            MisconfigurationError: The driver would commit each statement by itself.
            BackendUnavailableError: Somebody else's transaction is open on this connection.
        """
        if not self._begins:
            connection.begin()
            return
        driver: Any = connection.connection.driver_connection
        if self._manner(connection) == _LEGACY and driver.in_transaction:
            # It would be theirs to roll back, when everybody has been told that their rows are stored.
            message = f"table {self._table}: a transaction of somebody else's is open on the connection that all share"
            raise errors.unavailable(message, self._table)
        connection.begin()
        if not driver.in_transaction and not (writes_first and driver.isolation_level is not None):
            connection.exec_driver_sql(self._begins)

    def roll_back(self, connection: sa.Connection) -> None:
        """Undo what is open, also where the engine was told that there is nothing to be rolled back."""
        connection.rollback()
        if self._begins and connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
            connection.connection.rollback()

    def clear(self, connection: sa.Connection) -> None:
        """Leave nothing open on a connection that is given back."""
        if self._begins and not connection.closed and not connection.invalidated:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                self.roll_back(connection)

    def is_over(self, connection: sa.Connection) -> bool:
        """Whether the transaction has ended by itself: a trigger, or somebody else, has ended it."""
        return bool(self._begins) and not connection.connection.driver_connection.in_transaction  # type: ignore[union-attr]

    def _manner(self, connection: sa.Connection) -> int:
        """Return what the driver calls ``autocommit``.

        Raises:
            MisconfigurationError: It takes no notice of COMMIT.
        """
        known = connection.connection.info
        if _MANNER not in known:
            # Python 3.11 has but one manner; a newer one tells it to the connection's own thread alone.
            ask: Any = connection.connection.dbapi_connection.run_async  # type: ignore[union-attr]
            known[_MANNER] = ask(lambda driver: driver._execute(getattr, driver._conn, "autocommit", _LEGACY))  # noqa: SLF001 - nobody else tells
        manner: int = known[_MANNER]
        if manner == 1:
            message = "the driver ignores COMMIT and ROLLBACK: connect without autocommit=True"
            errors.refuse(f"table {self._table}: {message}", self._table)
        return manner


_turns: Final[weakref.WeakKeyDictionary[sa.Pool, tuple[asyncio.AbstractEventLoop, asyncio.Lock]]] = (
    weakref.WeakKeyDictionary()
)


def turns(pool: sa.Pool) -> contextlib.AbstractAsyncContextManager[Any]:
    """Return what lets one batch at a time use a pool that has one connection for all.

    Two batches at once would be one transaction there, also those of two backends.
    """
    if not isinstance(pool, sa.StaticPool):
        return contextlib.nullcontext()
    loop = asyncio.get_running_loop()
    known = _turns.get(pool)
    if known is None or known[0] is not loop:
        known = _turns[pool] = (loop, asyncio.Lock())
    return known[1]

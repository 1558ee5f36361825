"""A table behind SQLAlchemy as a target."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy import errors
from bulkwriter.backends.sqlalchemy import options as opt
from bulkwriter.backends.sqlalchemy.attempting import Attempting
from bulkwriter.backends.sqlalchemy.families import LIMITS, WIDEST
from bulkwriter.backends.sqlalchemy.keys import is_exact
from bulkwriter.backends.sqlalchemy.parts import Parts
from bulkwriter.backends.sqlalchemy.settling import Settling
from bulkwriter.ledger import DEFAULT_RETENTION, DEFAULT_TABLE
from bulkwriter.sql import KeyedPlan, ServerBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine

    from bulkwriter.contract import Attempt, Capabilities, Limits, OnConflict, Operation, Plan, Reply

# Seconds that attempts nobody waits for any more may take to their end.
_FAREWELL: Final = 5.0
_FORCED_FAREWELL: Final = 0.25


class SQLAlchemyBackend(ServerBackend[Parts]):
    """Writes to a table through an ``AsyncEngine`` of SQLAlchemy 2.

    A batch is one transaction of multi-row statements on one of the engine's connections; the engine's events and its
    echo see each of them. Values go through the types of SQLAlchemy's columns, and a column that a row leaves out gets
    the default that the column has in Python, else that of the database. Rows that the database refuses are found on
    the way, and the others are committed.

    Each row hears exactly what became of it: in the same transaction it is asked first which keys are there. A COMMIT
    whose answer was lost is settled by the ledger; without one its rows are unknown.

    What can be done depends on the dialect, and ``capabilities`` of the instance say it; a dialect, or a driver, with
    which the backend was never tried is refused.

    The backend belongs to the event loop on which it was opened, and does not survive a fork.

    Attributes:
        paths: ``"together"`` attempts, in which no row had to be looked at by itself; ``"careful"`` ones, in which some
            had.
    """

    name: ClassVar[str] = opt.BACKEND
    capabilities: ClassVar[Capabilities] = WIDEST
    limits: ClassVar[Limits] = LIMITS

    def __init__(
        self,
        engine_or_url: AsyncEngine | sa.URL | str,
        table: sa.Table | type[Any] | str,
        *,
        columns: Iterable[str] | None = None,
        on_conflict: OnConflict = "error",
        conflict_columns: Iterable[str] | None = None,
        update_columns: Iterable[str] | Mapping[str, str] | None = None,
        update_where: str | None = None,
        returning: Iterable[str] = (),
        ledger: bool = False,
        ledger_table: str = DEFAULT_TABLE,
        ledger_retention: float = DEFAULT_RETENTION,
    ) -> None:
        """Check the options; nothing is opened.

        Args:
            engine_or_url: Your ``AsyncEngine``, which stays yours and is left open; or a URL, such as
                ``"sqlite+aiosqlite:///events.db"``, for an engine of the backend's own. No session: a batch is a
                transaction of its own.
            table: A ``Table``, a mapped class, or a name, with its schema before it if need be, whose columns are then
                read from the database.
            columns: The columns that a plain tuple stands for, and to which object rows are cut. They are called as
                the table calls them, also where a mapped class has other names for them.
            on_conflict: What happens to a row whose key is already there. A row that meets another in any other unique
                column is rejected, whatever is said here.
            conflict_columns: The key: columns of a primary key, or of a unique constraint or index over whole columns
                and all rows; by default the primary key.
            update_columns: What an update sets: by default all that the row has beside its key. Names; or a mapping of
                column to SQL expression, in which ``t`` is the row that is there and ``excluded`` the new one, as in
                ``{"n": "t.n + excluded.n"}``. A named column that a row leaves out stays as it is.
            update_where: An SQL expression of ``t`` and ``excluded`` that says whether to update at all.
            returning: Columns to give back for each written row.
            ledger: Whether each batch leaves its identity in a table beside the target, so that a lost answer can be
                settled, and named work is stored once.
            ledger_table: The ledger's table, in the target's schema. It is made if it is not there:
                ``bulkwriter.ledger.ddl`` of the dialect.
            ledger_retention: Seconds after which an entry may be deleted.

        Raises:
            MisconfigurationError: An option is wrong, or cannot be honoured on this dialect; the message says what
                would be right.
        """
        self._options = opt.checked(
            engine_or_url=engine_or_url,
            table=table,
            columns=columns,
            on_conflict=on_conflict,
            conflict_columns=conflict_columns,
            update_columns=update_columns,
            update_where=update_where,
            returning=returning,
            ledger=ledger,
            ledger_table=ledger_table,
            ledger_retention=ledger_retention,
        )
        super().__init__(self._options)
        # The same for all instances of any other backend; here it is the dialect that can, or cannot.
        mine = cast("Any", self)
        mine.capabilities, mine.limits = self._options.family.capabilities, self._options.family.limits
        self._attempts: dict[asyncio.Task[Reply], Attempting] = {}

    async def _open(self) -> None:
        language = self._options.family.language
        parts = Parts(self._options, self.paths)
        try:
            await parts.open()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            await parts.close()
            told = errors.not_written(error, language, self.table, "opening it")
            raise told from told.__cause__
        except BaseException:
            await parts.close()
            raise
        self._parts = parts
        key = parts.target.key(self._options.conflict_columns)
        self._enter(key, is_exact=is_exact(parts.target, key))

    async def close(self, *, force: bool = False) -> None:
        """Close the backend's connections; an engine of yours stays open. The backend can be opened again.

        Args:
            force: Do not wait for statements that are still running.
        """
        parts = self._leave()
        if parts is None:
            return
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=_FORCED_FAREWELL if force else _FAREWELL)
            for attempting in [self._attempts[task] for task in late]:
                attempting.give_up()
                if self._options.family.language != "sqlite":
                    attempting.task.cancel()
            if late:
                # A thread goes on whatever is cancelled, and a connection that is dropped beneath it may be all there
                # is of a database in memory: it ends before its COMMIT.
                await asyncio.wait(late, timeout=_FAREWELL)
        await parts.close()

    def plan(self, operation: Operation, columns: tuple[str, ...]) -> Plan:
        """Return how rows of these columns are written.

        Raises:
            MisconfigurationError: The table has no such column, or the operation is not possible on it.
        """
        if self._parts is None:
            self._refuse("plan() before open()")
        statements = self._parts.statements_for(operation, columns)
        read_key = None if statements.keys is None else statements.keys.read
        # A key that is a default of Python's is not known before the attempt.
        has_key = all(place < len(columns) for place in statements.key_places)
        return KeyedPlan(operation, columns, read_key if has_key else None)

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write one batch; bad rows are found on the way.

        Returns:
            A verdict for every row.

        Raises:
            MisconfigurationError: The backend is closed, or belongs to another event loop or process.
        """
        attempting = attempt.token = Attempting(self._open_parts(), attempt)
        self._attempts[attempting.task] = attempting
        attempting.task.add_done_callback(lambda task: self._attempts.pop(task, None))
        return await attempting.reply()

    async def settle(self, attempt: Attempt) -> Reply:
        """Find out what became of an attempt that left rows doubtful.

        Returns:
            A verdict for every row.

        Raises:
            NotWrittenError: The database cannot be asked now.
        """
        return await Settling(self._open_parts()).settle(attempt)

"""What an open backend is made of: the engine, the table as it was found, the SQL for each plan, the ledger."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bulkwriter.backends.sqlalchemy import errors
from bulkwriter.backends.sqlalchemy.book import Book
from bulkwriter.backends.sqlalchemy.sessions import check_session
from bulkwriter.backends.sqlalchemy.statements import Statements
from bulkwriter.backends.sqlalchemy.target import Target, look_up
from bulkwriter.backends.sqlalchemy.transactions import Transactions, turns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from bulkwriter.backends.sqlalchemy.attempting import Attempting
    from bulkwriter.backends.sqlalchemy.options import Options
    from bulkwriter.contract import Operation, Reply

_MOST_PLANS: Final = 128

_MOST_WAITING: Final = 8
"""Attempts whose COMMIT may have been lost, and which nobody can ask about."""


class Parts:
    """Everything that attempts share.

    Args:
        options: What the caller asked for.
        paths: Counts, for each way of writing, the attempts that took it.

    Attributes:
        target: The table.
        book: The ledger, if there is one.
        transactions: Begins and ends them.
    """

    def __init__(self, options: Options, paths: dict[str, int]) -> None:
        assert options.engine is not None or options.url is not None
        self.options = options
        self.paths = paths
        self.target: Target
        self.book: Book | None = None
        self.transactions: Transactions = Transactions(options)
        self._is_ours = options.engine is None
        self._engine: AsyncEngine = options.engine or _engine(options)
        self._waiting: dict[asyncio.Task[Reply], Attempting] = {}
        self._statements: dict[tuple[Operation, tuple[str, ...]], Statements] = {}

    async def open(self) -> None:
        """Connect, read the table, and see that the options fit it.

        Raises:
            MisconfigurationError: They do not.
            SQLAlchemyError: The database's, or SQLAlchemy's own reason.
        """
        async with self.connection() as connection:
            await connection.run_sync(self._open)

    async def close(self) -> None:
        """Close the connections, if they are ours."""
        if self._is_ours:
            await self._engine.dispose()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection of the engine's, set up for a batch."""
        async with turns(self._engine.sync_engine.pool), self._engine.connect() as connection:
            if self.options.family.isolation is not None:
                await connection.execution_options(isolation_level=self.options.family.isolation)
            yield connection

    def wait_for(self, attempting: Attempting) -> None:
        """Let an attempt wait for the answer to its COMMIT, which may never come, without a connection of the pool's.

        Nor do more than a few wait: those that have waited longest are ended.
        """
        attempting.detach()
        self._waiting[attempting.task] = attempting
        attempting.task.add_done_callback(lambda task: self._waiting.pop(task, None))
        for longest in list(self._waiting.values())[:-_MOST_WAITING]:
            longest.end()

    def most_bytes(self, connection: sa.Connection) -> int | None:
        """Return the bytes that a statement may have on a connection; ``None`` if there is no limit to be met.

        Raises:
            MisconfigurationError: Its session would change values.
        """
        if self.options.family.language != "mysql":
            return None
        target = self.target
        is_known = target.numbers_zero is not None or not target.counts_by_itself
        return check_session(connection, target.label, numbers_zero=is_known).most_bytes

    def statements_for(self, operation: Operation, columns: tuple[str, ...]) -> Statements:
        """Return the SQL for rows of these columns.

        Raises:
            MisconfigurationError: The table is not as they need it.
        """
        known = self._statements.get((operation, columns))
        if known is None:
            if len(self._statements) >= _MOST_PLANS:
                self._statements.clear()
            known = Statements(self.target, self.options, self._engine.dialect, operation, columns)
            self._statements[operation, columns] = known
        return known

    def _open(self, connection: sa.Connection) -> None:
        options = self.options
        self.target = target = look_up(connection, options)
        for name in options.columns or ():
            target.writable_column(name)
        for name in options.update_columns or ():
            target.writable_column(name)
        key = target.key(options.conflict_columns)
        if options.on_conflict != "error" and not key:
            message = (
                f"table {target.label} has no primary key: on_conflict={options.on_conflict!r} needs conflict_columns"
            )
            errors.refuse(message, target.label)
        if options.updates and options.family.language == "mysql" and set(key) != set(target.primary_key):
            message = "an update by another key than the primary key might hit another row, by ON DUPLICATE KEY"
            errors.refuse(f"table {target.label}: {message}", target.label)
        self._check_sql(connection)
        connection.rollback()
        if options.ledger:
            self.book = Book(options, connection.dialect, target.table.schema)
            self.book.create(connection)

    def _check_sql(self, connection: sa.Connection) -> None:
        """Have the database look at what will be run, so that a wrong expression, or permission, is told now."""
        target = self.target
        names = tuple(column.name for column in target.table.columns if column.name not in target.read_only)
        statements = self.statements_for("insert", names)
        texts = [statements.insert(1)]
        if self.options.updates and statements.key_places:
            texts.append(statements.update(1))
        for sql in texts:
            try:
                connection.exec_driver_sql(f"EXPLAIN {sql}", (None,) * len(statements.slots))
            except sa.exc.DBAPIError as error:
                if errors.is_row_fault(error, self.options.family.language):
                    connection.rollback()
                    continue  # of a row of nothing but NULL
                told = errors.not_written(error, self.options.family.language, target.label, "checking the options")
                raise told from told.__cause__


def _engine(options: Options) -> AsyncEngine:
    """Make an engine of our own."""
    assert options.url is not None
    engine = create_async_engine(options.url)
    if options.family.language == "sqlite":
        # SQLite by itself would not look at them.
        sa.event.listen(engine.sync_engine, "connect", _enforce_foreign_keys)
    elif options.family.language == "mysql":
        sa.event.listen(engine.sync_engine, "connect", _store_what_is_given)
    return engine


def _enforce_foreign_keys(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _store_what_is_given(connection: Any, _: object) -> None:
    """Have values that do not fit refused, and a key of 0 stored as 0."""
    cursor = connection.cursor()
    modes = "'STRICT_TRANS_TABLES', 'NO_AUTO_VALUE_ON_ZERO'"
    cursor.execute(f"SET SESSION sql_mode = CONCAT_WS(',', @@SESSION.sql_mode, {modes})")
    cursor.close()

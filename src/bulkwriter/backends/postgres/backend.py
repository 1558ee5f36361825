"""PostgreSQL as a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bulkwriter.backends.postgres import driver, errors
from bulkwriter.backends.postgres import options as opt
from bulkwriter.backends.postgres.attempting import Attempting
from bulkwriter.backends.postgres.keys import is_exact
from bulkwriter.backends.postgres.parts import Parts
from bulkwriter.backends.postgres.settling import Settling
from bulkwriter.backends.postgres.statements import identifying_key
from bulkwriter.contract import Capabilities, Limits, OnConflict, Operation, Plan
from bulkwriter.ledger import DEFAULT_RETENTION, DEFAULT_TABLE
from bulkwriter.sql import KeyedPlan, ServerBackend

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Iterable, Mapping

    from bulkwriter.backends.postgres.driver import Pool
    from bulkwriter.backends.postgres.options import Method
    from bulkwriter.contract import Attempt, Reply


class PostgresBackend(ServerBackend[Parts]):
    """Writes to a table of a PostgreSQL database, version 13 or later, through asyncpg.

    Plain inserts go by binary COPY; conflicts, ``returning``, row security, views, and tables with triggers that may
    drop a row, by ``INSERT ... SELECT`` from an array for each column. Rows that the database refuses are found by the
    server itself, in few round trips, and the others are committed.

    Each row hears exactly what became of it. A COMMIT whose answer was lost is settled on another connection, by the
    number of its transaction or by the ledger. Which Python values a column takes says
    ``bulkwriter.backends.postgres.kinds``: what it would change in silence is refused.

    The backend belongs to the event loop on which it was opened, and does not survive a fork. Changes to the table made
    by others meanwhile are noticed before anything is committed.

    Attributes:
        paths: ``"copy"``, ``"unnest"`` and ``"executemany"`` attempts, in which no row had to be looked at by itself;
            and ``"careful"`` ones, in which every row was.
    """

    name: ClassVar[str] = errors.BACKEND
    capabilities: ClassVar[Capabilities] = Capabilities(settles=True, isolates=True)
    limits: ClassVar[Limits] = Limits(
        max_batch_size=5000,
        max_batch_bytes=16 * 2**20,
        concurrency=2,
        max_queue_size=20_000,
        max_queue_bytes=64 * 2**20,
    )

    def __init__(
        self,
        dsn_or_pool: str | Pool,
        table: str,
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
        method: Method = "auto",
        connect_timeout: float = 10.0,
        ssl: tls.SSLContext | str | bool | None = None,
        server_settings: Mapping[str, str] | None = None,
        statement_cache_size: int | None = None,
    ) -> None:
        """Check the options; nothing is opened.

        Args:
            dsn_or_pool: A URL such as ``"postgresql://user:password@host:5432/database"``, for connections of the
                backend's own; or your own ``asyncpg.Pool``, from which each batch borrows a connection, and which is
                left open.
            table: The table, or a view; ``schema.table`` for one outside of the search path. A name is taken as it is
                written: ``Events`` is no ``events``.
            columns: The columns that a plain tuple stands for, and to which object rows are cut.
            on_conflict: What happens to a row whose key is already there. A row that meets another in any other unique
                column is rejected, whatever is said here.
            conflict_columns: The key: columns of a primary key, or of a unique index without WHERE; by default the
                primary key.
            update_columns: What an update sets: by default all that the row has beside its key. Names; or a mapping of
                column to SQL expression, in which ``t`` is the row that is there and ``excluded`` the new one, as in
                ``{"n": "t.n + excluded.n"}``. A named column that a row leaves out stays as it is.
            update_where: An SQL expression of ``t`` and ``excluded`` that says whether to update at all.
            returning: Columns to give back for each written row.
            ledger: Whether each batch leaves its identity in a table beside the target, so that named work is stored
                once, and a lost answer can be settled also after a crash or a failover.
            ledger_table: The ledger's table, in the target's schema. It is made if it is not there:
                ``bulkwriter.ledger.ddl("postgresql")``.
            ledger_retention: Seconds after which an entry may be deleted.
            method: How rows are written that can be written quickly: ``"auto"`` chooses by table and options;
                ``"copy"``, ``"unnest"`` and ``"executemany"`` force one way.
            connect_timeout: Seconds that connecting may take, or borrowing a connection from your pool.
            ssl: As ``asyncpg.connect`` takes it; the URL's ``sslmode=`` does as well.
            server_settings: Settings of each new session, such as ``{"synchronous_commit": "off"}``.
            statement_cache_size: As ``asyncpg.connect`` takes it. By default asyncpg's own, or 0 where a pooler such as
                PgBouncer is found to stand in between.

        Raises:
            MisconfigurationError: An option is wrong; the message says what would be right.
        """
        self._options = opt.checked(
            dsn_or_pool=dsn_or_pool,
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
            method=method,
            connect_timeout=connect_timeout,
            ssl=ssl,
            server_settings=server_settings,
            statement_cache_size=statement_cache_size,
        )
        super().__init__(self._options)

    async def _open(self) -> None:
        parts = Parts(self._options, self.paths)
        try:
            await parts.open()
        except driver.OPENING_ERRORS as error:
            await parts.connections.close(force=True)
            told = errors.not_opened(error, self.table)
            # What cannot be read of a URL is quoted, and may be its password.
            raise told from (None if isinstance(error, ValueError) else told.__cause__)
        except BaseException:
            await parts.connections.close(force=True)
            raise
        self._parts = parts
        key = identifying_key(parts.table, self._options)
        self._enter(key, is_exact=is_exact([parts.table.column(name) for name in key]))

    async def close(self, *, force: bool = False) -> None:
        """Close the backend's own connections. The backend can be opened again.

        Args:
            force: Drop them, also those that are in use.
        """
        parts = self._leave()
        if parts is not None:
            await parts.connections.close(force=force)

    def plan(self, operation: Operation, columns: tuple[str, ...]) -> Plan:
        """Return how rows of these columns are written.

        Raises:
            MisconfigurationError: The table has no such column, or the operation is not possible on it.
        """
        if self._parts is None:
            self._refuse("plan() before open()")
        statements = self._parts.new_statements(operation, columns)
        self._parts.path_for(statements)
        reader = self._parts.key_reader_for(statements)
        if reader is None:
            return KeyedPlan(operation, columns, None)
        return KeyedPlan(operation, columns, reader.read, reader.read_all)

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write one batch; bad rows are found on the way.

        Returns:
            A verdict for every row.

        Raises:
            MisconfigurationError: The backend is closed, or belongs to another event loop or process.
        """
        return await Attempting(self._open_parts()).attempt(attempt)

    async def settle(self, attempt: Attempt) -> Reply:
        """Find out what became of an attempt that left rows doubtful.

        Returns:
            A verdict for every row.

        Raises:
            NotWrittenError: The database cannot be asked now.
        """
        return await Settling(self._open_parts()).settle(attempt)

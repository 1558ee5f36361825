"""MySQL and MariaDB as a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bulkwriter.backends.mysql import driver, errors
from bulkwriter.backends.mysql import options as opt
from bulkwriter.backends.mysql.attempting import Attempting
from bulkwriter.backends.mysql.keys import is_exact
from bulkwriter.backends.mysql.parts import Parts
from bulkwriter.backends.mysql.settling import Settling
from bulkwriter.backends.mysql.statements import identifying_key
from bulkwriter.contract import Capabilities, Limits, OnConflict, Operation, Plan
from bulkwriter.ledger import DEFAULT_RETENTION, DEFAULT_TABLE
from bulkwriter.sql import KeyedPlan, ServerBackend

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from bulkwriter.backends.mysql.driver import Connection
    from bulkwriter.backends.mysql.options import Isolation
    from bulkwriter.contract import Attempt, Reply


class MySQLBackend(ServerBackend[Parts]):
    """Writes to a table of a MySQL (5.7 or later) or MariaDB (10.3 or later) database, through aiomysql.

    A batch is a transaction of a few multi-row INSERTs, built a column at a time, and each sent while the next one is
    built. Bad rows are found in a handful of round trips, however many there are, and the others are committed. Nothing
    is ever stored as something else than it was given: sessions are strict, there is no INSERT IGNORE, and a warning
    that a value was changed makes an error of it.

    Each row hears exactly what became of it. A COMMIT whose answer was lost is settled by the ledger; without one its
    rows are unknown. Which Python values a column takes says ``bulkwriter.backends.mysql.kinds``.

    The backend belongs to the event loop on which it was opened, and does not survive a fork.

    Attributes:
        paths: ``"error"``, ``"skip"``, ``"update"`` and ``"delete"`` attempts, in which no row had to be looked at by
            itself; and ``"careful"`` ones, in which some had.
    """

    name: ClassVar[str] = errors.BACKEND
    capabilities: ClassVar[Capabilities] = Capabilities(isolates=True)
    limits: ClassVar[Limits] = Limits(
        max_batch_size=2000,
        max_batch_bytes=8 * 2**20,
        concurrency=2,
        max_queue_size=20_000,
        max_queue_bytes=64 * 2**20,
    )

    def __init__(
        self,
        url_or_connect_function: str | Callable[[], Awaitable[Connection]],
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
        ssl: tls.SSLContext | bool | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 90.0,
        sql_mode: str = opt.STRICT,
        isolation: Isolation = "READ COMMITTED",
        time_zone: str | None = opt.UTC,
        session: Mapping[str, str] | None = None,
    ) -> None:
        """Check the options; nothing is opened.

        Args:
            url_or_connect_function: A URL such as ``"mysql://user:password@host:3306/database"``, also with
                ``?unix_socket=/run/mysqld/mysqld.sock``; or a function without arguments that returns a new
                ``aiomysql.Connection``, such as ``lambda: aiomysql.connect(...)``. The connections are the backend's
                own, which sets up each of them and closes it.
            table: The table, or a view; ``database.table`` for one in another database.
            columns: The columns that a plain tuple stands for, and to which object rows are cut.
            on_conflict: What happens to a row whose key is already there. A row that meets another in any other unique
                column is rejected, whatever is said here.
            conflict_columns: The key: columns of a primary key, or of a unique index of whole columns; by default the
                primary key.
            update_columns: What an update sets: by default all that the row has beside its key. Names; or a mapping of
                column to SQL expression, in which ``t`` is the row that is there and ``excluded`` the new one, as in
                ``{"n": "t.n + excluded.n"}``. A named column that a row leaves out stays as it is.
            update_where: An SQL expression of ``t`` and ``excluded`` that says whether to update at all.
            returning: Columns to give back for each written row.
            ledger: Whether each batch leaves its identity in a table beside the target, so that a lost answer can be
                settled, and named work is stored once.
            ledger_table: The ledger's table, in the target's database. It is made if it is not there:
                ``bulkwriter.ledger.ddl("mysql")``.
            ledger_retention: Seconds after which an entry may be deleted.
            ssl: An ``ssl.SSLContext`` to connect with; ``True`` for one that checks the server's certificate by the
                system's authorities. A server without TLS is then refused.
            connect_timeout: Seconds that connecting may take.
            read_timeout: Seconds to wait for an answer, after which the connection is dropped.
            sql_mode: The sessions' SQL mode. In one that is not strict, rows that MySQL changes to make them fit are
                rejected all the same, in more round trips.
            isolation: The sessions' isolation level.
            time_zone: The sessions' time zone, in which ``TIMESTAMP`` columns are written and ``NOW()`` is told;
                ``None`` leaves the server's. In any but UTC, columns of this type take no ``datetime`` with a zone.
            session: Further session variables by their names, with what they are set to as SQL, such as
                ``{"innodb_lock_wait_timeout": "5"}``.

        Raises:
            MisconfigurationError: An option is wrong; the message says what would be right.
        """
        self._options = opt.checked(
            url_or_connect_function=url_or_connect_function,
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
            ssl=ssl,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            sql_mode=sql_mode,
            isolation=isolation,
            time_zone=time_zone,
            session=session,
        )
        super().__init__(self._options)

    async def _open(self) -> None:
        parts = Parts(self._options, self.paths)
        try:
            await parts.open()
        except driver.OPENING_ERRORS as error:
            await parts.connections.close(force=True)
            told = errors.not_written(error, self.table, "opening it")
            raise told from told.__cause__
        except BaseException:
            await parts.connections.close(force=True)
            raise
        self._parts = parts
        key = identifying_key(parts.table, self._options)
        self._enter(key, is_exact=is_exact([parts.table.column(name) for name in key]))

    async def close(self, *, force: bool = False) -> None:
        """Close the backend's connections. The backend can be opened again.

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
        plan = KeyedPlan(operation, columns, None)
        plan.read_key = self._parts.key_reader_for(self._parts.statements_for(plan))
        return plan

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write one batch; bad rows are found on the way.

        Returns:
            A verdict for every row.

        Raises:
            MisconfigurationError: The backend is closed, or belongs to another event loop or process.
        """
        attempting = attempt.token = Attempting(self._open_parts(), attempt)
        return await attempting.reply()

    async def settle(self, attempt: Attempt) -> Reply:
        """Find out what became of an attempt that left rows doubtful.

        Returns:
            A verdict for every row.

        Raises:
            NotWrittenError: The database cannot be asked now.
        """
        return await Settling(self._open_parts()).settle(attempt)

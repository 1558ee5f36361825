"""The connection, as the backend's thread uses it: connect, check, and transactions whose end is known."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import random
import sqlite3
import time
from typing import TYPE_CHECKING, Final, TypeVar

from bulkwriter.backends.sqlite import target
from bulkwriter.backends.sqlite.errors import is_busy, refuse
from bulkwriter.backends.sqlite.statements import Statements, identifying_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkwriter.backends.sqlite.book import Book
    from bulkwriter.backends.sqlite.options import Options
    from bulkwriter.contract import Operation, Plan

ResultT = TypeVar("ResultT")

logger: logging.Logger = logging.getLogger("bulkwriter.sqlite")

OLDEST: Final = (3, 35, 0)
"""The first SQLite with RETURNING. Upsert came with 3.24."""

# SQLite waits for a lock with ever longer sleeps, up to 100 ms each: who has waited longest asks most rarely. Starting
# over every 50 ms keeps many processes fair to each other, and lets a waiting thread see that it is to stop.
_BUSY_QUANTUM: Final = 0.05
_BUSY_PAUSE: Final = 0.004
_CACHED_STATEMENTS: Final = 256
_MOST_PLANS: Final = 128


class GaveUpError(Exception):
    """The attempt was given up before its commit; nothing is written."""


class Session:
    """One connection, used on one thread.

    Args:
        options: What the caller asked for.
        book: The ledger, if there is one.

    Attributes:
        latest: The target as it was when it was last looked up; to be read from any thread.
        variables: How many values SQLite takes in one statement.
        before_long: Called before anything that may take long in SQLite.
    """

    def __init__(self, options: Options, book: Book | None = None) -> None:
        self._options = options
        self._book = book
        self._connection: sqlite3.Connection | None = None
        self._table: target.Table | None = None
        self.latest: target.Table | None = None
        self._statements: dict[tuple[Operation, tuple[str, ...], tuple[str, ...]], Statements] = {}
        self._is_ending = False
        self._file: tuple[int, int] | None = None
        self.variables: int = 999
        self.before_long: Callable[[], None] = _nothing

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection."""
        assert self._connection is not None
        return self._connection

    @property
    def table(self) -> target.Table:
        """The target, as of the last ``begin``."""
        assert self._table is not None
        return self._table

    # -- open and close

    def open(self) -> None:
        """Connect, unless that is done, and read the target.

        Raises:
            MisconfigurationError: There is no such table, or an option does not fit it.
            sqlite3.Error: SQLite's own reason.
        """
        if self._connection is None:
            self._connect()

    def close(self) -> None:
        """Close the connection; what it had not committed is gone."""
        connection, self._connection = self._connection, None
        self._table = None
        self._statements.clear()
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                logger.warning("table %s: closing the connection failed", self._options.table, exc_info=True)

    def interrupt(self) -> None:
        """End what is running, from another thread: the statement now, the transaction before its next one."""
        self._is_ending = True
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it was closed in the meantime
                connection.interrupt()

    def check_ending(self) -> None:
        """Raise ``GaveUpError`` if the session has been interrupted."""
        if self._is_ending:
            raise GaveUpError

    def _connect(self) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            message = f"SQLite must be at least {'.'.join(map(str, OLDEST))}, not {sqlite3.sqlite_version}"
            refuse(message, self._options.table)
        self._connection = _connected(self._options)
        try:
            self._configure()
            self._patiently(self._read_target, None)
            self._check_writable()
            self._set_journal_mode()
            schema = target.quoted(self.table.schema)
            self.connection.execute(f"PRAGMA {schema}.synchronous = {self._options.synchronous}")
            if self._book is not None:
                self._create_ledger(self._book)
            self.connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_QUANTUM * 1000)}")
        except BaseException:
            self.close()
            raise
        self._file = self._file_now()

    def _configure(self) -> None:
        connection, options = self.connection, self._options
        if hasattr(connection, "autocommit"):  # Python 3.12: a caller's function may have said False
            connection.autocommit = True
        connection.isolation_level = None
        connection.row_factory = None
        connection.text_factory = str
        self.variables = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        # While it is opened, everything waits for locks; later only what begins or ends a transaction can meet one.
        connection.execute(f"PRAGMA busy_timeout = {int(options.busy_timeout * 1000)}")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if options.foreign_keys else 'OFF'}")
        if options.setup:
            connection.executescript(options.setup)

    def _set_journal_mode(self) -> None:
        connection, wanted, schema = self.connection, self._options.journal_mode, self.table.schema
        if wanted is None:
            return
        sql = f"PRAGMA {target.quoted(schema)}.journal_mode = {wanted}"
        (mode,) = self._patiently(lambda: connection.execute(sql).fetchone(), None)
        files = {name: file for _, name, file in connection.execute("PRAGMA database_list")}
        if mode.upper() == wanted or not files[schema]:
            return  # a database without a file has no journal to speak of
        message = f"journal_mode {wanted} cannot be had here: the database stays in {mode}. Give journal_mode=None"
        refuse(message, self._options.table)

    def _check_writable(self) -> None:
        """Write the database's header and take it back: says that file and folder can be written, while nothing is."""
        connection = self.connection
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"), None)
        try:
            self.touch()
        finally:
            connection.execute("ROLLBACK")

    def _create_ledger(self, book: Book) -> None:
        connection, schema = self.connection, self.table.schema
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"), None)
        try:
            book.create(connection, schema)
            self.commit()
        except BaseException:
            self.rollback()
            raise
        self._table = target.find_table(connection, self._options.table)

    def touch(self) -> None:
        """Write the database's header as it is."""
        connection, schema = self.connection, target.quoted(self.table.schema)
        (version,) = connection.execute(f"PRAGMA {schema}.user_version").fetchone()
        connection.execute(f"PRAGMA {schema}.user_version = {version}")

    @property
    def journal_mode(self) -> str:
        """The journal mode of the database that the target is in, in small letters."""
        schema = target.quoted(self.table.schema)
        return str(self.connection.execute(f"PRAGMA {schema}.journal_mode").fetchone()[0])

    # -- the target

    def statements_for(self, plan: Plan, *, trace: tuple[str, ...] = ()) -> Statements:
        """Return the SQL for a plan on the table as it is now.

        Raises:
            MisconfigurationError: The table is not, or no longer, as the plan needs it.
        """
        key = (plan.operation, plan.columns, trace)
        known = self._statements.get(key)
        if known is None:
            if len(self._statements) >= _MOST_PLANS:
                self._statements.clear()
            known = Statements(
                self.table, self._options, plan.operation, plan.columns, variables=self.variables, trace=trace
            )
            self._statements[key] = known
        return known

    def _read_target(self) -> None:
        """Look up the target; if it does not fit, what is known stays as it was, and is looked up again next time."""
        self._statements.clear()
        table = target.find_table(self.connection, self._options.table)
        check_options(table, self._options)
        self._check_sql(table)
        self._table = self.latest = table

    def _check_sql(self, table: target.Table) -> None:
        """Have SQLite compile what will be run, so that a wrong expression is told now."""
        statements = Statements(table, self._options, "insert", table.writable, variables=self.variables)
        try:
            self.connection.execute(f"EXPLAIN {statements.sql(1)}", [None] * statements.width)
        except (sqlite3.Error, sqlite3.Warning) as error:  # a warning in 3.11: more than one statement
            message = f"table {table.label}: SQLite does not accept these options on it: {error}"
            refuse(message, table.label, error.with_traceback(None))

    def compiles(self, sql: str, values: int) -> bool:
        """Whether SQLite can compile a statement: if so, what it failed with lies in the values."""
        try:
            self.connection.execute(f"EXPLAIN {sql}", [None] * values)
        except sqlite3.Error:
            return False
        return True

    # -- transactions

    def begin(self, gave_up: Callable[[], bool]) -> None:
        """Begin to write: connect if need be, take the lock, and see that the target is as it was.

        Raises:
            GaveUpError: ``gave_up`` became true while waiting.
            MisconfigurationError: The file or the table is gone, or no longer fits.
            sqlite3.Error: SQLite's own reason; nothing has begun.
        """
        self._check_file()
        self.open()
        connection = self.connection
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"), gave_up)
        if target.schema_version(connection, self.table.schema) != self.table.version:
            self._read_target()

    def commit(self) -> None:
        """End the transaction; when this returns, it is committed.

        Raises:
            sqlite3.Error: It is not: the transaction is still open, or has been rolled back.
        """
        connection = self.connection
        # In a rollback journal, readers can hold up a commit. The transaction stays open, and can be committed later.
        self._patiently(lambda: connection.execute("COMMIT"), None)

    def rollback(self) -> None:
        """Undo what is open. A connection that cannot even do that is closed, which undoes it as well."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()

    def _patiently(self, act: Callable[[], ResultT], gave_up: Callable[[], bool] | None) -> ResultT:
        """Do something that needs a lock, again and again while somebody else holds it, for ``busy_timeout``."""
        patience = time.monotonic() + self._options.busy_timeout
        while True:
            try:
                return act()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() >= patience:
                    raise
            self.check_ending()
            self.before_long()
            if gave_up is not None and gave_up():
                raise GaveUpError
            # Some kinds of "busy" are told at once, without a wait.
            time.sleep(random.uniform(0.0, _BUSY_PAUSE))  # noqa: S311 - spreads load, guards no secret

    # -- the file

    def _check_file(self) -> None:
        """Notice that somebody has moved, deleted or replaced the file: SQLite would go on writing to the old one."""
        if self._connection is not None and self._file != self._file_now():
            self.close()

    def _file_now(self) -> tuple[int, int] | None:
        path = self._options.path
        if not isinstance(path, str) or self._options.is_in_memory or self._options.uri:
            return None
        try:
            status = os.stat(path)  # noqa: PTH116 - once a batch, and a Path costs as much again
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _nothing() -> None:
    """Do nothing: nobody waits for an answer yet."""


def _connected(options: Options) -> sqlite3.Connection:
    path = options.path
    if not isinstance(path, str):
        connection = path()
        if isinstance(connection, sqlite3.Connection):
            return connection
        message = f"path() must return a sqlite3.Connection, not {type(connection).__name__}"
        refuse(message, options.table)
    name = path
    if not options.uri and not options.is_in_memory:
        # A mistyped path must not leave an empty database behind; with setup= the file may be new.
        name = f"{pathlib.Path(path).as_uri()}?mode={'rwc' if options.setup else 'rw'}"
    return sqlite3.connect(
        name,
        timeout=_BUSY_QUANTUM,
        isolation_level=None,
        check_same_thread=False,  # interrupt() comes from the event loop's thread
        cached_statements=_CACHED_STATEMENTS,
        uri=True,
    )


def check_options(table: target.Table, options: Options) -> None:
    """Check the options against the table.

    Raises:
        MisconfigurationError: They do not fit; the message says what would be right.
    """
    for name in options.columns or ():
        table.writable_column(name)
    for name in options.returning:
        table.column_named(name)
    for name in options.update_columns or ():
        table.writable_column(name)
    key = identifying_key(table, options)
    if options.on_conflict != "error" and key is None:
        message = f"table {table.label} has no primary key: on_conflict={options.on_conflict!r} needs conflict_columns"
        refuse(message, table.label)

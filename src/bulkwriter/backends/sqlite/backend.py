"""SQLite as a target."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from bulkwriter.backends.sqlite import options as opt
from bulkwriter.backends.sqlite.attempting import Attempting, given_up
from bulkwriter.backends.sqlite.book import Book
from bulkwriter.backends.sqlite.errors import BACKEND, not_written
from bulkwriter.backends.sqlite.keys import KeyReader, is_exact
from bulkwriter.backends.sqlite.session import Session
from bulkwriter.backends.sqlite.statements import Statements, identifying_key
from bulkwriter.backends.sqlite.thread import Job, Worker, tell
from bulkwriter.contract import Capabilities, Doubtful, Limits, NotApplied, OnConflict, Operation, Plan, Uniform
from bulkwriter.ledger import DEFAULT_RETENTION, DEFAULT_TABLE
from bulkwriter.sql import KeyedPlan, SQLBackend

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from bulkwriter.backends.sqlite.target import Table
    from bulkwriter.contract import Attempt, Reply

# How long close(force=True) waits for the statement that it has interrupted, in seconds.
_FORCED_PATIENCE: Final = 0.25


class SQLiteBackend(SQLBackend):
    """Writes to a table of an SQLite database, through the standard library's ``sqlite3`` on a thread of its own.

    A batch is one transaction of multi-row statements. Rows that the database refuses are found on the way, in few
    statements, and the others are committed with it. The event loop never waits for the file.

    Each row hears exactly what became of it: ``INSERTED``, ``UPDATED``, ``UNCHANGED`` (``update_where`` declined) or
    ``SKIPPED``; a row that a trigger swallows is rejected. An attempt that was given up is settled by its true end,
    with or without a ledger. How Python's values are stored, and which are refused because SQLite would change them in
    silence (NaN, integers beyond 64 bits), says ``bulkwriter.backends.sqlite.values``; what a column's own type makes
    of a value is SQLite's affair: https://www.sqlite.org/datatype3.html.

    Any number of processes may write to one file. Within a process, several backends may as well; each has its thread
    and its connection, and they take turns. The backend belongs to the event loop on which it was opened, and does not
    survive a fork. SQLite 3.35 or later is needed.

    Changes to the table made by others meanwhile are noticed before the next batch.

    Attributes:
        paths: ``"multi-row"`` attempts, in which no row had to be looked at by itself; ``"row by row"`` ones, in which
            some had; ``"careful"`` ones, in which every row was.
    """

    name: ClassVar[str] = BACKEND
    capabilities: ClassVar[Capabilities] = Capabilities(settles=True)
    limits: ClassVar[Limits] = Limits(
        max_batch_size=2048,
        max_batch_bytes=16 * 2**20,
        concurrency=2,
        max_queue_size=20_000,
        max_queue_bytes=64 * 2**20,
    )

    def __init__(
        self,
        path: str | os.PathLike[str] | Callable[[], sqlite3.Connection],
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
        setup: str = "",
        busy_timeout: float = 5.0,
        journal_mode: Literal["WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"] | None = "WAL",
        synchronous: Literal["OFF", "NORMAL", "FULL", "EXTRA"] = "NORMAL",
        foreign_keys: bool = True,
        uri: bool = False,
    ) -> None:
        """Check the options; nothing is opened, and no thread is started.

        Args:
            path: The database's file, which must exist unless ``setup`` is given; ``":memory:"`` for a database of the
                backend's own, which is gone when it is closed; or a function without arguments that returns a new
                ``sqlite3.Connection``, such as one with functions or collations of your own. The function is called on
                the backend's thread, and the backend closes the connection.
            table: The table, or a view with INSTEAD OF triggers; ``schema.table`` for an attached database.
            columns: The columns that a plain tuple stands for, and to which object rows are cut.
            on_conflict: What happens to a row whose key is already there. A row that meets another in any other unique
                column is rejected, whatever is said here.
            conflict_columns: The key: columns of a primary key, or of a unique index without WHERE; by default the
                primary key.
            update_columns: What an update sets: by default all that the row has beside its key. Names; or a mapping of
                column to SQL expression, in which ``t`` is the row that is there and ``excluded`` the new one, as in
                ``{"n": "t.n + excluded.n"}``. A named column that a row leaves out stays as it is.
            update_where: An SQL expression of ``t`` and ``excluded`` that says whether to update at all.
            returning: Columns to give back for each written row, ``"rowid"`` and generated ones included.
            ledger: Whether each batch leaves its identity in a table of the same database, so that named work is
                stored once, and a commit that fails half-way can be settled in any journal mode.
            ledger_table: The ledger's table. It is made if it is not there: ``bulkwriter.ledger.ddl("sqlite")``.
            ledger_retention: Seconds after which an entry may be deleted.
            setup: SQL to run on each new connection before anything else, such as ``ATTACH``, pragmas, or ``CREATE
                TABLE IF NOT EXISTS``. With it, a file that is not there is made.
            busy_timeout: Seconds to wait for other writers' locks within one attempt; the writer then tries again, by
                its ``RetryPolicy``.
            journal_mode: Set at open, and kept by the file. With ``"WAL"`` readers and writers do not wait for each
                other, but it needs a file system on one machine. ``None`` leaves the file as it is.
            synchronous: ``"NORMAL"`` survives the end of the process, however sudden; but with WAL the last batches
                before a power failure may be lost, although they were said to be stored. ``"FULL"`` waits for the disk
                with every batch.
            foreign_keys: Whether foreign keys are enforced; SQLite by itself would not.
            uri: Whether ``path`` is a URI, such as ``"file:events.db?vfs=unix-dotfile"``.

        Raises:
            MisconfigurationError: An option is wrong; the message says what would be right.
        """
        self._options = opt.checked(
            path=path,
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
            setup=setup,
            busy_timeout=busy_timeout,
            journal_mode=journal_mode,
            synchronous=synchronous,
            foreign_keys=foreign_keys,
            uri=uri,
        )
        super().__init__(self._options)
        self._worker: Worker | None = None
        self._session: Session | None = None
        self._attempting: Attempting | None = None
        self._forgotten: weakref.finalize[..., Any] | None = None

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        book = Book(self._options) if self.ledger else None
        session = Session(self._options, book)
        table = self.table
        worker = Worker(f"bulkwriter sqlite {table}", session.close, lambda: given_up(table))
        session.before_long = worker.tell
        try:
            target = await worker.submit(lambda _: self._opened(session), loop).wait()
        except BaseException:
            worker.stop()
            raise
        self._session, self._worker = session, worker
        self._attempting = Attempting(session, book, self._options, self.paths)
        # A backend that nobody closed: without it, its thread would wait for ever, with the file open.
        self._forgotten = weakref.finalize(self, worker.stop)
        self._forgotten.atexit = False
        key = identifying_key(target, self._options)
        self._enter(() if key is None else key.columns, is_exact=key is None or is_exact(key))

    def _opened(self, session: Session) -> Table:
        """Open the session, on its thread."""
        try:
            session.open()
        except sqlite3.Error as error:
            told = not_written(error, self.table, "opening the database")
            raise told from told.__cause__
        return session.table

    async def close(self, *, force: bool = False) -> None:
        """Close the connection and end the thread. The backend can be opened again.

        Args:
            force: Interrupt the statement that is running, whose transaction is then rolled back, and do not wait for
                more than a moment.
        """
        worker, session = self._worker, self._session
        self.is_open = False
        self._worker = self._session = self._attempting = None
        if worker is None or session is None:
            return
        if self._forgotten is not None:
            self._forgotten.detach()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        worker.stop(abort=force, then=lambda: tell(loop, ended.set))
        if force:
            session.interrupt()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FORCED_PATIENCE if force else None):
                await ended.wait()

    def plan(self, operation: Operation, columns: tuple[str, ...]) -> Plan:
        """Return how rows of these columns are written.

        Raises:
            MisconfigurationError: The table has no such column, or the operation is not possible on it.
        """
        if self._session is None or self._session.latest is None:
            self._refuse("plan() before open()")
        table = self._session.latest
        statements = Statements(table, self._options, operation, columns, variables=len(columns) or 1)
        key, read_key = statements.key, None
        if key is not None and statements.key_places:
            read_key = KeyReader(table, key, statements.key_places).read
        return KeyedPlan(operation, columns, read_key)

    async def attempt(self, attempt: Attempt) -> Reply:
        """Write one batch in one transaction; bad rows are found on the way.

        Returns:
            A verdict for every row.

        Raises:
            MisconfigurationError: The backend is closed, or belongs to another event loop or process.
        """
        attempting, worker, loop = self._open_parts()
        job = worker.submit(lambda gave_up: attempting.attempt(attempt, gave_up), loop)
        attempt.token = job
        reply = await job.wait()
        if worker.is_busy:
            # It is about to begin its next statement, and needs Python's lock for that: were the next batch prepared
            # here first, the thread would wait for it, and the two would never work at the same time.
            await asyncio.sleep(0)
        return reply

    async def settle(self, attempt: Attempt) -> Reply:
        """Wait for the true end of an attempt that was given up; one that had not begun never will.

        Returns:
            Its verdicts.
        """
        job: Job[Reply] | None = attempt.token
        if job is None or job.withdraw():
            return Uniform(NotApplied(given_up(self.table)), len(attempt.rows))
        reply = await job.wait()
        if not (isinstance(reply, Uniform) and isinstance(reply.verdict, Doubtful)):
            return reply
        attempting, worker, loop = self._open_parts()
        return await worker.submit(lambda gave_up: attempting.settle(attempt, gave_up), loop).wait()

    def _open_parts(self) -> tuple[Attempting, Worker, asyncio.AbstractEventLoop]:
        if self._attempting is None or self._worker is None:
            self._refuse("the backend is not open")
        return self._attempting, self._worker, self._check_here()

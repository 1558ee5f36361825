"""What an open backend is made of: the table, connections to it, and what was made for each set of columns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.postgres import parameters
from bulkwriter.backends.postgres.book import Book
from bulkwriter.backends.postgres.careful import Loop
from bulkwriter.backends.postgres.connections import Connections
from bulkwriter.backends.postgres.encoder import Encoder
from bulkwriter.backends.postgres.errors import refuse
from bulkwriter.backends.postgres.keys import KeyReader
from bulkwriter.backends.postgres.statements import Statements, identifying_key
from bulkwriter.backends.postgres.target import Table, find_table
from bulkwriter.errors import BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkwriter.backends.postgres.driver import Connection
    from bulkwriter.backends.postgres.options import Options
    from bulkwriter.contract import Operation, Plan

FEW_ROWS: Final = 20
"""So many rows of a plain insert, and fewer, take a round trip less by an array for each column than by COPY."""

_MOST_PLANS: Final = 128


class Parts:
    """All that attempts share.

    Args:
        options: What the caller asked for.
        paths: Counts, for each way of writing, the attempts that took it.

    Attributes:
        options: The same.
        connections: Where sessions come from.
        table: The target, as it was when it was last looked up.
        book: The ledger, if there is one.
        encoding: Held by the batch that is being encoded.
    """

    table: Table

    def __init__(self, options: Options, paths: dict[str, int]) -> None:
        self.options: Options = options
        self.connections: Connections = Connections(options)
        self.book: Book | None = None
        self.encoding: asyncio.Lock = asyncio.Lock()
        self._paths = paths
        self._statements: dict[tuple[Operation, tuple[str, ...]], Statements] = {}
        self._made: dict[tuple[str, Statements], Any] = {}
        self._troubled: set[Statements] = set()

    async def open(self) -> None:
        """Connect, and check everything.

        Raises:
            MisconfigurationError: The target, or an option for it, is wrong.
            BackendUnavailableError: The server takes no writes now.
            Exception: Whatever asyncpg raises.
        """
        async with self.connections.session() as session:
            connection = session.connection
            self.table = await find_table(connection, self.options.table)
            await self._check(connection)
            if self.options.ledger:
                self.book = Book(self.options, self.table.schema)
                await self.book.create(connection)

    async def refresh(self, connection: Connection, seen: Table) -> bool:
        """Look the table up again; return whether it is another than it was seen before.

        Raises:
            MisconfigurationError: It is gone, or no longer fits the options.
        """
        table = await find_table(connection, self.options.table)
        if table != self.table:
            await connection.reload_schema_state()
            self.table = table
            self._statements.clear()
            self._made.clear()
            self._troubled.clear()
        check_options(table, self.options)
        return table != seen

    def statements_for(self, plan: Plan) -> Statements:
        """Return the SQL for a plan on the table as it is known now.

        Raises:
            MisconfigurationError: The table is not, or no longer, as the plan needs it.
        """
        key = (plan.operation, plan.columns)
        known = self._statements.get(key)
        if known is None:
            if len(self._statements) >= _MOST_PLANS:
                self._statements.clear()
                self._made.clear()
                self._troubled.clear()
            known = self._statements[key] = self.new_statements(*key)
        return known

    def new_statements(self, operation: Operation, columns: tuple[str, ...]) -> Statements:
        """Return the SQL for rows of some columns on the table as it is known now.

        Raises:
            MisconfigurationError: The table is not, or no longer, as the options and these rows need it.
        """
        check_options(self.table, self.options)
        return Statements(self.table, self.options, operation, columns)

    def encoder_for(self, statements: Statements) -> Encoder:
        """Return what encodes rows for COPY."""
        found: Encoder = self._once("encoder", statements, lambda: Encoder(statements.names, statements.kinds))
        return found

    def loop_for(self, statements: Statements) -> Loop:
        """Return the loop that writes rows one by one."""
        is_bounded = self.book is None
        found: Loop = self._once("loop", statements, lambda: Loop(statements, is_bounded=is_bounded))
        return found

    def key_reader_for(self, statements: Statements) -> KeyReader | None:
        """Return what reads a row's key; ``None`` if rows do not have it whole."""
        if not statements.has_key:
            return None
        columns = [statements.columns[place] for place in statements.key_places]
        found: KeyReader = self._once("keys", statements, lambda: KeyReader(columns, statements.key_places))
        return found

    def told_key_reader_for(self, statements: Statements) -> KeyReader:
        """Return what reads the key of a row of the answer to ``Statements.insert_by_key``."""
        columns = [statements.columns[place] for place in statements.key_places]
        found: KeyReader = self._once("told", statements, lambda: KeyReader(columns, range(1, 1 + len(columns))))
        return found

    def _once(self, what: str, statements: Statements, make: Callable[[], Any]) -> Any:
        key = (what, statements)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def expects_bad_rows(self, statements: Statements) -> bool:
        """Whether the last batch had several bad rows: then the next one is hardly without."""
        return statements in self._troubled

    def note_bad_rows(self, statements: Statements, count: int) -> None:
        """Note how many bad rows a batch had."""
        if count > 1:
            self._troubled.add(statements)
        else:
            self._troubled.discard(statements)

    def count(self, path: str) -> None:
        """Count an attempt that took a path."""
        self._paths[path] = self._paths.get(path, 0) + 1

    # -- which way

    def can_write_quickly(self, statements: Statements) -> bool:
        """Whether many rows of a statement can be told apart afterwards: in a conflict, by their key."""
        return statements.on_conflict == "error" or statements.has_key

    def path_for(self, statements: Statements, rows: int = FEW_ROWS + 1) -> str:
        """Return the way in which so many rows are written where nothing speaks against it.

        Raises:
            MisconfigurationError: The way that was forced is not possible.
        """
        if statements.operation == "delete":
            return "unnest"
        method, why_not = self.options.method, why_no_copy(statements)
        if method == "copy" and why_not is not None:
            refuse(f'table {self.table.label}: method="copy" is not possible: {why_not}', self.table.label)
        if method == "executemany" and self.table.may_swallow_inserts:
            message = "a trigger may drop rows, and executemany does not tell"
            refuse(f'table {self.table.label}: method="executemany" is not possible: {message}', self.table.label)
        if method != "auto":
            return method
        is_plain = statements.on_conflict == "error" and not statements.returning
        may_be_copied = is_plain and why_not is None and not self.table.may_swallow_inserts
        return "copy" if may_be_copied and rows > FEW_ROWS else "unnest"

    # -- checks

    async def _check(self, connection: Connection) -> None:
        """Check the options against the table, and have the server read the SQL that is made of them."""
        table, options = self.table, self.options
        if await connection.fetchval("SELECT pg_catalog.current_setting('transaction_read_only')") == "on":
            message = f"table {table.label}: the server takes no writes now: it is a standby, or set to read only"
            raise BackendUnavailableError(message, backend="postgres", table=table.label)
        check_options(table, options)
        statements = Statements(table, options, "insert", _all_writable(table, options))
        self.path_for(statements)
        if statements.on_conflict == "error" and not statements.returning:
            return
        # Explained, not run: it says what is wrong with an expression, and which privileges are missing.
        sql = statements.insert(is_sorted=True) if self.can_write_quickly(statements) else ""
        if sql:
            await connection.fetch(f"EXPLAIN {sql}", *parameters.empty_arrays(statements))


def why_no_copy(statements: Statements) -> str | None:
    """Return why rows cannot be copied; ``None`` if they can."""
    table = statements.table
    if not table.is_table:
        return "it is no table"
    if table.has_row_security:
        return "it has row security"
    other = [column.name for column in statements.columns if not column.kind.has_binary]
    return f"no binary form is known here of the type of column {other[0]}" if other else None


def check_options(table: Table, options: Options) -> None:
    """Check the options against the table.

    Raises:
        MisconfigurationError: They do not fit; the message says what would be right.
    """
    for name in options.columns or ():
        table.writable_column(name)
    for name in options.returning:
        if not table.column(name).may_select:
            refuse(f"table {table.label}: no permission to select column {name!r}, which returning= needs", table.label)
    for name in options.update_columns or ():
        if table.column(name).is_generated:
            refuse(f"table {table.label}: column {name!r} is generated and cannot be updated", table.label)
    key = identifying_key(table, options)
    if options.on_conflict != "error":
        if not key:
            message = f"has no primary key: on_conflict={options.on_conflict!r} needs conflict_columns"
            refuse(f"table {table.label} {message}", table.label)
        # A primary key that is deferrable cannot be named in ON CONFLICT.
        table.unique_key(key)


def _all_writable(table: Table, options: Options) -> tuple[str, ...]:
    """Return the columns that rows may have; of those that cannot be copied it is told when a row has one."""
    if options.columns is not None:
        return options.columns
    writable = [column for column in table.columns.values() if column.may_insert and not column.is_generated]
    if options.method == "copy":
        writable = [column for column in writable if column.kind.has_binary] or writable
    return tuple(column.name for column in writable)

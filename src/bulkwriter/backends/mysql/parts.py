"""What an open backend is made of: the table, connections to it, and what was made for each set of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.mysql import driver
from bulkwriter.backends.mysql.book import Book
from bulkwriter.backends.mysql.connections import Connections
from bulkwriter.backends.mysql.errors import is_row_fault, refuse
from bulkwriter.backends.mysql.keys import KeyReader
from bulkwriter.backends.mysql.statements import Statements, identifying_key
from bulkwriter.backends.mysql.target import Table, find_table
from bulkwriter.errors import BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from bulkwriter.backends.mysql.options import Options
    from bulkwriter.backends.mysql.session import Server, Session
    from bulkwriter.contract import Operation, Plan

_MOST_PLANS: Final = 128


class Parts:
    """All that attempts share.

    Args:
        options: What the caller asked for.
        paths: Counts, for each way of writing, the attempts that took it.

    Attributes:
        options: The same.
        connections: Where sessions come from.
        server: What is at the other end.
        table: The target, as it was when it was last looked up.
        book: The ledger, if there is one.
        is_suspect: Whether the table must be looked up again before anything is written to it.
    """

    server: Server
    table: Table

    def __init__(self, options: Options, paths: dict[str, int]) -> None:
        self.options: Options = options
        self.connections: Connections = Connections(options)
        self.book: Book | None = None
        self.is_suspect: bool = False
        self._paths = paths
        self._statements: dict[tuple[Operation, tuple[str, ...]], Statements] = {}

    async def open(self) -> None:
        """Connect, and check everything.

        Raises:
            MisconfigurationError: The target, or an option for it, is wrong.
            BackendUnavailableError: The server takes no writes now.
            Exception: Whatever aiomysql raises.
        """
        async with self.connections.session() as session:
            self.server = session.server
            self.table = await find_table(session, self.options.table)
            if self.server.is_read_only:
                message = f"table {self.table.label}: the server takes no writes now: it is read-only"
                raise BackendUnavailableError(message, backend="mysql", table=self.table.label)
            await self._check(session)
            await session.rollback()
            if self.options.ledger:
                self.book = Book(self.options, self.table.schema)
                await self.book.create(session)

    async def refresh(self, session: Session, seen: Table) -> bool:
        """Look the table up again; return whether it is another than it was seen before.

        Raises:
            MisconfigurationError: It is gone, or no longer fits the options.
        """
        table = await find_table(session, self.options.table)
        await session.rollback()
        self.is_suspect = False
        if table != self.table:
            self.table = table
            self._statements.clear()
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
            known = self._statements[key] = Statements(self.table, self.options, self.server, *key)
        return known

    def key_reader_for(self, statements: Statements) -> Callable[[tuple[Any, ...]], Hashable | None] | None:
        """Return what reads a row's key; ``None`` if rows do not have it whole."""
        if not statements.has_key:
            return None
        places = statements.key_places
        return KeyReader([statements.columns[place] for place in places], places).read

    def count(self, path: str) -> None:
        """Count an attempt that took a path."""
        self._paths[path] = self._paths.get(path, 0) + 1

    async def _check(self, session: Session) -> None:
        """Check the options against the table, and have the server read the SQL that is made of them."""
        table, options = self.table, self.options
        check_options(table, options)
        statements = Statements(table, options, self.server, "insert", _all_writable(table, options))
        nothing = statements.template % tuple(["NULL"] * len(statements.names))
        tail = statements.tail.partition(" RETURNING ")[0] if statements.gives_back else statements.tail
        try:
            # Explained, not run: it says what is wrong with an expression, and which privileges are missing.
            await session.run(f"EXPLAIN {statements.head}{nothing}{tail}")
        except driver.Error as error:
            if not is_row_fault(error):
                raise


def check_options(table: Table, options: Options) -> None:
    """Check the options against the table.

    Raises:
        MisconfigurationError: They do not fit; the message says what would be right.
    """
    for name in options.columns or ():
        table.writable_column(name)
    for name in options.returning:
        if table.column(name).privileges and "select" not in table.column(name).privileges:
            refuse(f"table {table.label}: no permission to select column {name!r}, which returning= needs", table.label)
    for name in options.update_columns or ():
        if table.column(name).is_generated:
            refuse(f"table {table.label}: column {name!r} is generated and cannot be updated", table.label)
    key = identifying_key(table, options)
    if options.on_conflict != "error" and not key:
        message = f"has no primary key: on_conflict={options.on_conflict!r} needs conflict_columns"
        refuse(f"table {table.label} {message}", table.label)


def _all_writable(table: Table, options: Options) -> tuple[str, ...]:
    """Return the columns that rows may have."""
    if options.columns is not None:
        return options.columns
    writable = [column for column in table.columns.values() if not column.is_generated]
    may_insert = [column for column in writable if not column.privileges or "insert" in column.privileges]
    return tuple(column.name for column in may_insert or writable)

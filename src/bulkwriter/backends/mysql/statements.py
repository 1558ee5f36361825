"""The SQL for one plan on one table, made once: what comes before the rows, and what comes behind them."""

# ruff: noqa: S608 - SQL is what is made here, of names that are quoted and of the caller's own expressions

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.mysql import errors
from bulkwriter.backends.mysql.errors import refuse
from bulkwriter.backends.mysql.expressions import CycleError, columns_read, in_order, same, translated
from bulkwriter.backends.mysql.kinds import LOCAL_TIMESTAMP
from bulkwriter.backends.mysql.lookup import Lookup, matching
from bulkwriter.backends.mysql.options import UTC
from bulkwriter.backends.mysql.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backends.mysql.kinds import Kind
    from bulkwriter.backends.mysql.options import Options
    from bulkwriter.backends.mysql.session import Server
    from bulkwriter.backends.mysql.target import Column, Table
    from bulkwriter.contract import Operation
    from bulkwriter.errors import InvalidValueError

# The one way to raise an error in an expression. A NULL would not do: where a column must not be NULL, an update of
# ON DUPLICATE KEY sets it to 0 or '' without a word, in strict mode too.
FAIL: Final = "(SELECT 1 UNION SELECT 2)"


class Statements:
    """How rows of one plan are written.

    Attributes:
        table: The target.
        operation: ``"insert"`` or ``"delete"``.
        columns: The columns of a row's values.
        names: Their names.
        kinds: Their kinds.
        key: What identifies a row: ``conflict_columns``, else the primary key; empty if there is neither.
        has_key: Whether a row has all of it.
        mode: ``"error"``, ``"skip"`` or ``"update"``; ``"delete"``.
        returning: The columns to give back.
        gives_back: Whether the statement itself does so.
        head: What comes before the rows.
        template: A row, with ``%s`` for each value.
        between: What comes between two rows.
        tail: What comes behind them.
        expects_conflicts: Whether of a statement of the last batch some of the keys, and not all, were there already.
    """

    def __init__(
        self, table: Table, options: Options, server: Server, operation: Operation, columns: tuple[str, ...]
    ) -> None:
        """Work out the parts.

        Raises:
            MisconfigurationError: The table has no such column, or the operation is not possible on it.
        """
        self.table = table
        self.operation = operation
        self._options = options
        self._server = server
        if not columns:
            refuse(f"table {table.label}: a row must have at least one column", table.label)
        find = table.column if operation == "delete" else table.writable_column
        self.columns: tuple[Column, ...] = tuple(find(name) for name in columns)
        self.names: tuple[str, ...] = tuple(column.name for column in self.columns)
        self.kinds: tuple[Kind, ...] = tuple(map(self._kind, self.columns))
        self.key: tuple[str, ...] = identifying_key(table, options)
        self.has_key: bool = bool(self.key) and set(self.key) <= set(self.names)
        self.mode: str = "delete" if operation == "delete" else self._mode()
        self.returning: tuple[str, ...] = options.returning if operation == "insert" else ()
        self.gives_back: bool = bool(self.returning) and self.mode == "error" and server.has_returning
        self.head: str
        self.template: str
        self.between: str
        self.tail: str
        self.head, self.template, self.between, self.tail = self._delete() if operation == "delete" else self._insert()
        self.expects_conflicts: bool = False
        self._existing: Lookup | None = None
        self._written: Lookup | None = None
        if self.returning and not self.gives_back:
            self._check_returning()

    def refused(self, message: str, column: str | None) -> InvalidValueError:
        """Return what the caller hears of a value that its column cannot hold, and that was never sent."""
        return errors.refused(message, self.table.label, column)

    def _kind(self, column: Column) -> Kind:
        is_local = column.type_name == "timestamp" and self._options.time_zone != UTC
        return LOCAL_TIMESTAMP if is_local else column.kind

    @property
    def key_places(self) -> list[int]:
        """Where the columns of the key are among a row's values."""
        return [self.names.index(name) for name in self.key]

    @property
    def is_guarded(self) -> bool:
        """Whether a row could meet another one by something else than the key, which must be an error.

        Also where the table has no other unique key: one may be added at any time, and nothing would tell.
        """
        return self.mode in {"skip", "update"}

    @property
    def existing(self) -> Lookup:
        """How it is asked which keys are there; they are locked."""
        if self._existing is None:
            self._existing = Lookup(self.table, self.key, (), locks=True)
        return self._existing

    @property
    def written(self) -> Lookup:
        """How it is read what has been written."""
        if self._written is None:
            key = self.key if self.has_key else self._generated_key
            self._written = Lookup(self.table, key, self.returning, locks=False)
        return self._written

    @property
    def makes_keys(self) -> bool:
        """Whether the server makes the keys of rows that bring none."""
        return bool(self._generated_key)

    def lacks_generated_key(self, row: Sequence[Any]) -> bool:
        """Whether the server makes the key of a row."""
        (name,) = self._generated_key or ("",)
        return name not in self.names or row[self.names.index(name)] is None

    @property
    def _generated_key(self) -> tuple[str, ...]:
        key = self.table.primary_key
        is_generated = len(key) == 1 and self.table.column(key[0]).is_auto_increment
        return key if is_generated else ()

    def _check_returning(self) -> None:
        """See that rows can be found again once they have been written.

        Raises:
            MisconfigurationError: They cannot.
        """
        if self.has_key and not (self._generated_key and set(self.key) == set(self._generated_key)):
            return
        if not self._generated_key:
            refuse(f"table {self.table.label}: returning= needs rows with a key, or a generated one", self.table.label)
        if not self._server.is_genuine or not self.table.numbers_in_order:
            message = "the server is not known to number the rows of a statement one after the other, which returning= "
            refuse(f"table {self.table.label}: {message}needs for rows without a key", self.table.label)

    def _mode(self) -> str:
        mode = self._options.on_conflict
        if mode == "error" or self.has_key:
            return mode
        for name in self.key:
            column = self.table.column(name)
            if name not in self.names and not column.is_auto_increment and column.default is not None:
                message = f"rows must have column {name!r}, which belongs to the key, for on_conflict={mode!r}"
                refuse(f"table {self.table.label}: {message}", self.table.label)
        # The key is generated, or NULL: it is like no other's.
        return "error"

    def _insert(self) -> tuple[str, str, str, str]:
        names = ", ".join(map(quoted, self.names))
        head = f"INSERT INTO {self.table.sql_name} ({names}) VALUES "
        template = f"({', '.join(['%s'] * len(self.names))})"
        given_back = f" RETURNING {', '.join(map(quoted, self.returning))}" if self.gives_back else ""
        return head, template, ", ", self._conflict_clause() + given_back

    def _delete(self) -> tuple[str, str, str, str]:
        if set(self.names) != set(self.key):
            message = "rows are deleted by a primary key, or by conflict_columns"
            refuse(f"table {self.table.label}: {message}", self.table.label)
        head = f"DELETE FROM {self.table.sql_name} WHERE "
        if len(self.names) == 1:
            return f"{head}{quoted(self.names[0])} IN (", "%s", ", ", ")"
        return head, f"({matching(self.names)})", " OR ", ""

    # -- conflicts

    def _conflict_clause(self) -> str:
        if self.mode == "error":
            return ""
        alias = " AS excluded" if self._server.has_row_alias else ""
        assignments = self._updates() if self.mode == "update" else []
        return f"{alias} ON DUPLICATE KEY UPDATE {', '.join([self._guard(), *assignments])}"

    def _guard(self) -> str:
        """Return an assignment that changes nothing, and fails for a row that met another one than that of its key."""
        table = self.table
        column = next((name for name in self.key if not table.column(name).is_generated), None)
        column = column or next(found.name for found in table.columns.values() if not found.is_generated)
        held = f"{table.sql_name}.{quoted(column)}"
        is_same = same(table.sql_name, self.key, has_row_alias=self._server.has_row_alias)
        return f"{quoted(column)} = IF({is_same}, {held}, {FAIL})"

    def _updates(self) -> list[str]:
        updates = self._options.update_columns
        new = {name: self._new(name) for name in self.names}
        if isinstance(updates, dict):
            found = {self.table.writable_column(name).name: sql for name, sql in updates.items()}
        elif updates is None:
            found = {name: new[name] for name in self.names if name not in self.key}
        else:
            wanted = {self.table.column(name).name for name in updates}
            found = {name: new[name] for name in self.names if name in wanted}
        # A row of nothing but its key still replaces the one that is there.
        found = found or {name: new[name] for name in self.key}
        where = self._options.update_where
        read_by_all = set() if where is None else columns_read(where)
        try:
            order = in_order({name: columns_read(sql) | read_by_all for name, sql in found.items()})
        except CycleError:
            message = "MySQL sets one column after the other, and what is read of one that has been set is new: "
            message += "update_columns and update_where must not read two columns for each other's new values"
            refuse(f"table {self.table.label}: {message}", self.table.label)
        return [self._assignment(name, found[name]) for name in order]

    def _assignment(self, name: str, expression: str) -> str:
        value = self._in_terms(expression)
        if isinstance(self._options.update_columns, dict) and not self.table.column(name).is_nullable:
            value = f"COALESCE({value}, {FAIL})"
        if self._options.update_where is not None:
            held = f"{self.table.sql_name}.{quoted(name)}"
            value = f"IF({self._in_terms(self._options.update_where)}, {value}, {held})"
        return f"{quoted(name)} = {value}"

    def _in_terms(self, expression: str) -> str:
        # The line ends here, for the caller's expression may end with a comment.
        known = translated(expression, self.table.sql_name, has_row_alias=self._server.has_row_alias)
        return f"({known}\n)" if expression not in {self._new(name) for name in self.names} else known

    def _new(self, name: str) -> str:
        return f"excluded.{quoted(name)}"


def identifying_key(table: Table, options: Options) -> tuple[str, ...]:
    """Return what identifies a row: ``conflict_columns``, else the primary key; empty if there is neither.

    Raises:
        MisconfigurationError: There is no unique key of ``conflict_columns``.
    """
    if options.conflict_columns is not None:
        return table.unique_key(options.conflict_columns)
    return table.primary_key

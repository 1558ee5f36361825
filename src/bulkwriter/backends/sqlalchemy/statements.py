"""The SQL for one plan on one table, made once for each number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.sqlalchemy.defaults import PythonDefault, as_sql, is_python
from bulkwriter.backends.sqlalchemy.errors import refuse
from bulkwriter.backends.sqlalchemy.families import STYLES
from bulkwriter.backends.sqlalchemy.keys import KeyReader
from bulkwriter.backends.sqlalchemy.slots import MARK, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import sqlalchemy as sa

    from bulkwriter.backends.sqlalchemy.options import Options
    from bulkwriter.backends.sqlalchemy.target import Target
    from bulkwriter.contract import Operation

_MOST_TEXTS: Final = 32
"""Statements that a plan keeps as text: one for each number of rows that was met lately."""


class Statements:
    """How rows of one plan are written.

    A statement is for rows of which nothing is there yet, or for rows that are all there: which are is asked before, in
    the same transaction. So each row's verdict is known without a word that only some dialects have.

    Attributes:
        operation: ``"insert"`` or ``"delete"``.
        target: The table.
        given: The columns of a row's values, as its caller gave them.
        given_keys: What SQLAlchemy calls them.
        defaults: What is added to each row behind them.
        slots: The columns that are sent: those given, and those of the defaults.
        key: The columns that identify a row; empty if there are none.
        key_places: Where they are among the slots; empty if a row does not have them all.
        keys: Reads rows' keys; ``None`` if they do not have them whole.
        wanted: The columns that the caller wants back.
        proof: The places of the columns that come back with them, to tell whose they are.
        largest: The rows of the largest statement.
    """

    def __init__(
        self, target: Target, options: Options, dialect: sa.Dialect, operation: Operation, columns: tuple[str, ...]
    ) -> None:
        """Work out the parts.

        Raises:
            MisconfigurationError: The table has no such column, or the operation is not possible on it.
        """
        self.operation = operation
        self.target = target
        self.given: tuple[str, ...] = columns
        self._options = options
        self._dialect = dialect
        self._quote = dialect.identifier_preparer.quote_identifier
        self._style = STYLES[dialect.paramstyle]
        self._texts: dict[tuple[str, int], str] = {}
        self._table: str = dialect.identifier_preparer.format_table(target.table)
        given = [target.writable_column(name) for name in columns]
        if not given or len(set(columns)) < len(columns):
            refuse(f"table {target.label}: a row must have one column at least, and each once", target.label)
        added = [] if operation == "delete" else [c for c in target.table.columns if c.name not in columns]
        self.given_keys: tuple[str, ...] = tuple(column.key for column in given)
        self.defaults: list[PythonDefault] = [PythonDefault(column) for column in added if is_python(column)]
        self.slots: list[Slot] = [
            Slot(column, dialect) for column in [*given, *(column for column in added if is_python(column))]
        ]
        if operation == "insert":
            for slot in self.slots:
                if slot.name == target.numbers_zero:
                    slot.refuse_zero()
        self._fixed = [(column.name, sql) for column in added if (sql := as_sql(column, dialect)) is not None]
        self.names: list[str] = [slot.name for slot in self.slots]
        self.key: tuple[str, ...] = target.key(options.conflict_columns)
        has_key = bool(self.key) and all(name in self.names for name in self.key)
        self.key_places: tuple[int, ...] = tuple(map(self.names.index, self.key)) if has_key else ()
        self.keys: KeyReader | None = None
        if has_key:
            self.keys = KeyReader(target, [self.slots[place] for place in self.key_places], self.key_places)
        self.wanted: list[Slot] = []
        if operation == "insert":
            self.wanted = [Slot(target.column(name), dialect) for name in options.returning]
            self._check_key()
        elif set(self.key) != set(columns):
            refuse(f"table {target.label}: rows are deleted by a primary key, or by conflict_columns", target.label)
        self.proof: tuple[int, ...] = self._proof()
        self.largest: int = max(1, options.family.most_parameters // len(self.slots))

    @property
    def mode(self) -> str:
        """What is to be done: ``"delete"``, or what the caller wants done about conflicts."""
        return "delete" if self.operation == "delete" else self._options.on_conflict

    @property
    def may_meet(self) -> bool:
        """Whether rows may meet others of their key, which is then asked first."""
        return self.mode in {"skip", "update"} and self.keys is not None

    def _check_key(self) -> None:
        """Refuse rows that leave a part of their key to a default of the database that is always the same."""
        if self._options.on_conflict == "error" or self.key_places:
            return
        for name in self.key:
            default = self.target.defaults.get(name)
            if name not in self.names and default is not None and "(" not in default:
                message = (
                    f"table {self.target.label}: a row must have its key's column {name!r}, of which conflicts come"
                )
                refuse(message, self.target.label)

    def _proof(self) -> tuple[int, ...]:
        """Return the places of the columns that tell the rows of a statement apart.

        The order in which rows come back is not promised anywhere. If what comes back in these columns is, row by row,
        what was sent, then the rows are in order: either no two rows are equal in them, or such rows are equal in all
        they have.
        """
        primary_key = self.target.primary_key
        if primary_key and all(name in self.names for name in primary_key):
            return tuple(map(self.names.index, primary_key))
        return tuple(range(len(self.slots)))

    # -- statements

    def insert(self, rows: int) -> str:
        """Return the statement that writes this many new rows."""
        return self._text("insert", rows, self._insert)

    def update(self, rows: int) -> str:
        """Return the statement that updates this many rows that are there."""
        return self._text("update", rows, self._update)

    def find(self, rows: int) -> str:
        """Return the query that tells which of this many keys are there."""
        return self._text("find", rows, self._find)

    def delete(self, rows: int) -> str:
        """Return the statement that deletes the rows of this many keys."""
        return self._text("delete", rows, self._delete)

    def _text(self, kind: str, rows: int, make: Callable[[int], str]) -> str:
        known = self._texts.get((kind, rows))
        if known is None:
            if len(self._texts) >= _MOST_TEXTS:
                self._texts.clear()
            known = self._texts[kind, rows] = self._marked(make(rows))
        return known

    def _marked(self, sql: str) -> str:
        """Put the driver's own marks where values come."""
        if self._style != "numeric_dollar":
            return sql.replace(MARK, "?" if self._style == "qmark" else "%s")
        first, *rest = sql.split(MARK)
        return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))

    def _insert(self, rows: int) -> str:
        returning = [*self.wanted, *(self.slots[place] for place in self.proof)] if self.wanted else []
        return self._values(rows) + self._returning(slot.name for slot in returning)

    def _values(self, rows: int) -> str:
        row = ", ".join([*(slot.template for slot in self.slots), *(sql for _, sql in self._fixed)])
        names = ", ".join(map(self._quote, [*self.names, *(name for name, _ in self._fixed)]))
        alias = " AS t" if self.mode == "update" and self._options.family.language != "mysql" else ""
        return f"INSERT INTO {self._table}{alias} ({names}) VALUES {', '.join([f'({row})'] * rows)}"  # noqa: S608

    def _update(self, rows: int) -> str:
        if self._options.family.language == "mysql":
            return self._values(rows) + self._on_duplicate_key()
        # The line ends here, for the caller's expression may end with a comment.
        where = f" WHERE {self._escaped(self._options.update_where)}\n" if self._options.update_where else ""
        sets = ", ".join(self._assignments())
        conflict = f" ON CONFLICT ({self._listed(self.key)}) DO UPDATE SET {sets}{where}"
        tells = [slot.name for slot in self.wanted] if self.wanted or self._options.update_where else None
        returning = "" if tells is None else self._returning([*tells, *self.key])
        return self._values(rows) + conflict + returning

    def _on_duplicate_key(self) -> str:
        """Return what updates a row whose primary key is there, which is the first that these servers look at."""
        names = self._updated()
        if self._dialect.is_mariadb:  # type: ignore[attr-defined]
            sets = [f"{self._quote(name)} = VALUES({self._quote(name)})" for name in names]
            returning = self._returning([*(slot.name for slot in self.wanted), *self.key]) if self.wanted else ""
            return f" ON DUPLICATE KEY UPDATE {', '.join(sets)}{returning}"
        sets = [f"{self._quote(name)} = excluded.{self._quote(name)}" for name in names]
        return f" AS excluded ON DUPLICATE KEY UPDATE {', '.join(sets)}"

    def _assignments(self) -> list[str]:
        updates = self._options.update_columns
        if isinstance(updates, dict):
            return [
                f"{self._quote(self.target.writable_column(name).name)} = ({self._escaped(sql)}\n)"
                for name, sql in updates.items()
            ]
        return [f"{self._quote(name)} = excluded.{self._quote(name)}" for name in self._updated()]

    def _updated(self) -> tuple[str, ...]:
        """Return the columns that an update sets to what the new row has in them."""
        updates = self._options.update_columns
        names = [name for name in self.given if name not in self.key and (updates is None or name in updates)]
        # A row of nothing but its key still counts as one that was written.
        return tuple(names) or self.key

    def _escaped(self, expression: str) -> str:
        """Return an expression of the caller's so that the driver does not look for values in it."""
        return expression.replace("%", "%%") if self._style == "format" else expression

    def _find(self, rows: int) -> str:
        lock = self._options.family.lock if self.mode == "update" else ""
        return f"SELECT {self._listed(self.key)} FROM {self._table} WHERE {self._among(rows)}{lock}"  # noqa: S608

    def _delete(self, rows: int) -> str:
        return f"DELETE FROM {self._table} WHERE {self._among(rows)}"  # noqa: S608

    def _among(self, rows: int) -> str:
        row = ", ".join(self.slots[place].template for place in self.key_places)
        if len(self.key) == 1:
            return f"{self._quote(self.key[0])} IN ({', '.join([row] * rows)})"
        # SQLite takes rows only so.
        values = "VALUES " if self._options.family.language == "sqlite" else ""
        return f"({self._listed(self.key)}) IN ({values}{', '.join([f'({row})'] * rows)})"

    def _listed(self, names: Iterable[str]) -> str:
        return ", ".join(map(self._quote, names))

    def _returning(self, names: Iterable[str]) -> str:
        listed = self._listed(names)
        return f" RETURNING {listed}" if listed else ""

    # -- values

    def keys_of(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return the values of a row's key, as they are sent."""
        return tuple([row[place] for place in self.key_places])

    def mapping(self, row: Sequence[Any]) -> Mapping[str, Any]:
        """Return what a row gave back, as its caller is to have it."""
        return dict(zip(self._options.returning, row, strict=True))

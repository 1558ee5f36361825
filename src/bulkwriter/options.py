"""The options that backends of SQL databases have in common, checked at construction in the same words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, get_args

from bulkwriter.contract import OnConflict
from bulkwriter.errors import MisconfigurationError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """What the caller of any SQL backend asked for; a backend adds its own."""

    table: str
    columns: tuple[str, ...] | None
    on_conflict: OnConflict
    conflict_columns: tuple[str, ...] | None
    update_columns: tuple[str, ...] | dict[str, str] | None
    update_where: str | None
    returning: tuple[str, ...]
    ledger: bool
    ledger_table: str
    ledger_retention: float

    @property
    def updates(self) -> bool:
        """Whether a conflict leads to an update."""
        return self.on_conflict == "update"


class OptionCheck:
    """Checks options one by one; what is wrong is told in the backend's and the table's name.

    Args:
        backend: The backend's name.
        table: The table, as it was given.
        folds_case: Whether the database takes names for equal that differ in case alone.
    """

    def __init__(self, backend: str, table: object, *, folds_case: bool = False) -> None:
        self._backend = backend
        self._folds_case = folds_case
        # What it is called in the message that says that it cannot be called so.
        self.table: str = str(table)
        self.table = self.text("table", table)

    def refuse(self, message: str) -> NoReturn:
        """Raise a ``MisconfigurationError`` that says so."""
        raise MisconfigurationError(message, backend=self._backend, table=self.table)

    def refuse_value(self, message: str, value: object) -> NoReturn:
        """Raise a ``MisconfigurationError`` that says what would be right, and what was given."""
        self.refuse(f"{message}, not {value!r}")

    def common(
        self,
        *,
        columns: object,
        on_conflict: object,
        conflict_columns: object,
        update_columns: object,
        update_where: object,
        returning: object,
        ledger: object,
        ledger_table: object,
        ledger_retention: object,
    ) -> dict[str, Any]:
        """Return the arguments of ``CommonOptions``.

        Raises:
            MisconfigurationError: One of them is wrong.
        """
        if on_conflict not in get_args(OnConflict):
            self.refuse_value('on_conflict must be "error", "skip" or "update"', on_conflict)
        if on_conflict != "update" and (update_columns is not None or update_where is not None):
            self.refuse_value('update_columns and update_where need on_conflict="update"', on_conflict)
        return {
            "table": self.table,
            "columns": self.names("columns", columns),
            "on_conflict": on_conflict,
            "conflict_columns": self.names("conflict_columns", conflict_columns),
            "update_columns": self.updates(update_columns),
            "update_where": None if update_where is None else self.text("update_where", update_where),
            "returning": self.names("returning", returning, may_be_empty=True) or (),
            "ledger": self.flag("ledger", ledger),
            "ledger_table": self.text("ledger_table", ledger_table),
            "ledger_retention": self.seconds("ledger_retention", ledger_retention, may_be_zero=False),
        }

    def names(self, option: str, names: object, *, may_be_empty: bool = False) -> tuple[str, ...] | None:
        """Return names of columns."""
        if names is None:
            return None
        wanted = f"{option} must be a sequence of column names, each once"
        if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
            self.refuse_value(wanted, names)
        listed = tuple(names)
        if not all(isinstance(name, str) and name for name in listed) or len(self._distinct(listed)) < len(listed):
            self.refuse_value(wanted, names)
        if not listed and not may_be_empty:
            self.refuse_value(f"{option} must name at least one column, or be None", names)
        return listed

    def updates(self, updates: object) -> tuple[str, ...] | dict[str, str] | None:
        """Return what an update sets: names, or an expression for each."""
        if not isinstance(updates, Mapping):
            return self.names("update_columns", updates)
        names = self.names("update_columns", list(updates)) or ()
        for name in names:
            if not isinstance(updates[name], str) or not updates[name].strip():
                message = f"update_columns[{name!r}] must be an SQL expression such as 't.n + excluded.n'"
                self.refuse_value(message, updates[name])
        return {name: updates[name] for name in names}

    def text(self, option: str, value: object) -> str:
        """Return a text that is not empty."""
        if isinstance(value, str) and value.strip() and "\0" not in value:
            return value
        return self.refuse_value(f"{option} must be a str that is not empty", value)

    def flag(self, option: str, value: object) -> bool:
        """Return True or False."""
        if isinstance(value, bool):
            return value
        return self.refuse_value(f"{option} must be True or False", value)

    def seconds(self, option: str, value: object, *, may_be_zero: bool = True) -> float:
        """Return a finite number of seconds."""
        least = "0 or more" if may_be_zero else "more than 0"
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value < math.inf or (value == 0 and not may_be_zero):  # type: ignore[operator]
            self.refuse_value(f"{option} must be {least} seconds", value)
        return float(value)  # type: ignore[arg-type]

    def word(self, option: str, value: object, words: tuple[str, ...]) -> str:
        """Return one of some words."""
        if isinstance(value, str) and value in words:
            return value
        return self.refuse_value(f"{option} must be one of {', '.join(words)}", value)

    def _distinct(self, names: tuple[str, ...]) -> set[str]:
        return {name.lower() for name in names} if self._folds_case else set(names)

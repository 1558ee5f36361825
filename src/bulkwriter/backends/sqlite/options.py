"""The options of the backend, checked at the door."""

from __future__ import annotations

import dataclasses
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from bulkwriter.backends.sqlite.errors import misconfigured, refuse
from bulkwriter.contract import OnConflict

if TYPE_CHECKING:
    from bulkwriter.errors import MisconfigurationError

Connect: TypeAlias = Callable[[], sqlite3.Connection]

_SYNCHRONOUS: Final = ("OFF", "NORMAL", "FULL", "EXTRA")
_JOURNAL_MODES: Final = ("WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF")
MEMORY: Final = ":memory:"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller asked for; see ``SQLiteBackend`` for what each means."""

    path: str | Connect
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
    setup: str
    busy_timeout: float
    journal_mode: str | None
    synchronous: str
    foreign_keys: bool
    uri: bool

    @property
    def is_in_memory(self) -> bool:
        """Whether the database is the backend's own and lives in memory."""
        return self.path == MEMORY

    @property
    def updates(self) -> bool:
        """Whether a conflict leads to an update."""
        return self.on_conflict == "update"


def checked(
    *,
    path: object,
    table: object,
    columns: object,
    on_conflict: object,
    conflict_columns: object,
    update_columns: object,
    update_where: object,
    returning: object,
    ledger: object,
    ledger_table: object,
    ledger_retention: object,
    setup: object,
    busy_timeout: object,
    journal_mode: object,
    synchronous: object,
    foreign_keys: object,
    uri: object,
) -> Options:
    """Check everything that can be checked without the database.

    Raises:
        MisconfigurationError: An option is wrong; the message says what would be right.
    """
    name = _text("table", table, str(table))
    if on_conflict not in get_args(OnConflict):
        refuse(f'on_conflict must be "error", "skip" or "update", not {on_conflict!r}', name)
    if on_conflict != "update" and (update_columns is not None or update_where is not None):
        refuse(f'update_columns and update_where need on_conflict="update", not {on_conflict!r}', name)
    return Options(
        path=_path(path, name, is_uri=_flag("uri", uri, name)),
        table=name,
        columns=_names("columns", columns, name),
        on_conflict=on_conflict,  # type: ignore[arg-type]
        conflict_columns=_names("conflict_columns", conflict_columns, name),
        update_columns=_updates(update_columns, name),
        update_where=None if update_where is None else _text("update_where", update_where, name),
        returning=_names("returning", returning, name, may_be_empty=True) or (),
        ledger=_flag("ledger", ledger, name),
        ledger_table=_text("ledger_table", ledger_table, name),
        ledger_retention=_seconds("ledger_retention", ledger_retention, name),
        setup=_sql("setup", setup, name),
        busy_timeout=_seconds("busy_timeout", busy_timeout, name),
        journal_mode=None if journal_mode is None else _word("journal_mode", journal_mode, _JOURNAL_MODES, name),
        synchronous=_word("synchronous", synchronous, _SYNCHRONOUS, name),
        foreign_keys=_flag("foreign_keys", foreign_keys, name),
        uri=_flag("uri", uri, name),
    )


def _path(path: object, table: str, *, is_uri: bool) -> str | Connect:
    if isinstance(path, sqlite3.Connection):
        message = (
            "path must be the database's file name or a function that returns a new sqlite3.Connection: the backend "
            "writes on a thread and in transactions of its own, which an open connection of yours cannot share"
        )
        refuse(message, table)
    if isinstance(path, str | os.PathLike):
        name = os.fspath(path)
        if isinstance(name, str) and name:
            # The current folder may be another one by the time the file is opened, or opened again.
            return name if name == MEMORY or is_uri else os.path.abspath(name)  # noqa: PTH100 - keeps ".." and links
    if callable(path):
        return path
    message = 'path must be a file name, ":memory:" or a function that returns a sqlite3.Connection'
    raise _wrong(message, path, table)


def _names(option: str, names: object, table: str, *, may_be_empty: bool = False) -> tuple[str, ...] | None:
    if names is None:
        return None
    wanted = f"{option} must be a sequence of column names, each once"
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
        raise _wrong(wanted, names, table)
    listed = tuple(names)
    if not all(isinstance(name, str) and name for name in listed) or len({n.lower() for n in listed}) < len(listed):
        raise _wrong(wanted, names, table)
    if not listed and not may_be_empty:
        wanted = f"{option} must name at least one column, or be None"
        raise _wrong(wanted, names, table)
    return listed


def _updates(updates: object, table: str) -> tuple[str, ...] | dict[str, str] | None:
    if not isinstance(updates, Mapping):
        return _names("update_columns", updates, table)
    names = _names("update_columns", list(updates), table) or ()
    for name in names:
        if not isinstance(updates[name], str) or not updates[name].strip():
            message = f"update_columns[{name!r}] must be an SQL expression such as 't.n + excluded.n'"
            raise _wrong(message, updates[name], table)
    return {name: updates[name] for name in names}


def _text(option: str, value: object, table: str) -> str:
    if isinstance(value, str) and value.strip():
        return value
    message = f"{option} must be a str that is not empty"
    raise _wrong(message, value, table)


def _sql(option: str, value: object, table: str) -> str:
    if isinstance(value, str):
        return value
    message = f"{option} must be SQL as a str"
    raise _wrong(message, value, table)


def _flag(option: str, value: object, table: str) -> bool:
    if isinstance(value, bool):
        return value
    message = f"{option} must be True or False"
    raise _wrong(message, value, table)


def _seconds(option: str, value: object, table: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        message = f"{option} must be 0 or more seconds"
        raise _wrong(message, value, table)
    return float(value)


def _word(option: str, value: object, words: tuple[str, ...], table: str) -> str:
    if isinstance(value, str) and value.upper() in words:
        return value.upper()
    message = f"{option} must be one of {', '.join(words)}"
    raise _wrong(message, value, table)


def _wrong(message: str, value: object, table: str) -> MisconfigurationError:
    return misconfigured(f"{message}, not {value!r}", table)

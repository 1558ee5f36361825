"""The options of ``SQLiteBackend``, checked at construction."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from bulkwriter.backends.sqlite.errors import BACKEND
from bulkwriter.options import CommonOptions, OptionCheck

Connect: TypeAlias = Callable[[], sqlite3.Connection]

_SYNCHRONOUS: Final = ("OFF", "NORMAL", "FULL", "EXTRA")
_JOURNAL_MODES: Final = ("WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF")
MEMORY: Final = ":memory:"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options(CommonOptions):
    """What the caller asked for; see ``SQLiteBackend`` for what each means."""

    path: str | Connect
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


def checked(
    *,
    path: object,
    table: object,
    setup: object,
    busy_timeout: object,
    journal_mode: object,
    synchronous: object,
    foreign_keys: object,
    uri: object,
    **common: Any,
) -> Options:
    """Check everything that can be checked without the database.

    Raises:
        MisconfigurationError: An option is wrong; the message says what would be right.
    """
    check = OptionCheck(BACKEND, table, folds_case=True)
    is_uri = check.flag("uri", uri)
    return Options(
        **check.common(**common),
        path=_path(check, path, is_uri=is_uri),
        setup=_sql(check, setup),
        busy_timeout=check.seconds("busy_timeout", busy_timeout),
        journal_mode=None if journal_mode is None else _word(check, "journal_mode", journal_mode, _JOURNAL_MODES),
        synchronous=_word(check, "synchronous", synchronous, _SYNCHRONOUS),
        foreign_keys=check.flag("foreign_keys", foreign_keys),
        uri=is_uri,
    )


def _path(check: OptionCheck, path: object, *, is_uri: bool) -> str | Connect:
    if isinstance(path, sqlite3.Connection):
        check.refuse(
            "path must be the database's file name or a function that returns a new sqlite3.Connection: the backend "
            "writes on a thread and in transactions of its own, which an open connection of yours cannot share"
        )
    if isinstance(path, str | os.PathLike):
        name = os.fspath(path)
        if isinstance(name, str) and name:
            # The current folder may be another one by the time the file is opened, or opened again.
            return name if name == MEMORY or is_uri else os.path.abspath(name)  # noqa: PTH100 - keeps ".." and links
    if callable(path):
        return path
    return check.refuse_value(
        'path must be a file name, ":memory:" or a function that returns a sqlite3.Connection', path
    )


def _sql(check: OptionCheck, setup: object) -> str:
    if isinstance(setup, str):
        return setup
    return check.refuse_value("setup must be SQL as a str", setup)


def _word(check: OptionCheck, option: str, value: object, words: tuple[str, ...]) -> str:
    # SQLite's own words are the same in small letters.
    return check.word(option, value.upper() if isinstance(value, str) else value, words)

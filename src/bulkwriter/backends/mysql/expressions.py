"""The caller's expressions, put into MySQL's terms: ``t`` is the row that is there, ``excluded`` the new one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.mysql.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WORD: Final = re.compile(
    r"""(?P<skip> '(?:[^'\\]|''|\\.)*' | "(?:[^"\\]|""|\\.)*" | /\*.*?\*/ | \#[^\n]*\n? | --\s[^\n]*\n? )
      | (?P<head> `?\b(?:t|excluded)\b`? ) \s*\.\s* (?P<column> `(?:[^`]|``)+` | [A-Za-z_$0-9\u0080-\uffff]+ )
      | (?P<name> `(?:[^`]|``)+` | [A-Za-z_$\u0080-\uffff][A-Za-z_$0-9\u0080-\uffff]* )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


class CycleError(Exception):
    """Columns are computed from one another, so that none of them can be set first."""


def translated(expression: str, table: str, *, has_row_alias: bool) -> str:
    """Return an expression in the server's terms.

    Args:
        expression: SQL with ``t.column`` and ``excluded.column``.
        table: The full name of the table.
        has_row_alias: Whether the new row can be named; else ``VALUES(column)`` stands for it.
    """

    def replace(match: re.Match[str]) -> str:
        if match["head"] is None:
            return match[0]
        if match["head"].strip("`").lower() == "t":
            return f"{table}.{match['column']}"
        return f"excluded.{match['column']}" if has_row_alias else f"VALUES({match['column']})"

    return _WORD.sub(replace, expression)


def columns_read(expression: str) -> set[str]:
    """Return the names, in lower case, that an expression may read of the row that is there."""
    read = set()
    for match in _WORD.finditer(expression):
        if match["name"] is not None:
            read.add(_bare(match["name"]))
        elif match["head"] is not None and match["head"].strip("`").lower() == "t":
            read.add(_bare(match["column"]))
    return read


def in_order(reads: Mapping[str, Iterable[str]]) -> list[str]:
    """Return columns in an order in which each is set only after all others that are computed from it.

    MySQL sets them one after the other, and what is read of a column that has been set is its new value.

    Args:
        reads: For each column that is set, the names that its new value is computed from, in lower case.

    Raises:
        CycleError: There is no such order.
    """
    waiting = {column: {name for name in names if name != column.lower()} for column, names in reads.items()}
    order: list[str] = []
    while waiting:
        free = [
            column
            for column in waiting
            if not any(column.lower() in names for other, names in waiting.items() if other != column)
        ]
        if not free:
            raise CycleError
        order.append(free[0])
        del waiting[free[0]]
    return order


def _bare(name: str) -> str:
    return (name[1:-1].replace("``", "`") if name.startswith("`") else name).lower()


def same(table: str, columns: Iterable[str], *, has_row_alias: bool) -> str:
    """Return SQL that says whether the row that is there has these columns as the new one does."""
    new = "excluded.{}" if has_row_alias else "VALUES({})"
    return " AND ".join(f"{table}.{quoted(name)} <=> {new.format(quoted(name))}" for name in columns)

"""Names and text as they stand in SQL."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return an identifier for SQL, whatever characters it has."""
    return "`" + name.replace("`", "``") + "`"


def escaped(text: str, *, has_backslashes: bool) -> str:
    """Return text as it stands between single quotes.

    Args:
        text: The text.
        has_backslashes: Whether a backslash escapes what follows it, as everywhere but under ``NO_BACKSLASH_ESCAPES``.
            To escape with a backslash where it means nothing would end the literal: that is an injection.
    """
    if has_backslashes and "\\" in text:
        text = text.replace("\\", "\\\\")
    return text.replace("'", "''")


def literal(value: str | int | None, *, has_backslashes: bool) -> str:
    """Return a text, a number or nothing as a literal for SQL."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else f"'{escaped(value, has_backslashes=has_backslashes)}'"

"""Names and text as they stand in SQL."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return an identifier for SQL, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return text as a literal for SQL, whatever the session's settings for backslashes are."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'"

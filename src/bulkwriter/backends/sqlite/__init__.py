"""SQLite, through the standard library's ``sqlite3``: the embedded default, with nothing to install."""

from bulkwriter.backends.sqlite.backend import SQLiteBackend

__all__ = ["SQLiteBackend"]

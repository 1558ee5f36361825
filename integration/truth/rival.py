"""Somebody else with the same SQLite file, in a process of its own: runs each line that it is told, and says so."""

from __future__ import annotations

import contextlib
import sqlite3
import sys


def main(path: str) -> None:
    """Run what comes in, and answer each line with ``ok`` or the error's name."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0.2)) as connection:
        for line in sys.stdin:
            try:
                connection.execute(line).fetchall()
            except sqlite3.Error as error:
                print(type(error).__name__, flush=True)  # noqa: T201 - it is spoken to
            else:
                print("ok", flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main(sys.argv[1])

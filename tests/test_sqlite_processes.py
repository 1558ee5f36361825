"""Several processes write to one file, and one of them is killed: nothing is lost, and nobody is told a lie."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.sqlite_tables import Database

if TYPE_CHECKING:
    import pathlib

WRITER = """
    import asyncio, sys
    from bulkwriter import BulkWriter, RetryPolicy
    from bulkwriter.backends.sqlite import SQLiteBackend

    async def main(path, me, journal_mode):
        backend = SQLiteBackend(
            path, "t", journal_mode=journal_mode, on_conflict="update", ledger=True,
            update_columns={"n": "t.n + excluded.n", "who": "excluded.who"},
        )
        async with BulkWriter(backend, max_batch_size=50, retry=RetryPolicy(max_attempts=1000, max_time=50)) as writer:
            rows = [{"id": number % 100, "n": 1, "who": me} for number in range(1000)]
            report = await writer.insert_many(rows)
            report.raise_for_errors()
            counts = report.counts
        print(counts.inserted, counts.updated)

    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
"""

VICTIM = """
    import asyncio, sys
    from bulkwriter import BulkWriter
    from bulkwriter.backends.sqlite import SQLiteBackend

    async def main(path):
        async with BulkWriter(SQLiteBackend(path, "t"), max_batch_size=20) as writer:
            for start in range(0, 10**9, 100):
                futures = [writer.submit({"id": number, "n": 1}) for number in range(start, start + 100)]
                for number, future in enumerate(futures, start):
                    await future
                    print(number, flush=True)

    asyncio.run(main(sys.argv[1]))
"""


def _start(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_writers_in_several_processes_lose_nothing(tmp_path: pathlib.Path, journal_mode: str) -> None:
    """Each counts up the same hundred rows; in the end every one of the additions is there, and told once."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, who)")
    processes = [_start(WRITER, str(database.path), str(me), journal_mode) for me in range(4)]
    inserted = updated = 0
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        counts = [int(word) for word in out.split()]
        inserted, updated = inserted + counts[0], updated + counts[1]
    assert (inserted, updated) == (100, 3900)
    assert database.read("SELECT count(*), sum(n), min(n), max(n) FROM t") == [(100, 4000, 40, 40)]
    assert database.read("PRAGMA integrity_check") == [("ok",)]


def test_what_a_killed_process_was_told_is_stored(tmp_path: pathlib.Path) -> None:
    """SIGKILL at any moment: each row that was said to be inserted is in the file, and the next writer can go on."""
    database = Database(tmp_path / "t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, who)")
    for lines in (1, 37, 500):
        database.run("DELETE FROM t")
        process = _start(VICTIM, str(database.path))
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(lines)]
        process.kill()
        rest, _ = process.communicate(timeout=60)
        whole = rest[: rest.rfind("\n") + 1]
        told += [int(line) for line in whole.split()]
        stored = {row[0] for row in database.read("SELECT id FROM t")}
        assert set(told) <= stored
        # Whole batches and nothing else: what was in flight is there, or is not.
        assert stored == set(range(len(stored)))
    survivor = _start(WRITER, str(database.path), "1", "WAL")
    out, err = survivor.communicate(timeout=60)
    assert (survivor.returncode, err) == (0, "")
    assert sum(map(int, json.loads(f"[{','.join(out.split())}]"))) == 1000

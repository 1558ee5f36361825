"""SQLite, side by side with the standard library's ``sqlite3`` by hand: same rows, same batches, same commits.

``python -m benchmarks.sqlite``; what the numbers mean is in ``benchmarks/README.md``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import _raw_sqlite as raw
from benchmarks._command import main
from benchmarks._floor import MinimalBatcher
from benchmarks._report import compared, required
from benchmarks._rounds import Case, Stopwatch, interleaved
from benchmarks._stub import COLUMNS, rows_as_dicts, rows_as_tuples
from bulkwriter import BulkWriter
from bulkwriter.backends.sqlite import SQLiteBackend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from typing import TypeAlias

    from benchmarks._command import Size
    from benchmarks._report import Section
    from benchmarks._rounds import Sample

    Write: TypeAlias = Callable[[BulkWriter[Any], Sequence[Any]], Any]

CALLERS = 1000
BATCHES = (1000, 5000, 10_000)
CALLING = f"insert from {CALLERS:,} tasks"
MINIMAL = f"forty lines from {CALLERS:,} tasks, tuples"
TUPLES, DICTS, MULTI_ROW = "raw executemany, tuples", "raw executemany, dicts", "raw multi-row, tuples"


@dataclasses.dataclass
class Event:
    """A row as a dataclass."""

    id: int
    name: str
    category: str
    amount: float
    created: int


def sqlite(size: Size) -> Iterator[Section]:
    """Ask for each size of batches."""
    rows = size.pick(tiny=2000, full=50_000)
    tuples, dicts = rows_as_tuples(rows), rows_as_dicts(rows)
    objects = [Event(*row) for row in tuples]
    with tempfile.TemporaryDirectory(prefix="bulkwriter-") as folder:
        file = Path(folder) / "events.db"
        for batch in size.pick(tiny=BATCHES[:1], full=BATCHES):
            cases = [
                _by_hand(TUPLES, file, raw.executemany_tuples, tuples, batch),
                _by_hand(DICTS, file, raw.executemany_dicts, dicts, batch),
                _by_hand(MULTI_ROW, file, raw.multi_row, tuples, batch),
                _by_us("insert_many, tuples", file, _insert_many, tuples, batch),
                _by_us("insert_many, dicts", file, _insert_many, dicts, batch),
                _by_us("insert_many, dataclasses", file, _insert_many, objects, batch),
            ]
            if batch == CALLERS:
                cases.append(_by_minimal_batcher(file, tuples, batch))
                cases.append(_by_us(f"{CALLING}, dicts", file, _insert_each, dicts, batch))
                cases.append(_by_us(f"{CALLING}, tuples", file, _insert_each, tuples, batch))
            yield _section(cases, rows, batch, size.rounds)


def _section(cases: list[Case], rows: int, batch: int, rounds: int) -> Section:
    measured = interleaved(cases, rounds)
    section = compared(measured, {"executemany": TUPLES, "multi-row": MULTI_ROW}, "row")
    section.title = f"SQLite: {rows:,} rows of {len(COLUMNS)} narrow columns, one commit every {batch:,} rows"
    where = f", {batch:,} rows a commit"
    for name, case in measured.items():
        if name.startswith("insert"):
            wanted = 1.2 if name.startswith("insert_many") else 0.5
            # Rows with names are measured against what sqlite3 itself makes of rows with names.
            by_hand = TUPLES if name.endswith("tuples") or wanted < 1 else DICTS
            section.requirements.append(required(case, measured[by_hand], wanted, where))
    if MINIMAL in measured:
        least = measured[MINIMAL]
        section.requirements += [
            required(case, least, 0.7, where) for name, case in measured.items() if CALLING in name
        ]
    return section


def _by_hand(name: str, file: Path, execute: Any, rows: Sequence[Any], batch: int) -> Case:
    async def run() -> Sample:
        with contextlib.closing(raw.connected(file)) as connection:
            # The thread is there before it counts, as ours is.
            await asyncio.to_thread(connection.execute, "SELECT 1")
            with Stopwatch() as watch:
                await raw.write(connection, execute, rows, batch)
        return watch.sample(len(rows))

    return Case(name, functools.partial(_in_a_new_file, file, run, len(rows)))


def _by_us(name: str, file: Path, write: Write, rows: Sequence[Any], batch: int) -> Case:
    async def run() -> Sample:
        backend = SQLiteBackend(file, "events", columns=COLUMNS)
        async with BulkWriter[Any](backend, max_batch_size=batch) as writer:
            with Stopwatch() as watch:
                await write(writer, rows)
            statistics = writer.statistics()
        assert statistics.inserted == len(rows)
        assert statistics.largest_batch <= batch
        return watch.sample(len(rows))

    return Case(name, functools.partial(_in_a_new_file, file, run, len(rows)))


def _by_minimal_batcher(file: Path, rows: Sequence[Any], batch: int) -> Case:
    """Have as many tasks call a batcher of forty lines that hands its batches to raw ``executemany``."""

    async def run() -> Sample:
        with contextlib.closing(raw.connected(file)) as connection:
            await asyncio.to_thread(connection.execute, "SELECT 1")

            async def write(part: list[Any]) -> list[Any]:
                async with writing:
                    await raw.write(connection, raw.executemany_tuples, part, batch)
                return part

            writing = asyncio.Lock()
            batcher = MinimalBatcher(write, batch)
            with Stopwatch() as watch:
                await _call_each(batcher.process, rows)
        return watch.sample(len(rows))

    return Case(MINIMAL, functools.partial(_in_a_new_file, file, run, len(rows)))


def _in_a_new_file(file: Path, run: Callable[[], Any], rows: int) -> Sample:
    for left in file.parent.iterdir():
        left.unlink()
    raw.make_table(file)
    sample: Sample = asyncio.run(run())
    assert raw.rows_in(file) == rows, "every row is stored"
    return sample


async def _insert_many(writer: BulkWriter[Any], rows: Sequence[Any]) -> None:
    await writer.insert_many(rows)


async def _insert_each(writer: BulkWriter[Any], rows: Sequence[Any]) -> None:
    await _call_each(writer.insert, rows)


async def _call_each(write: Callable[[Any], Awaitable[Any]], rows: Sequence[Any]) -> None:
    todo = iter(rows)

    async def caller() -> None:
        for row in todo:
            await write(row)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


if __name__ == "__main__":
    main("sqlite", __doc__ or "", {"sqlite": sqlite})

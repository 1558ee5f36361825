"""SQLite by SQLAlchemy and aiosqlite, beside SQLAlchemy's own ``insert()`` of many: same rows, batches and commits.

``python -m benchmarks.sqlalchemy``; what the numbers mean is in ``benchmarks/README.md``.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks import _raw_sqlite as raw
from benchmarks._command import main
from benchmarks._report import Requirement, Section, compared, required
from benchmarks._rounds import Case, Stopwatch, interleaved
from benchmarks._stub import COLUMNS, rows_as_dicts, rows_as_tuples
from bulkwriter import BulkWriter
from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from typing import TypeAlias

    from benchmarks._command import Size
    from benchmarks._rounds import Measured, Sample

    Work: TypeAlias = Callable[[AsyncEngine], Awaitable[Sample]]

BATCHES = (100, 1000, 5000)
BY_HAND = "insert(), dicts"
BAD = (1, 10, 100)
IN_A_BATCH = 1000

TABLE = sa.Table(
    "events",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("category", sa.Text),
    sa.Column("amount", sa.Float),
    sa.Column("created", sa.Integer),
)


def many(size: Size) -> Iterator[Section]:
    """Ask for each size of batches."""
    rows = size.pick(tiny=1000, full=50_000)
    dicts, tuples = rows_as_dicts(rows), rows_as_tuples(rows)
    with tempfile.TemporaryDirectory(prefix="bulkwriter-") as folder:
        run = functools.partial(_case, Path(folder) / "events.db")
        for batch in size.pick(tiny=BATCHES[:1], full=BATCHES):
            cases = [
                run(BY_HAND, _executed(dicts, batch)),
                run("insert_many, dicts", _written(dicts, batch)),
                run("insert_many, tuples", _written(tuples, batch)),
            ]
            measured = interleaved(cases, size.rounds)
            section = compared(measured, {"insert()": BY_HAND}, "row")
            section.title = f"SQLAlchemy: {rows:,} rows of {len(COLUMNS)} columns, one commit every {batch:,} rows"
            where = f", {batch:,} rows a commit"
            for name in ("insert_many, dicts", "insert_many, tuples"):
                section.requirements.append(required(measured[name], measured[BY_HAND], 0.9, where))
            yield section


def bad_rows(size: Size) -> Iterator[Section]:
    """Compare a batch with bad rows in it with a clean one."""
    with tempfile.TemporaryDirectory(prefix="bulkwriter-") as folder:
        run = functools.partial(_case, Path(folder) / "events.db")
        cases = [run(_named(bad), _with_bad_rows(bad)) for bad in (0, *BAD)]
        measured = interleaved(cases, size.rounds)
    section = compared(measured, {"clean": _named(0)}, "batch")
    section.title = f"SQLAlchemy: a batch of {IN_A_BATCH:,} rows, some of them bad"
    section.requirements = [_at_most(measured, bad, 20) for bad in BAD]
    yield section


def _at_most(measured: dict[str, Measured], bad: int, times: float) -> Requirement:
    ratio = measured[_named(0)].against(measured[_named(bad)])
    return Requirement(f"{_named(bad)} beside a clean batch", ratio.wall, times, is_most=True)


def _named(bad: int) -> str:
    return f"{bad} bad"


def _case(file: Path, name: str, work: Work) -> Case:
    return Case(name, functools.partial(_in_a_new_file, file, work))


def _in_a_new_file(file: Path, work: Work) -> Sample:
    for left in file.parent.iterdir():
        left.unlink()
    raw.make_table(file)
    return asyncio.run(_on_an_engine(file, work))


async def _on_an_engine(file: Path, work: Work) -> Sample:
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")

    @sa.event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
        return await work(engine)
    finally:
        await engine.dispose()


def _executed(rows: Sequence[dict[str, Any]], batch: int) -> Work:
    """Insert as SQLAlchemy's own documentation says to insert many rows."""

    async def work(engine: AsyncEngine) -> Sample:
        statement = sa.insert(TABLE)
        with Stopwatch() as watch:
            for part in raw.batches(rows, batch):
                async with engine.begin() as connection:
                    await connection.execute(statement, part)
        return watch.sample(len(rows))

    return work


def _written(rows: Sequence[Any], batch: int) -> Work:
    async def work(engine: AsyncEngine) -> Sample:
        backend = SQLAlchemyBackend(engine, TABLE, columns=COLUMNS)
        async with BulkWriter[Any](backend, max_batch_size=batch) as writer:
            with Stopwatch() as watch:
                await writer.insert_many(rows)
            assert writer.statistics().inserted == len(rows)
        return watch.sample(len(rows))

    return work


def _with_bad_rows(bad: int) -> Work:
    """Write one batch, warm, of which so many rows have a key that is there already."""

    async def work(engine: AsyncEngine) -> Sample:
        backend = SQLAlchemyBackend(engine, TABLE, columns=COLUMNS)
        async with BulkWriter[Any](backend, max_batch_size=IN_A_BATCH) as writer:
            await writer.insert_many(rows_as_tuples(IN_A_BATCH))
            step = IN_A_BATCH // bad if bad else 0
            rows = [
                (number if bad and number % step == 0 else number + IN_A_BATCH, *values)
                for number, *values in rows_as_tuples(IN_A_BATCH)
            ]
            with Stopwatch() as watch:
                report = await writer.insert_many(rows)
            assert len(report.errors) == bad
        return watch.sample(1)

    return work


if __name__ == "__main__":
    main("sqlalchemy", __doc__ or "", {"many": many, "bad": bad_rows})

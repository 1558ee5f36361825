"""PostgreSQL, side by side with asyncpg by hand: same rows, same batches, same connections, and commits that last.

``python -m benchmarks.postgres``; what the numbers mean is in ``benchmarks/README.md``. The server is the newest one of
this machine, or the one that ``BULKWRITER_TEST_POSTGRES_URL`` names.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any

from benchmarks import _raw_postgres as raw
from benchmarks._blocking import LongestTurn
from benchmarks._command import main
from benchmarks._floor import MinimalBatcher
from benchmarks._loops import loop_factories, run_on
from benchmarks._report import Requirement, Section, compared, required
from benchmarks._rounds import Case, Stopwatch, interleaved
from bulkwriter import BulkWriter, Outcome
from bulkwriter.backends.postgres import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from typing import TypeAlias

    from benchmarks._command import Size
    from benchmarks._rounds import Measured, Sample

    Work: TypeAlias = Callable[[], Awaitable[Sample]]

BATCH = 5000
CALLERS = 10_000
MOST_MS = 5.0
SHAPES = {"narrow": (raw.NARROW, raw.narrow_row), "wide": (raw.WIDE, raw.wide_row)}


def many(size: Size) -> Iterator[Section]:
    """Compare ``insert_many`` with COPY by hand, on one, two and four connections."""
    rows = size.pick(tiny=1000, full=100_000)
    with raw.server_url() as url:
        for shape, (table, row) in SHAPES.items():
            dicts = [row(number) for number in range(rows)]
            tuples = [tuple(each.values()) for each in dicts]
            cases = []
            for connections in size.pick(tiny=(1,), full=(1, 2, 4)):
                by_hand = functools.partial(_copied, url, list(table), connections)
                cases += [
                    _case(f"COPY of tuples, {connections}", url, table, by_hand(raw.copy_tuples, tuples)),
                    _case(f"COPY of dicts, {connections}", url, table, by_hand(raw.copy_dicts, dicts)),
                    _case(f"insert_many of dicts, {connections}", url, table, _inserted_many(url, dicts, connections)),
                ]
            measured = interleaved(cases, size.rounds)
            section = compared(measured, {"COPY of dicts": "COPY of dicts, 1", "of tuples": "COPY of tuples, 1"}, "row")
            section.title = f"{rows:,} {shape} rows of {len(table)} columns, {BATCH:,} a batch, by connections"
            for connections, wanted in ((1, 1.1), (2, 1.0), (4, 1.0)):
                ours = measured.get(f"insert_many of dicts, {connections}")
                if ours is not None:
                    section.requirements.append(
                        required(ours, measured[f"COPY of dicts, {connections}"], wanted, f", {shape}")
                    )
            yield section


def callers(size: Size) -> Iterator[Section]:
    """Compare many callers with a row each with forty lines over COPY."""
    rows, tasks = size.pick(tiny=(500, 100), full=(100_000, CALLERS))
    dicts = [raw.narrow_row(number) for number in range(rows)]
    with raw.server_url() as url:
        for name, factory in loop_factories().items():
            run = functools.partial(_case, url=url, table=raw.NARROW, factory=factory)
            cases = [
                run(
                    "COPY of tuples",
                    work=_copied(url, list(raw.NARROW), 1, raw.copy_tuples, [tuple(each.values()) for each in dicts]),
                ),
            ]
            for connections in (1, 2):
                by_hand = _called_by_hand(url, dicts, tasks, connections)
                cases.append(run(f"forty lines over COPY, {connections}", work=by_hand))
                cases.append(run(f"insert, {connections}", work=_called(url, dicts, tasks, connections)))
            measured = interleaved(cases, size.rounds)
            section = compared(measured, {"forty lines": "forty lines over COPY, 1", "COPY": "COPY of tuples"}, "row")
            section.title = f"{rows:,} narrow rows from {tasks:,} tasks, by connections, on {name}"
            for connections in (1, 2):
                forty_lines = measured[f"forty lines over COPY, {connections}"]
                ours = measured[f"insert, {connections}"]
                section.requirements.append(required(ours, forty_lines, 1.0, f" on {name}"))
            yield section


def upserts(size: Size) -> Iterator[Section]:
    """Compare upserts, each row told whether it was new, with the same statement by hand."""
    rows = size.pick(tiny=500, full=20_000)
    dicts = [raw.narrow_row(number) for number in range(rows)]
    with raw.server_url() as url:
        cases = [
            _case("INSERT by hand", url, raw.NARROW, _upserted_by_hand(url, dicts), before=_every_other(url, dicts)),
            _case("insert_many", url, raw.NARROW, _upserted(url, dicts), before=_every_other(url, dicts)),
        ]
        measured = interleaved(cases, size.rounds)
        section = compared(measured, {"by hand": "INSERT by hand"}, "row")
        section.title = f"{rows:,} narrow upserts, half of them new, 1,000 a batch, each told inserted or updated"
        section.requirements.append(required(measured["insert_many"], measured["INSERT by hand"], 0.9))
        yield section


def bad_rows(size: Size) -> Iterator[Section]:
    """Compare batches with bad rows at random places with a clean one."""
    with raw.server_url() as url:
        cases = [
            _case(f"{bad} bad", url, raw.NARROW, _with_bad_rows(url, bad, size.pick(tiny=1, full=8)))
            for bad in (0, 1, 5, 50)
        ]
        measured = interleaved(cases, size.rounds)
        section = compared(measured, {"clean": "0 bad"}, "row")
        section.title = "Batches of 1,000 narrow rows, some of them null where none may be"
        for bad, most in ((1, 2.3), (50, 4.0)):
            times = 1 / measured[f"{bad} bad"].against(measured["0 bad"]).wall
            section.requirements.append(Requirement(f"{bad} bad of 1,000 against none", times, most, is_most=True))
        yield section


def lone(size: Size) -> Iterator[Section]:
    """Compare one caller alone with a prepared INSERT."""
    rows = size.pick(tiny=5, full=300)
    with raw.server_url() as url:
        cases = [
            _case("prepared INSERT", url, raw.NARROW, _prepared(url, rows)),
            _case("in a transaction, provable", url, raw.NARROW, _provable(url, rows)),
            _case("insert", url, raw.NARROW, _alone(url, rows)),
            _case("insert, ledger", url, raw.NARROW, _alone(url, rows, ledger=True)),
        ]
        measured = interleaved(cases, size.rounds)
        section = compared(measured, {"prepared": "prepared INSERT", "provable": "in a transaction, provable"}, "row")
        section.title = "One caller alone, the next row after the answer to the last"
        for name, most in (("insert", 140.0), ("insert, ledger", 140.0)):
            above = _microseconds(measured[name]) - _microseconds(measured["prepared INSERT"])
            section.requirements.append(Requirement(f"{name} above a prepared INSERT", above, most, "us", is_most=True))
        yield section


def blocking(size: Size) -> Iterator[Section]:
    """Ask how long the loop is held at a stretch."""
    rows = size.pick(tiny=500, full=200_000)
    section = Section("The longest turn of the loop, in ms of its thread's processor time", ["", "turn", "collection"])
    with raw.server_url() as url:
        for shape, (table, row) in SHAPES.items():
            dicts = [row(number) for number in range(rows)]
            for name, streams in (("insert_many", 1), ("two insert_many at once", 2)):
                asyncio.run(raw.make_table(url, table))
                turns = asyncio.run(_watched(url, dicts, streams))
                longest = 1000 * turns.longest
                what = f"{name}, {shape}"
                section.rows.append([what, f"{longest:.2f}", f"{1000 * turns.longest_collection:.2f}"])
                section.requirements.append(Requirement(what, longest, MOST_MS, "ms", is_most=True))
    yield section


# --- running


def _case(
    name: str,
    url: str,
    table: dict[str, str],
    work: Work,
    *,
    before: Callable[[], Awaitable[None]] | None = None,
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> Case:
    async def run() -> Sample:
        await raw.make_table(url, table)
        if before is not None:
            await before()
        return await work()

    return Case(name, lambda: run_on(factory, run()))


@contextlib.asynccontextmanager
async def _writer(
    url: str, *, connections: int = 1, batch: int = BATCH, **options: Any
) -> AsyncIterator[BulkWriter[Any]]:
    backend = PostgresBackend(url, "events", **options)
    async with BulkWriter[Any](backend, max_batch_size=batch, concurrency=connections) as writer:
        yield writer


def _microseconds(case: Measured) -> float:
    return 1e6 / case.rate


# --- by hand


def _copied(url: str, columns: list[str], connections: int, write: Any, rows: Sequence[Any]) -> Work:
    async def work() -> Sample:
        async with contextlib.AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(raw.connected(url)) for _ in range(connections)]
            with Stopwatch() as watch:
                await raw.in_batches(opened, write, rows, columns, BATCH)
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


def _called_by_hand(url: str, rows: Sequence[Any], tasks: int, connections: int) -> Work:
    columns = list(raw.NARROW)

    async def work() -> Sample:
        async with contextlib.AsyncExitStack() as stack:
            idle: asyncio.Queue[Any] = asyncio.Queue()
            for _ in range(connections):
                idle.put_nowait(await stack.enter_async_context(raw.connected(url)))

            async def write(part: list[Any]) -> list[Any]:
                connection = await idle.get()
                await raw.copy_dicts(connection, part, columns)
                idle.put_nowait(connection)
                return part

            batcher = MinimalBatcher(write, BATCH)
            with Stopwatch() as watch:
                await _call_each(batcher.process, rows, tasks)
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


_UPSERT = """
INSERT INTO events SELECT * FROM unnest($1::events[])
ON CONFLICT (id) DO UPDATE SET at = excluded.at, name = excluded.name, amount = excluded.amount, count = excluded.count
RETURNING id, xmax = 0
"""


def _upserted_by_hand(url: str, rows: Sequence[Any]) -> Work:
    async def work() -> Sample:
        async with raw.connected(url) as connection:
            statement = await connection.prepare(_UPSERT)
            with Stopwatch() as watch:
                for start in range(0, len(rows), 1000):
                    records = [tuple(row.values()) for row in rows[start : start + 1000]]
                    async with connection.transaction():
                        await statement.fetch(records)
        return watch.sample(len(rows))

    return work


def _prepared(url: str, rows: int) -> Work:
    async def work() -> Sample:
        async with raw.connected(url) as connection:
            statement = await connection.prepare("INSERT INTO events VALUES ($1, $2, $3, $4, $5)")
            with Stopwatch() as watch:
                for number in range(rows):
                    await statement.fetch(*raw.narrow_row(number).values())
        return watch.sample(rows)

    return work


def _provable(url: str, rows: int) -> Work:
    """Insert rows whose fate could be found out if the connection were lost, each in a transaction that is numbered."""

    async def work() -> Sample:
        async with raw.connected(url) as connection:
            insert = "INSERT INTO events VALUES ($1, $2, $3, $4, $5) RETURNING pg_current_xact_id()::text"
            statement = await connection.prepare(insert)
            with Stopwatch() as watch:
                for number in range(rows):
                    async with connection.transaction():
                        await statement.fetchval(*raw.narrow_row(number).values())
        return watch.sample(rows)

    return work


# --- by us


def _inserted_many(url: str, rows: Sequence[Any], connections: int) -> Work:
    async def work() -> Sample:
        async with _writer(url, connections=connections) as writer:
            with Stopwatch() as watch:
                await writer.insert_many(rows)
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


def _called(url: str, rows: Sequence[Any], tasks: int, connections: int) -> Work:
    async def work() -> Sample:
        async with _writer(url, connections=connections) as writer:
            with Stopwatch() as watch:
                await _call_each(writer.insert, rows, tasks)
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


def _every_other(url: str, rows: Sequence[Any]) -> Callable[[], Awaitable[None]]:
    async def write() -> None:
        async with raw.connected(url) as connection:
            await raw.copy_dicts(connection, rows[::2], list(raw.NARROW))

    return write


def _upserted(url: str, rows: Sequence[Any]) -> Work:
    async def work() -> Sample:
        async with _writer(url, batch=1000, on_conflict="update") as writer:
            with Stopwatch() as watch:
                report = await writer.insert_many(rows)
        assert report.counts.updated == len(rows[::2])
        return watch.sample(len(rows))

    return work


def _with_bad_rows(url: str, bad: int, batches: int) -> Work:
    async def work() -> Sample:
        backend = PostgresBackend(url, "events")
        lists = [_list_with(bad, 1000 * number) for number in range(batches + 1)]
        # Warm: the first bad row of a connection has the server compile what finds it.
        await backend.process_batch(lists.pop())
        with Stopwatch() as watch:
            for rows in lists:
                answers = await backend.process_batch(rows)
                assert sum(isinstance(answer, Exception) for answer in answers) == bad
        await backend.close()
        return watch.sample(1000 * batches)

    return work


def _list_with(bad: int, start: int) -> list[dict[str, Any]]:
    rows = [raw.narrow_row(start + number) for number in range(1000)]
    for place in range(bad):
        # Spread without order, the same in each run.
        rows[(start // 1000 * 37 + 617 * (place + 1)) % 1000]["name"] = None
    return rows


def _alone(url: str, rows: int, **options: Any) -> Work:
    async def work() -> Sample:
        async with _writer(url, **options) as writer:
            with Stopwatch() as watch:
                for number in range(rows):
                    result = await writer.insert(raw.narrow_row(number))
                    assert result.outcome is Outcome.INSERTED
        return watch.sample(rows)

    return work


async def _watched(url: str, rows: Sequence[Any], streams: int) -> LongestTurn:
    first, rows = rows[: len(rows) // 10], rows[len(rows) // 10 :]
    share = len(rows) // streams
    async with _writer(url, connections=2) as writer:
        # Both connections are made here: to log in by password takes 5 ms at a stretch, all of it asyncpg's.
        await writer.insert_many(first)
        with LongestTurn() as turns:
            await asyncio.gather(*(writer.insert_many(rows[n * share : (n + 1) * share]) for n in range(streams)))
    return turns


async def _call_each(write: Callable[[Any], Awaitable[Any]], rows: Sequence[Any], tasks: int) -> None:
    todo = iter(rows)

    async def caller() -> None:
        for row in todo:
            await write(row)

    await asyncio.gather(*(caller() for _ in range(tasks)))


if __name__ == "__main__":
    questions = {
        "many": many,
        "callers": callers,
        "upserts": upserts,
        "bad-rows": bad_rows,
        "lone": lone,
        "blocking": blocking,
    }
    main("postgres", __doc__ or "", questions)

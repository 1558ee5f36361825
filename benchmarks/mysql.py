"""MariaDB and MySQL, side by side with aiomysql by hand: same rows, same batches, commits that last.

``python -m benchmarks.mysql``; what the numbers mean is in ``benchmarks/README.md``. The servers are those of this
machine, or the ones that ``BULKWRITER_TEST_MARIADB_URL`` and ``BULKWRITER_TEST_MYSQL_URL`` name.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks import _raw_mysql as raw
from benchmarks._blocking import LongestTurn
from benchmarks._command import main
from benchmarks._loops import run_on
from benchmarks._report import Requirement, Section, compared, required
from benchmarks._rounds import Case, Stopwatch, interleaved
from bulkwriter import BulkWriter, Outcome
from bulkwriter.backends.mysql import MySQLBackend
from bulkwriter.contract import Attempt, Uniform
from integration.servers.ports import LOOPBACK
from integration.wire import MySQLDialect, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from typing import TypeAlias
    from urllib.parse import SplitResult

    from benchmarks._command import Size
    from benchmarks._rounds import Measured, Sample

    Work: TypeAlias = Callable[[], Awaitable[Sample]]

BATCH = 1000
MOST_MS = 5.0
MOST_ROUND_TRIPS = 6
SHAPES = {"narrow": (raw.NARROW, raw.narrow_row, 0.75), "wide": (raw.WIDE, raw.wide_row, 0.6)}

MANY, REPLAY, BY_HAND = "aiomysql executemany", "replay of ready SQL", "multi-row INSERT by hand"
BACKEND, WRITER, WITH_LEDGER = "the backend alone", "insert_many", "insert_many, ledger"


def many(size: Size) -> Iterator[Section]:
    """Compare the backend alone, and with the writer, with what one does by hand."""
    rows = size.pick(tiny=2000, full=40_000)
    for server, url in raw.server_urls().items():
        for shape, (table, row, wanted) in SHAPES.items():
            dicts = [row(number) for number in range(rows)]
            tuples = [tuple(each.values()) for each in dicts]
            works = {
                MANY: _by_hand(url, tuples, list(table), raw.executemany),
                BY_HAND: _by_hand(url, tuples, list(table), raw.multi_row),
                REPLAY: _replayed(url, tuples, list(table)),
                BACKEND: _attempted(url, tuples, list(table)),
                WRITER: _inserted_many(url, dicts),
                WITH_LEDGER: _inserted_many(url, dicts, ledger=True),
            }
            measured = interleaved([_case(name, url, table, work) for name, work in works.items()], size.rounds)
            section = compared(measured, {"executemany": MANY, "replay": REPLAY, "backend": BACKEND}, "row")
            where = f", {shape}, {server}"
            section.title = f"{rows:,} {shape} rows of {len(table)} columns, {BATCH:,} a batch, {server}"
            section.requirements += [
                required(measured[BACKEND], measured[MANY], 1.3, where),
                _cpu_share(measured[BACKEND], measured[MANY], 0.4, where),
                required(measured[BACKEND], measured[REPLAY], wanted, where),
                required(measured[WRITER], measured[MANY], 1.3, where),
            ]
            yield section


def upserts(size: Size) -> Iterator[Section]:
    """Compare upserts, each row told whether it was new, with a statement that tells nobody anything."""
    rows = size.pick(tiny=500, full=10_000)
    dicts = [raw.narrow_row(number) for number in range(rows)]
    tuples = [tuple(row.values()) for row in dicts]
    for server, url in raw.server_urls().items():
        half = _every_other(url, tuples)
        cases = [
            _case("ON DUPLICATE KEY UPDATE by hand", url, raw.NARROW, _upserted_by_hand(url, tuples), before=half),
            _case("insert_many", url, raw.NARROW, _upserted(url, dicts), before=half),
            _case("insert_many, all new", url, raw.NARROW, _upserted(url, dicts, new=rows)),
        ]
        measured = interleaved(cases, size.rounds)
        section = compared(measured, {"by hand": "ON DUPLICATE KEY UPDATE by hand"}, "row")
        section.title = f"{rows:,} narrow upserts, half of them new, 1,000 a batch, each told its fate, {server}"
        yield section


def bad_rows(size: Size) -> Iterator[Section]:
    """Compare batches with bad rows at random places with a clean one, and count round trips."""
    batches = size.pick(tiny=1, full=5)
    for server, url in raw.server_urls().items():
        cases = [_case(f"{bad} bad", url, raw.NARROW, _with_bad_rows(url, bad, batches)) for bad in (0, 1, 5, 50)]
        measured = interleaved(cases, size.rounds)
        section = compared(measured, {"clean": "0 bad"}, "row")
        section.title = f"Batches of 1,000 narrow rows, some of them null where none may be, {server}"
        for bad, most in ((1, 3.0), (5, 3.0), (50, 5.0)):
            times = 1 / measured[f"{bad} bad"].against(measured["0 bad"]).wall
            what = f"{bad} bad of 1,000 against none, {server}"
            section.requirements.append(Requirement(what, times, most, is_most=True))
            trips = asyncio.run(_round_trips(url, bad))
            what = f"to find {bad} bad of 1,000, {server}"
            section.requirements.append(Requirement(what, trips, MOST_ROUND_TRIPS, "round trips", is_most=True))
        yield section


def lone(size: Size) -> Iterator[Section]:
    """Compare one caller alone with a single INSERT."""
    rows = size.pick(tiny=5, full=200)
    for server, url in raw.server_urls().items():
        cases = [
            _case("single INSERT", url, raw.NARROW, _one_by_one(url, rows)),
            _case("insert", url, raw.NARROW, _alone(url, rows)),
            _case("insert, ledger", url, raw.NARROW, _alone(url, rows, ledger=True)),
        ]
        measured = interleaved(cases, size.rounds)
        section = compared(measured, {"single": "single INSERT"}, "row")
        section.title = f"One caller alone, the next row after the answer to the last, {server}"
        single = _microseconds(measured["single INSERT"])
        for name in ("insert", "insert, ledger"):
            above = _microseconds(measured[name]) - single
            section.notes.append(f"{name}: {above:,.0f} us above a single INSERT of {single:,.0f} us")
        yield section


def blocking(size: Size) -> Iterator[Section]:
    """Ask how long the loop is held at a stretch."""
    rows = size.pick(tiny=500, full=100_000)
    for server, url in raw.server_urls().items():
        title = f"The longest turn of the loop, in ms of its thread's processor time, {server}"
        section = Section(title, ["", "turn", "collection"])
        for shape, (table, row, _) in SHAPES.items():
            dicts = [row(number) for number in range(rows)]
            for name, streams in (("insert_many", 1), ("two insert_many at once", 2)):
                asyncio.run(raw.make_table(url, table))
                turns = asyncio.run(_watched(url, dicts, streams))
                what = f"{name}, {shape}"
                longest = 1000 * turns.longest
                section.rows.append([what, f"{longest:.2f}", f"{1000 * turns.longest_collection:.2f}"])
                section.requirements.append(Requirement(f"{what}, {server}", longest, MOST_MS, "ms", is_most=True))
        yield section


# --- running


def _case(
    name: str, url: str, table: dict[str, str], work: Work, *, before: Callable[[], Awaitable[None]] | None = None
) -> Case:
    async def run() -> Sample:
        await raw.make_table(url, table)
        if before is not None:
            await before()
        return await work()

    return Case(name, lambda: run_on(asyncio.new_event_loop, run()))


def _cpu_share(case: Measured, standard: Measured, most: float, where: str) -> Requirement:
    share = 1 / case.against(standard).cpu
    return Requirement(f"client CPU of {case.name} against {standard.name}{where}", share, most, is_most=True)


@contextlib.asynccontextmanager
async def _writer(url: str, *, connections: int = 1, **options: Any) -> AsyncIterator[BulkWriter[Any]]:
    backend = MySQLBackend(url, "events", **options)
    async with BulkWriter[Any](backend, max_batch_size=BATCH, concurrency=connections) as writer:
        yield writer


def _microseconds(case: Measured) -> float:
    return 1e6 / case.rate


# --- by hand


def _by_hand(url: str, rows: Sequence[Any], columns: list[str], write: Any) -> Work:
    async def work() -> Sample:
        async with raw.connected(url) as connection:
            with Stopwatch() as watch:
                for part in raw.batches(rows, BATCH):
                    await write(connection, part, columns)
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


def _replayed(url: str, rows: Sequence[Any], columns: list[str]) -> Work:
    ready = raw.prepared(url, raw.batches(rows, BATCH), columns)

    async def work() -> Sample:
        async with raw.connected(url) as connection:
            statements = ready(connection)
            with Stopwatch() as watch:
                for sql in statements:
                    await raw.replay(connection, sql, columns)
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


_UPDATE = " ON DUPLICATE KEY UPDATE name = VALUES(name), amount = VALUES(amount)"


def _upserted_by_hand(url: str, rows: Sequence[Any]) -> Work:
    columns = list(raw.NARROW)

    async def work() -> Sample:
        async with raw.connected(url) as connection:
            with Stopwatch() as watch:
                for part in raw.batches(rows, BATCH):
                    literal = connection.literal
                    values = ",".join([f"({','.join([literal(value) for value in row])})" for row in part])
                    await connection.query(f"{raw.insert_for(columns)}{values}{_UPDATE}")
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


def _one_by_one(url: str, rows: int) -> Work:
    columns = list(raw.NARROW)

    async def work() -> Sample:
        async with raw.connected(url) as connection:
            with Stopwatch() as watch:
                for number in range(rows):
                    await raw.multi_row(connection, [tuple(raw.narrow_row(number).values())], columns)
        return watch.sample(rows)

    return work


# --- by us


def _attempted(url: str, rows: Sequence[Any], columns: list[str]) -> Work:
    """Attempts of ready tuples: what the backend takes, without the queue, the callers and the dicts."""

    async def work() -> Sample:
        backend = MySQLBackend(url, "events")
        await backend.open()
        plan = backend.plan("insert", tuple(columns))
        with Stopwatch() as watch:
            for part in raw.batches(rows, BATCH):
                reply = await backend.attempt(Attempt(plan, list(part)))
                assert isinstance(reply, Uniform)
        await backend.close()
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


def _inserted_many(url: str, rows: Sequence[Any], **options: Any) -> Work:
    async def work() -> Sample:
        async with _writer(url, **options) as writer:
            with Stopwatch() as watch:
                await writer.insert_many(rows)
        assert await raw.count(url) == len(rows), "every row is stored"
        return watch.sample(len(rows))

    return work


def _every_other(url: str, rows: Sequence[Any]) -> Callable[[], Awaitable[None]]:
    async def write() -> None:
        async with raw.connected(url) as connection:
            for part in raw.batches([(number, "other", 0.0) for number, *_ in rows[::2]], BATCH):
                await raw.multi_row(connection, part, list(raw.NARROW))

    return write


def _upserted(url: str, rows: Sequence[Any], new: int | None = None) -> Work:
    async def work() -> Sample:
        async with _writer(url, on_conflict="update") as writer:
            with Stopwatch() as watch:
                report = await writer.insert_many(rows)
        assert report.counts.inserted == (len(rows) // 2 if new is None else new)
        return watch.sample(len(rows))

    return work


def _with_bad_rows(url: str, bad: int, batches: int) -> Work:
    async def work() -> Sample:
        backend = MySQLBackend(url, "events")
        lists = [_list_with(bad, BATCH * number) for number in range(batches + 1)]
        await backend.process_batch(lists.pop())
        with Stopwatch() as watch:
            for rows in lists:
                answers = await backend.process_batch(rows)
                assert sum(isinstance(answer, Exception) for answer in answers) == bad
        await backend.close()
        return watch.sample(BATCH * batches)

    return work


def _list_with(bad: int, start: int) -> list[dict[str, Any]]:
    rows = [raw.narrow_row(start + number) for number in range(BATCH)]
    for place in range(bad):
        # Spread without order, the same in each run.
        rows[(start // BATCH * 37 + 617 * (place + 1)) % BATCH]["name"] = None
    return rows


async def _round_trips(url: str, bad: int) -> int:
    """Count how often a batch with bad rows waits for the server, by a proxy in between."""
    await raw.make_table(url, raw.NARROW)
    parts = urlsplit(url)
    async with Wire(parts.hostname or LOOPBACK, parts.port or 3306, MySQLDialect) as wire:
        backend = MySQLBackend(_at(parts, wire.port), "events")
        await backend.open()
        before = wire.turns
        await backend.process_batch(_list_with(bad, 0))
        turns = wire.turns - before
        await backend.close()
    return turns


def _at(parts: SplitResult, port: int) -> str:
    credentials, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{credentials}{at}{LOOPBACK}:{port}").geturl()


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
    share = len(rows) // streams
    async with _writer(url, connections=2) as writer:
        with LongestTurn() as turns:
            await asyncio.gather(*(writer.insert_many(rows[n * share : (n + 1) * share]) for n in range(streams)))
    return turns


if __name__ == "__main__":
    main(
        "mysql",
        __doc__ or "",
        {"many": many, "upserts": upserts, "bad-rows": bad_rows, "lone": lone, "blocking": blocking},
    )

"""Writes every Unicode code point into a SQLite file, one row at a time, from 1,000 coroutines at once.

Each coroutine awaits ``writer.insert(row)`` and hears what became of its own row. The 2,048 surrogates are half
characters that no text can hold: each is refused by name while its neighbours are stored. A second run then finds every
stored row already there, and at the end what the callers heard is compared with what the file holds, row by row.

    python examples/unicode_table.py [--rows 10000] [--callers 1000] [--file unicode.db]
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import itertools
import sqlite3
import sys
import tempfile
import time
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote

from bulkwriter import BulkWriterError, InvalidValueError, Outcome, Statistics, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer: TypeAlias = Outcome | type[BulkWriterError]

CODE_POINTS = sys.maxunicode + 1
SURROGATE = "Cs"
CATEGORIES = "Cc Cf Cn Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs"
TABLE = f"""
    CREATE TABLE unicode (
        code_point INTEGER PRIMARY KEY,
        character TEXT NOT NULL,
        category TEXT NOT NULL CHECK (category IN ({", ".join(map(repr, CATEGORIES.split()))})),
        name TEXT
    )
"""


@dataclasses.dataclass
class Run:
    """What the callers of one run heard.

    Attributes:
        on_conflict: What the writer was to do with a row that is already there.
        points: The code points that were written.
        answers: For each of them, what its caller was told.
        latencies: For each row that has its answer, the seconds from call to answer.
        errors: The errors that were raised.
        seconds: How long it all took.
        statistics: What the writer counted.
    """

    on_conflict: Literal["error", "skip"]
    points: range
    answers: list[Answer | None] = dataclasses.field(init=False, repr=False)
    latencies: list[float] = dataclasses.field(default_factory=list, repr=False)
    errors: list[BulkWriterError] = dataclasses.field(default_factory=list, repr=False)
    seconds: float = 0.0
    statistics: Statistics = dataclasses.field(default_factory=Statistics)

    def __post_init__(self) -> None:
        self.answers = [None] * len(self.points)


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; return 0 if everything that a caller was told is true."""
    options = _parser().parse_args(arguments)
    points = range(0, CODE_POINTS, max(1, CODE_POINTS // options.rows))[: options.rows]
    with _database(options.file) as path:
        print(f"Unicode {unicodedata.unidata_version}: {len(points):,} rows, {options.callers:,} callers, {path}")
        first = asyncio.run(write(path, Run("error", points), options.callers))
        summarise(first)
        second = asyncio.run(write(path, Run("skip", points), options.callers))
        summarise(second)
        return 0 if check(path, first, second) else 1


def row_of(code_point: int) -> dict[str, Any]:
    """Return the row of one code point. A column that is left out gets the table's default, which is NULL."""
    character = chr(code_point)
    row = {"code_point": code_point, "character": character, "category": unicodedata.category(character)}
    name = unicodedata.name(character, None)
    return row if name is None else {**row, "name": name}


async def write(path: Path, run: Run, callers: int) -> Run:
    """Write the rows of a run, each by the next caller that is free, and note what each caller heard."""
    todo = enumerate(run.points)
    began = time.perf_counter()
    async with connect(f"sqlite:///{quote(str(path))}", "unicode", on_conflict=run.on_conflict) as writer:

        async def caller() -> None:
            for index, code_point in todo:
                called = time.perf_counter()
                try:
                    result = await writer.insert(row_of(code_point))
                    run.answers[index] = result.outcome
                except BulkWriterError as error:
                    run.answers[index] = type(error)
                    run.errors.append(error)
                run.latencies.append(time.perf_counter() - called)

        with _progress(f'on_conflict="{run.on_conflict}"', len(run.points)) as show:
            watcher = asyncio.create_task(_watch(run, show))
            async with asyncio.TaskGroup() as group:
                for _ in range(callers):
                    group.create_task(caller())
            watcher.cancel()
            show(len(run.latencies))
    run.seconds = time.perf_counter() - began
    run.statistics = writer.statistics()
    return run


def summarise(run: Run) -> None:
    """Print what a run did, in numbers."""
    figures = run.statistics
    ordered = sorted(run.latencies)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.50, 0.99))
    heard = ", ".join(f"{rows:,} {name}" for name, rows in collections.Counter(map(_name, run.answers)).most_common())
    counted = " + ".join(f"{rows:,} {fate}" for fate, rows in figures.fates().items() if rows)
    print(f"  speed    {figures.accepted / run.seconds:,.0f} rows a second, for {run.seconds:.1f} s")
    print(f"  batches  {figures.batches:,}, the largest of {figures.largest_batch:,} rows")
    print(f"  latency  p50 {p50:.1f} ms, p99 {p99:.1f} ms from call to answer")
    print(f"  heard    {heard}")
    print(f"  counted  {figures.accepted:,} = {counted}")


def check(path: Path, first: Run, second: Run) -> bool:
    """Print, for each thing that must be true, whether it is; return whether all of them are."""
    surrogates = [point for point in first.points if unicodedata.category(chr(point)) == SURROGATE]
    differing = sum(heard != stored for heard, stored in itertools.zip_longest(_heard_stored(first), _stored(path)))
    findings = [
        ("both runs balance: each row accepted met exactly one fate", _is_balanced(first) and _is_balanced(second)),
        (f"each of {len(surrogates):,} surrogates was refused by an error of its own", _refused(first) == surrogates),
        ("every other row was inserted", _rows(first, Outcome.INSERTED) == len(first.points) - len(surrogates)),
        ("the second run skipped exactly the rows that the first had stored", second.answers == _expected_next(first)),
        (f"what the callers heard is what the file holds, row by row: {differing:,} differ", differing == 0),
    ]
    for finding, is_true in findings:
        print(f"{'ok    ' if is_true else 'FAILED'} {finding}")
    return all(is_true for _, is_true in findings)


def _heard_stored(run: Run) -> Iterator[tuple[Any, ...]]:
    for code_point, answer in zip(run.points, run.answers, strict=True):
        if answer is Outcome.INSERTED:
            row = row_of(code_point)
            yield tuple(map(row.get, ("code_point", "character", "category", "name")))


def _stored(path: Path) -> Iterator[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        yield from database.execute("SELECT code_point, character, category, name FROM unicode ORDER BY code_point")


def _is_balanced(run: Run) -> bool:
    """Tell whether the writer's own count balances, and agrees with what the callers heard."""
    figures = run.statistics
    heard = (_rows(run, Outcome.INSERTED), _rows(run, Outcome.SKIPPED), len(run.errors))
    counted = (figures.inserted, figures.skipped, figures.failures)
    return figures.is_balanced and figures.accepted == len(run.points) and heard == counted


def _refused(run: Run) -> list[int]:
    """Return the code points whose callers were told that it is their row that cannot be stored."""
    refusals = {id(error): error for error in run.errors if isinstance(error, InvalidValueError)}
    return sorted(error.row["code_point"] for error in refusals.values() if error.row is not None)


def _rows(run: Run, answer: Answer) -> int:
    return run.answers.count(answer)


def _expected_next(first: Run) -> list[Answer | None]:
    return [Outcome.SKIPPED if answer is Outcome.INSERTED else answer for answer in first.answers]


def _name(answer: Answer | None) -> str:
    return answer.value if isinstance(answer, Outcome) else getattr(answer, "__name__", "nothing")


@contextlib.contextmanager
def _database(file: Path | None) -> Iterator[Path]:
    """Make a new file with an empty table; one that nobody named is removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = (file or Path(folder, "unicode.db")).resolve()
        if path.exists():
            sys.exit(f"{path} is already there: name a new file")
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute(TABLE)
        yield path


async def _watch(run: Run, show: Callable[[int], None]) -> None:
    while True:
        show(len(run.latencies))
        await asyncio.sleep(0.1)


@contextlib.contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield what shows how many rows are done: a bar on a terminal, a line for each tenth elsewhere."""
    if sys.stdout.isatty():
        from rich import progress  # noqa: PLC0415 - only a terminal needs it

        rows = progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows")
        with progress.Progress("{task.description}", progress.BarColumn(), rows, progress.TimeElapsedColumn()) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        shown = 0

        def show(done: int) -> None:
            nonlocal shown
            tenths = done * 10 // total
            for tenth in range(shown + 1, tenths + 1):
                print(f"{title}: {tenth * 10:>3} %", flush=True)
            shown = tenths

        yield show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=_positive, default=CODE_POINTS, help="so many, evenly spread (all)")
    parser.add_argument("--callers", type=_positive, default=1000, help="coroutines at the same time (1,000)")
    parser.add_argument("--file", type=Path, help="a new SQLite file, which is kept (a temporary one)")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        message = f"must be 1 or more, not {number}"
        raise argparse.ArgumentTypeError(message)
    return number


if __name__ == "__main__":
    sys.exit(main())

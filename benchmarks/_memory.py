"""What a pending item costs in memory, above the item itself.

Each way is measured in a process of its own (``python -m benchmarks._memory WAY ITEMS``), by two meters: first what the
process grows by (``resident``), then what Python allocates (``traced``, exact).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._floor import BareFutures, MinimalBatcher
from benchmarks._report import Requirement, Section
from benchmarks._stub import COLUMNS, StubBackend, rows_as_dicts, rows_as_tuples
from bulkwriter import AsyncBatcher, BulkWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from benchmarks._command import Size

BATCH = 1000
CORE_BYTES, WRITER_BYTES = 200, 300


def memory(size: Size) -> Iterator[Section]:
    """Ask for a burst of ``submit``."""
    items = size.pick(tiny=1000, full=100_000)
    title = f"Memory of a pending item above the item itself, {items:,} at once by submit, in bytes"
    section = Section(title, ["", "traced", "resident"])
    found = {way: _ask(way, items) for way in WAYS}
    section.rows += [[way, f"{each['traced']:,.0f}", f"{each['resident']:,.0f}"] for way, each in found.items()]
    section.requirements += [
        Requirement(f"{way}, traced", found[way]["traced"], CORE_BYTES if way == "core" else WRITER_BYTES, "B", True)  # noqa: FBT003 - the most it may be
        for way in WAYS
        if way not in (BARE, MINIMAL)
    ]
    section.notes.append(_reasoning())
    yield section


def _ask(way: str, items: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks._memory", way, str(items)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _reasoning() -> str:
    """Say what an item cannot cost less than."""
    loop = asyncio.new_event_loop()
    future = sys.getsizeof(loop.create_future())
    loop.close()
    values = sys.getsizeof((None,) * len(COLUMNS))
    return (
        f"by sys.getsizeof: a future {future}, two places in lists 16; "
        f"a row that comes as a dict leaves a tuple of its {len(COLUMNS)} values, {values}"
    )


# --- in the process that is measured ----------------------------------------------------------------------------------


async def _pending(way: str, items: int, meter: Callable[[], int]) -> float:
    given: list[Any] = rows_as_tuples(items) if "tuples" in way else rows_as_dicts(items)
    submit, finish = await WAYS[way](items)
    for item in given[:BATCH]:
        submit(item)
    await asyncio.sleep(0.01)
    gc.collect()
    before = meter()
    for item in given:
        submit(item)
    after = meter()
    await finish()
    return (after - before) / items


async def _nothing() -> None:
    await asyncio.sleep(0)


async def _bare(_: int) -> tuple[Callable[[Any], Any], Callable[[], Awaitable[None]]]:
    return BareFutures().submit, _nothing


async def _minimal(_: int) -> tuple[Callable[[Any], Any], Callable[[], Awaitable[None]]]:
    return MinimalBatcher(_echo, BATCH).submit, _nothing


async def _echo(batch: list[Any]) -> list[Any]:
    return batch


async def _core(_: int) -> tuple[Callable[[Any], Any], Callable[[], Awaitable[None]]]:
    batcher = AsyncBatcher[Any, Any](_echo, max_batch_size=BATCH)
    return batcher.submit, batcher.stop


async def _writer(items: int, max_bytes: int = -1, columns: tuple[str, ...] | None = None) -> Any:
    backend = StubBackend(columns)
    writer = BulkWriter[Any](backend, max_batch_size=BATCH, max_queue_size=2 * items, max_queue_bytes=max_bytes)
    await writer.open()
    return writer.submit, writer.stop


async def _tuples(items: int) -> Any:
    return await _writer(items, columns=COLUMNS)


async def _counted(items: int) -> Any:
    return await _writer(items, max_bytes=2**30)


def _resident() -> int:
    """Return the memory that the process has of the machine's; 0 where the system does not tell."""
    statistics = Path("/proc/self/statm")
    return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if statistics.exists() else 0


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


BARE, MINIMAL = "bare futures", "minimal"
WAYS: dict[str, Callable[[int], Any]] = {
    BARE: _bare,
    MINIMAL: _minimal,
    "core": _core,
    "writer, tuples": _tuples,
    "writer, dicts": _writer,
    "writer, dicts, bytes counted": _counted,
}


def _main(way: str, items: int) -> None:
    resident = asyncio.run(_pending(way, items, _resident))
    tracemalloc.start()
    traced = asyncio.run(_pending(way, items, _traced))
    print(json.dumps({"traced": traced, "resident": resident}))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))

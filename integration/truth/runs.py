"""One run: callers and trouble, an end, and the comparison of what was told with what is stored."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import random
from typing import TYPE_CHECKING, Any

from bulkwriter import BulkWriter, RetryPolicy
from bulkwriter.errors import OutcomeUnknownError
from bulkwriter.testing.conformance import MismatchError
from bulkwriter.testing.conformance.told import assert_told_equals_stored, keep_columns
from integration.attempts import told
from integration.truth.callers import Callers

if TYPE_CHECKING:
    from bulkwriter.contract import OnConflict
    from bulkwriter.testing.conformance.told import Telling
    from integration.truth.arenas import Arena
    from integration.truth.trouble import Trouble

POLICIES: tuple[OnConflict, ...] = ("error", "skip", "update")
ENDINGS = ("everybody is answered", "stopped", "stopped by force")
_OFTEN: Any = {"max_attempts": 1_000_000, "attempt_timeout": 1, "initial_backoff": 0.005, "max_backoff": 0.1}

WITH_LEDGER = RetryPolicy(max_time=60, **_OFTEN)
"""Goes on until the server is back, and can tell."""

WITHOUT = RetryPolicy(max_time=5, **_OFTEN)
"""Gives up: the answer to a COMMIT that was swallowed is waited for in vain, where nobody else can tell."""

LONGEST = 120.0
"""Seconds after the trouble by which everybody must have an answer: accepted last, tried and settled as long again."""


@dataclasses.dataclass
class Figures:
    """What runs have shown.

    Attributes:
        runs: How many.
        told: How many rows were told what.
        hits: How often each trouble has truly hit.
    """

    runs: int = 0
    told: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    hits: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def __str__(self) -> str:
        rows = sum(self.told.values())
        lines = [f"{self.runs} runs, {rows:,} rows, 0 mismatches"]
        for name, counted in (("told", self.told), ("hits", self.hits)):
            lines.append(f"  {name}: " + ", ".join(f"{count:,} {what}" for what, count in counted.most_common()))
        return "\n".join(lines)


async def run_once(arena: Arena, seed: int, seconds: float, figures: Figures) -> None:
    """Make one run.

    Args:
        arena: Where.
        seed: What it is drawn from. The same seed draws the same again; what meets what is a matter of the clock.
        seconds: How long there is trouble.
        figures: Added to.

    Raises:
        MismatchError: A caller was told what is not so.
        AssertionError: Another promise is broken.
    """
    chance = random.Random(seed)  # noqa: S311 - guards no secret
    on_conflict = chance.choice(POLICIES)
    ledger = chance.random() < 1 / 2
    ending = chance.choice(ENDINGS)
    options: dict[str, Any] = {"max_batch_size": chance.choice([3, 20, 500]), "concurrency": chance.choice([1, 2, 4])}
    await arena.make_table()
    backend = arena.target.backend(on_conflict=on_conflict, ledger=ledger)
    try:
        async with BulkWriter[Any](backend, retry=WITH_LEDGER if ledger else WITHOUT, **options) as writer:
            callers = Callers(writer, on_conflict, chance)
            trouble = arena.trouble(arena, chance, writer)
            await _live_through(callers, trouble, writer, seconds, ending)
        assert writer.statistics().is_balanced
        stored = await arena.target.rows()
        assert_told_equals_stored([*callers.tellings, *arena.tellings], stored, keep_columns)
        if ledger and ending != "stopped by force":
            _check_nothing_is_unknown(callers.tellings)
    except BaseException as error:
        error.add_note(f"{arena!r}, seed {seed}: {on_conflict}, ledger={ledger}, {ending}, {options}")
        raise
    figures.runs += 1
    figures.told.update(told([telling.answer for telling in callers.tellings if telling.answer is not None]))
    figures.told["cancelled"] += sum(telling.answer is None for telling in callers.tellings)
    figures.hits.update(trouble.hits)


async def _live_through(
    callers: Callers, trouble: Trouble, writer: BulkWriter[Any], seconds: float, ending: str
) -> None:
    """Let callers call and trouble come, and end it."""
    working = asyncio.ensure_future(callers.work())
    try:
        await trouble.last(seconds)
        callers.is_over = True
        if ending != "everybody is answered":
            await writer.stop(force=ending == "stopped by force")
        async with asyncio.timeout(LONGEST + WITH_LEDGER.max_time):
            await working
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
    if ending == "everybody is answered":
        # The trouble is over, and so is all that came of it.
        await callers.go_on()


def _check_nothing_is_unknown(tellings: list[Telling]) -> None:
    """Check that with a ledger only those do not know who would not wait for it."""
    unknown = [t.answer for t in tellings if isinstance(t.answer, OutcomeUnknownError)]
    unexplained = [error for error in unknown if "its deadline passed" not in str(error)]
    if unexplained:
        message = f"{len(unexplained)} rows are unknown in spite of the ledger, such as {unexplained[0]!r}"
        raise MismatchError(message)

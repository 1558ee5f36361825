"""Many callers of one writer, some of them impatient, and what each of them was told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bulkwriter.errors import BulkWriterError
from bulkwriter.testing.conformance.told import Telling
from integration.attempts import told

if TYPE_CHECKING:
    import random

    from bulkwriter import BulkWriter
    from bulkwriter.contract import OnConflict

CALLERS = 12
KEYS = 60
"""Few, so that rows meet."""

_DELETES = 0.2
_BAD = 0.03
_WITH_DEADLINE = 0.05
_CANCELLED = 0.1

POISON = (
    {"name": None},
    {"name": "n" * 101},
    {"amount": "not a number"},
    {"amount": 2**63},
    {"nonesuch": 1},
)
"""What makes a row bad: for the server, for the driver, for us."""


class Callers:
    """Tasks that insert and delete rows of few keys until they are told to end.

    Args:
        writer: The writer.
        on_conflict: Its policy.
        chance: Decides what they do.

    Attributes:
        tellings: What was told, in the order in which the rows were accepted.
        is_over: Set when nobody is to begin anything more.
    """

    def __init__(self, writer: BulkWriter[Any], on_conflict: OnConflict, chance: random.Random) -> None:
        self._writer = writer
        self._on_conflict: OnConflict = on_conflict
        self._chance = chance
        self.tellings: list[Telling] = []
        self.is_over = False

    async def work(self) -> None:
        """Call, all of them at once, until it is over; then wait for the answers."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        chance = self._chance
        while not self.is_over:
            calls = [asyncio.ensure_future(self._call()) for _ in range(chance.choice([1, 1, 4, 20]))]
            await asyncio.sleep(chance.choice([0, 0.001, 0.01]))
            if chance.random() < _CANCELLED:
                chance.choice(calls).cancel()
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    async def _call(self) -> None:
        chance = self._chance
        timeout = chance.uniform(0.001, 0.5) if chance.random() < _WITH_DEADLINE else None
        await self._ask(self._drawn(), timeout)

    async def go_on(self) -> None:
        """Insert a new row, as if nothing had happened.

        Raises:
            AssertionError: It is not stored.
        """
        telling = Telling({"id": KEYS, "name": "afterwards", "amount": 0}, self._on_conflict)
        await self._ask(telling, None)
        assert told([telling.answer]) == ["inserted"], telling.answer

    async def _ask(self, telling: Telling, timeout: float | None) -> None:
        # A row is accepted in the very step that notes it here: the order is the same.
        self.tellings.append(telling)
        try:
            if telling.is_delete:
                telling.answer = await self._writer.delete(telling.row["id"], timeout=timeout)
            else:
                telling.answer = await self._writer.insert(telling.row, timeout=timeout)
        except BulkWriterError as error:
            telling.answer = error

    def _drawn(self) -> Telling:
        chance, key = self._chance, self._chance.randrange(KEYS)
        if chance.random() < _DELETES:
            return Telling({"id": key}, self._on_conflict, is_delete=True)
        row: dict[str, Any] = {"id": key, "name": f"row {len(self.tellings)}", "amount": len(self.tellings)}
        if chance.random() < 1 / 2:
            row["note"] = "noted"
        if chance.random() < _BAD:
            row.update(chance.choice(POISON))
        return Telling(row, self._on_conflict)

"""One attempt: requests side by side, a verdict for every row, and what became of those that had no answer."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.dynamodb import errors
from bulkwriter.backends.dynamodb.bodies import packed
from bulkwriter.backends.dynamodb.comparing import has_token, is_same
from bulkwriter.backends.dynamodb.keys import key_of
from bulkwriter.contract import Doubtful, NotApplied, Suspect, Uniform
from bulkwriter.errors import ThrottledError
from bulkwriter.results import DELETED, INSERTED, SKIPPED, STORED, UPDATED, WriteResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence

    from bulkwriter.backends.dynamodb.parts import Parts
    from bulkwriter.backends.dynamodb.rows import Row
    from bulkwriter.contract import Attempt, Reply, Verdict


class Attempting:
    """Writes the rows of one attempt.

    Every row is in one of three states: not sent, with no verdict, or held back; sent, with a doubtful one; answered.

    Args:
        parts: What the backend is made of.
        attempt: The attempt.
    """

    def __init__(self, parts: Parts, attempt: Attempt) -> None:
        self._parts = parts
        self._rows: Sequence[Row] = attempt.rows
        self._is_careful = attempt.careful
        self._verdicts: dict[Row, Verdict] = {}
        self._throttled: set[Row] = set()
        # Whether rows may be stored already by a request whose answer was lost.
        self._is_again = False
        self._came_at = asyncio.get_running_loop().time()

    async def reply(self) -> Reply:
        """Send every row, and return the verdicts."""
        if self._parts.limit.is_full:
            return Uniform(self._held_back(), len(self._rows))
        self._parts.count("careful" if self._is_careful else "single" if self._parts.options.is_single else "batch")
        await self._send(self._rows)
        return self._told()

    async def settle(self) -> Reply:
        """Send those rows again that have had no answer; those that were not sent never will be.

        A put or a delete may be repeated: nothing else is written under its key meanwhile. Whether an item that is in
        the way of a conditional put is the one that was put before, is seen by comparing the two.
        """
        self._is_again = True
        await self._send([row for row, verdict in self._verdicts.items() if _may_be_settled(verdict)])
        return self._told()

    def _told(self) -> Reply:
        verdicts = [*map(self._verdicts.get, self._rows)]
        first = verdicts[0]
        if isinstance(first, WriteResult) and verdicts.count(first) == len(verdicts):
            return Uniform(first, len(verdicts))
        # What was not sent was given up: while it waited for the table to take more, or for a connection.
        missing = errors.given_up(self._parts.table.name) if self._parts.limit.is_off else self._held_back()
        return [verdict or missing for verdict in verdicts]

    def _held_back(self) -> NotApplied:
        return errors.held_back(self._parts.table.name, self._parts.limit.wait)

    # -- which request each row goes in

    async def _send(self, rows: Sequence[Row]) -> None:
        options = self._parts.options
        if self._is_careful or options.is_single:
            batched = [] if self._is_careful else [row for row in rows if row.is_delete]
            alone = [row for row in rows if self._is_careful or not row.is_delete]
        else:
            batched, alone = list(rows), []
        packs = packed(batched, self._parts.limit.portion)
        if not alone and len(packs) == 1:
            await self._in_turn([packs[0]], self._batch)
            return
        lines = [(line, self._batch) for line in _lines_of_packs(packs)]
        lines += [([[row] for row in line], self._alone) for line in _lines_of_rows(alone)]
        # As many at once as there are connections: to begin thousands in one turn would hold the loop.
        left = iter(lines)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(lines), self._parts.most_requests)):
                group.create_task(self._work_off(left))

    async def _work_off(self, lines: Iterator[tuple[list[list[Row]], Callable[[list[Row]], Awaitable[None]]]]) -> None:
        for packs, write in lines:
            await self._in_turn(packs, write)

    async def _in_turn(self, packs: list[list[Row]], write: Callable[[list[Row]], Awaitable[None]]) -> None:
        """Make requests one after the other, each when the table takes it, and when there is a connection for it.

        Those for which the table is too slow are held back, with all that must wait for them.
        """
        limit = self._parts.limit
        for place, rows in enumerate(packs):
            began_at = await self._begin(sum([row.units for row in rows]))
            if began_at is None:
                held_back = self._held_back()
                for row in itertools.chain.from_iterable(packs[place:]):
                    self._verdicts[row] = held_back
                return
            async with self._parts.connections:
                # From here on they may be stored.
                self._verdicts.update(dict.fromkeys(rows, _NO_ANSWER))
                self._throttled.difference_update(rows)
                await write(rows)
            written = sum([row.units for row in rows if isinstance(self._verdicts[row], WriteResult)])
            throttled = sum([row.units for row in rows if row in self._throttled])
            limit.note(written, throttled, began_at)

    async def _begin(self, units: int) -> float | None:
        """Return when a request may begin, which is now; ``None`` if it may not for a while.

        What is in doubt already waits for as long as it takes: it cannot be held back any more.
        """
        limit, clock = self._parts.limit, asyncio.get_running_loop().time
        began_at = await limit.begin(units, clock() if self._is_again else self._came_at)
        while began_at is None and self._is_again:
            await asyncio.sleep(limit.wait)
            began_at = await limit.begin(units, clock())
        return began_at

    # -- requests

    async def _batch(self, rows: list[Row]) -> None:
        """Put and delete items in one request."""
        try:
            answer = await self._parts.sender.send("BatchWriteItem", self._parts.bodies.batch(rows))
            left = self._left_of(rows, answer["UnprocessedItems"])
        except Exception as error:  # noqa: BLE001 - whatever it is, each row has its verdict
            if self._is_again and len(rows) > 1 and errors.is_row_fault(error):
                # The first one never arrived, it seems; and who has had no verdict yet is not to be suspected.
                for row in rows:
                    await self._alone([row])
            else:
                self._fail(rows, error)
            return
        self._verdicts.update(dict.fromkeys(rows, STORED))
        for row in rows:
            if row.is_delete:
                self._verdicts[row] = DELETED
        for row in left:
            self._note(row, errors.unprocessed(self._parts.table.name))

    def _left_of(self, rows: list[Row], left: Mapping[str, Any]) -> list[Row]:
        """Return the rows that were left unprocessed, told by their keys: in which order they come back is not said.

        Raises:
            KeyError: One of them is none of these rows.
        """
        if not left:
            return []
        by_key = {row.key: row for row in rows}
        requests = [content for listed in left.values() for request in listed for content in request.values()]
        return [by_key[key_of(self._parts.table, content.get("Item") or content["Key"])] for content in requests]

    async def _alone(self, rows: list[Row]) -> None:
        """Write one row in a request of its own."""
        (row,), parts = rows, self._parts
        try:
            if row.is_delete:
                await parts.sender.send("DeleteItem", parts.bodies.delete(row))
                self._verdicts[row] = DELETED
            elif parts.options.on_conflict == "update":
                self._verdicts[row] = self._replaced(await parts.sender.send("PutItem", parts.bodies.put(row)))
            else:
                await parts.sender.send("PutItem", parts.bodies.put_new(row))
                self._verdicts[row] = INSERTED
        except Exception as error:  # noqa: BLE001 - as above
            if errors.code_of(error) == errors.CONFLICT:
                self._note(row, self._conflict(row, error))
            else:
                self._fail(rows, error)

    def _replaced(self, answer: Mapping[str, Any]) -> WriteResult:
        """Return what a put of its own has done, which tells what it has replaced: itself, perhaps, if sent again."""
        if not self._parts.options.tells_updated or self._is_again:
            return STORED
        return UPDATED if answer.get("Attributes") else INSERTED

    # -- verdicts

    def _conflict(self, row: Row, error: Exception) -> Verdict:
        """Return what a row hears that found an item in its place: its own, if an earlier request was done."""
        options = self._parts.options
        skips, token = options.on_conflict == "skip", options.write_token
        told = SKIPPED if skips else errors.rejected(error, self._parts.table.name)
        if not self._is_again:
            return told
        found = errors.old_item(error)
        if found is not None and token is not None and token in found:
            return INSERTED if has_token(row, found, token) else told
        if found is not None and skips:
            # Put by this row or by another of the same values: for who skips that makes no difference.
            return STORED if token is None and is_same(row, found) else told
        # Somebody else's; or this row's, which somebody has changed since, or replaced.
        return Doubtful(error, can_settle=False)

    def _fail(self, rows: list[Row], error: Exception) -> None:
        """Note what rows hear whose request went wrong."""
        table = self._parts.table.name
        if not errors.is_certain(error):
            verdict: Verdict = Doubtful(error)
        elif errors.is_row_fault(error):
            rejected = errors.rejected(error, table)
            verdict = rejected if len(rows) == 1 else Suspect(rejected)
        else:
            verdict = errors.not_applied(error, table)
        for row in rows:
            self._note(row, verdict)

    def _note(self, row: Row, verdict: Verdict) -> None:
        """Note a verdict, unless it is only of this request, and says nothing of the one before."""
        if isinstance(verdict, NotApplied):
            if isinstance(verdict.error, ThrottledError):
                self._throttled.add(row)
            if self._is_again:
                verdict = Doubtful(verdict.error)
        self._verdicts[row] = verdict


_NO_ANSWER: Final = Doubtful()


def _may_be_settled(verdict: Verdict) -> bool:
    return isinstance(verdict, Doubtful) and verdict.can_settle


def _lines_of_packs(packs: list[list[Row]]) -> list[list[list[Row]]]:
    """Return which packs must wait for each other: all of them, if a key is in more than one."""
    keys = [row.key for pack in packs for row in pack]
    return [[pack] for pack in packs] if len(set(keys)) == len(keys) else [packs]


def _lines_of_rows(rows: list[Row]) -> list[list[Row]]:
    """Return which rows must wait for each other: those of one key, in their order."""
    lines: dict[Hashable, list[Row]] = {}
    for row in rows:
        lines.setdefault(row.key, []).append(row)
    return list(lines.values())

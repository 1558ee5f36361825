"""Of several batches, one is encoded at a time, and goes on for as long as its connection takes more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bulkwriter.backends.postgres.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

PIECES = 3


async def encode(name: str, turn: Turn, said: list[str], *, pause: Callable[[int], bool]) -> None:
    """Say a name for each piece; wait for a turn of the loop behind those for which ``pause`` says so."""
    for piece in range(PIECES):
        async with turn:
            said.append(name)
            await asyncio.sleep(0)
        if pause(piece):
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("pause", "said"),
    [(lambda _: False, "aaabbb"), (lambda piece: piece == 1, "aabbba")],
    ids=["comes right back", "waits for its connection"],
)
async def test_a_batch_goes_on_while_it_comes_right_back(pause: Callable[[int], bool], said: str) -> None:
    """The other one begins when it is through, or when its connection takes no more for now."""
    lock, order = asyncio.Lock(), list[str]()
    await asyncio.gather(
        encode("a", Turn(lock), order, pause=pause), encode("b", Turn(lock), order, pause=lambda _: False)
    )
    await asyncio.sleep(0)
    assert "".join(order) == said
    assert not lock.locked()


async def test_each_piece_has_a_turn_of_the_loop_to_itself() -> None:
    """Else the pieces of one batch, or of all, would block it for as long as the whole."""
    lock, order = asyncio.Lock(), list[str]()
    batches = asyncio.gather(*(encode(name, Turn(lock), order, pause=lambda _: False) for name in "abc"))
    before = len(order)
    while not batches.done():
        await asyncio.sleep(0)
        assert len(order) - before <= 1
        before = len(order)
    assert before == 3 * PIECES


@pytest.mark.parametrize("end", ["error", "cancelled inside", "cancelled while it waits"])
async def test_whoever_leaves_lets_others_go_on(end: str) -> None:
    """A batch that is given up must not keep all others from ever being encoded."""
    lock, inside = asyncio.Lock(), asyncio.Event()

    async def hold() -> None:
        async with Turn(lock):
            inside.set()
            if end == "error":
                raise ValueError
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await inside.wait()
    waiting = asyncio.create_task(encode("w", Turn(lock), [], pause=lambda _: False))
    await asyncio.sleep(0)
    if end == "cancelled while it waits":
        waiting.cancel()
        await asyncio.wait([waiting])
    holder.cancel()
    await asyncio.wait([holder])
    said = list[str]()
    async with asyncio.timeout(5):
        await encode("n", Turn(lock), said, pause=lambda _: False)
    assert said == ["n"] * PIECES
    await asyncio.wait([waiting])

"""What is to be sent next is made while the server is busy, each piece once and in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bulkwriter.backends.postgres.lookahead import Lookahead

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECES = 4


def noted(made: list[int], fails_at: int | None = None) -> Iterator[int]:
    """Make pieces, and note when."""
    for piece in range(PIECES):
        if piece == fails_at:
            message = f"no piece {piece}"
            raise ValueError(message)
        made.append(piece)
        yield piece


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("waits", [True, False])
async def test_each_comes_once_and_in_order(*, looks: bool, waits: bool) -> None:
    """Whether it was made before it was asked for or not."""
    made: list[int] = []
    pieces = Lookahead(noted(made))
    got = []
    for piece in pieces:
        got.append(piece)
        if looks:
            pieces.look()
        if waits:
            await asyncio.sleep(0)
    assert got == made == list(range(PIECES))


async def test_the_next_is_made_while_somebody_waits() -> None:
    """Not at once: what is to be sent before must be on its way."""
    made: list[int] = []
    pieces = Lookahead(noted(made))
    assert next(pieces) == 0
    pieces.look()
    assert made == [0]
    await asyncio.sleep(0)
    assert made == [0, 1]


async def test_an_error_is_raised_where_the_piece_is_asked_for() -> None:
    """And again, if it is asked for again: as if there were no more, rows would be left out in silence."""
    pieces = Lookahead(noted([], fails_at=1))
    assert next(pieces) == 0
    pieces.look()
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(ValueError, match="no piece 1"):
            next(pieces)


async def test_what_is_asked_for_before_its_turn_is_made_once() -> None:
    """Where an answer came so soon that there was no time to look ahead."""
    made: list[int] = []
    pieces = Lookahead(noted(made))
    next(pieces)
    pieces.look()
    assert list(pieces) == [1, 2, 3]
    await asyncio.sleep(0)
    assert made == [0, 1, 2, 3]


async def test_order_stays_however_often_one_looks_ahead() -> None:
    """Also twice before the next is asked for."""
    pieces = Lookahead(noted([]))
    for _ in range(2):
        pieces.look()
        await asyncio.sleep(0)
    assert list(pieces) == list(range(PIECES))

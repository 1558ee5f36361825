"""What stands in for ``process_batch`` in the tests of the generic core."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bulkwriter import AsyncBatcher


class Echo:
    """Answers each item with itself at once, and remembers what it was given and when."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.times: list[float] = []

    async def __call__(self, batch: list[Any]) -> Any:
        """Answer at once."""
        self._note(batch)
        return list(batch)

    def _note(self, batch: list[Any]) -> None:
        self.batches.append(list(batch))
        self.times.append(asyncio.get_running_loop().time())

    @property
    def items(self) -> list[Any]:
        """Every item it was given, in order."""
        return [item for batch in self.batches for item in batch]


class Slow(Echo):
    """Takes its time: ``seconds`` for each batch, or a time of its own for each in turn."""

    def __init__(self, *seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, batch: list[Any]) -> Any:
        """Answer after a while."""
        self._note(batch)
        number = len(self.batches) - 1
        await asyncio.sleep(self._seconds[min(number, len(self._seconds) - 1)])
        return list(batch)


class Held(Echo):
    """Keeps each batch in flight until it is told what the answer is."""

    def __init__(self) -> None:
        super().__init__()
        self.flights: list[asyncio.Future[Any]] = []
        self.cancelled: list[int] = []

    async def __call__(self, batch: list[Any]) -> Any:
        """Answer when told to."""
        self._note(batch)
        number = len(self.flights)
        self.flights.append(asyncio.get_running_loop().create_future())
        try:
            return await self.flights[number]
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    def echo(self, number: int) -> None:
        """Let a batch end well, each item answered with itself."""
        self.flights[number].set_result(list(self.batches[number]))

    def echo_all(self) -> None:
        """Let every batch in flight end well."""
        for number, flight in enumerate(self.flights):
            if not flight.done():
                self.echo(number)

    def answer(self, number: int, reply: Any) -> None:
        """Let a batch end with this reply, raised if it is an exception."""
        if isinstance(reply, BaseException):
            self.flights[number].set_exception(reply)
        else:
            self.flights[number].set_result(reply)


class Stubborn(Echo):
    """Ignores that it is cancelled, until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()
        self.cancels = 0

    async def __call__(self, batch: list[Any]) -> Any:
        """Answer when released."""
        self._note(batch)
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancels += 1
        return list(batch)


async def turns(number: int = 5) -> None:
    """Let the loop turn so many times: enough for a batch to leave, and for its callers to wake."""
    for _ in range(number):
        await asyncio.sleep(0)


async def outcome(future: asyncio.Future[Any]) -> Any:
    """Return what became of a future: its result, or its exception."""
    return (await asyncio.gather(future, return_exceptions=True))[0]


async def outcomes(futures: list[asyncio.Future[Any]]) -> list[Any]:
    """Return what became of each future: its result, or its exception."""
    return await asyncio.gather(*futures, return_exceptions=True)


def kinds(answers: list[Any]) -> list[Any]:
    """Return the answers with each exception replaced by its class."""
    return [type(answer) if issubclass(type(answer), BaseException) else answer for answer in answers]


def assert_at_rest(batcher: AsyncBatcher[Any, Any]) -> None:
    """Nothing is queued or in flight, and every accepted item has met exactly one fate."""
    figures = batcher.statistics()
    assert figures.is_balanced, figures
    assert (figures.queued, figures.in_flight, figures.batches_in_flight, figures.queued_bytes) == (0, 0, 0, 0), figures

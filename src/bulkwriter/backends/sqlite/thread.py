"""The backend's own thread: one inbox, one job after the other, each answered on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

ResultT = TypeVar("ResultT")

# At the interpreter's exit: how long a statement that is running may take to its end, in seconds.
_EXIT_PATIENCE: Final = 5.0


class Job(Generic[ResultT]):
    """Something to be done on the thread.

    Args:
        act: Does it. Its argument tells whether the job has been given up.
        loop: The event loop on which the answer is awaited.

    Attributes:
        answer: What it returned or raised.
    """

    def __init__(self, act: Callable[[Callable[[], bool]], ResultT], loop: asyncio.AbstractEventLoop) -> None:
        self._act = act
        self._loop = loop
        self._ticket = [None]  # whoever takes it, the thread or the one who withdraws, decides
        self._is_given_up = False
        self.answer: asyncio.Future[ResultT] = loop.create_future()

    def withdraw(self) -> bool:
        """Take the job back, if it has not begun; say whether it will never be done.

        A job that is running is told that it has been given up, and ends when it can.
        """
        self._is_given_up = True
        return self._take_ticket()

    async def wait(self) -> ResultT:
        """Return the answer. To be cancelled here leaves the job alone."""
        return await asyncio.shield(self.answer)

    def run(self) -> None:
        """Do it, on the thread."""
        if not self._take_ticket():
            return
        try:
            result = self._act(self._was_given_up)
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
            self._tell(self.answer.set_exception, error)
        else:
            self._tell(self.answer.set_result, result)

    def _was_given_up(self) -> bool:
        return self._is_given_up

    def _take_ticket(self) -> bool:
        try:
            self._ticket.pop()
        except IndexError:
            return False
        return True

    def _tell(self, settle: Callable[[Any], None], answer: object) -> None:
        def tell() -> None:
            if not self.answer.done():
                settle(answer)
                # Read here, so that an error nobody waits for any more is no unretrieved one.
                self.answer.exception()

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(tell)


class Worker:
    """A thread that does the jobs given to it, in their order.

    It is a daemon, so that a backend that nobody closed does not keep the interpreter from its exit; ``stop`` lets it
    end what it has begun. It never refers to the backend, which can so be collected while the thread waits.

    Args:
        name: The thread's name.
        last: What to do at the end, on the thread.
    """

    def __init__(self, name: str, last: Callable[[], None]) -> None:
        self._inbox: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._last = last
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def submit(self, act: Callable[[Callable[[], bool]], ResultT], loop: asyncio.AbstractEventLoop) -> Job[ResultT]:
        """Have something done, and return at once."""
        job = Job(act, loop)
        self._inbox.put(job)
        return job

    def stop(self) -> None:
        """Let the thread end after the jobs it has been given."""
        self._inbox.put(None)

    def stop_and_wait(self) -> None:
        """Let the thread end, and wait for that: for the interpreter's exit."""
        self.stop()
        self._thread.join(_EXIT_PATIENCE)

    def _main(self) -> None:
        inbox = self._inbox
        while (job := inbox.get()) is not None:
            job.run()
            del job  # it holds a batch: not to be kept until the next one comes
        self._last()

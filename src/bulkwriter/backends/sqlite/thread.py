"""The backend's own thread: one inbox, one job after the other, each answered on the event loop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import queue
import threading
import weakref
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
        self._loop = loop
        # Whoever takes it out, the thread or the one who withdraws, decides. And it is gone then: the act knows its
        # batch, and the batch knows its job, a circle that only the garbage collector would open.
        self._act = [act]
        self._is_given_up = False
        self.answer: asyncio.Future[ResultT] = loop.create_future()

    def withdraw(self) -> bool:
        """Take the job back, if it has not begun; say whether it will never be done.

        A job that is running is told that it has been given up, and ends when it can.
        """
        self._is_given_up = True
        return self._taken() is not None

    async def wait(self) -> ResultT:
        """Return the answer. To be cancelled here leaves the job alone."""
        return await asyncio.shield(self.answer)

    def run(self) -> Callable[[], None]:
        """Do it, on the thread; return what answers it on the loop."""
        act = self._taken()
        if act is None:
            return _nothing
        try:
            result = act(self._was_given_up)
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
            return self._settling(self.answer.set_exception, error)
        return self._settling(self.answer.set_result, result)

    def abandon(self, error: Exception) -> Callable[[], None]:
        """Do nothing, on the thread; return what answers it with an error on the loop."""
        return _nothing if self._taken() is None else self._settling(self.answer.set_exception, error)

    def _was_given_up(self) -> bool:
        return self._is_given_up

    def _taken(self) -> Callable[[Callable[[], bool]], ResultT] | None:
        try:
            return self._act.pop()
        except IndexError:
            return None

    def _settling(self, settle: Callable[[Any], None], answer: object) -> Callable[[], None]:
        def settle_on_loop() -> None:
            if not self.answer.done():
                settle(answer)
                # Read here, so that an error nobody waits for any more is no unretrieved one.
                self.answer.exception()

        return functools.partial(tell, self._loop, settle_on_loop)


def _nothing() -> None:
    """Answer nobody: the job was withdrawn."""


def tell(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    """Have something done on an event loop, from another thread."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(what)


class Worker:
    """A thread that does the jobs given to it, in their order.

    It is a daemon, so that a backend that nobody closed does not keep the interpreter from its exit, where the job that
    is running is let come to its end. It never refers to the backend, which can so be collected while the thread waits.

    Args:
        name: The thread's name.
        last: What to do at the end, on the thread.
        abandoned: Makes the error for a job that is not begun any more.
    """

    def __init__(self, name: str, last: Callable[[], None], abandoned: Callable[[], Exception]) -> None:
        self._inbox: queue.SimpleQueue[Job[Any] | Callable[[], None] | None] = queue.SimpleQueue()
        self._last = last
        self._abandoned = abandoned
        self._is_aborted = False
        self._is_busy = False
        self._untold: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()
        _running.add(self)

    @property
    def is_busy(self) -> bool:
        """Whether it works on another job."""
        return self._is_busy

    def submit(self, act: Callable[[Callable[[], bool]], ResultT], loop: asyncio.AbstractEventLoop) -> Job[ResultT]:
        """Have something done, and return at once."""
        job = Job(act, loop)
        self._inbox.put(job)
        return job

    def stop(self, *, abort: bool = False, then: Callable[[], None] | None = None) -> None:
        """Let the thread end after the jobs it has been given.

        Args:
            abort: End after the job that is running; the others are answered with an error.
            then: What to do last of all, on the thread. Only the first call's is done.
        """
        self._is_aborted = self._is_aborted or abort
        self._inbox.put(then)

    def join(self, seconds: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(seconds)

    def tell(self) -> None:
        """Answer the jobs that are done, on the thread: to be called before anything that leaves Python for long.

        To answer one wakes the event loop, which then holds Python's lock until it has prepared its next batch. Should
        there be another job, it is better begun first: while SQLite works on it, the lock is free.
        """
        untold, self._untold = self._untold, []
        for answer in untold:
            answer()

    def _main(self) -> None:
        inbox = self._inbox
        while isinstance(job := inbox.get(), Job):
            self._is_busy = True
            answer = job.abandon(self._abandoned()) if self._is_aborted else job.run()
            self._untold.append(answer)
            del job, answer  # they hold a batch: not to be kept until the next one comes
            if self._inbox.empty():
                self._is_busy = False
                self.tell()
        self.tell()
        self._last()
        _running.discard(self)
        if job is not None:
            job()


_running: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Let every thread end what it has begun: a daemon would be frozen in the middle of it."""
    workers = list(_running)
    for worker in workers:
        worker.stop(abort=True)
    for worker in workers:
        worker.join(_EXIT_PATIENCE)

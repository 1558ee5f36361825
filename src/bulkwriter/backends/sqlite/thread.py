"""The backend's own thread: one inbox, one job after the other, each answered on the event loop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
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

    def run(self) -> None:
        """Do it, on the thread."""
        act = self._taken()
        if act is None:
            return
        try:
            result = act(self._was_given_up)
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
            self._tell(self.answer.set_exception, error)
        else:
            self._tell(self.answer.set_result, result)

    def abandon(self, error: Exception) -> None:
        """Answer it with an error, on the thread, without having done anything."""
        if self._taken() is not None:
            self._tell(self.answer.set_exception, error)

    def _was_given_up(self) -> bool:
        return self._is_given_up

    def _taken(self) -> Callable[[Callable[[], bool]], ResultT] | None:
        try:
            return self._act.pop()
        except IndexError:
            return None

    def _tell(self, settle: Callable[[Any], None], answer: object) -> None:
        def settle_on_loop() -> None:
            if not self.answer.done():
                settle(answer)
                # Read here, so that an error nobody waits for any more is no unretrieved one.
                self.answer.exception()

        tell(self._loop, settle_on_loop)


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
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()
        _running.add(self)

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

    def _main(self) -> None:
        inbox = self._inbox
        while isinstance(job := inbox.get(), Job):
            if self._is_aborted:
                job.abandon(self._abandoned())
            else:
                job.run()
            del job  # it holds a batch: not to be kept until the next one comes
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

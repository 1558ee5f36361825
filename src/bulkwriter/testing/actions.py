"""What each fault of a ``FaultScript`` does to a call of a backend."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, TypeAlias

from bulkwriter.contract import Doubtful, NotApplied, Uniform
from bulkwriter.errors import BackendUnavailableError, NotWrittenError, ThrottledError
from bulkwriter.results import WriteResult
from bulkwriter.testing.parts import SimulatedFailureError, verdicts_of, write_others

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Attempt, Reply
    from bulkwriter.testing.player import Player

Action: TypeAlias = "Callable[[Call], Awaitable[Any]]"


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    """One call of a backend that a fault may befall.

    Attributes:
        script: The script that decides about it.
        backend: The backend, for errors.
        proceed: Makes the call as if there were no fault.
        attempt: The attempt it is about; ``None`` for ``open``.
        write: Makes any attempt as if there were no fault; only where an attempt is made.
        fault: The fault that is to befall it.
        has_hit: Whether the fault has.
    """

    script: Player
    backend: Backend
    proceed: Callable[[], Awaitable[Any]]
    attempt: Attempt | None = None
    write: Callable[[Attempt], Awaitable[Reply]] | None = None
    fault: str = ""
    has_hit: bool = False

    def hit(self) -> None:
        """Let the fault count as having happened; to be called at the moment it happens."""
        self.has_hit = True
        self.script._count(self.fault)  # noqa: SLF001 - the script's own other half

    @property
    def rows(self) -> int:
        """How many rows the attempt has; 0 for ``open``."""
        return 0 if self.attempt is None else len(self.attempt.rows)

    def error(self, kind: type[NotWrittenError], why: str) -> NotWrittenError:
        """Return an error as the backend would raise it, with a driver's error as its cause."""
        table = self.backend.table
        error = kind(f"table {table}: {why}", backend=self.backend.name, table=table)
        error.__cause__ = SimulatedFailureError(why)
        return error


def not_applied(kind: type[NotWrittenError], why: str, wait: float = 0.0) -> Action:
    """The write is refused as a whole, and the backend knows that it is."""

    async def act(call: Call) -> Reply:
        call.hit()
        return Uniform(NotApplied(call.error(kind, why), wait=wait), call.rows)

    return act


def lost(*, commits: bool, raises: bool, rows: int = -1) -> Action:
    """The connection breaks before the answer is there, and the backend does not know on which side of the commit."""

    async def act(call: Call) -> Reply:
        if commits:
            reply = await call.proceed()
            if not any_stored(reply):
                return reply  # type: ignore[no-any-return] # nothing was committed, so there is nothing to lose
        call.hit()
        why = SimulatedFailureError("the connection was lost" + (" after the commit" if commits else ""))
        if raises:
            raise why
        if 0 <= rows < call.rows:
            return [*verdicts_of(reply, call.rows)[: call.rows - rows], *[Doubtful(why)] * rows]
        return Uniform(Doubtful(why), call.rows)

    return act


def delayed(seconds: float) -> Action:
    """The call takes its time."""

    async def act(call: Call) -> Any:
        call.hit()
        await asyncio.sleep(seconds)
        return await call.proceed()

    return act


def hanging(*, after_commit: bool) -> Action:
    """The call does not come back until it is cancelled or released."""

    async def act(call: Call) -> Any:
        if not after_commit:
            await _hang(call)
            return await call.proceed()
        reply = await call.proceed()
        if any_stored(reply):
            await _hang(call)
        return reply

    return act


async def _hang(call: Call) -> None:
    released = asyncio.get_running_loop().create_future()
    call.script._hanging.append(released)  # noqa: SLF001 - the script's own other half
    call.hit()
    try:
        await released
    finally:
        if released in call.script._hanging:  # noqa: SLF001
            call.script._hanging.remove(released)  # noqa: SLF001


def outage(calls: int) -> Action:
    """The server cannot be reached, by this call and by the following ones of whatever kind."""

    async def act(call: Call) -> Any:
        call.script._outage = calls - 1 if calls > 0 else -1  # noqa: SLF001 - the script's own other half
        return await unreachable(call)

    return act


async def unreachable(call: Call) -> Any:
    """Fail one call of an outage."""
    call.hit()
    raise call.error(BackendUnavailableError, "the server cannot be reached")


def misreported(missing: int) -> Action:
    """The write is done, and the reply has too few verdicts, or too many."""

    async def act(call: Call) -> Reply:
        reply: Reply = await call.proceed()
        if not any_stored(reply):
            return reply
        call.hit()
        if isinstance(reply, Uniform):
            return Uniform(reply.verdict, reply.rows - missing)
        return reply[:-missing] if missing > 0 else [*reply, *reply[:1] * -missing]

    return act


def replying(reply: Any) -> Action:
    """The write is done, and the reply is what a broken backend might say."""

    async def act(call: Call) -> Any:
        await call.proceed()
        call.hit()
        return reply

    return act


def raising(error: BaseException | Callable[[], BaseException], *, after_commit: bool) -> Action:
    """The call raises something, before or after it was done."""

    async def act(call: Call) -> Any:
        if after_commit and not any_stored(reply := await call.proceed()):
            return reply
        call.hit()
        raise error if isinstance(error, BaseException) else error()

    return act


def unprocessed(rows: int, wait: float, *, was_tried: bool = True) -> Action:
    """The last rows of the batch are left undone, or not even sent, and the others are written."""

    async def act(call: Call) -> Reply:
        assert call.attempt is not None
        assert call.write is not None
        call.hit()
        left = range(max(0, call.rows - rows), call.rows)
        why = "rows were left unprocessed" if was_tried else "rows were held back"
        verdict = NotApplied(call.error(ThrottledError, why), wait=wait, was_tried=was_tried)
        decided = dict.fromkeys(left, verdict)
        return await write_others(call.script, call.attempt, call.write, decided)

    return act


def refusing_settle(*, for_good: bool) -> Action:
    """Nobody can be asked what became of the attempt: now, or ever."""

    async def act(call: Call) -> Reply:
        call.hit()
        if for_good:
            return Uniform(Doubtful(SimulatedFailureError("nobody can tell"), can_settle=False), call.rows)
        raise call.error(BackendUnavailableError, "the server cannot be asked")

    return act


def any_stored(reply: Any) -> bool:
    """Whether a reply says that something has been committed; what is no reply cannot say otherwise."""
    if not isinstance(reply, list | Uniform):
        return True
    verdicts = (reply.verdict,) if isinstance(reply, Uniform) else reply
    return any(isinstance(verdict, WriteResult) for verdict in verdicts)

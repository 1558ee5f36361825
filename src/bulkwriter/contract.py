"""What the delivery engine tells a backend, and what a backend answers.

A backend is a translation: it is handed an ``Attempt`` and reports one verdict per row, in the order of the rows.
It holds no queue, no retry loop and no clock. The five verdicts:

========================  ==========================================================================================
``WriteResult``           done, with this result
``RowRejectedError``      certainly not stored, and this row is why
``NotApplied``            certainly not stored, and the row is not why: may be tried again
``Suspect``               certainly not stored, because of a bad row somewhere in the batch: the engine finds it
``Doubtful``              perhaps stored: the engine asks the backend to ``settle`` the attempt
========================  ==========================================================================================
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bulkwriter.errors import NotWrittenError, RowRejectedError
from bulkwriter.results import WriteResult
from bulkwriter.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

Operation: TypeAlias = Literal["insert", "delete"]
OnConflict: TypeAlias = Literal["error", "skip", "update"]


class Plan:
    """One operation on one set of columns. All rows of a batch share a plan, or at least its ``lane``.

    A backend may subclass it to keep what it needs for such batches, such as ready-made SQL.

    Attributes:
        operation: ``"insert"`` (by the backend's ``on_conflict``) or ``"delete"``.
        columns: Names of the columns that each row's values stand for, in order; the key columns for a delete.
        lane: The plan under which the rows are queued and attempted once they are prepared; by default this one. A
            backend whose prepared rows know their own operation and columns gives all of its plans one lane: then any
            of them may share a batch.
    """

    __slots__ = ("columns", "lane", "operation")

    def __init__(self, operation: Operation, columns: tuple[str, ...], lane: Plan | None = None) -> None:
        self.operation: Operation = operation
        self.columns: tuple[str, ...] = columns
        self.lane: Plan = self if lane is None else lane

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.operation} ({', '.join(self.columns)})>"


class Attempt:
    """One try of one batch.

    Attributes:
        plan: What to do with the rows.
        rows: The rows, each as ``Backend.prepare`` left it (a tuple of values, unless the backend made it something
            else). Never empty; not to be changed.
        number: Counts the tries of these rows, from 1.
        careful: Whether the engine asks for the path that isolates bad rows; only if ``Capabilities.isolates``.
        identity: Names this try in the ledger. Unique, unless the caller gave it.
        token: What the backend will need to settle this try. It is set before the request is sent that may commit,
            since an attempt that is given up on never returns.
    """

    __slots__ = ("careful", "identity", "number", "plan", "rows", "token")

    def __init__(
        self,
        plan: Plan,
        rows: Sequence[Any],
        number: int = 1,
        *,
        careful: bool = False,
        identity: str | None = None,
    ) -> None:
        self.plan: Plan = plan
        self.rows: Sequence[Any] = rows
        self.number: int = number
        self.careful: bool = careful
        self.identity: str = os.urandom(16).hex() if identity is None else identity
        self.token: Any = None

    def __repr__(self) -> str:
        return f"<Attempt {self.identity}: try {self.number} of {len(self.rows)} rows, {self.plan!r}>"


class NotApplied(Value):
    """This row is certainly not stored, and the row is not why.

    Attributes:
        error: What the caller hears if there is no further try. Its ``__cause__`` is the driver's error.
        wait: Seconds to wait at least before the next try, where the database names a time.
        retry: Whether another try can help; ``False`` for a missing table or a lack of permission.
        was_tried: Whether the row was sent. One that a backend holds back, for a limit of its own on what it asks of
            the database, was not: it goes back to its place in the queue, no try of it is counted, and no batch
            leaves before ``wait`` is over.
    """

    __slots__ = ("error", "wait", "retry", "was_tried")

    error: NotWrittenError
    wait: float
    retry: bool
    was_tried: bool

    def __init__(
        self, error: NotWrittenError, wait: float = 0.0, *, retry: bool = True, was_tried: bool = True
    ) -> None:
        self._hold(error=error, wait=wait, retry=retry, was_tried=was_tried)


class Suspect(Value):
    """This row is certainly not stored, because of a bad row somewhere among the suspects of its attempt.

    Attributes:
        error: What a row hears that turns out to be the bad one.
    """

    __slots__ = ("error",)

    error: RowRejectedError

    def __init__(self, error: RowRejectedError) -> None:
        self._hold(error=error)


class Doubtful(Value):
    """This row may or may not be stored.

    Attributes:
        cause: What went wrong, for the caller's error.
        can_settle: Whether asking again later may tell; ``False`` ends the asking.
    """

    __slots__ = ("cause", "can_settle")

    cause: BaseException | None
    can_settle: bool

    def __init__(self, cause: BaseException | None = None, *, can_settle: bool = True) -> None:
        self._hold(cause=cause, can_settle=can_settle)


Verdict: TypeAlias = WriteResult | RowRejectedError | NotApplied | Suspect | Doubtful


class Uniform(Value):
    """The same verdict for every row of an attempt: the cheap form of a reply.

    Attributes:
        verdict: What each row hears.
        rows: How many rows it is for, as the database counted them: a reply is checked against its batch.
    """

    __slots__ = ("verdict", "rows")

    verdict: Verdict
    rows: int

    def __init__(self, verdict: Verdict, rows: int) -> None:
        self._hold(verdict=verdict, rows=rows)


Reply: TypeAlias = Uniform | list[Verdict]


def is_doubtful(reply: Reply) -> bool:
    """Whether a reply leaves open what became of any row."""
    verdicts = [reply.verdict] if isinstance(reply, Uniform) else reply
    return any(isinstance(verdict, Doubtful) for verdict in verdicts)


class Capabilities(Value):
    """What a backend can do. The documentation's capability table is made of these.

    Attributes:
        on_conflict: The policies it honours.
        tells_updated: Whether an upsert tells ``INSERTED`` from ``UPDATED``; else both are ``STORED``.
        expressions: Whether ``update_columns`` may be SQL expressions, and ``update_where`` is honoured.
        returning: Whether ``returning=`` is honoured.
        delete: Whether rows can be deleted by key.
        ledger: Whether ``ledger=True`` is honoured, so that a lost acknowledgement can be settled.
        settles: Whether a lost acknowledgement can be settled without a ledger.
        isolates: Whether ``Attempt.careful`` finds bad rows; else the engine splits the batch to find them.
        constraints: Whether the database enforces NOT NULL, CHECK and foreign keys.
        defaults: Whether a column that a row leaves out gets a default of the database's.
        processes: Whether several processes may write to one target.
    """

    __slots__ = (
        "on_conflict",
        "tells_updated",
        "expressions",
        "returning",
        "delete",
        "ledger",
        "settles",
        "isolates",
        "constraints",
        "defaults",
        "processes",
    )

    on_conflict: frozenset[OnConflict]
    tells_updated: bool
    expressions: bool
    returning: bool
    delete: bool
    ledger: bool
    settles: bool
    isolates: bool
    constraints: bool
    defaults: bool
    processes: bool

    def __init__(
        self,
        *,
        on_conflict: frozenset[OnConflict] = frozenset({"error", "skip", "update"}),
        tells_updated: bool = True,
        expressions: bool = True,
        returning: bool = True,
        delete: bool = True,
        ledger: bool = True,
        settles: bool = False,
        isolates: bool = False,
        constraints: bool = True,
        defaults: bool = True,
        processes: bool = True,
    ) -> None:
        self._hold(
            on_conflict=on_conflict,
            tells_updated=tells_updated,
            expressions=expressions,
            returning=returning,
            delete=delete,
            ledger=ledger,
            settles=settles,
            isolates=isolates,
            constraints=constraints,
            defaults=defaults,
            processes=processes,
        )


class Limits(Value):
    """The batch sizes that were measured best for a backend; a writer takes them where its caller names none.

    Attributes:
        max_batch_size: Rows a batch.
        max_batch_bytes: Bytes a batch, as ``Backend.row_size`` measures them; -1 = no limit.
        concurrency: Batches in flight at once.
        max_queue_size: Rows in the queue.
        max_queue_bytes: Bytes in the queue; -1 = no limit.
        hard_batch_size: Rows that the database takes at most in one batch; -1 = no limit.
        hard_batch_bytes: Bytes that the database takes at most in one batch; -1 = no limit.
    """

    __slots__ = (
        "max_batch_size",
        "max_batch_bytes",
        "concurrency",
        "max_queue_size",
        "max_queue_bytes",
        "hard_batch_size",
        "hard_batch_bytes",
    )

    max_batch_size: int
    max_batch_bytes: int
    concurrency: int
    max_queue_size: int
    max_queue_bytes: int
    hard_batch_size: int
    hard_batch_bytes: int

    def __init__(
        self,
        *,
        max_batch_size: int = 1000,
        max_batch_bytes: int = -1,
        concurrency: int = 1,
        max_queue_size: int = 10_000,
        max_queue_bytes: int = -1,
        hard_batch_size: int = -1,
        hard_batch_bytes: int = -1,
    ) -> None:
        self._hold(
            max_batch_size=max_batch_size,
            max_batch_bytes=max_batch_bytes,
            concurrency=concurrency,
            max_queue_size=max_queue_size,
            max_queue_bytes=max_queue_bytes,
            hard_batch_size=hard_batch_size,
            hard_batch_bytes=hard_batch_bytes,
        )

"""What is the same in every backend of an SQL database: it is opened once, on one event loop, in one process."""

from __future__ import annotations

import abc
import asyncio
import os
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from bulkwriter.backend import Backend
from bulkwriter.contract import OnConflict, Operation, Plan
from bulkwriter.sql.errors import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import NoReturn

    from bulkwriter.options import CommonOptions

PartsT = TypeVar("PartsT")


class KeyedPlan(Plan):
    """One operation on one set of columns, with what reads a row's key."""

    __slots__ = ("read_key", "read_keys")

    def __init__(
        self,
        operation: Operation,
        columns: tuple[str, ...],
        read_key: Callable[[tuple[Any, ...]], Hashable | None] | None,
        read_keys: Callable[[Sequence[tuple[Any, ...]]], Sequence[Hashable | None]] | None = None,
    ) -> None:
        """Take over what reads keys.

        Args:
            operation: The operation.
            columns: The columns of a row's values.
            read_key: What reads the key of a row; ``None`` if rows have none.
            read_keys: What reads the keys of many, if there is a quicker way than row by row.
        """
        super().__init__(operation, columns)
        self.read_key: Callable[[tuple[Any, ...]], Hashable | None] | None = read_key
        self.read_keys: Callable[[Sequence[tuple[Any, ...]]], Sequence[Hashable | None]] | None = read_keys


class SQLBackend(Backend):
    """A backend whose options are ``CommonOptions`` and whose plans are ``KeyedPlan``.

    A subclass implements ``_open``, which ends with ``_enter``, beside what any backend implements.
    """

    def __init__(self, options: CommonOptions) -> None:
        """Take over the options that are the same everywhere; nothing is opened.

        Args:
            options: What the caller asked for, checked.
        """
        super().__init__()
        self.table: str = options.table
        self.columns: tuple[str, ...] | None = options.columns
        self.on_conflict: OnConflict = options.on_conflict
        self.ledger: bool = options.ledger
        # What an expression adds up, or a condition declines, depends on each of the rows before.
        replaces = options.update_columns is None and options.update_where is None
        self.allows_coalescing: bool = options.updates and replaces
        self._opening = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    async def open(self) -> None:
        """Connect, and check the table, its columns, the permissions and the options.

        Raises:
            MisconfigurationError: The address, the credentials, the target or an option is wrong.
            BackendUnavailableError: The database cannot be reached now, or takes no writes.
        """
        async with self._opening:
            if self.is_open:
                self._check_here()
                return
            await self._open()

    @abc.abstractmethod
    async def _open(self) -> None:
        """Do so."""

    def _enter(self, key: tuple[str, ...], *, is_exact: bool) -> None:
        """Note that the backend is open.

        Args:
            key: The columns that identify a row.
            is_exact: Whether keys are equal here exactly where the database takes them for equal.
        """
        self._loop, self._process = asyncio.get_running_loop(), os.getpid()
        self.key_columns: tuple[str, ...] = key
        if not is_exact:
            self.allows_coalescing = False
        self.is_open: bool = True

    def row_key(self, plan: Plan, row: Any) -> Hashable | None:
        """Return a row's key as the database compares it, as far as that can be known."""
        read_key = cast("KeyedPlan", plan).read_key
        return None if read_key is None else read_key(row)

    def row_keys(self, plan: Plan, rows: Sequence[Any]) -> Sequence[Hashable | None]:
        """Return the keys of many rows."""
        read_keys = cast("KeyedPlan", plan).read_keys
        return super().row_keys(plan, rows) if read_keys is None else read_keys(rows)

    def _refuse(self, message: str) -> NoReturn:
        Signature(self.name).refuse(message, self.table)

    def _check_here(self) -> asyncio.AbstractEventLoop:
        """Return the event loop, having seen that the backend belongs to it, and to this process."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._refuse("the backend belongs to the event loop on which it was opened: open one for each")
        if os.getpid() != self._process:
            self._refuse("the backend was opened before a fork: a connection must not be shared")
        return loop


class ServerBackend(SQLBackend, Generic[PartsT]):
    """A backend that has connections to a server, and what it knows of the table there: its parts, while it is open.

    A subclass sets ``_parts`` in ``_open``, and closes what ``_leave`` gives it.
    """

    _parts: PartsT | None = None

    def _open_parts(self) -> PartsT:
        """Return what the backend is made of, having seen that it is open, and belongs here."""
        if self._parts is None:
            self._refuse("the backend is not open")
        self._check_here()
        return self._parts

    def _leave(self) -> PartsT | None:
        """Note that the backend is closed; return what is to be let go of."""
        parts, self._parts = self._parts, None
        self.is_open = False
        return parts

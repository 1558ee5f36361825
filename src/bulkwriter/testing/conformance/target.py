"""What the suite needs of a database: a fresh table, backends over it, and what is stored in it."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from bulkwriter.errors import (
    CheckViolationError,
    ForeignKeyViolationError,
    InvalidValueError,
    NotNullViolationError,
    RowRejectedError,
    UniqueViolationError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkwriter.backend import Backend
    from bulkwriter.contract import Capabilities, OnConflict

DEFAULT_NOTE = "none"


class Target(abc.ABC):
    """A fresh, empty table of one database, for one test.

    In SQL the table is this; where a database has no such thing, its ``Capabilities`` say so, and a column is just
    one that rows may have::

        CREATE TABLE items (
            id      integer PRIMARY KEY,                    -- generated if left out, where generates_ids says so
            name    varchar(100) NOT NULL,
            amount  integer CHECK (amount >= 0),
            note    varchar(100) DEFAULT 'none',
            code    varchar(100) UNIQUE,
            parent  integer REFERENCES items (id),
            doubled integer GENERATED ALWAYS AS (amount * 2) STORED
        )

    Attributes:
        generates_ids: Whether the database makes an ``id`` for a row that leaves it out.
        generated_column: The generated column, ``amount * 2``; ``None`` where there is none.
        has_unique: Whether ``code`` is unique.
        has_foreign_key: Whether ``parent`` refers to ``id``.
        replaces: Whether an update replaces the whole row, also what the new one leaves out (a DynamoDB put).
        wrong_type: A value that ``amount`` cannot hold; ``None`` where every column holds everything.
        unstorable: A value that no column can hold.
        too_large: A ``name`` beyond the size the database takes; ``None`` where that would be gigabytes.
        sum_expression: What ``update_columns`` must say of ``amount`` to add the new value to the stored one.
        larger_expression: What ``update_where`` must say to update only to a larger ``amount``.
    """

    generates_ids: bool = True
    generated_column: str | None = "doubled"
    has_unique: bool = True
    has_foreign_key: bool = True
    replaces: bool = False
    wrong_type: Any = "not a number"
    unstorable: Any = object()
    too_large: str | None = None
    sum_expression: Any = "t.amount + excluded.amount"
    larger_expression: Any = "excluded.amount > t.amount"

    @abc.abstractmethod
    def backend(self, **options: Any) -> Backend:
        """Return a new backend over the table, not yet opened.

        Args:
            options: Any of ``columns``, ``on_conflict``, ``conflict_columns``, ``update_columns``, ``update_where``,
                ``returning`` and ``ledger``, as the backend's constructor takes them.

        Raises:
            MisconfigurationError: An option the backend cannot honour (it may also say so in ``open``).
        """

    @abc.abstractmethod
    def backend_without_table(self) -> Backend:
        """Return a new backend over a table that does not exist."""

    @abc.abstractmethod
    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return every row that is stored, column by column, read on a connection of its own."""

    @property
    def capabilities(self) -> Capabilities:
        """What the backend declares."""
        return self.backend().capabilities

    @property
    def name(self) -> str:
        """The backend's name."""
        return self.backend().name

    @property
    def plain(self) -> OnConflict:
        """The policy of a plain write: ``"error"`` where the backend can, else its own default."""
        return "error" if "error" in self.capabilities.on_conflict else self.backend().on_conflict

    def bad_rows(self) -> dict[str, tuple[dict[str, Any], type[RowRejectedError]]]:
        """Return by kind what makes a row bad, and the error it must get; a column set to ``...`` is left out.

        The kinds are those that the database itself finds, when the row is written.
        """
        kinds: dict[str, tuple[dict[str, Any], type[RowRejectedError]]] = {}
        if self.capabilities.constraints:
            kinds["check"] = ({"amount": -1}, CheckViolationError)
            kinds["null"] = ({"name": None}, NotNullViolationError)
            kinds["missing"] = ({"name": ...}, NotNullViolationError)
        if self.capabilities.constraints and self.has_foreign_key:
            kinds["foreign key"] = ({"parent": 987_654}, ForeignKeyViolationError)
        if "error" in self.capabilities.on_conflict:
            kinds["key"] = ({"id": 0}, UniqueViolationError)
        if self.has_unique:
            kinds["unique"] = ({"code": "taken"}, UniqueViolationError)
        if self.wrong_type is not None:
            kinds["type"] = ({"amount": self.wrong_type}, InvalidValueError)
        return kinds

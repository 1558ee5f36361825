"""What sessions of MySQL and MariaDB are like: asked of each connection once, for the next may be of another server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from bulkwriter.backends.sqlalchemy.errors import refuse

if TYPE_CHECKING:
    import sqlalchemy as sa

_SESSION: Final = "bulkwriter: session"
"""Under which a connection remembers the answer."""

_ZERO_IS_A_NUMBER: Final = "NO_AUTO_VALUE_ON_ZERO"


class Session(NamedTuple):
    """What a session is like.

    Attributes:
        modes: Its ``sql_mode``.
        most_bytes: The bytes that a statement may have.
    """

    modes: frozenset[str]
    most_bytes: int

    @property
    def numbers_zero(self) -> bool:
        """Whether a 0 for a column that counts by itself becomes another number."""
        return _ZERO_IS_A_NUMBER not in self.modes


def session_of(connection: sa.Connection, table: str) -> Session:
    """Return what the session of a connection is like. It may end a transaction that is open.

    Raises:
        MisconfigurationError: It is not strict.
    """
    known = connection.connection.info
    if _SESSION not in known:
        modes, most_bytes = connection.exec_driver_sql("SELECT @@SESSION.sql_mode, @@max_allowed_packet").one()
        connection.rollback()
        known[_SESSION] = Session(frozenset(str(modes).split(",")), int(most_bytes))
    session: Session = known[_SESSION]
    if not any(mode.startswith("STRICT_") for mode in session.modes):
        message = "sessions must be strict, or values are changed to make them fit: STRICT_TRANS_TABLES in sql_mode"
        refuse(f"table {table}: {message}", table)
    return session


def check_session(connection: sa.Connection, table: str, *, numbers_zero: bool) -> Session:
    """Return what the session of a connection is like, having seen that it is as when the table was opened.

    Args:
        connection: The connection.
        table: As errors name it.
        numbers_zero: Whether it was known then that a 0 becomes another number.

    Raises:
        MisconfigurationError: It is not.
    """
    session = session_of(connection, table)
    if session.numbers_zero and not numbers_zero:
        refuse(f"table {table}: this session lacks {_ZERO_IS_A_NUMBER}, which others have", table)
    return session

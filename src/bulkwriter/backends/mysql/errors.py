"""The errors of MySQL and MariaDB told in the library's own: one table, by number, used everywhere.

By number and never by PyMySQL's classes: a CHECK, JSON that is none and a date out of range are all
``OperationalError`` there, as a lost connection is.
https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html, https://mariadb.com/docs/server/reference/error-codes
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.mysql import driver
from bulkwriter.errors import (
    BackendUnavailableError,
    CheckViolationError,
    ForeignKeyViolationError,
    InvalidValueError,
    MisconfigurationError,
    NotNullViolationError,
    NotWrittenError,
    RowRejectedError,
    RowTooLargeError,
    ThrottledError,
    UniqueViolationError,
)
from bulkwriter.sql import Signature
from bulkwriter.sql.errors import undone

if TYPE_CHECKING:
    from collections.abc import Collection

    from bulkwriter.contract import NotApplied

BACKEND: Final = "mysql"

_signature: Final = Signature(BACKEND)
signed: Final = _signature.signed
misconfigured: Final = _signature.misconfigured
refuse: Final = _signature.refuse
refused: Final = _signature.refused

DUPLICATE: Final = 1062
NULL: Final = 1048
SEVERAL_ROWS: Final = 1242
"""A subquery with two rows: how the statements here say that an update would have hit another row, or set a NULL."""

_ROW_ERRORS: Final[dict[int, type[RowRejectedError]]] = {
    **dict.fromkeys((DUPLICATE, 1022, 1169, 1586, 1859, 1761, 1762), UniqueViolationError),
    **dict.fromkeys((NULL, 1364, 1263, 1830), NotNullViolationError),
    **dict.fromkeys((1451, 1452, 1216, 1217), ForeignKeyViolationError),
    **dict.fromkeys((3819, 4025, 1369, 1748, 1526, 1591), CheckViolationError),
    **dict.fromkeys(
        (
            1264,
            1265,
            1267,
            1270,
            1271,
            1292,
            1365,
            1366,
            1367,
            1406,
            1411,
            1416,
            1441,
            1525,
            1690,
            1300,
            1977,
            3854,
            3988,
        ),
        InvalidValueError,
    ),
    # A text that the character set of the column does not have, compared with the column.
    **dict.fromkeys((1267, 1270, 1271), InvalidValueError),
    **dict.fromkeys(range(3140, 3160), InvalidValueError),  # JSON
    **dict.fromkeys((1118, 1153, 1301, 1713, 3950), RowTooLargeError),
}

_MARIADB_CHECK: Final = 4025
_BAD_JSON: Final = 3140

_SIGNALLED: Final = (1644, 1645)
"""A trigger's SIGNAL, where its author gave no number of its own."""

_MISCONFIGURED: Final = frozenset({
    1044, 1045, 1046, 1049, 1051, 1054, 1064, 1072, 1109, 1110, 1115, 1136, 1142, 1143, 1146, 1149, 1166, 1193,
    1227, 1229, 1231, 1232, 1238, 1273, 1288, 1305, 1345, 1347, 1348, 1356, 1370, 1393, 1394, 1423, 1442, 1471, 1524,
    1665, 1698, 1776, 1820, 1862, 1906, 2059, 3105, 3118, 3159, 3955,
})  # fmt: skip

_THROTTLED: Final = frozenset({1040, 1041, 1203, 1226, 1135})
_DEADLOCKS: Final = frozenset({1213, 1614, 1020, 3101})
_LOCK_TIMEOUTS: Final = frozenset({1205, 3572})
_READ_ONLY: Final = frozenset({1290, 1792, 1836})
_SESSION_ENDED: Final = frozenset({driver.LOST, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 4031, 1047})

_UNAVAILABLE: Final = frozenset({
    3, 1015, 1021, 1026, 1030, 1034, 1036, 1037, 1038, 1099, 1100, 1114, 1180, 1181, 1192, 1206, 1317, 1637, 1712, 1815,
    1969, 3019, 3024, 3032, 3100, 3170, 4166,
})  # fmt: skip
"""The disk is full, memory is short, a statement was killed or took too long: nobody's row is why."""

MAY_BE_STALE: Final = frozenset({1054, 1136, 1146, 1364, 1906, 3105})
"""What can be told of a table that has changed: it is looked up again."""

NOT_COMMITTED: Final = _DEADLOCKS | _LOCK_TIMEOUTS | _READ_ONLY
"""What a COMMIT may be answered with after which nothing of it is stored; anything else leaves it open."""

_NAMED: Final = _MISCONFIGURED | _THROTTLED | _DEADLOCKS | _LOCK_TIMEOUTS | _READ_ONLY | _SESSION_ENDED | {2003}

HARMLESS_WARNINGS: Final = frozenset({1287, 1592, 1681, 1831, 3719, 3778, 3170})
"""Of statements that are old-fashioned, slow, or hard to replicate: nothing that is stored is another for it."""


class LedgerMovedError(Exception):
    """Somebody else has taken the place of the ledger's entry that was to be replaced."""


def number_of(error: BaseException) -> int:
    """Return the number of an error; 0 if it has none."""
    number = error.args[0] if isinstance(error, driver.Error) and error.args else 0
    return number if isinstance(number, int) else 0


def state_of(error: BaseException) -> str:
    """Return an error's SQLSTATE."""
    return getattr(error, "sqlstate", None) or "HY000"


def is_row_fault(error: BaseException) -> bool:
    """Whether an error certainly means that a row is bad, whatever the state of the database."""
    number = number_of(error)
    if number in _ROW_ERRORS or number in _SIGNALLED or number == SEVERAL_ROWS:
        return True
    is_known = number in _NAMED or number in _UNAVAILABLE
    # Raised by a trigger, most likely: a number of its author's own, with one of these states.
    return number != 0 and not is_known and state_of(error)[:2] in {"22", "23", "45"}


def is_session_over(error: BaseException) -> bool:
    """Whether another session may fare better: this one is gone, or may no longer write."""
    return number_of(error) in _SESSION_ENDED | _READ_ONLY or not isinstance(error, driver.Error)


def rejected(error: BaseException, table: str, json_columns: Collection[str] = ()) -> RowRejectedError:
    """Return what the caller of a bad row hears, from what the server raised for this row alone.

    Args:
        error: That.
        table: The target's name.
        json_columns: The columns of which a constraint of their name, on MariaDB, says that they hold no JSON.
    """
    number, state = number_of(error), state_of(error)
    said = str(error.args[1]) if len(error.args) > 1 else ""
    constraint, column = _names_in(number, said)
    checked = (constraint or "").rpartition(".")[2]
    if number == _MARIADB_CHECK and checked in json_columns:
        number, constraint, column = _BAD_JSON, None, checked
    kind = _ROW_ERRORS.get(number) or (InvalidValueError if state.startswith("22") else CheckViolationError)
    answer = kind(
        f"table {table}: {_what_failed(number, kind, constraint, column)} ({number_of(error)}, {state})",
        sqlstate=state,
        constraint_name=constraint,
        column_name=column,
        # It may hold the value, as in: Duplicate entry 'x' for key 'code'.
        detail=said or None,
    )
    return signed(answer, table, error)


def mangled(number: int, said: str, table: str) -> InvalidValueError:
    """Return what the caller hears of a row whose value the server would have changed, with no more than a warning."""
    _, column = _names_in(number, said)
    where = "its column" if column is None else f"column {column}"
    message = f"table {table}: a value would have been changed to fit into {where} ({number})"
    return InvalidValueError(message, sqlstate="01000", column_name=column, detail=said, backend=BACKEND, table=table)


def hits_another(error: BaseException, table: str) -> UniqueViolationError:
    """Return what the caller hears of a row that met another one, but not by the key that it is known by."""
    message = f"table {table}: another row has one of the row's unique values, under another key ({DUPLICATE}, 23000)"
    answer = UniqueViolationError(message, sqlstate="23000")
    signed(answer, table, error)
    return answer


_NAME: Final = r"(?:`(?:[^`]|``)+`|'[^']+')"
_COLUMN: Final = re.compile(rf"(?:[Cc]olumn|Field) (?:{_NAME}\.)*({_NAME})")
_KEY: Final = re.compile(r"for key '([^']+)'")
_CONSTRAINT: Final = re.compile(rf"(?:CONSTRAINT|[Cc]onstraint) ({_NAME})")


def _names_in(number: int, said: str) -> tuple[str | None, str | None]:
    """Return the constraint and the column that a message names. What it quotes of a value comes before these."""
    found = [None, None] if number in _SIGNALLED else [_last(pattern, said) for pattern in (_CONSTRAINT, _COLUMN)]
    constraint, column = found
    if number in {DUPLICATE, 1586}:
        constraint = _last(_KEY, said)
    # In messages about JSON, MySQL puts the table before it, in the same quotes.
    return constraint, column.rpartition(".")[2] if column is not None else None


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    """Return the last name that a pattern finds; what is quoted of a value comes before it."""
    found: list[str] = pattern.findall(text)
    if not found:
        return None
    return found[-1][1:-1].replace("``", "`") if found[-1][0] in "`'" else found[-1]


def _what_failed(number: int, kind: type[RowRejectedError], constraint: str | None, column: str | None) -> str:
    if number in _SIGNALLED or number not in _ROW_ERRORS:
        return "a trigger or function refused the row"
    if kind is NotNullViolationError:
        return "a column must not be null" if column is None else f"column {column} must not be null"
    if kind is InvalidValueError:
        return "a value cannot be stored in its column" if column is None else f"column {column} cannot hold the value"
    if kind is RowTooLargeError:
        return "the row is larger than the server allows"
    return "a constraint is violated" if constraint is None else f"constraint {constraint} is violated"


def not_written(error: BaseException, table: str, doing: str = "writing") -> NotWrittenError:
    """Return what every caller hears of an error that is no row's fault."""
    if isinstance(error, NotWrittenError):
        return error
    number = number_of(error)
    if number == 0:
        kind = MisconfigurationError if _is_wrong_address(error) else BackendUnavailableError
        # PyMySQL's own words, where a package is missing without which a password cannot be sent.
        said = f": {error}" if isinstance(error, RuntimeError) else ""
        return signed(kind(f"table {table}: {doing} failed with {type(error).__name__}{said}"), table, error)
    if isinstance(error.__cause__, driver.CertificateError):
        message = f"table {table}: {doing} failed: the server's certificate is not trusted"
        return signed(MisconfigurationError(message), table, error)
    return signed(_kind_for(number)(f"table {table}: {doing} failed: {_said(error, number)}"), table, error)


def not_applied(error: BaseException, table: str) -> NotApplied:
    """Return the verdict for every row of an attempt of which it is certain that it was rolled back."""
    return undone(not_written(error, table))


def _kind_for(number: int) -> type[NotWrittenError]:
    if number in _DEADLOCKS | _LOCK_TIMEOUTS:
        return NotWrittenError  # somebody else was first: the database is well
    if number in _THROTTLED:
        return ThrottledError
    return MisconfigurationError if number in _MISCONFIGURED else BackendUnavailableError


def _said(error: BaseException, number: int) -> str:
    # Messages of these name tables, columns, users and limits. Any other may quote a value.
    if number in _NAMED and len(error.args) > 1:
        return f"{error.args[1]} ({number})"
    return f"error {number}, {state_of(error)}"


def _is_wrong_address(error: BaseException) -> bool:
    """Whether it can never be connected to what the URL or an option names."""
    return isinstance(error, ValueError | RuntimeError | TypeError)

"""The error numbers of MySQL and MariaDB: what each means for a row, whichever driver brings it.

By number and never by a driver's classes: a CHECK, JSON that is none and a date out of range are all
``OperationalError`` there, as a lost connection is.
https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html, https://mariadb.com/docs/server/reference/error-codes
"""

from __future__ import annotations

import re
from typing import Final

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

LOST: Final = 2013
"""The client's own number for a connection that is gone."""
DUPLICATE: Final = 1062
DUPLICATES: Final = (DUPLICATE, 1022, 1169, 1586, 1859, 1761, 1762)
NULL: Final = 1048
SEVERAL_ROWS: Final = 1242
"""A subquery with two rows: how the statements here say that an update would have hit another row, or set a NULL."""

_ROW_ERRORS: Final[dict[int, type[RowRejectedError]]] = {
    **dict.fromkeys(DUPLICATES, UniqueViolationError),
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

MARIADB_CHECK: Final = 4025
BAD_JSON: Final = 3140

_SIGNALLED: Final = (1644, 1645)
"""A trigger's SIGNAL, where its author gave no number of its own."""

_MISCONFIGURED: Final = frozenset({
    1044, 1045, 1046, 1049, 1051, 1054, 1064, 1072, 1109, 1110, 1115, 1136, 1142, 1143, 1146, 1149, 1166, 1193,
    1227, 1229, 1231, 1232, 1238, 1273, 1288, 1305, 1345, 1347, 1348, 1356, 1370, 1393, 1394, 1423, 1442, 1471, 1524,
    1665, 1698, 1776, 1785, 1786, 1787, 1820, 1862, 1906, 2059, 3105, 3118, 3159, 3955,
})  # fmt: skip

_THROTTLED: Final = frozenset({1040, 1041, 1203, 1226, 1135})
_DEADLOCKS: Final = frozenset({1213, 1614, 1020, 3101})
_LOCK_TIMEOUTS: Final = frozenset({1205, 3572})
READ_ONLY: Final = frozenset({1290, 1792, 1836})
SESSION_ENDED: Final = frozenset({LOST, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 4031, 1047})

_UNAVAILABLE: Final = frozenset({
    3, 1015, 1021, 1026, 1030, 1034, 1036, 1037, 1038, 1099, 1100, 1114, 1180, 1181, 1192, 1206, 1317, 1637, 1712, 1815,
    1969, 3019, 3024, 3032, 3100, 3170, 4166,
})  # fmt: skip
"""The disk is full, memory is short, a statement was killed or took too long: nobody's row is why."""

NOT_COMMITTED: Final = _DEADLOCKS | _LOCK_TIMEOUTS | READ_ONLY
"""What a COMMIT may be answered with after which nothing of it is stored; anything else leaves it open."""

_NAMED: Final = _MISCONFIGURED | _THROTTLED | _DEADLOCKS | _LOCK_TIMEOUTS | READ_ONLY | SESSION_ENDED | {2003}


def is_row_fault(number: int, state: str) -> bool:
    """Whether an error certainly means that a row is bad, whatever the state of the database."""
    if number in _ROW_ERRORS or number in _SIGNALLED or number == SEVERAL_ROWS:
        return True
    is_known = number in _NAMED or number in _UNAVAILABLE
    # Raised by a trigger, most likely: a number of its author's own, with one of these states.
    return number != 0 and not is_known and state[:2] in {"22", "23", "45"}


def rejection(number: int, state: str) -> type[RowRejectedError]:
    """Return what the caller of a bad row hears."""
    return _ROW_ERRORS.get(number) or (InvalidValueError if state.startswith("22") else CheckViolationError)


_NAME: Final = r"(?:`(?:[^`]|``)+`|'[^']+')"
_COLUMN: Final = re.compile(rf"(?:[Cc]olumn|Field) (?:{_NAME}\.)*({_NAME})")
_KEY: Final = re.compile(r"for key '([^']+)'")
_CONSTRAINT: Final = re.compile(rf"(?:CONSTRAINT|[Cc]onstraint) ({_NAME})")


def names_in(number: int, said: str) -> tuple[str | None, str | None]:
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


def what_failed(number: int, kind: type[RowRejectedError], constraint: str | None, column: str | None) -> str:
    """Return in words what is wrong with a row."""
    if number in _SIGNALLED or number not in _ROW_ERRORS:
        return "a trigger or function refused the row"
    if kind is NotNullViolationError:
        return "a column must not be null" if column is None else f"column {column} must not be null"
    if kind is InvalidValueError:
        return "a value cannot be stored in its column" if column is None else f"column {column} cannot hold the value"
    if kind is RowTooLargeError:
        return "the row is larger than the server allows"
    return "a constraint is violated" if constraint is None else f"constraint {constraint} is violated"


def failure(number: int) -> type[NotWrittenError]:
    """Return what every caller hears of an error that is no row's fault."""
    if number in _DEADLOCKS | _LOCK_TIMEOUTS:
        return NotWrittenError  # somebody else was first: the database is well
    if number in _THROTTLED:
        return ThrottledError
    return MisconfigurationError if number in _MISCONFIGURED else BackendUnavailableError


def may_be_quoted(number: int) -> bool:
    """Whether the message names tables, columns, users and limits, and never a value."""
    return number in _NAMED

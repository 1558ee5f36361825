"""The one table by which the errors of MySQL and MariaDB are told in the library's own."""

from __future__ import annotations

import struct

import pytest
from pymysql import err

from bulkwriter import errors as ours
from bulkwriter.backends.mysql import driver, errors


def server_error(number: int, said: str, state: str = "23000") -> Exception:
    """Return an error as it comes from the server."""
    return driver.server_error(b"\xff" + struct.pack("<H", number) + b"#" + state.encode() + said.encode())


@pytest.mark.parametrize(
    ("number", "state", "said", "kind", "constraint", "column"),
    [
        (1062, "23000", "Duplicate entry 'secret' for key 'code'", ours.UniqueViolationError, "code", None),
        (1048, "23000", "Column 'n' cannot be null", ours.NotNullViolationError, None, "n"),
        (1364, "HY000", "Field 'n' doesn't have a default value", ours.NotNullViolationError, None, "n"),
        (
            1452, "23000", "a foreign key constraint fails (`s`.`t`, CONSTRAINT `fk` FOREIGN KEY (`p`) REFERENCES `t`)",
            ours.ForeignKeyViolationError, "fk", None,
        ),
        (3819, "HY000", "Check constraint 'c' is violated.", ours.CheckViolationError, "c", None),
        (4025, "23000", "CONSTRAINT `t.n` failed for `s`.`t`", ours.CheckViolationError, "t.n", None),
        (4025, "23000", "CONSTRAINT `t.js` failed for `s`.`t`", ours.InvalidValueError, None, "js"),
        (1406, "22001", "Data too long for column 'n' at row 1", ours.InvalidValueError, None, "n"),
        (
            1366, "22007", "Incorrect integer value: 'secret' for column `s`.`t`.`n``x` at row 1",
            ours.InvalidValueError, None, "n`x",
        ),
        (
            3140, "22032", "Invalid JSON text: \"secret\" at position 1 in value for column 't.js'.",
            ours.InvalidValueError, None, "js",
        ),
        (1644, "45000", "secret", ours.CheckViolationError, None, None),
        (9999, "45001", "secret, with a number of a trigger's own", ours.CheckViolationError, None, None),
        (1301, "HY000", "Result was larger than max_allowed_packet", ours.RowTooLargeError, None, None),
    ],
)  # fmt: skip
def test_a_rows_fault(
    number: int, state: str, said: str, kind: type[ours.RowRejectedError], *, constraint: str | None, column: str | None
) -> None:
    """By its number; with its SQLSTATE, constraint and column, the driver's error behind it, and no value in it."""
    cause = server_error(number, said, state)
    assert errors.is_row_fault(cause)
    told = errors.rejected(cause, "t", {"js"})
    assert type(told) is kind
    assert (told.sqlstate, told.constraint_name, told.column_name) == (state, constraint, column)
    assert told.__cause__ is cause
    assert str(number) in str(told)
    assert "secret" not in str(told)
    assert told.detail == said


@pytest.mark.parametrize(
    ("number", "kind", "is_safe"),
    [
        (1213, ours.NotWrittenError, True),
        (1205, ours.NotWrittenError, True),
        (1317, ours.BackendUnavailableError, True),
        (1969, ours.BackendUnavailableError, True),
        (1114, ours.BackendUnavailableError, True),
        (1021, ours.BackendUnavailableError, True),
        (1290, ours.BackendUnavailableError, True),
        (1053, ours.BackendUnavailableError, True),
        (1927, ours.BackendUnavailableError, True),
        (4031, ours.BackendUnavailableError, True),
        (1040, ours.ThrottledError, True),
        (1226, ours.ThrottledError, True),
        (1146, ours.MisconfigurationError, False),
        (1785, ours.MisconfigurationError, False),
        (1054, ours.MisconfigurationError, False),
        (1142, ours.MisconfigurationError, False),
        (1045, ours.MisconfigurationError, False),
        (1049, ours.MisconfigurationError, False),
    ],
)
def test_nobodys_fault(number: int, kind: type[ours.NotWrittenError], *, is_safe: bool) -> None:
    """Never taken for a bad row, also with a state that sounds like one, and tried again where that can help."""
    cause = server_error(number, "what it said")
    assert not errors.is_row_fault(cause)
    verdict = errors.not_applied(cause, "t")
    assert type(verdict.error) is kind
    assert verdict.retry is is_safe
    assert str(number) in str(verdict.error)
    assert verdict.error.__cause__ is cause


def test_what_may_quote_a_value_is_not_said() -> None:
    """An error that nobody knows here may have been written by anybody."""
    told = errors.not_written(server_error(1105, "secret", "HY000"), "t")
    assert isinstance(told, ours.BackendUnavailableError)
    assert "secret" not in str(told)


def test_a_lost_connection_is_nobodys_fault() -> None:
    """And another session may fare better."""
    lost = driver.LostConnectionError("end of file")
    assert not errors.is_row_fault(lost)
    assert errors.is_session_over(lost)
    assert isinstance(errors.not_written(lost, "t"), ours.BackendUnavailableError)
    assert isinstance(errors.not_written(ConnectionResetError(), "t"), ours.BackendUnavailableError)
    assert isinstance(errors.not_written(ValueError(), "t"), ours.MisconfigurationError)


@pytest.mark.parametrize("number", [1213, 1205, 1290])
def test_what_is_answered_to_a_commit_that_is_undone(number: int) -> None:
    """Anything else leaves open whether it was."""
    assert number in errors.NOT_COMMITTED
    assert not errors.NOT_COMMITTED & {driver.LOST, 1053, 1180, 1317}


def test_an_error_keeps_its_state_in_every_version_of_the_driver() -> None:
    """The older ones throw it away."""
    error = server_error(1062, "Duplicate entry", "23000")
    assert isinstance(error, err.IntegrityError)
    assert errors.state_of(error) == "23000"
    assert errors.state_of(err.OperationalError(1, "x")) == "HY000"

"""The one table by which PostgreSQL's errors are told in the library's own."""

from __future__ import annotations

import traceback

import asyncpg
import pytest

from bulkwriter import errors as ours
from bulkwriter.backends.postgres import PostgresBackend, driver, errors


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("23505", ours.UniqueViolationError),
        ("23P01", ours.UniqueViolationError),
        ("23502", ours.NotNullViolationError),
        ("23503", ours.ForeignKeyViolationError),
        ("23514", ours.CheckViolationError),
        ("44000", ours.CheckViolationError),
        ("22001", ours.InvalidValueError),
        ("22P02", ours.InvalidValueError),
        ("54000", ours.RowTooLargeError),
        ("54001", ours.RowTooLargeError),
        ("P0001", ours.CheckViolationError),
        ("45000", ours.CheckViolationError),
        ("23000", ours.RowRejectedError),
    ],
)
def test_a_rows_fault(code: str, kind: type[ours.RowRejectedError]) -> None:
    """With its code, constraint and column, the driver's error behind it, and no value in the message."""
    cause = driver.server_error(
        code, {"message": 'bad "secret"', "detail": "Key (id)=(secret)", "constraint_name": "c", "column_name": "id"}
    )
    assert errors.is_row_fault(cause)
    told = errors.rejected(cause, "t")
    assert type(told) is kind
    assert (told.sqlstate, told.constraint_name, told.column_name) == (code, "c", "id")
    assert told.__cause__ is cause
    assert "secret" not in str(told)
    assert "secret" in (told.detail or "")


@pytest.mark.parametrize(
    ("code", "kind", "is_safe"),
    [
        ("40P01", ours.NotWrittenError, True),
        ("40001", ours.NotWrittenError, True),
        ("55P03", ours.NotWrittenError, True),
        ("57014", ours.BackendUnavailableError, True),
        ("57P01", ours.BackendUnavailableError, True),
        ("53100", ours.BackendUnavailableError, True),
        ("53300", ours.ThrottledError, True),
        ("25006", ours.BackendUnavailableError, True),
        ("08006", ours.BackendUnavailableError, True),
        ("XX000", ours.BackendUnavailableError, True),
        ("42P01", ours.MisconfigurationError, False),
        ("42703", ours.MisconfigurationError, False),
        ("42501", ours.MisconfigurationError, False),
        ("28P01", ours.MisconfigurationError, False),
        ("3D000", ours.MisconfigurationError, False),
    ],
)
def test_nobodys_fault(code: str, kind: type[ours.NotWrittenError], *, is_safe: bool) -> None:
    """Never taken for a bad row, and tried again where that can help."""
    cause = driver.server_error(code, {"message": "what it said"})
    assert not errors.is_row_fault(cause)
    verdict = errors.not_applied(cause, "t")
    assert type(verdict.error) is kind
    assert verdict.retry is is_safe
    assert code in str(verdict.error)


def test_what_a_policy_refuses_is_a_rows_fault_only_where_there_are_policies() -> None:
    """Its code is that of a missing permission."""
    cause = driver.server_error("42501", {"message": "new row violates row-level security policy"})
    assert errors.is_row_fault(cause, has_row_security=True)
    assert not errors.is_row_fault(cause)


def test_what_the_driver_itself_raises_is_nobodys_fault() -> None:
    """A lost connection, a defect; a wrong address is misconfigured."""
    for cause in (asyncpg.InterfaceError("x"), asyncpg.InternalClientError("x"), OSError(), TimeoutError()):
        assert not errors.is_row_fault(cause)
        assert type(errors.not_written(cause, "t")) is ours.BackendUnavailableError
    wrong = asyncpg.ClientConfigurationError("secret")
    told = errors.not_written(wrong, "t")
    assert type(told) is ours.MisconfigurationError
    assert "secret" not in str(told)


async def test_a_server_that_cannot_be_reached_is_told_with_the_drivers_error() -> None:
    """It says why: nobody listens there, say."""
    # Nobody listens at this port, which is kept for a service that is long gone.
    backend = PostgresBackend("postgresql://writer:secret@127.0.0.1:1/shop", "t")
    with pytest.raises(ours.BackendUnavailableError) as raised:
        await backend.open()
    assert isinstance(raised.value.__cause__, OSError)
    assert "secret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("url", ["postgresql://writer:secret@[::1/shop", "postgresql://writer:x@h:secret/shop"])
async def test_of_a_url_that_cannot_be_read_nothing_is_told(url: str) -> None:
    """What the driver says of it quotes a part of it."""
    with pytest.raises(ours.MisconfigurationError) as raised:
        await PostgresBackend(url, "t").open()
    assert raised.value.__cause__ is None
    said = "".join(traceback.format_exception(raised.value))
    assert "secret" not in said.replace(url, "")

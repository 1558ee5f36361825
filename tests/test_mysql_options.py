"""The options of the MySQL backend are checked when it is made, and nothing is opened."""

from __future__ import annotations

from typing import Any

import pytest

from bulkwriter import BulkWriter, MisconfigurationError, connect
from bulkwriter.backends.mysql import MySQLBackend
from bulkwriter.backends.mysql.address import address_of
from bulkwriter.connect import _keyword_options
from bulkwriter.options import OptionCheck

URL = "mysql://app:hunter2@localhost/shop"


@pytest.mark.parametrize(
    "options",
    [
        {"on_conflict": "ignore"},
        {"update_columns": ("n",)},
        {"on_conflict": "update", "update_columns": {"n": ""}},
        {"columns": ("id", "ID")},
        {"returning": "id"},
        {"ledger": 1},
        {"ledger_retention": 0},
        {"ssl": "yes"},
        {"connect_timeout": 0},
        {"read_timeout": float("nan")},
        {"sql_mode": "STRICT'; DROP TABLE t"},
        {"isolation": "READ UNCOMMITTED"},
        {"time_zone": ""},
        {"session": "sql_log_bin=0"},
        {"session": {"a b": "1"}},
        {"session": {"sql_log_bin": 0}},
        {"session": {"AUTOCOMMIT": "1"}},
        {"table": " "},
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any]) -> None:
    """With a message that does not show the URL."""
    with pytest.raises(MisconfigurationError) as raised:
        MySQLBackend(URL, **{"table": "t", **options})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "database",
    [
        "",
        "localhost",
        "mysql:localhost",
        "postgresql://app:hunter2@localhost/shop",
        "mysql://app:hunter2@localhost:port/shop",
        "mysql://app:hunter2@[::1/shop",
        "mysql://app:hunter2@localhost/shop/orders",
        "mysql://app:hunter2@localhost/shop?ssl=true",
        "mysql://app:hunter2@localhost/shop#x",
        5,
        None,
        dict,
    ],
    ids=str,
)
def test_what_is_no_address_is_refused(database: Any) -> None:
    """Without showing it: it may hold a password."""
    with pytest.raises(MisconfigurationError) as raised:
        MySQLBackend(database, "t")
    assert "hunter2" not in str(raised.value)


def test_what_a_url_means() -> None:
    """Percent codes stand for what means something in a URL, and what is left out is as usual."""
    check = OptionCheck("mysql", "t")
    address = address_of(check, "mariadb://a%40b:p%2Fw%23@[::1]:3307/sh%20op?unix_socket=/run/my.sock")
    assert (address.host, address.port, address.unix_socket) == ("::1", 3307, "/run/my.sock")
    assert (address.user, address.password, address.database) == ("a@b", "p/w#", "sh op")
    assert "p/w#" not in repr(address)
    usual = address_of(check, "mysql://")
    assert (usual.host, usual.port, usual.user, usual.password, usual.database) == ("localhost", 3306, None, "", None)


def test_a_function_of_the_callers_own_has_its_own_tls() -> None:
    """It opens the connection, and says how."""

    async def opened() -> Any:
        """Return nothing here."""

    assert MySQLBackend(opened, "t").table == "t"
    with pytest.raises(MisconfigurationError, match="your own function"):
        MySQLBackend(opened, "t", ssl=True)


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "MySQL"])
def test_connect_knows_the_scheme(scheme: str) -> None:
    """Options are shared out between backend and writer, which have none in common."""
    writer = connect(URL.replace("mysql", scheme), "shop.t", on_conflict="skip", max_batch_size=7)
    assert isinstance(writer, BulkWriter)
    assert set(_keyword_options(MySQLBackend)).isdisjoint(_keyword_options(BulkWriter))


async def test_before_it_is_open_it_says_so() -> None:
    """Neither planned nor written."""
    backend = MySQLBackend(URL, "t")
    with pytest.raises(MisconfigurationError, match="before open"):
        backend.plan("insert", ("id",))
    await backend.close()

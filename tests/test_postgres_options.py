"""The options of the PostgreSQL backend are checked when it is made, and nothing is opened."""

from __future__ import annotations

from typing import Any

import pytest

from bulkwriter import BulkWriter, MisconfigurationError, connect
from bulkwriter.backends.postgres import PostgresBackend
from bulkwriter.connect import _keyword_options

URL = "postgresql://app:hunter2@localhost/shop"


class Pool:
    """What looks like a pool."""

    async def acquire(self) -> None:
        """Lend."""

    async def release(self, connection: object) -> None:
        """Take back."""


@pytest.mark.parametrize(
    "options",
    [
        {"on_conflict": "ignore"},
        {"update_columns": ("n",)},
        {"update_where": "true"},
        {"on_conflict": "update", "update_columns": {"n": ""}},
        {"on_conflict": "update", "update_columns": {"n": 5}},
        {"columns": ()},
        {"columns": "id"},
        {"columns": ("id", "id")},
        {"returning": "id"},
        {"conflict_columns": ()},
        {"ledger": 1},
        {"ledger_table": ""},
        {"ledger_retention": 0},
        {"method": "magic"},
        {"method": "copy", "on_conflict": "skip"},
        {"method": "copy", "returning": ("id",)},
        {"method": "executemany", "on_conflict": "update"},
        {"connect_timeout": -1},
        {"connect_timeout": float("nan")},
        {"server_settings": {"jit": 0}},
        {"server_settings": "jit=off"},
        {"statement_cache_size": -1},
        {"statement_cache_size": True},
        {"table": " "},
        {"table": "a\0b"},
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any]) -> None:
    """With a message that does not show the URL."""
    with pytest.raises(MisconfigurationError) as raised:
        PostgresBackend(URL, **{"table": "t", **options})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("database", ["", "localhost", "mysql://localhost", 5, None, Pool], ids=repr)
def test_what_is_neither_a_url_nor_a_pool_is_refused(database: Any) -> None:
    """The class of a pool neither."""
    with pytest.raises(MisconfigurationError, match="must be a URL"):
        PostgresBackend(database, "t")


@pytest.mark.parametrize("option", [{"ssl": True}, {"server_settings": {}}, {"statement_cache_size": 0}], ids=str)
def test_options_for_connections_do_not_go_with_a_pool(option: dict[str, Any]) -> None:
    """They are what the pool's owner says."""
    assert PostgresBackend(Pool(), "t").table == "t"  # type: ignore[arg-type]
    with pytest.raises(MisconfigurationError, match="your own pool"):
        PostgresBackend(Pool(), "t", **option)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "PostgreSQL"])
def test_connect_knows_the_scheme(scheme: str) -> None:
    """Options are shared out between backend and writer, which have none in common."""
    url = URL.replace("postgresql", scheme)
    writer = connect(f"{url}?sslmode=prefer", "shop.t", on_conflict="skip", max_batch_size=7)
    assert isinstance(writer, BulkWriter)
    assert set(_keyword_options(PostgresBackend)).isdisjoint(_keyword_options(BulkWriter))
    with pytest.raises(MisconfigurationError, match="fragment"):
        connect(f"{url}#x", "t")


def test_coalescing_is_for_plain_updates() -> None:
    """Expressions build upon what the earlier row left."""
    assert PostgresBackend(URL, "t", on_conflict="update").allows_coalescing
    assert not PostgresBackend(URL, "t", on_conflict="update", update_where="true").allows_coalescing
    assert not PostgresBackend(URL, "t", on_conflict="update", update_columns=["n"]).allows_coalescing


async def test_before_it_is_open_it_says_so() -> None:
    """Neither planned nor written."""
    backend = PostgresBackend(URL, "t")
    with pytest.raises(MisconfigurationError, match="before open"):
        backend.plan("insert", ("id",))
    await backend.close()

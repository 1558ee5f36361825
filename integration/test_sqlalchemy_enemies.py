"""Values, engines and sessions that are not as one would expect: what callers are told is what is stored."""

from __future__ import annotations

import contextlib
import decimal
import math
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from bulkwriter import BulkWriter, MisconfigurationError, RetryPolicy, WriteResult
from integration.attempts import told, write
from integration.sqlalchemy_tables import DIALECTS, Place, place_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.servers.registry import Servers

HASTY = RetryPolicy(max_time=2, initial_backoff=0.01)

STRANGE: list[tuple[str, Any]] = [
    ("f", math.nan),
    ("f", math.inf),
    ("f", -math.inf),
    ("f", 1.5e300),
    ("d", decimal.Decimal("NaN")),
    ("d", decimal.Decimal("Infinity")),
    ("d", decimal.Decimal("1E+400")),
    ("d", decimal.Decimal("12.5")),
    ("s", "a\0b"),
    ("s", "\ud800"),
    ("s", "\udcc3\udca9"),
    ("s", "smile \U0001f600 and 100 % 'quoted' \\ \"twice\""),
    ("n", 2**63),
    ("n", 2**70),
    ("n", True),
    ("n", "text"),
    ("s", object()),
]


@pytest.fixture(params=DIALECTS)
async def place(servers: Servers, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A table of the test's own, by each dialect and driver in turn."""
    async with place_on(servers, request.param) as made:
        yield made


async def test_a_strange_value_is_stored_as_it_is_or_its_row_is_rejected(place: Place) -> None:
    """It alone: the rows beside it are stored, whatever the driver makes of it."""
    kinds = "f double precision, d decimal(20, 4), s varchar(200), n bigint"
    await place.scratch.execute(f"CREATE TABLE w (id bigint PRIMARY KEY, {kinds})")
    rows = [(2 * place, column, value) for place, (column, value) in enumerate(STRANGE)]
    async with place.opened(table=place.table[:-1] + "w") as backend:
        writer: BulkWriter[Any] = BulkWriter(backend, retry=HASTY)
        async with writer:
            report = await writer.insert_many(
                row for number, column, value in rows for row in ({"id": number, column: value}, {"id": number + 1})
            )
    assert told(report.results[1::2]) == ["inserted"] * len(rows)
    stored = {row["id"]: row for row in await place.scratch.fetch("SELECT * FROM w")}
    for (number, column, value), answer in zip(rows, report.results[::2], strict=True):
        if isinstance(answer, WriteResult):
            assert is_same(stored[number][column], value), (column, value, stored[number][column])
        else:
            assert told([answer]) == ["InvalidValue"], (column, value)
            assert number not in stored


def is_same(stored: Any, given: Any) -> bool:
    """Whether a value was stored as it is."""
    return bool(stored == given or (stored != stored and given != given))  # noqa: PLR0124 - NaN


async def test_rows_that_are_larger_than_a_packet(place: Place) -> None:
    """Many that are not, together, are stored; one that is by itself is rejected, and it alone."""
    await place.scratch.execute(
        "CREATE TABLE w (id bigint PRIMARY KEY, s {})".format("longtext" if place.is_mysql else "text")
    )
    async with small_packets(place), place.opened(table=place.table[:-1] + "w") as backend:
        writer: BulkWriter[Any] = BulkWriter(backend, retry=HASTY)
        async with writer:
            sizes = [50_000] * 40 + [2_000_000] + [10] * 5 + [20_000_000, 10]
            report = await writer.insert_many({"id": n, "s": "'" * size} for n, size in enumerate(sizes))
    wanted = ["RowTooLarge" if place.is_mysql and size > 2**20 else "inserted" for size in sizes]
    assert told(report.results) == wanted
    stored = {row["id"]: row["n"] for row in await place.scratch.fetch("SELECT id, length(s) AS n FROM w")}
    assert stored == {n: size for n, size in enumerate(sizes) if wanted[n] == "inserted"}


@contextlib.asynccontextmanager
async def small_packets(place: Place) -> AsyncIterator[None]:
    """Let MySQL and MariaDB take no more than 1 MiB at once."""
    if not place.is_mysql:
        yield
        return
    scratch: Any = place.scratch
    before = await scratch.value("SELECT @@GLOBAL.max_allowed_packet", role="superuser")
    await scratch.execute("SET GLOBAL max_allowed_packet = 1048576", role="superuser")
    try:
        yield
    finally:
        await scratch.execute(f"SET GLOBAL max_allowed_packet = {before}", role="superuser")


async def test_an_engine_in_autocommit_does_not_keep_what_failed(place: Place) -> None:
    """Each connection is told otherwise for the time of a batch."""
    engine = create_async_engine(place.url, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    try:
        async with place.opened(engine) as backend:
            seen: list[str] = []

            @sa.event.listens_for(engine.sync_engine, "after_cursor_execute")
            def fail(*arguments: Any) -> None:
                if arguments[2].startswith("INSERT") and not seen:
                    seen.append(arguments[2])
                    message = "the hook failed"
                    raise OSError(message)

            answers = await write(backend, "id v", [(1, 1), (2, 2)])
            answers += await write(backend, "id v", [(3, 3), (4, -4)])
    finally:
        await engine.dispose()
    assert told(answers) == [*["BackendUnavailable"] * 2, "inserted", "CheckViolation"]
    assert [row[0] for row in await place.rows()] == [3]


@pytest.mark.parametrize("place", [name for name in DIALECTS if not name.startswith("postgresql")], indirect=True)
async def test_a_session_that_is_not_strict_is_not_written_on(place: Place) -> None:
    """Also if it comes after the table was opened, as from another server: values would be cut to fit."""
    async with place.engine() as engine, place.opened(engine) as backend:

        @sa.event.listens_for(engine.sync_engine, "connect")
        def loosen(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            cursor.execute("SET SESSION sql_mode = ''")
            cursor.close()

        await engine.dispose()
        answers = await write(backend, "id v u", [(1, 1, "n" * 51), (2, 2, "b")])
        with pytest.raises(MisconfigurationError, match="strict"):
            async with place.opened(engine):
                pass
    assert told(answers) == ["Misconfiguration"] * 2
    assert await place.rows() == []

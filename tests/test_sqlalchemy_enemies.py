"""Engines, tables and hooks that are not as one would expect: what callers are told is what is stored all the same."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bulkwriter import BulkWriter, RetryPolicy
from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.errors import InvalidValueError, MisconfigurationError
from bulkwriter.results import WriteResult
from tests.sqlalchemy_tables import engine_on, opened, write
from tests.sqlite_tables import Database, told

if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CHECK (n >= 0))"
HASTY = RetryPolicy(max_time=0.2, initial_backoff=0.01)


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return a database with a table."""
    return Database(tmp_path / "enemies.db", SCHEMA)


def check(answers: Sequence[Any], ids: Sequence[int], stored: Sequence[tuple[Any, ...]]) -> None:
    """Check that those rows are stored that were told so, and no others."""
    inserted = [number for number, answer in zip(ids, answers, strict=True) if isinstance(answer, WriteResult)]
    assert sorted(inserted) == sorted(row[0] for row in stored), told(answers)


class TestTransactions:
    """What the driver, or the engine, makes of BEGIN, COMMIT and ROLLBACK."""

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit= came with Python 3.12")
    async def test_a_driver_that_ignores_commit_is_refused(self, database: Database) -> None:
        """With ``autocommit=True``, sqlite3 answers COMMIT with nothing, and does nothing."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{database.path}", connect_args={"autocommit": True})
        try:
            async with writer_on(engine) as writer:
                with pytest.raises(MisconfigurationError, match="autocommit"):
                    await writer.insert({"id": 1, "n": 1})
        finally:
            await engine.dispose()
        assert database.read("SELECT * FROM t") == []

    @pytest.mark.parametrize(
        "options",
        [
            {"isolation_level": "AUTOCOMMIT"},
            {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True},
            {"execution_options": {"isolation_level": "AUTOCOMMIT"}},
            {"pool_reset_on_return": None},
            {"poolclass": sa.NullPool},
            {"pool_pre_ping": True},
        ],
        ids=str,
    )
    async def test_what_is_rolled_back_is_gone(self, database: Database, options: dict[str, Any]) -> None:
        """Whatever the engine does by itself: a batch whose bad row was found, and one that failed as a whole."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{database.path}", **options)
        try:
            async with opened(engine) as backend:
                answers = await write(backend, "id n", [(1, 1), (2, -1), (3, 1)])
                parts: Any = backend._parts
                record, parts.book = parts.book, FailingBook()
                failed = await write(backend, "id n", [(4, 1), (5, 1)])
                parts.book = record
                answers += failed + await write(backend, "id n", [(6, 1)])
        finally:
            await engine.dispose()
        assert told(answers) == ["inserted", "CheckViolation", "inserted", *["BackendUnavailable"] * 2, "inserted"]
        check(answers, range(1, 7), database.read("SELECT id FROM t"))

    async def test_writers_of_one_shared_connection_take_turns(self) -> None:
        """Two backends on an engine whose pool has one connection for all: neither commits the other's halves."""
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            for name in ("t", "u"):
                await connection.exec_driver_sql(SCHEMA.replace("t (", f"{name} ("))
        async with opened(engine, "t") as one, opened(engine, "u") as two:
            runs = await asyncio.gather(
                *(
                    write(backend, "id n", [(10 * run + n, -1 if (n + run) % 3 == 0 else 1) for n in range(10)])
                    for run in range(10)
                    for backend in (one, two)
                )
            )
        async with engine.connect() as connection:
            stored = [(await connection.exec_driver_sql(f"SELECT id FROM {name}")).all() for name in ("t", "u")]  # noqa: S608 - ours
        await engine.dispose()
        assert {word for run in runs for word in told(run)} == {"inserted", "CheckViolation"}
        for place, rows in enumerate(stored):
            check([answer for run in runs[place::2] for answer in run], range(100), [tuple(row) for row in rows])

    async def test_nothing_is_written_into_somebody_elses_transaction(self) -> None:
        """On a connection that all share: it would be theirs to roll back, after all have heard that it is stored."""
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.exec_driver_sql(SCHEMA)
        async with opened(engine) as backend:
            async with engine.connect() as session:
                await session.exec_driver_sql("INSERT INTO t VALUES (1, 1)")
                answers = await write(backend, "id n", [(2, 1)])
                await session.rollback()
            answers += await write(backend, "id n", [(3, 1)])
        async with engine.connect() as connection:
            stored = (await connection.exec_driver_sql("SELECT id FROM t")).all()
        await engine.dispose()
        check(answers, [2, 3], [tuple(row) for row in stored])
        assert told(answers) == ["BackendUnavailable", "inserted"]


class FailingBook:
    """A ledger that cannot be written, after the rows were."""

    def may_know(self, _: object) -> bool:
        """Return whether to look first."""
        return False

    def record(self, *_: object) -> None:
        """Fail."""
        message = "the disk is gone"
        raise OSError(message)


class TestTables:
    """Tables that answer an INSERT in ways of their own."""

    @pytest.mark.parametrize("setting", [{}, {"isolation_level": None}], ids=str)
    @pytest.mark.parametrize("clause", ["IGNORE", "ROLLBACK", "FAIL", "ABORT"])
    async def test_a_constraint_with_a_conflict_clause(
        self, tmp_path: pathlib.Path, clause: str, setting: dict[str, Any]
    ) -> None:
        """It swallows the row, or undoes the whole transaction: the others are stored, and it alone is rejected."""
        schema = f"CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT {clause}, n CHECK (n >= 0))"
        database = Database(tmp_path / "clause.db", schema)
        rows = [(1, 1, 1), (2, 1, 1), (3, 3, 1), (4, 4, 1), (5, 5, -1), (6, 6, 1)]
        async with on(database, setting) as engine, writer_on(engine) as writer:
            report = await writer.insert_many(dict(zip(("id", "u", "n"), row, strict=True)) for row in rows)
        check(report.results, range(1, 7), database.read("SELECT id FROM t"))
        assert [n for n, answer in enumerate(report.results, 1) if isinstance(answer, WriteResult)] == [1, 3, 4, 6]

    @pytest.mark.parametrize("setting", [{}, {"isolation_level": None}], ids=str)
    async def test_a_trigger_that_undoes_the_transaction(self, database: Database, setting: dict[str, Any]) -> None:
        """Its row is rejected, and the others are stored."""
        database.run(
            "CREATE TRIGGER w BEFORE INSERT ON t WHEN new.n = 7 BEGIN SELECT RAISE(ROLLBACK, 'not seven'); END"
        )
        rows = [{"id": n, "n": 7 if n in {4, 9} else 1} for n in range(1, 11)]
        async with on(database, setting) as engine, writer_on(engine) as writer:
            report = await writer.insert_many(rows)
        check(report.results, range(1, 11), database.read("SELECT id FROM t"))
        assert told([report.results[3], report.results[8]]) == ["CheckViolation"] * 2
        assert len(report.errors) == 2

    @pytest.mark.parametrize("kind", ["TRIGGER", "TEMP TRIGGER"])
    async def test_a_trigger_that_came_later(self, database: Database, kind: str) -> None:
        """It changes rows elsewhere: the count of changes does not tell any more which row was the bad one."""
        database.run("CREATE TABLE log (id INTEGER)")
        sql = f"CREATE {kind} w AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id), (new.id); END"  # noqa: S608 - ours
        async with engine_on(database) as engine, opened(engine) as backend:
            if kind == "TRIGGER":
                database.run(sql)
            else:
                async with engine.connect() as connection:
                    await connection.exec_driver_sql(sql.replace("ON t", "ON main.t"))
            rows = [(n, -1 if n % 5 == 4 else 1) for n in range(1, 31)]
            answers = await write(backend, "id n", rows)
        check(answers, [row[0] for row in rows], database.read("SELECT id FROM t"))
        assert told(answers).count("CheckViolation") == 6


class TestValues:
    """Values, and objects that hold them."""

    async def test_no_number_is_not_stored_as_null(self, tmp_path: pathlib.Path) -> None:
        """SQLite has no NaN, and would say nothing."""
        database = Database(tmp_path / "nan.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b)")
        rows = [(1, 1.5, 1.5), (2, math.nan, None), (3, None, math.nan), (4, math.inf, "x")]
        async with opened(database) as backend:
            answers = await write(backend, "id a b", rows)
        assert told(answers) == ["inserted", "InvalidValue", "InvalidValue", "inserted"]
        assert database.read("SELECT * FROM t") == [rows[0], rows[3]]

    async def test_an_instance_that_has_expired_is_refused(self, database: Database) -> None:
        """Defaults would be stored in place of what its caller sees in it; one that is loaded whole is taken."""
        async with engine_on(database) as engine, writer_on(engine, Thing) as writer:
            async with AsyncSession(engine, expire_on_commit=True) as session:
                thing = Thing(id=1, n=5)
                session.add(thing)
                await session.commit()
                with pytest.raises(InvalidValueError, match=r"'(id|n)' has expired"):
                    await writer.insert(thing)
                await session.refresh(thing)
                session.expire(thing, ["n"])
                with pytest.raises(InvalidValueError, match="'n' has expired"):
                    await writer.insert(thing)
                await session.refresh(thing)
                session.expunge_all()
            database.run("DELETE FROM t")
            await writer.insert(thing)
        assert database.read("SELECT id, n FROM t") == [(1, 5)]

    async def test_a_default_sees_its_row_by_the_keys_of_its_columns(self, database: Database) -> None:
        """As in a statement of SQLAlchemy's own."""
        table = sa.Table(
            "t",
            sa.MetaData(),
            sa.Column("id", sa.Integer, key="number", primary_key=True),
            sa.Column("n", sa.Integer, default=lambda context: context.get_current_parameters()["number"] * 2),
        )
        async with opened(database, table) as backend:
            answers = await write(backend, "id", [(4,), (5,)])
        assert told(answers) == ["inserted"] * 2
        assert database.read("SELECT * FROM t") == [(4, 8), (5, 10)]

    def test_a_schema_that_is_translated_is_refused(self) -> None:
        """The rows would go to another table than the caller's statements."""
        engine = create_async_engine(
            "sqlite+aiosqlite://", execution_options={"schema_translate_map": {None: "tenant"}}
        )
        with pytest.raises(MisconfigurationError, match="schema_translate_map"):
            SQLAlchemyBackend(engine, "t")

    async def test_a_type_with_values_of_its_own_is_refused(self, database: Database) -> None:
        """They would have to be sent beside the row's."""
        table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", Shifted()))
        with pytest.raises(MisconfigurationError, match="bind_expression"):
            async with opened(database, table):
                pass


class Base(DeclarativeBase):
    """Where the mapped class of these tests belongs."""


class Thing(Base):
    """A mapped class over the usual table."""

    __tablename__ = "t"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int | None] = mapped_column(default=7)


class Shifted(sa.types.UserDefinedType[int]):
    """A type that adds 1 on the way."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return its name in the database."""
        return "INTEGER"

    def bind_expression(self, bindvalue: Any) -> Any:
        """Return what is put into statements."""
        return sa.type_coerce(bindvalue, sa.Integer) + 1


def writer_on(engine: AsyncEngine, table: Any = "t") -> BulkWriter[Any]:
    """Return a writer that gives up soon."""
    return BulkWriter(SQLAlchemyBackend(engine, table), retry=HASTY)


@contextlib.asynccontextmanager
async def on(database: Database, setting: dict[str, Any]) -> AsyncIterator[AsyncEngine]:
    """Make an engine with arguments for the driver, and let go of it afterwards."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database.path}", connect_args=setting)
    try:
        yield engine
    finally:
        await engine.dispose()

"""Rows by way of SQLAlchemy: its types, its defaults, its tables and classes; and what becomes of bad ones."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bulkwriter import BulkWriter
from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.contract import Attempt
from bulkwriter.errors import ForeignKeyViolationError
from bulkwriter.results import Outcome, WriteResult
from tests.sqlalchemy_tables import engine_on, opened, statements_of, write
from tests.sqlite_tables import Database, told, verdicts

if TYPE_CHECKING:
    import pathlib


class Base(DeclarativeBase):
    """Where the mapped classes of these tests belong."""


class Event(Base):
    """A mapped class with types and defaults of each kind."""

    __tablename__ = "events"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    title: Mapped[str] = mapped_column("subject", default="none")
    length: Mapped[int | None] = mapped_column(default=lambda context: len(context.get_current_parameters()["subject"]))
    price: Mapped[decimal.Decimal | None] = mapped_column(sa.Numeric(10, 2))
    at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime)
    tags: Mapped[Any] = mapped_column(sa.JSON, nullable=True)
    seen: Mapped[int] = mapped_column(server_default="7")
    day: Mapped[str | None] = mapped_column(default=sa.func.upper("monday"))


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    """Return an empty database."""
    return Database(tmp_path / "rows.db")


async def make(database: Database, base: type[DeclarativeBase] = Base) -> None:
    """Make the tables of mapped classes."""
    async with engine_on(database) as engine, engine.begin() as connection:
        await connection.run_sync(base.metadata.create_all)


class TestTypesAndDefaults:
    """Values go through the types of the columns, and what a row leaves out is what the column says."""

    async def test_a_mapped_class_is_written_as_a_session_would(self, database: Database) -> None:
        """Python's defaults, SQL's, and the server's; each type by its own rules; read again by the ORM."""
        await make(database)
        at, price = dt.datetime(2026, 5, 1, 12, 30), decimal.Decimal("12.50")  # noqa: DTZ001 - the column has none
        async with engine_on(database) as engine:
            backend = opened_on(engine)
            writer: BulkWriter[Any] = BulkWriter(backend)
            async with writer:
                await writer.insert({"subject": "tea", "price": price, "at": at, "tags": {"a": [1]}})
                await writer.insert({"subject": "longer"})
            async with engine.connect() as connection:
                rows = (await connection.execute(sa.select(Event.__table__).order_by(Event.length))).mappings().all()
        assert backend.key_columns == ("id",)
        assert isinstance(rows[0]["id"], uuid.UUID)
        assert dict(rows[0]) | {"id": None} == {
            "id": None, "subject": "tea", "length": 3, "price": price, "at": at, "tags": {"a": [1]}, "seen": 7,
            "day": "MONDAY",
        }  # fmt: skip
        assert (rows[1]["length"], rows[1]["tags"], rows[0]["id"] == rows[1]["id"]) == (6, None, False)

    async def test_instances_are_read_and_left_as_they_are(self, database: Database) -> None:
        """Nothing is set in them, and nothing is loaded."""
        await make(database)
        event = Event(title="tea", length=1)
        before = dict(event.__dict__)
        backend = opened_on(f"sqlite+aiosqlite:///{database.path}", returning=("id",))
        writer: BulkWriter[Any] = BulkWriter(backend)
        async with writer:
            result = await writer.insert(event)
        assert dict(event.__dict__) == before
        assert result.returned is not None
        assert isinstance(result.returned["id"], uuid.UUID)
        assert database.read("SELECT subject, length FROM events") == [("tea", 1)]

    async def test_a_function_is_called_once_for_each_row(self, database: Database) -> None:
        """Also in a batch whose bad rows had to be found."""
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 100))")
        numbers = itertools.count(1)
        table = sa.Table(
            "t",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True, default=lambda: next(numbers)),
            sa.Column("n", sa.Integer),
        )
        async with opened(database, table) as backend:
            answers = await write(backend, "n", [(n if n % 10 else 1000,) for n in range(1, 51)])
        assert told(answers).count("CheckViolation") == 5
        assert next(numbers) == 51
        assert [row for (row,) in database.read("SELECT id FROM t")] == [n for n in range(1, 51) if n % 10]

    async def test_a_function_that_fails_rejects_its_row_alone(self, database: Database) -> None:
        """With its error behind it."""
        await make(database)
        async with opened(database, Event) as backend:
            answers = await write(backend, "subject", [("a",), (None,), ("c",)])
        assert told(answers) == ["inserted", "InvalidValue", "inserted"]
        assert (answers[1].column_name, type(answers[1].__cause__)) == ("length", TypeError)

    async def test_what_a_type_does_not_take_is_told_to_its_row_alone(self, database: Database) -> None:
        """With the column's name, the type's error behind it, and nothing of the value."""
        await make(database)
        async with opened(database, Event) as backend:
            rows = [("a", None, None), ("b", "2026-05-01", None), ("c", None, object()), ("d", None, [1])]
            answers = await write(backend, "subject at tags", rows)
        assert told(answers) == ["inserted", "InvalidValue", "InvalidValue", "inserted"]
        assert (answers[1].column_name, answers[2].column_name) == ("at", "tags")
        assert isinstance(answers[1].__cause__, TypeError)
        assert "2026" not in str(answers[1])
        assert database.read("SELECT subject FROM events ORDER BY 1") == [("a",), ("d",)]

    async def test_a_value_that_only_the_driver_refuses_is_told_to_its_row(self, database: Database) -> None:
        """A number of more than 64 bits, an object that is nothing to a database."""
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        async with opened(database) as backend:
            answers = await write(backend, "id v", [(1, 1), (2, 2**70), (3, object()), (4, "x"), (5, "\ud800")])
        assert told(answers) == ["inserted", "InvalidValue", "InvalidValue", "inserted", "InvalidValue"]
        assert database.read("SELECT id FROM t") == [(1,), (4,)]


class TestBadRows:
    """They are found in few statements, whatever the table."""

    SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n >= 0), u UNIQUE);"

    @pytest.mark.parametrize("trigger", [False, True], ids=["a plain table", "a table with a trigger"])
    @pytest.mark.parametrize("returning", [(), ("id",)], ids=["nothing back", "something back"])
    async def test_every_row_hears_its_own_truth(
        self, database: Database, returning: tuple[str, ...], *, trigger: bool
    ) -> None:
        """Some at random places are bad, some are swallowed; all others are stored."""
        database.run(self.SCHEMA)
        if trigger:
            database.run(
                "CREATE TABLE log (id); CREATE TRIGGER w BEFORE INSERT ON t BEGIN INSERT INTO log VALUES (1);"
                "SELECT RAISE(IGNORE) WHERE new.n = 7; END"
            )
        chance = random.Random(3)  # noqa: S311 - the same rows each time
        rows = [(n, chance.choice([1, 2, 3, -1, None, 7]), chance.choice([None, n])) for n in range(200)]
        rows += [(5, 1, None), (300, 1, 5)]
        async with opened(database, returning=returning) as backend:
            answers = await write(backend, "id n u", rows)
        stored = {number for (number,) in database.read("SELECT id FROM t")}
        assert {row[0] for row, answer in zip(rows, answers, strict=True) if isinstance(answer, WriteResult)} == stored
        for (_, n, _), answer in zip(rows[:200], answers, strict=False):
            wanted = {-1: "CheckViolation", None: "NotNullViolation", 7: "CheckViolation" if trigger else "inserted"}
            assert told([answer]) == [wanted.get(n, "inserted")]

    async def test_a_hundred_of_them_cost_a_few_hundred_statements(self, database: Database) -> None:
        """One for each, and no more than two for all others: the driver itself goes from row to row."""
        database.run(self.SCHEMA)
        async with engine_on(database) as engine, opened(engine) as backend:
            seen = statements_of(engine)
            rows = [(n, -1 if n % 10 == 3 else 1) for n in range(1000)]
            answers = await write(backend, "id n", rows)
        assert told(answers).count("CheckViolation") == 100
        assert sum(sql.startswith("INSERT") for sql in seen) <= 102
        assert len(seen) <= 106

    async def test_what_was_tried_before_a_savepoint_is_gone_does_not_stay(self, database: Database) -> None:
        """Python's own way to begin transactions would commit it when the savepoint is released."""
        database.run(self.SCHEMA + "CREATE TABLE c (id INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)")
        database.run("INSERT INTO t VALUES (1, 1, 1)")
        async with opened(database, on_conflict="update") as backend:
            # A savepoint for each half; and then the COMMIT never comes.
            plan = backend.plan("insert", ("id", "n", "u"))
            attempt = Attempt(plan, [(1, 2, 2), (2, -1, 3), (3, 3, 4)])
            first = backend.attempt(attempt)
            parts: Any = backend._parts
            begin = parts.transactions.begin

            def begin_and_give_up(connection: sa.Connection, **options: Any) -> None:
                begin(connection, **options)
                attempt.token.give_up()

            parts.transactions.begin = begin_and_give_up
            answers = verdicts(await first)
        assert told(answers) == ["BackendUnavailable"] * 3
        assert "given up before it was committed" in str(answers[0].error)
        assert database.read("SELECT id, n, u FROM t") == [(1, 1, 1)]

    async def test_a_constraint_that_waits_for_the_commit_is_told_to_its_row(self, database: Database) -> None:
        """The commit does not say which it was: the engine finds it."""
        database.run(
            "CREATE TABLE p (id INTEGER PRIMARY KEY);"
            "CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        database.run("INSERT INTO p VALUES (1)")
        async with opened(database) as backend:
            answers = await backend.process_batch([{"id": n, "p": 9 if n == 3 else 1} for n in range(8)])
        assert [n for n, answer in enumerate(answers) if isinstance(answer, ForeignKeyViolationError)] == [3]
        assert database.read("SELECT id FROM t") == [(n,) for n in range(8) if n != 3]

    async def test_a_missing_table_is_nobodys_fault(self, database: Database) -> None:
        """It was there when the backend was opened."""
        database.run(self.SCHEMA)
        async with opened(database) as backend:
            database.run("DROP TABLE t")
            answers = await backend.process_batch([{"id": 1, "n": 1}, {"id": 2, "n": 2}])
        assert told(answers) == ["Misconfiguration"] * 2


class TestVerdicts:
    """Inserted, updated, skipped, unchanged: of each row, exactly."""

    async def test_keys_are_equal_where_the_database_takes_them_for_equal(self, database: Database) -> None:
        """Also in one batch: the second hears what became of it after the first."""
        database.run("CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)")
        async with opened(database, on_conflict="update", update_columns={"n": "t.n + excluded.n"}) as backend:
            answers = await write(backend, "k n", [("a", 1), ("b", 1), ("A", 10), ("c", 1), ("B", 10)])
        assert told(answers) == ["inserted", "inserted", "updated", "inserted", "updated"]
        assert database.read("SELECT k, n FROM t ORDER BY k") == [("a", 11), ("b", 11), ("c", 1)]

    async def test_unchanged_is_told_from_updated(self, database: Database) -> None:
        """``update_where`` has declined; what was written gives back what was asked for."""
        database.run("CREATE TABLE t (a INTEGER, b INTEGER, n INTEGER, PRIMARY KEY (a, b))")
        database.run("INSERT INTO t VALUES (1, 1, 5), (1, 2, 5)")
        options = {"update_where": "excluded.n > t.n", "returning": ("n", "b")}
        async with opened(database, on_conflict="update", **options) as backend:
            answers = await write(backend, "b a n", [(1, 1, 4), (2, 1, 6), (3, 1, 1)])
        assert answers == [
            WriteResult(Outcome.UNCHANGED),
            WriteResult(Outcome.UPDATED, {"n": 6, "b": 2}),
            WriteResult(Outcome.INSERTED, {"n": 1, "b": 3}),
        ]

    async def test_what_comes_back_is_the_very_rows_in_few_statements(self, database: Database) -> None:
        """Generated keys, for rows of which some are equal and some come back as something else."""
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v NUMERIC, w TEXT)")
        async with engine_on(database) as engine, opened(engine, returning=("id",)) as backend:
            seen = statements_of(engine)
            rows = [(f"{n % 7}.50", f"w{n}") for n in range(500)]
            answers = await write(backend, "v w", rows)
        stored = dict(database.read("SELECT id, w FROM t"))
        assert [stored[answer.returned["id"]] for answer in answers] == [w for _, w in rows]
        assert len(seen) <= 3

    async def test_rows_that_cannot_be_told_apart_go_one_by_one(self, database: Database) -> None:
        """What comes back says nothing of whose it is: better slow than wrong."""
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v NUMERIC)")
        async with opened(database, returning=("id", "v")) as backend:
            answers = await write(backend, "v", [("1.50",), ("2.50",), ("1.50",), ("3.50",)])
        assert [answer.returned["v"] for answer in answers] == [1.5, 2.5, 1.5, 3.5]
        assert len({answer.returned["id"] for answer in answers}) == 4

    async def test_a_trigger_that_keeps_a_row_from_being_deleted_is_told(self, database: Database) -> None:
        """The others are gone, also the one that was never there."""
        database.run("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        database.run(
            "INSERT INTO t VALUES (1), (2), (3);"
            "CREATE TRIGGER k BEFORE DELETE ON t WHEN old.id = 2 BEGIN SELECT RAISE(IGNORE); END"
        )
        async with opened(database) as backend:
            answers = await write(backend, "id", [(1,), (2,), (3,), (4,)], "delete")
        assert told(answers) == ["deleted", "CheckViolation", "deleted", "deleted"]
        assert database.read("SELECT id FROM t") == [(2,)]


def opened_on(where: Any, **options: Any) -> SQLAlchemyBackend:
    """Return a backend for the mapped class, not yet open."""
    return SQLAlchemyBackend(where, Event, **options)

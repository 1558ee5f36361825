"""What each row is told: bad rows of every kind and number, conflicts, what comes back, deletes; large rows, many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkwriter import BulkWriter, MisconfigurationError, Outcome, RowTooLargeError, WriteResult
from bulkwriter.backends.mysql import MySQLBackend
from integration.attempts import told, write
from integration.mysql_tables import opened
from integration.servers.mysql_scratch import run
from integration.wire import MySQLDialect, Wire, commit

if TYPE_CHECKING:
    from integration.servers.mysql_scratch import MySQLScratch

COLUMNS = "id name v parent code day doc"

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "null": ({"name": None}, "NotNullViolation"),
    "check": ({"v": 1000}, "CheckViolation"),
    "key": ({"id": 0}, "UniqueViolation"),
    "unique": ({"code": "there"}, "UniqueViolation"),
    "foreign key": ({"parent": 7}, "ForeignKeyViolation"),
    "too large": ({"v": 2**40}, "InvalidValue"),
    "too long": ({"name": "n" * 101}, "InvalidValue"),
    "surrogate": ({"name": "\ud800"}, "InvalidValue"),
    "no number": ({"v": float("nan")}, "InvalidValue"),
    "day that is none": ({"day": "2023-02-30"}, "InvalidValue"),
    "document that is none": ({"doc": "{"}, "InvalidValue"),
    "trigger": ({"v": 99}, "CheckViolation"),
}


async def ids(scratch: MySQLScratch, table: str = "t") -> list[int]:
    """Return the ids that are stored, in order."""
    return [row["id"] for row in await scratch.fetch(f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608 - our own


def good_row(number: int) -> dict[str, Any]:
    """Return a row that is good."""
    return {"id": number, "name": f"n{number}", "v": 5, "parent": 1, "code": f"c{number}", "day": None, "doc": "{}"}


class TestBadRows:
    """Each hears of itself, the others are stored, and it costs few round trips."""

    @pytest.fixture
    async def table(self, mysql: MySQLScratch) -> MySQLScratch:
        """A table on which much can go wrong."""
        await mysql.execute(
            "CREATE TABLE parent (id int PRIMARY KEY)",
            "INSERT INTO parent VALUES (1)",
            "CREATE TABLE t (id int PRIMARY KEY, name varchar(100) NOT NULL, "
            "v int, CONSTRAINT v_small CHECK (v < 1000), parent int, code varchar(20), day date, doc json, "
            "UNIQUE KEY by_code (code), "
            "CONSTRAINT has_parent FOREIGN KEY (parent) REFERENCES parent (id))",
            "INSERT INTO t VALUES (0, 'there', 1, 1, 'there', NULL, NULL)",
            "CREATE TRIGGER guard BEFORE INSERT ON t FOR EACH ROW "
            "IF NEW.v = 99 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such luck'; END IF",
        )
        return mysql

    @pytest.mark.parametrize("where", ["front", "middle", "end", "some", "many"])
    @pytest.mark.parametrize("kind", BAD)
    async def test_bad_rows_of_a_kind(self, table: MySQLScratch, kind: str, where: str) -> None:
        """One at the front, in the middle or at the end of 200; some, or many."""
        changed, error = BAD[kind]
        places = {"front": {1}, "middle": {100}, "end": {200}, "some": {3, 70, 71}, "many": set(range(5, 200, 4))}
        bad = places[where]
        rows = [tuple({**good_row(number), **(changed if number in bad else {})}.values()) for number in range(1, 201)]
        async with opened(table) as backend:
            answers = await write(backend, COLUMNS, rows)
        assert told(answers) == [error if number in bad else "inserted" for number in range(1, 201)]
        assert await ids(table) == [number for number in range(201) if number not in bad]

    async def test_every_kind_in_one_batch(self, table: MySQLScratch) -> None:
        """And each caller hears of its own, by its own number."""
        rows, expected = [], []
        for number, (changed, error) in enumerate(BAD.values()):
            rows += [good_row(2 * number + 1), {**good_row(2 * number + 2), **changed}]
            expected += ["inserted", error]
        async with opened(table) as backend:
            answers = await write(backend, COLUMNS, [tuple(row.values()) for row in rows])
        assert told(answers) == expected
        by_kind = dict(zip(BAD, answers[1::2], strict=True))
        assert by_kind["null"].column_name == "name"
        assert by_kind["check"].constraint_name == "v_small"
        assert by_kind["foreign key"].constraint_name == "has_parent"
        assert "by_code" in by_kind["unique"].constraint_name
        assert {error.sqlstate[:2] for name, error in by_kind.items() if "Violation" in BAD[name][1]} <= {
            "23",
            "45",
            "HY",
        }
        assert "there" not in str(by_kind["unique"])

    @pytest.mark.parametrize("options", [{}, {"sql_mode": ""}], ids=["strict", "lax"])
    @pytest.mark.parametrize("bad", [1, 600, 1000])
    async def test_one_in_any_of_several_statements(
        self, table: MySQLScratch, bad: int, options: dict[str, Any]
    ) -> None:
        """The others may have gone well before anybody knows, and must not stand twice, or without it."""
        changed = {"name": "n" * 101}
        rows = [tuple({**good_row(number), **(changed if number == bad else {})}.values()) for number in range(1, 1001)]
        async with opened(table, **options) as backend:
            answers = await write(backend, COLUMNS, rows)
        assert told(answers) == ["InvalidValue" if number == bad else "inserted" for number in range(1, 1001)]
        assert await ids(table) == [number for number in range(1001) if number != bad]

    @pytest.mark.parametrize("bad", [1, 5, 50])
    async def test_it_costs_a_handful_of_round_trips(self, table: MySQLScratch, bad: int) -> None:
        """Whatever their number, on 1,000 rows; packets are counted by a proxy."""
        rows = [good_row(number) for number in range(1, 1001)]
        for place in range(bad):
            rows[(617 * (place + 1)) % 1000]["name"] = None
        async with (
            _counting(table) as wire,
            opened(table, database=table.server.url(port=wire.port, database=table.database)) as backend,
        ):
            before = wire.turns
            answers = await backend.process_batch(rows)
            turns = wire.turns - before
        assert told(answers).count("NotNullViolation") == bad
        assert told(answers).count("inserted") == 1000 - bad
        assert turns <= 6

    async def test_many_rows_that_would_be_changed(self, table: MySQLScratch) -> None:
        """Where the server would change values and only warn of it, their rows are found together."""
        rows = [good_row(number) for number in range(1, 201)]
        for row in rows[::4]:
            row["name"] = "n" * 101
        async with (
            _counting(table) as wire,
            opened(table, database=table.server.url(port=wire.port, database=table.database), sql_mode="") as backend,
        ):
            before = wire.turns
            answers = await backend.process_batch(rows)
            turns = wire.turns - before
        assert told(answers) == ["inserted" if number % 4 else "InvalidValue" for number in range(200)]
        assert await ids(table) == [0, *(number for number in range(1, 201) if number % 4 != 1)]
        assert turns <= 8

    async def test_nothing_is_stored_by_ignoring_what_is_wrong(self, table: MySQLScratch) -> None:
        """Skipping conflicts skips nothing else, as INSERT IGNORE would, which stores what it has mangled."""
        rows = [good_row(1), {**good_row(2), "name": None}, {**good_row(3), "v": 2**40}, good_row(0), good_row(4)]
        async with opened(table, on_conflict="skip") as backend:
            answers = await write(backend, COLUMNS, [tuple(row.values()) for row in rows])
        assert told(answers) == ["inserted", "NotNullViolation", "InvalidValue", "skipped", "inserted"]
        assert await ids(table) == [0, 1, 4]


class TestConflicts:
    """A verdict for each row, whoever else writes."""

    @pytest.fixture
    async def table(self, mysql: MySQLScratch) -> MySQLScratch:
        """A table with some rows in it."""
        await mysql.execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int, n int DEFAULT 7)",
            "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)",
        )
        return mysql

    @pytest.mark.parametrize("count", [0, 300])
    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_each_row_is_told_what_became_of_it(self, table: MySQLScratch, policy: Any, count: int) -> None:
        """Also among many that are new."""
        rows = [(1, 1), (2, 20), (9, 9), *((number, 0) for number in range(100, 100 + count))]
        async with opened(table, on_conflict=policy) as backend:
            answers = await write(backend, "id v", rows)
        expected = {"skip": ["skipped", "skipped", "inserted"], "update": ["unchanged", "updated", "inserted"]}[policy]
        assert told(answers) == expected + ["inserted"] * count
        stored = {row["id"]: (row["v"], row["n"]) for row in await table.fetch("SELECT * FROM t WHERE id < 100")}
        assert stored == {1: (1, 1), 2: (2 if policy == "skip" else 20, 2), 3: (3, 3), 9: (9, 7)}

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_some_in_one_of_several_statements(self, mysql: MySQLScratch, policy: Any) -> None:
        """The next batch asks which keys are there, though the last statement has met none."""
        await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        expected = [{"skip": "skipped", "update": "updated"}[policy]] * 300 + ["inserted"] * 1700
        async with opened(mysql, on_conflict=policy) as backend:
            for start in (0, 2000, 4000):
                there = ", ".join(f"({number}, 0)" for number in range(start, start + 300))
                await mysql.execute(f"INSERT INTO t VALUES {there}")  # noqa: S608 - our own
                rows = [(number, 1) for number in range(start, start + 2000)]
                assert told(await write(backend, "id v", rows)) == expected
            assert backend.paths == {"careful": 1, policy: 2}
        assert await mysql.value("SELECT COUNT(*) FROM t WHERE v = 1") == (5100 if policy == "skip" else 6000)

    async def test_the_same_key_twice_in_a_batch(self, table: MySQLScratch) -> None:
        """In the order of their acceptance, each with its own answer."""
        rows = [{"id": 5, "v": 1}, {"id": 1, "v": 5}, {"id": 5, "v": 2}, {"id": 5, "v": 2}]
        async with opened(table, on_conflict="update") as backend:
            assert told(await backend.process_batch(rows)) == ["inserted", "updated", "updated", "unchanged"]
        assert await table.value("SELECT v FROM t WHERE id = 5") == 2

    async def test_keys_that_the_database_takes_for_one(self, mysql: MySQLScratch) -> None:
        """By its own collation: case, accents and spaces at the end may mean nothing."""
        await mysql.execute(
            "CREATE TABLE t (id varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v int)"
        )
        async with opened(mysql, on_conflict="update") as backend:
            rows = [{"id": key, "v": number} for number, key in enumerate(["a", "A", "ä", "a  ", "b"])]
            assert told(await backend.process_batch(rows)) == ["inserted", "updated", "updated", "updated", "inserted"]
        assert await mysql.value("SELECT v FROM t WHERE id = 'a'") == 3

    async def test_another_unique_key_is_no_conflict_on_this_one(self, mysql: MySQLScratch) -> None:
        """ON DUPLICATE KEY fires on any: a row that is not meant is never changed."""
        await mysql.execute(
            "CREATE TABLE t (id int PRIMARY KEY, code varchar(10) UNIQUE, v int)",
            "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)",
        )
        async with opened(mysql, on_conflict="update", conflict_columns=("id",)) as backend:
            answers = await write(backend, "id code v", [(1, "a", 10), (3, "b", 30), (4, "d", 40)])
        assert told(answers) == ["updated", "UniqueViolation", "inserted"]
        stored = await mysql.fetch("SELECT id, code, v FROM t ORDER BY id")
        assert [tuple(row.values()) for row in stored] == [(1, "a", 10), (2, "b", 2), (4, "d", 40)]

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_four_writers_at_the_same_keys(self, mysql: MySQLScratch, policy: Any) -> None:
        """Each key is inserted once, whoever was first; nobody is left in a deadlock."""
        await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")

        async def work(number: int) -> list[Any]:
            backend = MySQLBackend(mysql.url, "t", on_conflict=policy)
            async with BulkWriter[Any](backend, max_batch_size=50) as writer:
                rows = [{"id": key, "v": number} for key in range(300)]
                report = await writer.insert_many(rows[::-1] if number % 2 else rows)
                return list(report.results)[:: -1 if number % 2 else 1]

        results = await asyncio.gather(*map(work, range(4)))
        expected = sorted(["inserted"] + [{"skip": "skipped", "update": "updated"}[policy]] * 3)
        for key in range(300):
            assert sorted(told([result[key] for result in results])) == expected, key


class TestWhatComesLater:
    """The table is not what it was when the writer was opened."""

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_another_unique_key(self, mysql: MySQLScratch, policy: Any) -> None:
        """A row that meets another one in it is rejected, and that one is left alone."""
        await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(9))")
        async with opened(mysql, on_conflict=policy) as backend:
            assert told(await write(backend, "id v", [(3, "x")])) == ["inserted"]
            await mysql.execute("ALTER TABLE t ADD UNIQUE (v)")
            answers = await write(backend, "id v", [(5, "x"), (6, "y")])
        assert told(answers) == ["UniqueViolation", "inserted"]
        assert await mysql.fetch("SELECT id, v FROM t ORDER BY id") == [{"id": 3, "v": "x"}, {"id": 6, "v": "y"}]

    async def test_the_servers_language(self, mysql: MySQLScratch) -> None:
        """What a statement says of its rows is read, and a server may say it in any language."""
        await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1), (2, 2)")
        async with opened(mysql, on_conflict="update", session={"lc_messages": "'de_DE'"}) as backend:
            answers = await write(backend, "id v", [(1, 10), (2, 2)])
        assert told(answers) == ["updated", "unchanged"]


class TestReturning:
    """What the database generates goes back to the very row, or is refused."""

    @pytest.mark.parametrize("count", [1, 150])
    async def test_generated_keys(self, mysql: MySQLScratch, count: int) -> None:
        """By RETURNING on MariaDB, and on MySQL by numbers that are proven to be consecutive."""
        await mysql.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v int)")
        async with opened(mysql, returning=("id",)) as backend:
            answers = await write(backend, "v", [(10 * number,) for number in range(1, count + 1)])
        assert told(answers) == ["inserted"] * count
        stored = {row["id"]: row["v"] for row in await mysql.fetch("SELECT id, v FROM t")}
        assert [stored[answer.returned["id"]] for answer in answers] == [10 * number for number in range(1, count + 1)]

    async def test_generated_keys_that_are_further_apart(self, mysql: MySQLScratch) -> None:
        """As the caller's own setting says, and as servers do that number their rows in turn."""
        await mysql.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, name varchar(20))")
        async with opened(mysql, returning=["id"], session={"auto_increment_increment": "7"}) as backend:
            answers = await write(backend, "name", [(f"n{number}",) for number in range(20)])
        stored = {row["name"]: row["id"] for row in await mysql.fetch("SELECT * FROM t")}
        assert [answer.returned["id"] for answer in answers] == [stored[f"n{number}"] for number in range(20)]
        assert len({number % 7 for number in stored.values()}) == 1

    async def test_generated_keys_among_bad_rows_and_other_writers(self, mysql: MySQLScratch) -> None:
        """Each row has its own, whoever takes numbers meanwhile."""
        await mysql.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v int NOT NULL, w int)")

        async def work(number: int) -> None:
            async with opened(mysql, returning=("id",)) as backend:
                for turn in range(10):
                    rows = [(None if place % 7 == 3 else place, 100 * number + turn) for place in range(30)]
                    answers = await write(backend, "v w", rows)
                    for (value, group), answer in zip(rows, answers, strict=True):
                        assert isinstance(answer, WriteResult) == (value is not None)
                        if isinstance(answer, WriteResult):
                            assert answer.returned
                            told_ids[answer.returned["id"]] = (value, group)

        told_ids: dict[int, tuple[Any, int]] = {}
        await asyncio.gather(*map(work, range(4)))
        stored = {row["id"]: (row["v"], row["w"]) for row in await mysql.fetch("SELECT id, v, w FROM t")}
        assert told_ids == stored

    @pytest.mark.parametrize("ids", [(None, 2, None), (None, 50, None), (7, None, None, 3)], ids=str)
    @pytest.mark.parametrize("policy", ["error", "skip", "update"])
    async def test_generated_keys_among_given_ones(
        self, mysql: MySQLScratch, policy: Any, ids: tuple[int | None, ...]
    ) -> None:
        """A key that a row brings moves those that the server makes behind it."""
        await mysql.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v int)")
        async with opened(mysql, on_conflict=policy, returning=("id",)) as backend:
            answers = await write(backend, "id v", [(key, 10 * place) for place, key in enumerate(ids)])
        assert told(answers) == ["inserted"] * len(ids)
        stored = {row["id"]: row["v"] for row in await mysql.fetch("SELECT id, v FROM t")}
        assert [stored[answer.returned["id"]] for answer in answers] == [10 * place for place in range(len(ids))]

    async def test_defaults_beside_a_generated_key(self, mysql: MySQLScratch) -> None:
        """MySQL has no RETURNING: what the database filled in is read back by the key, within the transaction."""
        await mysql.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v int, n int DEFAULT 7)")
        async with opened(mysql, returning=("n", "id", "v")) as backend:
            answers = await write(backend, "v", [(1,), (2,)])
        assert [(answer.returned["n"], answer.returned["v"]) for answer in answers] == [(7, 1), (7, 2)]

    async def test_without_a_key_mysql_cannot_find_a_row_again(self, mysql: MySQLScratch) -> None:
        """It refuses at once; MariaDB needs no key."""
        await mysql.execute("CREATE TABLE t (v int, n int DEFAULT 7)")
        if mysql.product == "mysql":
            with pytest.raises(MisconfigurationError, match="key"):
                await _write_one(mysql)
        else:
            assert (await _write_one(mysql)).returned == {"n": 7}


async def _write_one(mysql: MySQLScratch) -> Any:
    async with BulkWriter[Any](MySQLBackend(mysql.url, "t", returning=("n",))) as writer:
        return await writer.insert({"v": 1})


async def test_deletes_are_told_and_done(mysql: MySQLScratch) -> None:
    """By key, also of what was not there; order with inserts of the same key is kept."""
    await mysql.execute(
        "CREATE TABLE t (a int, b varchar(10), v int, PRIMARY KEY (a, b))",
        "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)",
    )
    async with BulkWriter[Any](MySQLBackend(mysql.url, "t", on_conflict="update")) as writer:
        answers = await asyncio.gather(
            writer.delete((1, "x")),
            writer.delete({"a": 9, "b": "nobody"}),
            writer.insert({"a": 2, "b": "y", "v": 3}),
            writer.delete((2, "y")),
            writer.insert({"a": 2, "b": "y", "v": 4}),
        )
    outcomes = [answer.outcome for answer in answers]
    assert outcomes == [Outcome.DELETED, Outcome.DELETED, Outcome.UPDATED, Outcome.DELETED, Outcome.INSERTED]
    stored = await mysql.fetch("SELECT a, b, v FROM t")
    assert [tuple(row.values()) for row in stored] == [(2, "y", 4)]


async def test_a_row_that_max_allowed_packet_does_not_let_in_is_too_large(mysql: MySQLScratch) -> None:
    """20 MB go in where 64 are allowed; where 16 are, its caller hears so and its neighbours are stored."""
    await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v longtext)")
    most = int(await mysql.value("SELECT @@max_allowed_packet"))
    large = "ä" * 10_000_000
    async with BulkWriter[Any](MySQLBackend(mysql.url, "t")) as writer:
        answers = await asyncio.gather(
            *(writer.insert({"id": number, "v": text}) for number, text in enumerate(["a", large, "b"])),
            return_exceptions=True,
        )
    fits = most > 20_000_000
    assert [isinstance(answer, WriteResult) for answer in answers] == [True, fits, True]
    if not fits:
        assert isinstance(answers[1], RowTooLargeError)
    stored = await mysql.fetch("SELECT id, octet_length(v) AS size FROM t ORDER BY id")
    assert [tuple(row.values()) for row in stored] == [(0, 1), *([(1, 20_000_000)] if fits else []), (2, 1)]


async def test_a_batch_beyond_max_allowed_packet_goes_in_pieces(mysql: MySQLScratch) -> None:
    """All in one transaction: it is stored as a whole, and each row is told so."""
    await mysql.execute("CREATE TABLE t (id int PRIMARY KEY, v longtext)")
    rows = [(number, chr(0x61 + number % 26) * 1_000_000) for number in range(40)]
    async with opened(mysql) as backend:
        assert told(await write(backend, "id v", rows)) == ["inserted"] * 40
        assert told(await write(backend, "id v", [(number + 20, text) for number, text in rows])) == (
            ["UniqueViolation"] * 20 + ["inserted"] * 20
        )
    async with mysql.connect() as connection:
        assert await run(connection, "SELECT count(*), sum(length(v)) FROM t") == ((60, 60_000_000),)


async def test_a_hundred_thousand_rows_with_bad_ones_and_broken_connections(
    mysql: MySQLScratch, mysql_wire: Wire
) -> None:
    """By `insert_many`: every bad row is named by its place, every other one stored once."""
    await mysql.execute("CREATE TABLE t (id int, name varchar(20) NOT NULL)")
    backend = MySQLBackend(mysql.server.url(port=mysql_wire.port, database=mysql.database), "t", ledger=True)
    async with BulkWriter[Any](backend, max_batch_size=2000) as writer:
        await writer.insert({"id": 0, "name": "warm"})
        before, after = mysql_wire.cut_before(commit(), times=3), mysql_wire.cut_after(commit(), times=3)
        rows = [{"id": number, "name": None if number % 9_973 == 0 else "x"} for number in range(1, 100_001)]
        report = await writer.insert_many(rows, results=False)
    assert [index + 1 for index, _ in report.errors] == list(range(9_973, 100_001, 9_973))
    assert report.counts.inserted == 100_000 - 10
    async with mysql.connect() as connection:
        assert await run(connection, "SELECT count(*), count(DISTINCT id) FROM t") == ((99_991, 99_991),)
    assert writer.statistics().is_balanced
    assert (before.hits, after.hits) == (3, 3)


def _counting(scratch: MySQLScratch) -> Wire:
    """Return a wire that counts how often the client waited for the server."""
    return Wire(scratch.server.host, scratch.server.port, MySQLDialect)

"""What each row is told: bad rows of every kind, conflicts, what comes back, deletes; on every kind of target."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from bulkwriter import BulkWriter, MisconfigurationError, Outcome, WriteResult
from bulkwriter.backends.postgres import PostgresBackend, driver
from bulkwriter.contract import Attempt
from integration.attempts import told, verdicts, write
from integration.postgres_tables import opened
from integration.servers.requirements import built_without

if TYPE_CHECKING:
    from integration.servers.scratch import Scratch

BEFORE_TRIGGER = """
CREATE FUNCTION {schema}.guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.v = 13 THEN RETURN NULL; END IF;
  IF NEW.v = 99 THEN RAISE EXCEPTION 'no such luck'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON {schema}.t FOR EACH ROW EXECUTE FUNCTION {schema}.guard();
"""


async def ids(scratch: Scratch, table: str = "t") -> list[int]:
    """Return the ids that are stored, in order."""
    return [row["id"] for row in await scratch.fetch(f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608 - our own


BAD: dict[str, tuple[dict[str, Any], str, str | None, str | None]] = {
    "null": ({"name": None}, "NotNullViolation", None, "name"),
    "check": ({"v": 1000}, "CheckViolation", "v_small", None),
    "key": ({"id": 0}, "UniqueViolation", "t_pkey", None),
    "foreign key": ({"parent": 7}, "ForeignKeyViolation", "has_parent", None),
    "deferred foreign key": ({"late": 7}, "ForeignKeyViolation", "has_late", None),
    "exclusion": ({"span": asyncpg.Range(5, 6)}, "UniqueViolation", "apart", None),
    "generated": ({"v": 0}, "InvalidValue", None, None),
    "too large": ({"v": 2**40}, "InvalidValue", None, "v"),
    "NUL": ({"name": "a\0b"}, "InvalidValue", None, "name"),
}


class TestBadRows:
    """Each hears of itself, and the others are stored."""

    @pytest.fixture
    async def table(self, postgres: Scratch) -> Scratch:
        """A table on which much can go wrong."""
        await postgres.execute(
            "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);"
            "CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, v int CONSTRAINT v_small CHECK (v < 1000), "
            "parent int CONSTRAINT has_parent REFERENCES parent, "
            "late int CONSTRAINT has_late REFERENCES parent DEFERRABLE INITIALLY DEFERRED, "
            "ratio int GENERATED ALWAYS AS (100 / v) STORED, span int4range, "
            "CONSTRAINT apart EXCLUDE USING gist (span WITH &&))"
        )
        return postgres

    @pytest.mark.parametrize("count", [1, 3, 40])
    @pytest.mark.parametrize("kind", BAD)
    async def test_bad_rows_of_a_kind(self, table: Scratch, kind: str, count: int) -> None:
        """One, some, or many among 200."""
        changed, error, constraint, column = BAD[kind]
        await table.execute("INSERT INTO t VALUES (0, 'there', 1, 1, 1, DEFAULT, '[5,6)')")
        bad = set(range(7, 200, 200 // count)[:count])
        rows = []
        for number in range(1, 201):
            row = {"id": number, "name": f"n{number}", "v": 5, "parent": 1, "late": 1, "span": None}
            rows.append(tuple({**row, **(changed if number in bad else {})}.values()))
        async with opened(table) as backend:
            answers = await write(backend, "id name v parent late span", rows)
        assert told(answers) == [error if number in bad else "inserted" for number in range(1, 201)]
        for number in bad:
            assert (answers[number - 1].constraint_name, answers[number - 1].column_name) == (constraint, column)
        assert await ids(table) == [number for number in range(201) if number not in bad]

    async def test_every_kind_in_one_batch(self, table: Scratch) -> None:
        """And each caller hears of its own."""
        await table.execute("INSERT INTO t VALUES (0, 'there', 1, 1, 1, DEFAULT, '[5,6)')")
        rows, expected = [], []
        for number, (changed, error, _, _) in enumerate(BAD.values()):
            good = {"id": 2 * number + 1, "name": "n", "v": 5, "parent": 1, "late": 1, "span": None}
            rows += [tuple(good.values()), tuple({**good, "id": 2 * number + 2, **changed}.values())]
            expected += ["inserted", error]
        async with opened(table) as backend:
            assert told(await write(backend, "id name v parent late span", rows)) == expected

    async def test_a_twin_of_a_row_that_is_bad_itself_is_no_duplicate(self, table: Scratch) -> None:
        """COPY names the second row, a duplicate of the first; but the first fails its foreign key."""
        rows = [(5, "bad", 1, 7), (5, "good", 1, 1), (6, "good", 1, 1)]
        async with opened(table, method="copy") as backend:
            assert told(await write(backend, "id name v parent", rows)) == [
                "ForeignKeyViolation", "inserted", "inserted"
            ]  # fmt: skip
        assert await table.value("SELECT name FROM t WHERE id = 5") == "good"

    async def test_more_rows_than_a_transaction_may_have_subtransactions(self, table: Scratch) -> None:
        """With a bad row here and there, 3,000 rows go in several transactions; with a ledger in one."""
        for ledger in (False, True):
            await table.execute("TRUNCATE t")
            rows = [(number, "n", 1000 if number % 17 == 0 else 5) for number in range(3000)]
            async with opened(table, ledger=ledger) as backend:
                answers = await write(backend, "id name v", rows)
            assert [word == "inserted" for word in told(answers)] == [number % 17 != 0 for number in range(3000)]
            assert len(await ids(table)) == sum(word == "inserted" for word in told(answers))

    async def test_a_row_that_no_index_can_hold_is_too_large(self, postgres: Scratch) -> None:
        """Its neighbours are stored."""
        await postgres.execute("CREATE TABLE t (id int, v text, n int); CREATE INDEX ON t (v)")
        big = random.Random(5).randbytes(20_000).hex()  # noqa: S311 - guards no secret
        async with opened(postgres) as backend:
            assert told(await write(backend, "id v", [(1, "a"), (2, big), (3, "c")])) == [
                "inserted", "RowTooLarge", "inserted"
            ]  # fmt: skip

    @pytest.mark.parametrize("method", ["copy", "unnest"])
    async def test_a_value_that_is_nested_too_deeply(self, postgres: Scratch, method: str) -> None:
        """The server's patience ends with this row, and not with its neighbours."""
        await postgres.execute("CREATE TABLE t (id int, v jsonb)")
        deep = "[" * 100_000 + "]" * 100_000
        async with opened(postgres, method=method) as backend:
            answers = await write(backend, "id v", [(1, "1"), (2, deep), (3, "3"), (4, deep)])
        assert told(answers) == ["inserted", "RowTooLarge", "inserted", "RowTooLarge"]
        assert await ids(postgres) == [1, 3]


class TestTriggers:
    """Those that raise, and those that drop a row without a word."""

    @pytest.fixture
    async def table(self, postgres: Scratch) -> Scratch:
        """A table with a trigger that does both."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        await postgres.execute(BEFORE_TRIGGER.format(schema=postgres.schema))
        return postgres

    @pytest.mark.parametrize("method", ["auto", "copy"])
    async def test_a_row_that_is_swallowed_is_rejected(self, table: Scratch, method: str) -> None:
        """COPY counts one row less, and nobody knows which: the loop finds it."""
        async with opened(table, method=method) as backend:
            answers = await write(backend, "id v", [(1, 1), (2, 13), (3, 99), (4, 4)])
        assert told(answers) == ["inserted", "CheckViolation", "CheckViolation", "inserted"]
        assert "swallowed" in str(answers[1])
        assert await ids(table) == [1, 4]

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_among_conflicts(self, table: Scratch, policy: Any) -> None:
        """A swallowed row is neither skipped nor updated."""
        await table.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
        async with opened(table, on_conflict=policy) as backend:
            answers = await write(backend, "id v", [(1, 1), (2, 13), (3, 13), (4, 4)])
        # The trigger comes before the conflict is looked for: (2, 13) is dropped by it, though a row 2 is there.
        there = {"skip": ["skipped", "skipped"], "update": ["updated", "CheckViolation"]}[policy]
        assert told(answers) == [*there, "CheckViolation", "inserted"]

    @pytest.mark.parametrize(("code", "error"), [("40001", "NotWritten"), ("57014", "BackendUnavailable")])
    async def test_a_code_that_is_no_rows_fault_is_believed(self, postgres: Scratch, code: str, error: str) -> None:
        """Nobody can tell a trigger that speaks as the server does from the server: no row is bad, none is stored."""
        await postgres.execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN RAISE 'no' USING ERRCODE = '{code}'; END$$;"
            "CREATE TRIGGER speak BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.v = 1) EXECUTE FUNCTION speak()"
        )
        async with opened(postgres) as backend:
            for careful in (False, True):
                answers = await write(backend, "id v", [(1, 0), (2, 1), (3, 2)], careful=careful)
                assert told(answers) == [error] * 3
        assert await ids(postgres) == []

    @pytest.mark.parametrize("method", ["auto", "copy"])
    async def test_an_assertion_that_fails_is_its_rows_fault(self, postgres: Scratch, method: str) -> None:
        """PL/pgSQL lets it pass by whoever catches all others."""
        await postgres.execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE FUNCTION assure() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN ASSERT NEW.v < 10, 'too much'; RETURN NULL; END$$;"
            "CREATE TRIGGER assure AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION assure()"
        )
        async with opened(postgres, method=method) as backend:
            answers = await write(backend, "id v", [(1, 1), (2, 10), (3, 3), (4, 11)])
        assert told(answers) == ["inserted", "CheckViolation", "inserted", "CheckViolation"]
        assert await ids(postgres) == [1, 3]

    async def test_a_sequence_that_has_come_to_its_end_is_no_rows_fault(self, postgres: Scratch) -> None:
        """Nothing is wrong with any row, and none is stored."""
        await postgres.execute(
            "CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY (MAXVALUE 2) PRIMARY KEY, v int)"
        )
        async with opened(postgres) as backend:
            for careful in (False, True):
                answers = await write(backend, "v", [(1,), (2,), (3,)], careful=careful)
                assert told(answers) == ["BackendUnavailable"] * 3
                assert "sequence" in str(answers[0].error)
        assert await ids(postgres) == []

    async def test_with_something_to_give_back(self, table: Scratch) -> None:
        """Each row that is stored has its own."""
        async with opened(table, returning=("id", "v")) as backend:
            answers = await write(backend, "id v", [(1, 13), (2, 2), (3, 13), (4, 4)])
        assert [answer.returned if isinstance(answer, WriteResult) else None for answer in answers] == [
            None, {"id": 2, "v": 2}, None, {"id": 4, "v": 4}
        ]  # fmt: skip

    async def test_a_trigger_that_changes_the_key(self, postgres: Scratch) -> None:
        """What was written cannot be found by the key that was given: the loop tells each row by itself."""
        await postgres.execute(
            "CREATE TABLE t (id text PRIMARY KEY, v int);"
            "CREATE FUNCTION lower_id() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := lower(NEW.id); "
            "RETURN NEW; END $$;"
            "CREATE TRIGGER l BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION lower_id();"
            "INSERT INTO t VALUES ('a', 0)"
        )
        async with opened(postgres, on_conflict="update", returning=("id", "v")) as backend:
            answers = await write(backend, "id v", [("A", 1), ("B", 2)])
        assert answers == [
            WriteResult(Outcome.UPDATED, {"id": "a", "v": 1}), WriteResult(Outcome.INSERTED, {"id": "b", "v": 2})
        ]  # fmt: skip

    @pytest.mark.parametrize("method", ["auto", "copy"])
    async def test_a_trigger_that_comes_later_is_noticed(self, postgres: Scratch, method: str) -> None:
        """What the server counts is checked before the COMMIT."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        async with opened(postgres, method=method) as backend:
            assert told(await write(backend, "id v", [(1, 1)])) == ["inserted"]
            await postgres.execute(BEFORE_TRIGGER.format(schema=postgres.schema))
            assert told(await write(backend, "id v", [(2, 2), (3, 13)])) == ["inserted", "CheckViolation"]


class TestTargets:
    """Partitions, views, row security, identity columns, odd names."""

    @pytest.mark.parametrize("policy", ["error", "skip", "update"])
    async def test_a_partitioned_table(self, postgres: Scratch, policy: Any) -> None:
        """A row for which there is no partition is bad; before PostgreSQL 18 an upsert there cannot be told apart."""
        await postgres.execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);"
            "CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10);"
            "CREATE TABLE high PARTITION OF t FOR VALUES FROM (10) TO (20); INSERT INTO t VALUES (1, 0)"
        )
        async with opened(postgres, on_conflict=policy) as backend:
            answers = await write(backend, "id v", [(1, 1), (2, 2), (15, 3), (50, 4)])
        is_told = await postgres.value("SELECT current_setting('server_version_num')::int") >= 180000
        new = "inserted" if policy != "update" or is_told else "stored"
        old = {"error": "UniqueViolation", "skip": "skipped", "update": "updated" if is_told else "stored"}[policy]
        assert told(answers) == [old, new, new, "CheckViolation"]

    async def test_a_view_that_takes_no_inserts(self, postgres: Scratch) -> None:
        """Is told when opening; with a trigger that stands in for it, it is a target as others are."""
        await postgres.execute(
            "CREATE TABLE base (id int PRIMARY KEY, v int); "
            "CREATE VIEW t AS SELECT id, sum(v)::int AS v FROM base GROUP BY id"
        )
        with pytest.raises(MisconfigurationError, match="INSTEAD OF"):
            async with opened(postgres):
                pass
        await postgres.execute(
            "CREATE FUNCTION stand_in() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS "
            "$$BEGIN IF NEW.v = 2 THEN RETURN NULL; END IF; INSERT INTO base VALUES (NEW.id, NEW.v); RETURN NEW; END$$;"
            "CREATE TRIGGER stand_in INSTEAD OF INSERT ON t FOR EACH ROW EXECUTE FUNCTION stand_in()"
        )
        async with opened(postgres, returning=("v",)) as backend:
            answers = await write(backend, "id v", [(1, 1), (2, 2), (3, 3), (1, 4)])
        assert told(answers) == ["inserted", "CheckViolation", "inserted", "UniqueViolation"]
        assert await ids(postgres, "base") == [1, 3]

    async def test_a_view(self, postgres: Scratch) -> None:
        """One that PostgreSQL can write through, with a check; and one with a trigger instead."""
        await postgres.execute(
            "CREATE TABLE base (id int PRIMARY KEY, v int);"
            "CREATE VIEW t AS SELECT id, v FROM base WHERE v > 0 WITH CHECK OPTION;"
            "CREATE VIEW other AS SELECT id, v FROM base;"
            "CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.v = 13 THEN RETURN NULL; END IF; INSERT INTO base VALUES (NEW.id, NEW.v); RETURN NEW; END $$;"
            "CREATE TRIGGER i INSTEAD OF INSERT ON other FOR EACH ROW EXECUTE FUNCTION instead()".replace(
                "INSERT INTO base", f"INSERT INTO {postgres.name('base')}"
            )
        )
        async with opened(postgres, "t") as backend:
            assert told(await write(backend, "id v", [(1, 1), (2, -1), (3, 3)])) == [
                "inserted", "CheckViolation", "inserted"
            ]  # fmt: skip
        async with opened(postgres, "other") as backend:
            assert told(await write(backend, "id v", [(4, 1), (5, 13), (1, 3)])) == [
                "inserted", "CheckViolation", "UniqueViolation"
            ]  # fmt: skip
        with pytest.raises(MisconfigurationError):
            async with opened(postgres, "t", method="copy"):
                pass

    @pytest.mark.parametrize("policy", ["error", "skip", "update"])
    async def test_row_security(self, postgres: Scratch, policy: Any) -> None:
        """COPY does not know it; a row that a policy refuses is bad, and not the whole table."""
        await postgres.execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int); ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
            "ALTER TABLE t FORCE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (v >= 0) WITH CHECK (v < 100)"
        )
        async with opened(postgres, on_conflict=policy) as backend:
            assert told(await write(backend, "id v", [(1, 1), (2, 100), (3, 3)])) == [
                "inserted", "CheckViolation", "inserted"
            ]  # fmt: skip
            assert told(await write(backend, "id", [(1,)], "delete")) == ["deleted"]
        assert await ids(postgres) == [3]

    async def test_row_security_that_comes_later(self, postgres: Scratch) -> None:
        """COPY is refused, and the table looked up again."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        async with opened(postgres) as backend:
            assert told(await write(backend, "id v", [(-number, 1) for number in range(30)])) == ["inserted"] * 30
            await postgres.execute(
                "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;"
                "CREATE POLICY p ON t USING (true) WITH CHECK (v < 100)"
            )
            assert told(await write(backend, "id v", [(1, 1), (2, 100)])) == ["inserted", "CheckViolation"]
            rows = [(number, 1) for number in range(10, 40)]
            assert told(await write(backend, "id v", rows)) == ["inserted"] * 30
            assert backend.paths == {"copy": 1, "careful": 1, "unnest": 1}

    async def test_row_security_that_comes_in_the_midst_of_copies(self, postgres: Scratch) -> None:
        """PostgreSQL refuses COPY then, and the rows go another way."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        async with opened(postgres) as backend:
            await postgres.execute(
                "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;"
                "CREATE POLICY p ON t USING (true) WITH CHECK (v < 100)"
            )
            assert told(await write(backend, "id v", [(number, 1) for number in range(30)])) == ["inserted"] * 30
            assert backend.paths == {"unnest": 1}

    @pytest.mark.parametrize("method", ["auto", "unnest", "executemany"])
    async def test_an_identity_that_is_always_generated_takes_what_it_is_given(
        self, postgres: Scratch, method: str
    ) -> None:
        """As COPY does, on every way."""
        await postgres.execute("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int)")
        async with opened(postgres, method=method) as backend:
            assert told(await write(backend, "id v", [(7, 1), (8, 2)])) == ["inserted"] * 2
            assert told(await write(backend, "v", [(1,)])) == ["inserted"]
            assert told(await write(backend, "id v", [(9, 3)], careful=True)) == ["inserted"]
        assert await ids(postgres) == [1, 7, 8, 9]

    async def test_names_that_need_quotes(self, postgres: Scratch) -> None:
        """Of table and columns; with a quote, a dollar and a space in them."""
        await postgres.execute(
            'CREATE TABLE "we ird.""t$bulkwriter$" ("a b" int PRIMARY KEY, "c""d" text, "E\'f" int DEFAULT 5)'
        )
        backend = PostgresBackend(
            postgres.url, f'{postgres.schema}."we ird.""t$bulkwriter$"', on_conflict="update", returning=("E'f", 'c"d')
        )
        try:
            await backend.open()
            answers = await backend.process_batch([{"a b": 1, 'c"d': "x"}, {"a b": 2, 'c"d': "y"}])
            assert [answer.returned for answer in answers if isinstance(answer, WriteResult)] == [
                {"E'f": 5, 'c"d': "x"}, {"E'f": 5, 'c"d': "y"}
            ]  # fmt: skip
            bad = await backend.process_batch([{"a b": None, 'c"d': "x"}, {"a b": 3, 'c"d': "y"}])
            assert [isinstance(answer, WriteResult) for answer in bad] == [False, True]
        finally:
            await backend.close()

    async def test_a_table_with_rules_is_refused(self, postgres: Scratch) -> None:
        """COPY would pass them by, and an INSERT become anything."""
        await postgres.execute(
            "CREATE TABLE t (id int); CREATE TABLE u (id int);"
            "CREATE RULE r AS ON INSERT TO t DO INSTEAD INSERT INTO u VALUES (NEW.id)"
        )
        with pytest.raises(MisconfigurationError, match="rules"):
            async with opened(postgres):
                pass


class TestConflicts:
    """A verdict for each row, whoever else writes."""

    async def test_keys_that_the_database_takes_for_one(self, postgres: Scratch) -> None:
        """In one batch: by its own equality, one after the other."""
        try:
            await postgres.execute("CREATE EXTENSION IF NOT EXISTS citext SCHEMA public", role="superuser")
        except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError):
            built_without(postgres.origin, "citext")
        await postgres.execute("CREATE TABLE t (id public.citext PRIMARY KEY, v int)")
        async with opened(postgres, on_conflict="update") as backend:
            assert told(await write(backend, "id v", [("a", 1), ("A", 2), ("b", 3)])) == [
                "inserted", "updated", "inserted"
            ]  # fmt: skip
        assert await postgres.value("SELECT v FROM t WHERE id = 'a'") == 2

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_keys_that_are_rounded_to_one(self, postgres: Scratch, policy: Any) -> None:
        """numeric(4,1) makes one of 1.04 and 1.0."""
        await postgres.execute("CREATE TABLE t (id numeric(4,1) PRIMARY KEY, v int)")
        async with opened(postgres, on_conflict=policy, returning=("id", "v")) as backend:
            answers = await write(backend, "id v", [(1.04, 1), (1.0, 2), (1.06, 3)])
        assert told(answers) == ["inserted", {"skip": "skipped", "update": "updated"}[policy], "inserted"]
        assert [None if answer.returned is None else answer.returned["v"] for answer in answers] == [
            1, {"skip": None, "update": 2}[policy], 3
        ]  # fmt: skip

    async def test_a_key_that_may_be_null(self, postgres: Scratch) -> None:
        """NULL meets nobody: such rows are always new."""
        await postgres.execute("CREATE TABLE t (id serial PRIMARY KEY, code text UNIQUE, v int)")
        options: dict[str, Any] = {"on_conflict": "update", "conflict_columns": ("code",), "returning": ("v",)}
        async with opened(postgres, **options) as backend:
            rows = [("a", 1), (None, 2), (None, 3), ("b", 4)]
            answers = await write(backend, "code v", rows)
            assert [(answer.outcome, answer.returned["v"]) for answer in answers] == [
                (Outcome.INSERTED, v) for v in (1, 2, 3, 4)
            ]
            answers = await write(backend, "code v", rows)
            assert told(answers) == ["updated", "inserted", "inserted", "updated"]

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_a_key_that_the_database_generates(self, postgres: Scratch, policy: Any) -> None:
        """Rows without their key are new, and learn it."""
        await postgres.execute("CREATE TABLE t (id serial PRIMARY KEY, v int)")
        async with opened(postgres, on_conflict=policy, returning=("id", "v")) as backend:
            answers = await write(backend, "v", [(10 * number,) for number in range(1, 151)])
        assert [answer.returned for answer in answers] == [{"id": number, "v": 10 * number} for number in range(1, 151)]

    async def test_expressions_and_a_condition(self, postgres: Scratch) -> None:
        """Each row hears whether it was added, updated or declined."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, n int, seen int DEFAULT 1)")
        options: dict[str, Any] = {
            "on_conflict": "update",
            "update_columns": {"n": "t.n + excluded.n", "seen": "t.seen + 1 -- once more"},
            "update_where": "excluded.n > 0 -- only then",
            "returning": ("n", "seen"),
        }
        async with opened(postgres, **options) as backend:
            await write(backend, "id n", [(1, 1), (2, 2)])
            answers = await write(backend, "id n", [(3, 3), (2, -5), (1, 4)])
        assert answers == [
            WriteResult(Outcome.INSERTED, {"n": 3, "seen": 1}),
            WriteResult(Outcome.UNCHANGED),
            WriteResult(Outcome.UPDATED, {"n": 5, "seen": 2}),
        ]

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_four_writers_at_the_same_keys(self, postgres: Scratch, policy: Any) -> None:
        """Each key is inserted once, whoever was first; nobody is left in a deadlock."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        writers = [
            BulkWriter[Any](PostgresBackend(postgres.url, postgres.name("t"), on_conflict=policy), max_batch_size=50)
            for _ in range(4)
        ]

        async def run(number: int, writer: BulkWriter[Any]) -> list[Any]:
            async with writer:
                rows = [{"id": key, "v": number} for key in range(300)]
                report = await writer.insert_many(rows[::-1] if number % 2 else rows)
                return list(report.results)

        results = await asyncio.gather(*(run(number, writer) for number, writer in enumerate(writers)))
        for key in range(300):
            answers = [told([result[299 - key if number % 2 else key]])[0] for number, result in enumerate(results)]
            assert sorted(answers) == sorted(["inserted"] + [{"skip": "skipped", "update": "updated"}[policy]] * 3)

    async def test_writers_at_the_same_keys_lock_them_in_one_order(self, postgres: Scratch) -> None:
        """However their callers came: a deadlock would cost a second, and a retry, which there is none of."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        keys = range(1000)

        async def run(number: int) -> int:
            backend = PostgresBackend(postgres.url, postgres.name("t"), on_conflict="update")
            async with BulkWriter[Any](backend, concurrency=1) as writer:
                for turn in range(10):
                    rows = [{"id": key, "v": turn} for key in (reversed(keys) if number % 2 else keys)]
                    await writer.insert_many(rows)
                return writer.statistics().retries

        assert await asyncio.gather(*map(run, range(4))) == [0] * 4


class TestStaleTables:
    """A table that others change while it is written to."""

    @pytest.mark.parametrize("method", ["auto", "copy", "executemany"])
    async def test_a_column_that_becomes_another_type(self, postgres: Scratch, method: str) -> None:
        """Asyncpg by itself would store 2 as 1e-323."""
        await postgres.execute("CREATE TABLE t (id bigint PRIMARY KEY, v bigint)")
        async with opened(postgres, method=method) as backend:
            assert told(await write(backend, "id v", [(1, 1)])) == ["inserted"]
            await postgres.execute("ALTER TABLE t ALTER v TYPE float8")
            assert told(await write(backend, "id v", [(2, 2)])) == ["inserted"]
            assert await postgres.value("SELECT v FROM t WHERE id = 2") == 2.0
            await postgres.execute(
                "ALTER TABLE t RENAME v TO w; ALTER TABLE t RENAME id TO v; ALTER TABLE t RENAME w TO id"
            )
            assert told(await write(backend, "id v", [(7.5, 8)])) == ["inserted"]
        assert await postgres.value("SELECT id FROM t WHERE v = 8") == 7.5

    async def test_a_column_that_is_gone(self, postgres: Scratch) -> None:
        """Not the row's fault, and no use in trying again."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        async with opened(postgres) as backend:
            await postgres.execute("ALTER TABLE t DROP v")
            assert told(await write(backend, "id v", [(1, 1)])) == ["Misconfiguration"]
            await postgres.execute("DROP TABLE t")
            assert told(await write(backend, "id", [(1,)])) == ["Misconfiguration"]
            await postgres.execute("CREATE TABLE t (v text, id int PRIMARY KEY)")
            assert told(await write(backend, "id", [(number,) for number in range(30)])) == ["inserted"] * 30
            assert told(await write(backend, "id v", [(30, "x")])) == ["inserted"]

    async def test_a_table_of_other_types_in_the_place_of_the_old_one(self, postgres: Scratch) -> None:
        """What COPY says then is about the whole message, and of no row: the table is looked up again."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        async with opened(postgres) as backend:
            await postgres.execute("ALTER TABLE t RENAME TO old; CREATE TABLE t (v int, id bigint PRIMARY KEY)")
            answers = await write(backend, "id v", [(number, number) for number in range(30)])
        assert told(answers) == ["inserted"] * 30
        assert await ids(postgres) == list(range(30))
        assert await ids(postgres, "old") == []

    async def test_a_ledger_that_several_workers_make_at_once(self, postgres: Scratch) -> None:
        """As where all of them start for the first time."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY)")
        for _ in range(10):
            await postgres.execute("DROP TABLE IF EXISTS bulkwriter_ledger")
            async with contextlib.AsyncExitStack() as stack:
                await asyncio.gather(*(stack.enter_async_context(opened(postgres, ledger=True)) for _ in range(4)))

    async def test_a_table_of_types_as_wide_in_the_place_of_the_old_one(self, postgres: Scratch) -> None:
        """COPY says nothing then: it would take the bytes of a number for those of another."""
        await postgres.execute("CREATE TABLE t (id bigint PRIMARY KEY, v bigint)")
        async with opened(postgres) as backend:
            assert told(await write(backend, "id v", [(number, 1) for number in range(30)])) == ["inserted"] * 30
            await postgres.execute("ALTER TABLE t RENAME TO old; CREATE TABLE t (id bigint PRIMARY KEY, v float8)")
            assert told(await write(backend, "id v", [(number, 2) for number in range(30)])) == ["inserted"] * 30
        assert await postgres.value("SELECT min(v) = 2 AND max(v) = 2 FROM t") is True
        assert await postgres.value("SELECT min(v) = 1 AND max(v) = 1 FROM old") is True

    @pytest.mark.parametrize(
        ("change", "back"),
        [
            ("ALTER TABLE t RENAME v TO w", "ALTER TABLE t RENAME w TO v"),
            ("ALTER TABLE t DROP CONSTRAINT t_pkey", "ALTER TABLE t ADD PRIMARY KEY (id)"),
            ("ALTER TABLE t RENAME TO old", "ALTER TABLE old RENAME TO t"),
        ],
    )
    @pytest.mark.parametrize("policy", ["error", "update"])
    async def test_what_was_changed_and_changed_back(
        self, postgres: Scratch, policy: Any, change: str, back: str
    ) -> None:
        """No row is written to what does not fit; and it goes on as soon as it fits again."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        is_fit = "CONSTRAINT" in change and policy == "error"
        async with opened(postgres, on_conflict=policy) as backend:
            plan = backend.plan("insert", ("id", "v"))
            await postgres.execute(change)
            for number in (1, 2):
                answers = verdicts(await backend.attempt(Attempt(plan, [(number, 1), (number + 2, 1)])))
                assert told(answers) == ["inserted" if is_fit else "Misconfiguration"] * 2
            await postgres.execute(back)
            assert told(verdicts(await backend.attempt(Attempt(plan, [(5, 1), (6, 1)])))) == ["inserted"] * 2
        assert await ids(postgres) == [*([1, 2, 3, 4] if is_fit else []), 5, 6]

    @pytest.mark.parametrize("policy", ["skip", "update"])
    async def test_among_conflicts(self, postgres: Scratch, policy: Any) -> None:
        """Statements that are prepared are prepared again."""
        await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        async with opened(postgres, on_conflict=policy, returning=("id", "v")) as backend:
            plan_rows = [{"id": 1, "v": 1}]
            assert told(await backend.process_batch(plan_rows)) == ["inserted"]
            await postgres.execute("ALTER TABLE t ALTER v TYPE text")
            answers = await backend.process_batch([{"id": 2, "v": "x"}, {"id": 3, "v": "y"}])
            assert [isinstance(answer, WriteResult) and answer.returned for answer in answers] == [
                {"id": 2, "v": "x"}, {"id": 3, "v": "y"}
            ]  # fmt: skip


async def test_without_what_is_private_to_asyncpg(postgres: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of it that we do not know: its public COPY takes a round trip more, and tells the same."""
    monkeypatch.setattr(driver, "can_begin_with_copy", lambda _: False)
    await postgres.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    async with opened(postgres, method="copy") as backend:
        rows = [(number // 2 if number == 51 else number, f"v{number}") for number in range(100)]
        assert told(await write(backend, "id v", rows)) == [
            "UniqueViolation" if number == 51 else "inserted" for number in range(100)
        ]
        assert backend.paths == {"copy": 1}

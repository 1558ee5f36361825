"""The ledger's own promises: what it remembers is what was said, and what is settled cannot happen any more."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import decimal
import ipaddress
import json
import sqlite3
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkwriter import errors
from bulkwriter.contract import Doubtful, NotApplied, Suspect, Uniform
from bulkwriter.errors import (
    BackendUnavailableError,
    InvalidValueError,
    MisconfigurationError,
    RowRejectedError,
)
from bulkwriter.ledger import (
    Entry,
    PruneCounter,
    Statements,
    Work,
    check_identity,
    ddl,
    decode_answers,
    digest_of,
    encode_answers,
    statements,
)
from bulkwriter.results import DELETED, INSERTED, SKIPPED, STORED, SUPERSEDED, UNCHANGED, UPDATED, Outcome, WriteResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkwriter.contract import Reply, Verdict
    from bulkwriter.ledger import Dialect, ParameterStyle

SHARED = [INSERTED, UPDATED, STORED, SKIPPED, UNCHANGED, SUPERSEDED, DELETED]
REJECTIONS = [
    getattr(errors, name)
    for name in dir(errors)
    if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), RowRejectedError)
]


def _unfolded(value: Any) -> Any:
    return value.replace(fold=0)  # no database knows of it


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-3))])).map(_unfolded),
    st.datetimes().map(_unfolded),
    st.times().map(_unfolded),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.ip_addresses(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner, max_size=3),
    ),
)
TEXTS = st.one_of(st.none(), st.text())


@st.composite
def _verdicts(draw: st.DrawFn) -> Verdict:
    kind = draw(st.sampled_from(["shared", "returned", "rejected", "not applied"]))
    if kind == "shared":
        return draw(st.sampled_from(SHARED))
    if kind == "returned":
        returned = draw(st.dictionaries(st.text(), VALUES, min_size=1, max_size=3))
        return WriteResult(draw(st.sampled_from(Outcome)), returned)
    if kind == "rejected":
        error: RowRejectedError = draw(st.sampled_from(REJECTIONS))(
            draw(st.text()), sqlstate=draw(TEXTS), constraint_name=draw(TEXTS), column_name=draw(TEXTS),
            detail=draw(TEXTS), backend=draw(TEXTS), table=draw(TEXTS),
        )  # fmt: skip
        return error
    return NotApplied(BackendUnavailableError(draw(st.text())), wait=draw(st.floats(0, 10)), retry=draw(st.booleans()))


def _plain(verdict: Verdict) -> Any:
    """Return what there is to a verdict, so that errors can be compared."""
    if isinstance(verdict, NotApplied):
        return (type(verdict.error), str(verdict.error), verdict.wait, verdict.retry)
    return verdict if isinstance(verdict, WriteResult) else (type(verdict), str(verdict), vars(verdict))


@given(verdicts=st.lists(_verdicts(), min_size=1, max_size=20))
def test_what_is_read_is_what_was_written(verdicts: list[Verdict]) -> None:
    """Every verdict, with every attribute, and returned values of every type: equal, and of the same type."""
    text = encode_answers(verdicts)
    assert text.isascii()
    back = decode_answers(text, len(verdicts))
    assert isinstance(back, list)
    assert list(map(_plain, back)) == list(map(_plain, verdicts))
    for one, other in zip(back, verdicts, strict=True):
        assert repr(getattr(one, "returned", None)) == repr(getattr(other, "returned", None))


@pytest.mark.parametrize("result", SHARED)
def test_a_batch_of_one_answer_is_remembered_in_a_few_bytes(result: WriteResult) -> None:
    """And comes back as the one shared object."""
    text = encode_answers(Uniform(result, 10_000))
    assert len(text) < 40
    back = decode_answers(text, 10_000)
    assert isinstance(back, Uniform)
    assert back.verdict is result
    mixed = encode_answers([INSERTED, result] * 5_000)
    assert len(mixed) < 10_100
    assert decode_answers(mixed, 10_000) == [INSERTED, result] * 5_000


@pytest.mark.parametrize("verdict", [Suspect(InvalidValueError("x")), Doubtful()])
def test_what_is_not_final_is_not_remembered(verdict: Verdict) -> None:
    """Nobody was told it."""
    with pytest.raises(ValueError, match="no final verdict"):
        encode_answers([verdict])


def test_a_value_that_cannot_be_kept_exactly_is_refused() -> None:
    """Rather than kept as something else."""
    with pytest.raises(MisconfigurationError, match="object"):
        encode_answers([WriteResult(Outcome.INSERTED, {"a": object()})])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"all":"?","rows":3}', '{"each":"iir"}', '{"each":"iix","errors":{"2":{"class":"Any"}}}',
             '{"each":"iir","errors":{"2":{"class":"NotWrittenError","message":""}}}', '{"all":"i","rows":4}',
             '{"each":"ii"}', '{"each":"iii","returned":{"0":{"$":"pickle","v":""}}}']
)  # fmt: skip
def test_answers_that_cannot_be_read_are_no_answers(text: str) -> None:
    """A clear error, and never a guess."""
    with pytest.raises(MisconfigurationError):
        decode_answers(text, 3)


def test_an_identity_must_fit() -> None:
    """The table's column is as long as it is."""
    check_identity("x" * 255)
    for wrong in ("", "x" * 256):
        with pytest.raises(MisconfigurationError, match="1 to 255"):
            check_identity(wrong)


def test_another_piece_of_work_under_the_same_identity_is_an_error() -> None:
    """Other rows, another table, other columns, another policy or operation; but not another order of columns."""
    mine = Work(digest_of("t", "insert", ("a", "b"), "skip"), 3)
    answers = encode_answers(Uniform(INSERTED, 3))
    assert mine.digest == digest_of("t", "insert", ("b", "a"), "skip")
    entry = Entry("token", mine.digest, 3, answers)
    assert entry.reply("me", mine) == Uniform(INSERTED, 3)
    others = [
        dataclasses.replace(mine, row_count=4),
        *(
            Work(digest_of(*what), 3)
            for what in (
                ("u", "insert", ("a", "b"), "skip"),
                ("t", "delete", ("a", "b"), "skip"),
                ("t", "insert", ("a", "c"), "skip"),
                ("t", "insert", ("a", "b"), "update"),
            )
        ),
    ]
    for other in others:
        with pytest.raises(MisconfigurationError, match="'me' for another piece of work, of 3 rows"):
            entry.reply("me", other)


def test_pruning_is_due_with_the_first_batch_and_then_now_and_then() -> None:
    """A process that lives shortly prunes too."""
    counter = PruneCounter()
    due = [number for number in range(1000) if counter.is_due()]
    assert due[0] == 0
    assert 2 < len(due) < 20


# -- the statements, in the dialect that is at hand everywhere


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """Return a database with a ledger."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(ddl("sqlite") * 2)
        yield connection


@pytest.fixture
def sql() -> Statements:
    """Return the statements."""
    return statements("sqlite")


def _entry(database: sqlite3.Connection, sql: Statements, identity: str = "me") -> Entry | None:
    row = database.execute(sql.look_up, (identity,)).fetchone()
    return None if row is None else Entry(*row)


def test_an_identity_can_be_recorded_once(database: sqlite3.Connection, sql: Statements) -> None:
    """The second time collides, whoever it is."""
    assert _entry(database, sql) is None
    database.execute(sql.record, ("me", "token", "work", 3, "answers"))
    assert _entry(database, sql) == Entry("token", "work", 3, "answers")
    assert _entry(database, sql, "ME") is None
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(sql.record, ("me", "other", "work", 3, "answers"))
    assert database.execute(sql.amend, ("better", "me", "token")).rowcount == 1
    assert database.execute(sql.amend, ("worse", "me", "other")).rowcount == 0
    assert _entry(database, sql) == Entry("token", "work", 3, "better")


def test_a_try_that_was_settled_cannot_commit_any_more(database: sqlite3.Connection, sql: Statements) -> None:
    """Its own row collides with the tombstone, which is no answer, however often it is looked up or written."""
    for number in range(2):
        database.execute(sql.bar, ("me", f"tombstone {number}", "work", 3))
        entry = _entry(database, sql)
        assert entry is not None
        assert entry.is_tombstone
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(sql.record, ("me", "late", "work", 3, "answers"))


def test_a_new_try_takes_the_place_of_a_tombstone(database: sqlite3.Connection, sql: Statements) -> None:
    """Once; and settling finds its answers, and leaves them as they are."""
    database.execute(sql.bar, ("me", "tombstone", "work", 3))
    assert database.execute(sql.replace, ("new", "work", 3, "answers", "me", "tombstone")).rowcount == 1
    assert database.execute(sql.replace, ("newer", "work", 3, "other", "me", "tombstone")).rowcount == 0
    assert database.execute(sql.replace, ("newer", "work", 3, "other", "me", "new")).rowcount == 0
    database.execute(sql.bar, ("me", "another", "work", 3))
    assert _entry(database, sql) == Entry("new", "work", 3, "answers")


def test_a_try_that_was_to_take_a_tombstones_place_can_be_settled_too(
    database: sqlite3.Connection, sql: Statements
) -> None:
    """Settling changes the tombstone's token, also back and forth: the place that the late try has seen is gone."""
    for tokens in (("a", "b"), ("a", "b", "c"), ("a", "b", "b2")):
        for token in tokens:
            database.execute(sql.bar, ("me", token, "work", 3))
        assert database.execute(sql.replace, ("late", "work", 3, "answers", "me", tokens[0])).rowcount == 0


def test_old_rows_are_pruned_a_few_at_a_time(database: sqlite3.Connection, sql: Statements) -> None:
    """The oldest first, and no young one."""
    for number in range(10):
        database.execute(sql.record, (f"work {number}", "token", "work", 1, "answers"))
    database.execute("UPDATE bulkwriter_ledger SET written_at = written_at - 100 WHERE identity < 'work 6'")
    assert database.execute(sql.prune, (200, 10)).rowcount == 0
    assert database.execute(sql.prune, (50, 4)).rowcount == 4
    assert database.execute(sql.prune, (50, 4)).rowcount == 2
    assert database.execute(sql.prune, (50, 4)).rowcount == 0
    plan = database.execute(f"EXPLAIN QUERY PLAN {sql.prune}", (50, 4)).fetchall()
    assert any("written_at" in row[-1] for row in plan)


def test_the_ledger_may_have_any_name() -> None:
    """Quoted as the dialect does."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("ATTACH ':memory:' AS \"odd.schema\"")
        database.executescript(ddl("sqlite", 'my "own" ledger', schema="odd.schema"))
        sql = statements("sqlite", 'my "own" ledger', schema="odd.schema")
        database.execute(sql.record, ("me", "token", "work", 3, "answers"))
        database.execute(sql.bar, ("me", "token", "work", 3))
        assert _entry(database, sql) == Entry("token", "work", 3, "answers")
        assert database.execute(sql.prune, (-10, 4)).rowcount == 1
    assert '"s"."l"' in ddl("postgresql", "l", schema="s")
    assert "`s`.`l`" in ddl("mysql", "l", schema="s")


@pytest.mark.parametrize(
    ("dialect", "style", "record"),
    [
        ("sqlite", "qmark", "?, ?, ?, ?, ?"),
        ("postgresql", "numeric_dollar", "$1, $2, $3, $4, $5"),
        ("mysql", "format", "%s, %s, %s, %s, %s"),
    ],
)
def test_parameters_are_marked_as_the_driver_wants_them(dialect: Dialect, style: ParameterStyle, record: str) -> None:
    """In every statement, as many as are documented."""
    sql = statements(dialect, style=style)
    assert record in sql.record
    mark = record.split(", ", maxsplit=1)[0][0]
    counts = {"look_up": 1, "record": 5, "amend": 3, "replace": 6, "bar": 4, "prune": 2}
    for name, count in counts.items():
        assert getattr(sql, name).count(mark) == count, name


def test_returned_values_are_told_apart_by_type() -> None:
    """What looks alike in JSON comes back as what it was."""
    returned: dict[str, Any] = {
        "bytes": b"YQ==", "text": "YQ==", "date": dt.date(2024, 1, 1), "like a date": "2024-01-01",
        "decimal": decimal.Decimal("1.10"), "float": 1.1, "int": 1, "bool": True, "uuid": uuid.UUID(int=1),
        "address": ipaddress.ip_network("10.0.0.0/8"), "like a tag": {"$": "bytes", "v": "YQ=="},
        "infinity": float("inf"),
    }  # fmt: skip
    text = encode_answers(Uniform(WriteResult(Outcome.UPDATED, returned), 1))
    assert json.loads(text)["each"] == "u"
    reply: Reply = decode_answers(text, 1)
    assert isinstance(reply, list)
    assert reply == [WriteResult(Outcome.UPDATED, returned)]
    assert isinstance(reply[0], WriteResult)
    assert reply[0].returned is not None
    assert {name: type(value) for name, value in reply[0].returned.items()} == {
        name: type(value) for name, value in returned.items()
    }

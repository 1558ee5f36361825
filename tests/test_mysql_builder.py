"""Rows become SQL a column at a time, strictly, and in commands that the server takes."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkwriter import InvalidValueError, RowTooLargeError
from bulkwriter.backends.mysql.builder import Builder, Unfit
from bulkwriter.backends.mysql.kinds import UnfitError, kind_for
from bulkwriter.backends.mysql.sql import escaped, literal, quoted
from tests.mysql_parts import column, statements, table

BERLIN = dt.timezone(dt.timedelta(hours=2))
NOON = dt.datetime(2024, 5, 1, 12, 0, 0, 5)  # noqa: DTZ001 - as many have them
SOME_ID = uuid.UUID(int=7)


class Colour(enum.Enum):
    """As callers have them."""

    RED = "red"


class Odd:
    """Nothing that any column knows."""


def sql_of(data_type: str, value: Any, *, has_backslashes: bool = True) -> str:
    """Return a value as it is written into a column, in company and alone, which must be the same."""
    kind = kind_for(data_type, is_json=False)
    alone = kind.literal(value, has_backslashes=has_backslashes)
    for company in ([value], [value, None]):
        piece, values = kind.encode(company, has_backslashes=has_backslashes)
        texts = [piece % (found,) for found in values]
        assert texts[0].removesuffix(".000000'").rstrip("'") == alone.removesuffix(".000000'").rstrip("'")
        assert texts[1:] in ([], ["NULL"])
    return alone


class TestKinds:
    """Which Python values a column takes, and how they are written."""

    @pytest.mark.parametrize(
        ("data_type", "value", "expected"),
        [
            ("bigint", -5, "-5"),
            ("tinyint", True, "1"),
            ("year", 1999, "1999"),
            ("double", 0.1, "0.1"),
            ("double", 1e300, "1e+300"),
            ("float", 3, "3.0"),
            ("decimal", decimal.Decimal("1.50"), "1.50"),
            ("decimal", decimal.Decimal("1E+3"), "1000"),
            ("decimal", 0.1, "0.1"),
            ("decimal", 7, "7"),
            ("varchar", "it's", "'it''s'"),
            ("varchar", "a\\", "'a\\\\'"),
            ("varchar", Colour.RED, "'red'"),
            ("char", SOME_ID, f"'{SOME_ID}'"),
            ("blob", b"\x00'\xff", "X'0027ff'"),
            ("blob", memoryview(b"a"), "X'61'"),
            ("binary", SOME_ID, f"X'{SOME_ID.hex}'"),
            ("json", {"a": ["é", None, 1.5]}, '\'{"a":["é",null,1.5]}\''),
            ("json", '{"a": 1}', "'{\"a\": 1}'"),
            ("date", dt.date(2024, 5, 1), "'2024-05-01'"),
            ("datetime", NOON, "'2024-05-01T12:00:00.000005'"),
            ("datetime", NOON.replace(tzinfo=BERLIN), "'2024-05-01T10:00:00.000005'"),
            ("timestamp", NOON.replace(tzinfo=dt.UTC), "'2024-05-01T12:00:00.000005'"),
            ("time", dt.time(1, 2, 3), "'01:02:03.000000'"),
            ("time", dt.timedelta(days=-1, seconds=3), "'-23:59:57.000000'"),
            ("time", dt.timedelta(hours=800, microseconds=1), "'800:00:00.000001'"),
            ("bit", 5, "5"),
            ("bit", b"\x05", "X'05'"),
            ("geometry", b"\x01", "X'01'"),
            ("vector", "[1,2]", "'[1,2]'"),
        ],
    )
    def test_values_are_written_as_mysql_reads_them(self, data_type: str, value: Any, expected: str) -> None:
        """Each in its column's own form."""
        assert sql_of(data_type, value) == expected

    @pytest.mark.parametrize(
        ("data_type", "value"),
        [
            ("int", 1.0),
            ("int", "1"),
            ("int", decimal.Decimal(1)),
            ("int", Odd()),
            ("year", 99),
            ("double", float("nan")),
            ("double", float("inf")),
            ("double", 10**400),
            ("double", "1"),
            ("decimal", decimal.Decimal("NaN")),
            ("decimal", decimal.Decimal("-Infinity")),
            ("decimal", decimal.Decimal("1e999999")),
            ("decimal", float("inf")),
            ("decimal", "1"),
            ("varchar", 1),
            ("varchar", b"x"),
            ("varchar", {"a": 1}),
            ("varchar", "\ud800"),
            ("enum", 1),
            ("blob", "x"),
            ("json", float("nan")),
            ("json", Odd()),
            ("json", {"a": Odd()}),
            ("date", NOON),
            ("date", "2024-05-01"),
            ("datetime", dt.date(2024, 5, 1)),
            ("datetime", dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=1)))),
            ("time", dt.time(1, tzinfo=dt.UTC)),
            ("bit", "1"),
            ("geometry", Odd()),
        ],
    )
    def test_what_its_column_would_change_is_unfit(self, data_type: str, value: Any) -> None:
        """Also in company, and the message does not show it."""
        kind = kind_for(data_type, is_json=False)
        with pytest.raises(UnfitError) as raised:
            kind.literal(value, has_backslashes=True)
        assert repr(value) not in str(raised.value).replace("nor infinity", "")
        if value != "\ud800":  # which is found when all is encoded
            with pytest.raises(UnfitError):
                kind.encode([value, value], has_backslashes=True)

    @pytest.mark.parametrize(
        ("data_type", "values"),
        [
            ("int", [2, True, -3, False]),
            ("int", [2, None, True]),
            ("double", [0.1, -0.0, 1e-7]),
            ("double", [1e308, 1e308, None]),
            ("decimal", [decimal.Decimal("1.50"), decimal.Decimal("-0.1")]),
            ("decimal", [decimal.Decimal("1.50"), decimal.Decimal("1E+3")]),
            ("date", [dt.date(2024, 5, 1), dt.date(2024, 5, 1), dt.date(2024, 5, 2), dt.date(2024, 5, 1)]),
            ("date", [dt.date(2024, 5, 1), dt.date(2024, 5, 2), None]),
        ],
    )
    def test_a_column_is_written_as_its_values_are_one_by_one(self, data_type: str, values: list[Any]) -> None:
        """However many of them are alike, and where there is nothing."""
        kind = kind_for(data_type, is_json=False)
        piece, found = kind.encode(values, has_backslashes=True)
        assert [piece % (each,) for each in found] == [kind.literal(each, has_backslashes=True) for each in values]

    @pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
    def test_no_number_hides_another_that_is_none(self, wrong: float) -> None:
        """Not even infinity of the other sign."""
        with pytest.raises(UnfitError):
            kind_for("double", is_json=False).encode([1.0, wrong, -float("inf"), 2.0], has_backslashes=True)

    def test_json_in_mariadb_is_known_by_its_check(self) -> None:
        """There it is text."""
        assert kind_for("longtext", is_json=True).literal([1], has_backslashes=True) == "'[1]'"


class TestLiterals:
    """No value ends its literal, whatever the SQL mode."""

    @given(st.text(st.sampled_from("\\'ab\0%;- ")), st.booleans())
    def test_a_text_is_read_back_as_it_was(self, text: str, has_backslashes: bool) -> None:  # noqa: FBT001
        """By the rules of a server: two quotes are one, and a backslash escapes, or means nothing."""
        written = literal(text, has_backslashes=has_backslashes)
        inner = written[1:-1]
        pattern = r"''|\\\\|[^'\\]" if has_backslashes else r"''|[^']"
        assert re.fullmatch(f"(?:{pattern})*", inner)
        read = [part[-1] for part in re.findall(pattern, inner)]
        assert "".join(read) == text

    def test_without_backslashes_they_are_left_alone(self) -> None:
        """Where a backslash means nothing, a quote after it would end the literal."""
        assert escaped("\\'", has_backslashes=False) == "\\''"
        assert escaped("\\'", has_backslashes=True) == "\\\\''"

    def test_names_are_quoted_whatever_they_hold(self) -> None:
        """Backticks are doubled."""
        assert quoted("a`b") == "`a``b`"


class TestBuilder:
    """Statements of many rows."""

    def builder(self, *columns: Any, most_bytes: int = 2**20) -> Builder:
        """Return what builds rows of some columns."""
        target = table(*columns)
        shape = statements(target, *target.columns)
        return Builder(shape, most_bytes, has_backslashes=True, table="t")

    async def built(self, builder: Builder, rows: list[tuple[Any, ...]], unfit: Unfit) -> list[tuple[str, list[int]]]:
        """Return the statements for rows, and which rows each has."""
        pieces = builder.pieces(rows, range(len(rows)), unfit)
        return [(piece.sql.decode(), list(piece.places)) async for piece in pieces]

    async def test_rows_stand_behind_one_another(self) -> None:
        """In one statement, NULL and percent signs included."""
        builder = self.builder(column("id"), column("50% `off`", "varchar"))
        found = await self.built(builder, [(1, "%s"), (2, None)], {})
        assert found == [("INSERT INTO `s`.`t` (`id`, `50% ``off```) VALUES (1, '%s'), (2, NULL)", [0, 1])]

    async def test_an_unfit_value_leaves_its_row_out(self) -> None:
        """Its neighbours never notice, and its caller hears which column it was."""
        builder = self.builder(column("id"), column("name", "varchar"))
        unfit: Unfit = {}
        found = await self.built(builder, [(1, "a"), (2.5, "b"), (3, "\udc80"), (4, "d")], unfit)
        assert found == [("INSERT INTO `s`.`t` (`id`, `name`) VALUES (1, 'a'), (4, 'd')", [0, 3])]
        assert {place: (type(error), error.column_name) for place, error in unfit.items()} == {
            1: (InvalidValueError, "id"),
            2: (InvalidValueError, "name"),
        }

    async def test_no_command_is_longer_than_the_server_takes(self) -> None:
        """And a row that is, by itself, is too large."""
        builder = self.builder(column("id"), column("name", "varchar"), most_bytes=200)
        rows = [(number, "x" * (300 if number == 7 else 30)) for number in range(20)]
        unfit: Unfit = {}
        found = await self.built(builder, rows, unfit)
        assert all(len(sql) <= 200 for sql, _ in found)
        assert sorted(place for _, places in found for place in places) == [*range(7), *range(8, 20)]
        assert [type(unfit[place]) for place in unfit] == [RowTooLargeError]

    async def test_many_values_are_encoded_in_turns(self) -> None:
        """All of them arrive, in order: in a short statement that the server may begin with, and in long ones."""
        builder = self.builder(column("id"), column("n"))
        found = await self.built(builder, [(number, number) for number in range(20_000)], {})
        assert [place for _, places in found for place in places] == list(range(20_000))
        assert all(sql.count("(") == len(places) + 1 for sql, places in found)
        assert [len(sql) > 2**16 for sql, _ in found[:-1]] == [False, *[True] * (len(found) - 2)]
        assert len(found) < 10

    @pytest.mark.parametrize("size", [1, 6, 32])
    async def test_groups_have_so_many_rows(self, size: int) -> None:
        """The unfit are left out."""
        builder = self.builder(column("id"))
        unfit: Unfit = {}
        rows = [(None if number == 3 else "x" if number == 4 else number,) for number in range(100)]
        pieces = await builder.groups(rows, range(100), size, unfit)
        assert [place for piece in pieces for place in piece.places] == [*range(4), *range(5, 100)]
        assert max(len(piece.places) for piece in pieces) == size
        assert list(unfit) == [4]

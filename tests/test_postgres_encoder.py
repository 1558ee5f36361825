"""Rows as binary COPY reads them, and values as text: against bytes and text that PostgreSQL has been seen to take."""

from __future__ import annotations

import datetime as dt
import decimal
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkwriter.backends.postgres import binary, texts
from bulkwriter.backends.postgres.encoder import Encoder
from bulkwriter.backends.postgres.kinds import kind_for
from bulkwriter.backends.postgres.texts import UnfitError

NOON = dt.datetime(2000, 1, 2, 12, tzinfo=dt.UTC)


def encoder(*receive: str) -> Encoder:
    """Return an encoder for columns ``a``, ``b`` and so on, of these receive functions."""
    return Encoder([chr(ord("a") + number) for number in range(len(receive))], [kind_for(name) for name in receive])


def encoded(
    made: Encoder, rows: list[Any], start: int = 0, unfit: dict[int, tuple[str, str]] | None = None
) -> list[list[bytes | None]]:
    """Encode rows, and return their fields in the order of the columns' names."""
    data = made.encode(rows, start, {} if unfit is None else unfit)
    order = [made.columns.index(name) for name in sorted(made.columns)]
    return [[row[place] for place in order] for row in fields(data)]


def fields(data: bytes) -> list[list[bytes | None]]:
    """Take COPY's rows apart."""
    rows, place = [], 0
    while place < len(data):
        (count,) = struct.unpack_from(">h", data, place)
        place += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, place)
            place += 4
            row.append(None if length < 0 else data[place : place + length])
            place += max(0, length)
        rows.append(row)
    return rows


class Colored(str):
    """Text that hides the length of what is in it, as classes for colored terminals do."""

    __slots__ = ()

    def __len__(self) -> int:
        return 3


class Muted(Colored):
    """Text that lies in the other direction."""

    __slots__ = ()

    def __len__(self) -> int:
        return 13


class Tagged(uuid.UUID):
    """A UUID that shows other bytes than its own."""

    @property
    def bytes(self) -> bytes:
        """Too few of them."""
        return b"12"


COLORED = Colored("\033[1mred\033[0m")
MUTED = Muted("red")


class Bits:
    """What is no UUID, for all that it has bytes."""

    bytes = b"12"


KNOWN: list[tuple[str, Any, str]] = [
    ("int2recv", -2, "fffe"),
    ("int4recv", 258, "00000102"),
    ("int8recv", True, "0000000000000001"),
    ("float4recv", 1.5, "3fc00000"),
    ("float8recv", 1, "3ff0000000000000"),
    ("float8recv", -(2**53), "c340000000000000"),
    ("float8recv", 2**60, "43b0000000000000"),
    ("float4recv", 2**24, "4b800000"),
    ("boolrecv", True, "01"),
    ("textrecv", "ä", "c3a4"),
    ("bytearecv", b"\0\1", "0001"),
    ("uuid_recv", uuid.UUID(int=5), "00000000000000000000000000000005"),
    ("uuid_recv", Tagged(int=6), "00000000000000000000000000000006"),
    ("date_recv", dt.date(2000, 1, 3), "00000002"),
    ("timestamptz_recv", NOON, "0000001e2cc31000"),
    ("timestamptz_recv", NOON.astimezone(dt.timezone(dt.timedelta(hours=5))), "0000001e2cc31000"),
    ("timestamp_recv", NOON.replace(tzinfo=None), "0000001e2cc31000"),
    ("time_recv", dt.time(0, 0, 0, 7), "0000000000000007"),
    ("interval_recv", dt.timedelta(days=-1, seconds=2), "00000000001e8480ffffffff00000000"),
    ("json_recv", {"a": 1}, b'{"a":1}'.hex()),
    ("jsonb_recv", "[1]", "01" + b"[1]".hex()),
    ("inet_recv", "10.0.0.1", "02200004" + "0a000001"),
    ("cidr_recv", "10.0.0.0/8", "02080104" + "0a000000"),
    ("inet_recv", "::1", "03800010" + "0" * 31 + "1"),
    ("numeric_recv", decimal.Decimal(0), "0002000000000000" + "00000000"),
    ("numeric_recv", decimal.Decimal("-12345.67"), "0003000140000002000109291a2c"),
    ("numeric_recv", decimal.Decimal("123456789.5"), "0004000200000001" + "0001" + "0929" + "1a85" + "1388"),
    ("numeric_recv", decimal.Decimal("-0.0000"), "0003000140000004" + "000000000000"),
    ("numeric_recv", decimal.Decimal("1E+5"), "0001000100000000000a"),
    ("numeric_recv", 10_000, "0003000100000000" + "000100000000"),
    ("numeric_recv", 0.0001, "0002000000000004" + "00000001"),
    ("numeric_recv", decimal.Decimal("NaN"), "00000000c0000000"),
    ("numeric_recv", decimal.Decimal("-Infinity"), "00000000f0000000"),
]


class TestEncoder:
    """One function for each set of columns."""

    @pytest.mark.parametrize(("receive", "value", "expected"), KNOWN, ids=str)
    def test_values_as_postgresql_receives_them(self, receive: str, value: Any, expected: str) -> None:
        """Alone, beside others, and beside NULL."""
        unfit: dict[int, tuple[str, str]] = {}
        made = encoder("textrecv", receive, "int4recv", receive)
        rows = encoded(made, [("x", value, 1, None)] * 3 + [("x", value, 1, value)], 0, unfit)
        one = bytes.fromhex(expected)
        assert rows == [[b"x", one, b"\0\0\0\1", None]] * 3 + [[b"x", one, b"\0\0\0\1", one]]
        assert not unfit

    @pytest.mark.parametrize("text", ["", "a" * 127, "a" * 128, "a" * 40_000, "ä", "\x7f", "\x80", "😀", COLORED])
    def test_texts_beside_one_another(self, text: str) -> None:
        """Short or long, of any alphabet, and whatever length they say they have."""
        expected = str.encode(text)
        rows = [("b", text), (text, "b"), ("b", None), (text, text)]
        wanted = [[b"b", expected], [expected, b"b"], [b"b", None], [expected, expected]]
        assert encoded(encoder("textrecv", "textrecv"), rows) == wanted

    def test_a_row_that_cannot_be_encoded_is_left_out(self) -> None:
        """It is noted by its index in the batch, with its column; nothing of it is in the data."""
        unfit: dict[int, tuple[str, str]] = {}
        rows: list[Any] = [(1, "a"), (1.5, "b"), (3, "c"), (4, 5), (None, "e"), (2**31, "f")]
        good = encoded(encoder("int4recv", "textrecv"), rows, 100, unfit)
        assert [row[1] for row in good] == [b"a", b"c", b"e"]
        assert {index: column for index, (column, _) in unfit.items()} == {101: "a", 103: "b", 105: "a"}

    @pytest.mark.parametrize(
        ("receive", "value"),
        [("float8recv", 2**53 + 1), ("float8recv", -(2**64) + 1), ("float8recv", 10**400), ("float4recv", 2**24 + 1)],
        ids=str,
    )
    def test_an_integer_is_not_rounded(self, receive: str, value: int) -> None:
        """It may be an identifier: its neighbour is another one."""
        unfit: dict[int, tuple[str, str]] = {}
        data = encoder(receive).encode([(value - 1,), (value,), (1.5,)], 0, unfit)
        assert 1 in unfit
        assert str(value) not in unfit[1][1]
        assert len(fields(data)) == 3 - len(unfit)
        for way in ("text", "sent"):
            with pytest.raises(UnfitError):
                getattr(kind_for(receive), way)(value)

    def test_what_has_bytes_is_no_uuid_for_that(self) -> None:
        """Of fewer than sixteen, struct would make sixteen in silence."""
        unfit: dict[int, tuple[str, str]] = {}
        assert encoded(encoder("uuid_recv"), [(uuid.UUID(int=1),), (Bits(),)], 0, unfit) == [[b"\0" * 15 + b"\1"]]
        assert list(unfit) == [1]

    def test_what_may_be_told_of_a_value_never_shows_it(self) -> None:
        """Whatever went wrong, the value's own code included."""

        class Sly:
            def __index__(self) -> int:
                message = "my secret"
                raise LookupError(message)

        unfit: dict[int, tuple[str, str]] = {}
        encoder("int4recv").encode([("secret",), (Sly(),)], 0, unfit)
        assert unfit[0][1] == "an integer column takes no str"
        assert unfit[1][1] == "encoding it failed with LookupError"

    @given(
        st.lists(
            st.tuples(
                st.one_of(st.none(), st.integers(-(2**70), 2**70), st.floats(), st.booleans()),
                st.one_of(st.none(), st.text(), st.just(MUTED)),
                st.one_of(st.none(), st.floats(), st.integers(-(2**60), 2**60)),
                st.one_of(
                    st.none(), st.text(st.characters(codec="ascii")), st.lists(st.text(max_size=1)), st.just(MUTED)
                ),
                st.one_of(st.none(), st.uuids(), st.text(max_size=40), st.builds(Bits)),
                st.one_of(st.none(), st.integers(0, 200).map("a".__mul__), st.sampled_from([COLORED, MUTED])),
                st.one_of(st.none(), st.decimals(), st.integers()),
            ),
            max_size=60,
        )
    )
    def test_the_quick_way_and_the_slow_one_agree(self, rows: list[tuple[Any, ...]]) -> None:
        """Whatever is in a batch, each row is what it is by itself."""
        names = "int8recv", "textrecv", "float8recv", "textrecv", "uuid_recv", "textrecv", "numeric_recv"
        kinds = [kind_for(name) for name in names]
        unfit: dict[int, tuple[str, str]] = {}
        together = encoded(Encoder("abcdefg", kinds), rows, 0, unfit)
        alone = []
        for row in rows:
            try:
                alone.append([None if v is None else kind.binary(v) for kind, v in zip(kinds, row, strict=True)])
            except UnfitError:
                continue
        # A NUL in text is left to the server, which finds it in its line of the COPY.
        if not any(isinstance(value, str) and "\0" in value for row in rows for value in row):
            assert together == alone
            assert len(unfit) == len(rows) - len(alone)

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
    def test_numerics_keep_every_digit(self, number: decimal.Decimal) -> None:
        """Read back digit by digit."""
        try:
            data = binary.numeric(number)
        except UnfitError:
            return
        count, weight, sign, scale = struct.unpack_from(">hhHh", data)
        digits = struct.unpack_from(f">{count}H", data, 8)
        with decimal.localcontext(prec=300_000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN):
            read = sum(
                (decimal.Decimal(digit).scaleb(4 * (weight - place)) for place, digit in enumerate(digits)),
                decimal.Decimal(0),
            )
            assert (-read if sign else read) == number
        assert scale == max(0, -int(number.as_tuple().exponent))

    def test_arrays(self) -> None:
        """Of one dimension and of two, with NULL, and empty."""
        kind = kind_for("array_recv", "int2recv", 21)
        assert kind.binary([]).hex() == "000000000000000000000015"
        assert kind.binary([1, None]).hex() == (
            "0000000100000001000000150000000200000001000000020001ffffffff"
        )  # fmt: skip
        assert kind.binary([[1], [2]]).hex().startswith("0000000200000000000000150000000200000001")


class TestTexts:
    """What the loop on the server, and types without a binary form, are given."""

    def test_arrays(self) -> None:
        """Quoted, so that nothing in an element is taken for a part of the array."""
        kind = kind_for("array_recv", "textrecv", 25)
        assert kind.text(["a", 'q"\\', None, "NULL"]) == '{"a","q\\"\\\\",NULL,"NULL"}'
        assert kind.text([["a"], ["b"]]) == '{{"a"},{"b"}}'
        assert kind.text([]) == "{}"

    def test_intervals_have_a_sign_in_each_part(self) -> None:
        """Or in one of the server's styles the first would count for all."""
        kind = kind_for("interval_recv")
        assert kind.text(dt.timedelta(days=-1, seconds=5, microseconds=7)) == "-1 days +5.000007 seconds"

    def test_moments_are_in_utc(self) -> None:
        """Whatever the session's time zone is."""
        text = kind_for("timestamptz_recv").text(NOON.astimezone(dt.timezone(dt.timedelta(hours=5, seconds=3))))
        assert text == "2000-01-02 12:00:00+00"

    @given(st.lists(st.datetimes(timezones=st.just(dt.UTC)), min_size=1))
    def test_many_moments_are_what_each_is(self, moments: list[dt.datetime]) -> None:
        """To the microsecond, from the first year to the last."""
        sent = kind_for("timestamptz_recv").all_sent(moments)
        assert sent is not None
        assert [dt.datetime.fromisoformat(text) for text in sent] == moments
        assert all(text.endswith("Z") and len(text.partition("-")[0]) == 4 for text in sent)

    @pytest.mark.parametrize("text", ["a\0b", "\ud800"])
    def test_what_no_database_can_hold(self, text: str) -> None:
        """NUL, and half of a surrogate pair."""
        with pytest.raises(UnfitError):
            texts.storable(text)

    def test_hstore_and_vectors(self) -> None:
        """Of types that are known by their text alone, the two that Python has values for."""
        kind = kind_for("vector_recv")
        assert kind.text({"a": None, 'b"': "c"}) == '"a"=>NULL,"b\\""=>"c"'
        assert kind.text([1, 2.5]) == "[1.0,2.5]"
        with pytest.raises(UnfitError):
            kind.text(object())


class TestTextsOfAColumn:
    """Many values at once are the same texts as one by one: rows of a column may take either way."""

    @pytest.mark.parametrize(
        ("receive", "values"),
        [
            ("int8recv", st.integers(-(2**63), 2**63 - 1)),
            ("float8recv", st.floats(allow_nan=False)),
            ("boolrecv", st.booleans()),
            ("textrecv", st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
            ("uuid_recv", st.uuids()),
            ("date_recv", st.dates()),
            ("jsonb_recv", st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
        ],
    )
    @given(data=st.data())
    def test_are_those_of_each(self, receive: str, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
        """Also where some are missing."""
        kind = kind_for(receive)
        column = data.draw(st.lists(st.none() | values, min_size=1))
        assert kind.all_texts(column) == [None if value is None else kind.text(value) for value in column]

    @pytest.mark.parametrize(
        ("receive", "value"),
        [("int8recv", 2**63), ("int8recv", 1.0), ("boolrecv", 1), ("uuid_recv", "x"), ("date_recv", NOON)],
    )
    def test_leave_what_is_odd_to_a_closer_look(self, receive: str, value: Any) -> None:
        """A whole column is never taken for what one of its values is not."""
        assert kind_for(receive).all_texts([value]) is None

    def test_reals_and_bytes_do_not_travel_as_text(self) -> None:
        """A real between two others could be rounded the other way, and bytes would be twice as long."""
        kinds = {name: kind_for(name).has_array_text for name in ("float4recv", "bytearecv", "float8recv", "textrecv")}
        assert kinds == {"float4recv": False, "bytearecv": False, "float8recv": True, "textrecv": True}

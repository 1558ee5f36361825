"""Rows among which there are bad ones, written one after the other by a loop on the server.

A PL/pgSQL block runs through the rows and notes what became of each. It needs no function in the catalogue, and so no
privilege but those of the insert itself: the values travel in settings of the transaction. Rows share a subtransaction
until one of them fails; those before it are written again without it.

PostgreSQL keeps 64 subtransactions of each transaction where others see them quickly; with more, *everybody's* queries
become slower. One that failed is forgotten, so what counts is about one for each bad row. A transaction ends before it
has too many, and the next one goes on. Only with a ledger, whose entry must be committed with all of the batch, it is a
single one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres import driver, errors
from bulkwriter.backends.postgres.session import ARRAYS_WITH_NULL
from bulkwriter.backends.postgres.sql import literal
from bulkwriter.sql import sqlstates

if TYPE_CHECKING:
    from bulkwriter.backends.postgres.statements import Statements
    from bulkwriter.errors import RowRejectedError

MOST_SUBTRANSACTIONS: Final = 60
MOST_VALUES: Final = 4000
"""Values that are sent to one loop: making text of them takes about 2 ms."""

_QUICK_ROWS: Final = 64
"""Rows of a part that is written by a single statement, which fails without a word about which of them is bad."""

_SLOW_ROWS: Final = 32
"""Rows of a part that is written row by row, after one failed: where one row is bad, another may well be near."""

_SETTINGS: Final = f"; SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL extra_float_digits = 1{ARRAYS_WITH_NULL}"
"""Constraints speak at once, of the row that breaks them; floating-point numbers keep all their digits as text."""

_SETTINGS_TO_GIVE_BACK: Final = "; SET LOCAL DateStyle = ISO"
"""What is given back goes as text, and other styles write a time zone as letters that may mean nothing, such as LMT."""


class Loop:
    """The loop for one plan.

    Args:
        statements: How the rows are written.
        is_bounded: Whether it stops before there are too many subtransactions.
    """

    def __init__(self, statements: Statements, *, is_bounded: bool) -> None:
        self._statements = statements
        self.settings: str = _SETTINGS + (_SETTINGS_TO_GIVE_BACK if statements.returning else "")
        self.most_rows: int = max(MOST_SUBTRANSACTIONS, MOST_VALUES // len(statements.columns))
        arrays = range(len(statements.columns))
        settings = ", ".join(f"pg_catalog.set_config('bulkwriter.a{n}', ${n + 1}, true)" for n in arrays)
        self.send: str = f"SELECT {settings}"
        self.block: str = self._block(MOST_SUBTRANSACTIONS if is_bounded else 2**30)
        self.read: str = self._read() if statements.returning else ""

    def _block(self, most: int) -> str:
        statements = self._statements
        arrays = range(len(statements.columns))
        block = _BLOCK.format(
            declared=" ".join(f"a{n} text[] := pg_catalog.current_setting('bulkwriter.a{n}')::text[];" for n in arrays),
            several=_SEVERAL.format(several=statements.several()) if statements.can_be_several else "",
            single=statements.single(),
            given=_GIVEN if statements.returning else "",
            most=most,
            may_be_quick=str(statements.can_be_several).lower(),
            quick_rows=_QUICK_ROWS if statements.can_be_several else _SLOW_ROWS,
            slow_rows=_SLOW_ROWS,
            is_no_rows=_is_no_rows(statements),
        )
        return f"DO {literal(block)}"

    def _read(self) -> str:
        types = [self._statements.table.column(name) for name in self._statements.returning]
        values = ", ".join(f"CAST(e->>{n + 1} AS {column.full_type})" for n, column in enumerate(types))
        return (
            f"SELECT (e->>0)::int, {values} FROM pg_catalog.jsonb_array_elements("  # noqa: S608
            "pg_catalog.current_setting('bulkwriter.given')::jsonb) AS e"
        )


TOLD: Final = "ARRAY[pg_catalog.current_setting('bulkwriter.letters'), pg_catalog.current_setting('bulkwriter.errors')]"
"""What became of each row, a letter each, and the errors."""


def errors_of(told: str, table: str) -> dict[int, RowRejectedError]:
    """Return the error of each row that has one, by its place, from what the loop noted."""
    fields = ("constraint_name", "column_name", "detail", "message")
    return {
        place - 1: errors.rejected(driver.server_error(code, dict(zip(fields, said, strict=True))), table)
        for place, code, *said in json.loads(told)
    }


def _is_no_rows(statements: Statements) -> str:
    """Return SQL that says whether the error ``c`` is no row's fault."""
    never = ", ".join(f"'{code}'" for code in sqlstates.NEVER_A_ROWS if code != "21")
    rows = [*sqlstates.ROW_TOO_LARGE, *(["42501"] if statements.table.has_row_security else [])]
    but = ", ".join(f"'{code}'" for code in rows)
    return f"(pg_catalog.left(c, 2) IN ({never}) AND c NOT IN ({but}) OR c = '{sqlstates.SEQUENCE_AT_ITS_END}')"


_GIVEN: Final = (
    "IF told IN ('i', 'u', 's') THEN "
    "given := pg_catalog.array_prepend(i::text, given); "
    "part_results := part_results || pg_catalog.jsonb_build_array(pg_catalog.to_jsonb(given)); "
    "END IF;"
)

_SEVERAL: Final = """
IF is_quick THEN
  {several}
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n <> j - i + 1 THEN RAISE SQLSTATE 'BW003'; END IF;
  part := pg_catalog.repeat('i', n);
  i := j + 1;
END IF;
"""

# A part is rows `first` to `j`, in a subtransaction of its own. When it fails at row `i`, those before it are known to
# be good: they become a part by themselves, and when they are written again, `bad` has what is wrong with row `i`.
# A column may be called as a variable is here: where both are in sight, a variable has the block's name before it.
_BLOCK: Final = """#variable_conflict use_column
<<bulkwriter>>
DECLARE
  {declared}
  size int := coalesce(pg_catalog.array_length(a0, 1), 0);
  first int := 1; i int := 1; j int := least({quick_rows}, size); n int; live int := 0;
  may_be_quick boolean := {may_be_quick}; is_quick boolean := may_be_quick; is_known boolean := false;
  told text; given text[]; part text; part_results jsonb;
  letters text := ''; errors jsonb := '[]'; results jsonb := '[]'; bad jsonb;
  c text; m text; d text; k text; l text;
BEGIN
  WHILE first <= size AND live < {most} LOOP
    i := first; part := ''; part_results := '[]';
    BEGIN
      {several}
      WHILE i <= j LOOP
        {single}
        part := part || told; {given}
        i := i + 1;
      END LOOP;
      live := live + 1;
      letters := letters || part;
      results := results || part_results;
      first := j + 1;
      IF is_known THEN
        errors := errors || bad;
        letters := letters || 'r';
        first := first + 1;
      END IF;
      is_quick := may_be_quick AND NOT is_known;
      is_known := false;
      j := least(first - 1 + CASE WHEN is_quick THEN {quick_rows} ELSE {slow_rows} END, size);
    EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
      GET STACKED DIAGNOSTICS c = RETURNED_SQLSTATE, m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL,
        k = CONSTRAINT_NAME, l = COLUMN_NAME;
      IF {is_no_rows} THEN RAISE; END IF;
      IF is_quick THEN
        -- One of the rows is bad; or, if each was known to be good by itself, they do not bear this way of writing.
        may_be_quick := NOT is_known;
        is_quick := false;
        is_known := false;
        j := least(first - 1 + {slow_rows}, size);
      ELSE
        bad := pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_array(i, c, k, l, d, m));
        is_known := i > first;
        is_quick := may_be_quick AND is_known;
        IF is_known THEN
          j := i - 1;
        ELSE
          errors := errors || bad;
          letters := letters || 'r';
          first := first + 1;
          j := least(first - 1 + {slow_rows}, size);
        END IF;
      END IF;
    END;
  END LOOP;
  PERFORM pg_catalog.set_config('bulkwriter.letters', letters, true),
    pg_catalog.set_config('bulkwriter.errors', errors::text, true),
    pg_catalog.set_config('bulkwriter.given', results::text, true);
END"""

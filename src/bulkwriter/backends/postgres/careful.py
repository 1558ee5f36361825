"""Rows among which there are bad ones, written one after the other by a loop on the server.

A PL/pgSQL block runs through the rows, each in a subtransaction of its own, and notes what became of it. It needs no
function in the catalogue, and so no privilege but those of the insert itself: the values travel in settings of the
transaction. Of plain inserts, many rows share a subtransaction until one fails.

PostgreSQL keeps 64 subtransactions of each transaction where others see them quickly; with more, *everybody's* queries
become slower. So a transaction ends before it has as many, and the next one goes on. Only with a ledger, whose entry
must be committed with all of the batch, it is a single one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from bulkwriter.backends.postgres import driver, errors
from bulkwriter.backends.postgres.sql import literal

if TYPE_CHECKING:
    from bulkwriter.backends.postgres.statements import Statements
    from bulkwriter.errors import RowRejectedError

MOST_SUBTRANSACTIONS: Final = 60
MOST_VALUES: Final = 4000
"""Values that are sent to one loop: making text of them takes about 2 ms. Of rows that go one by one, not more are sent
than a transaction can take."""

_LARGEST_STEP: Final = 64
_STEP_AFTER_FAILURE: Final = 8
"""A step that failed is tried again in parts of an eighth: one bad row among 64 costs 1 + 8 + 8 subtransactions."""

SETTINGS: Final = "; SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL extra_float_digits = 1"
"""Constraints speak at once, of the row that breaks them; and floating-point numbers keep all their digits as text."""


class Loop:
    """The loop for one plan.

    Args:
        statements: How the rows are written.
        is_bounded: Whether it stops before there are too many subtransactions.
    """

    def __init__(self, statements: Statements, *, is_bounded: bool) -> None:
        self._statements = statements
        rows = max(MOST_SUBTRANSACTIONS, MOST_VALUES // len(statements.columns))
        self.most_rows: int = rows if statements.can_be_several or not is_bounded else MOST_SUBTRANSACTIONS
        arrays = range(len(statements.columns))
        settings = ", ".join(f"pg_catalog.set_config('bulkwriter.a{n}', ${n + 1}::text[]::text, true)" for n in arrays)
        self.send: str = f"SELECT {settings}"
        self.block: str = self._block(MOST_SUBTRANSACTIONS if is_bounded else 2**30)
        self.read: str = self._read() if statements.returning else ""

    def _block(self, most: int) -> str:
        statements = self._statements
        arrays = range(len(statements.columns))
        several, single = statements.several(), statements.single()
        if statements.can_be_several:
            largest, body = _LARGEST_STEP, _SEVERAL.format(largest=_LARGEST_STEP, several=several, single=single)
        else:
            largest, body = 1, _SINGLE.format(single=single, given=_GIVEN if statements.returning else "")
        block = _BLOCK.format(
            declared=" ".join(f"a{n} text[] := pg_catalog.current_setting('bulkwriter.a{n}')::text[];" for n in arrays),
            body=body,
            most=most,
            largest=largest,
            part=_STEP_AFTER_FAILURE,
            is_no_rows=_is_no_rows(statements),
        )
        return f"DO {literal(block)}"

    def _read(self) -> str:
        types = [self._statements.table.column(name) for name in self._statements.returning]
        values = ", ".join(f"CAST(e->>{n + 1} AS {column.type_name})" for n, column in enumerate(types))
        return (
            f"SELECT (e->>0)::int, {values} FROM pg_catalog.jsonb_array_elements("  # noqa: S608
            "pg_catalog.current_setting('bulkwriter.given')::jsonb) AS e"
        )


TOLD: Final = "SELECT pg_catalog.current_setting('bulkwriter.letters'), pg_catalog.current_setting('bulkwriter.errors')"
"""Reads what became of each row, a letter each, and the errors."""


def errors_of(told: str, table: str) -> dict[int, RowRejectedError]:
    """Return the error of each row that has one, by its place, from what the loop noted."""
    fields = ("constraint_name", "column_name", "detail", "message")
    return {
        place - 1: errors.rejected(driver.server_error(code, dict(zip(fields, said, strict=True))), table)
        for place, code, *said in json.loads(told)
    }


def _is_no_rows(statements: Statements) -> str:
    """Return SQL that says whether the error ``c`` is no row's fault."""
    never = ", ".join(f"'{code}'" for code in errors.NEVER_A_ROWS if code != "21")
    but = "'54000', '42501'" if statements.table.has_row_security else "'54000'"
    return f"(pg_catalog.left(c, 2) IN ({never}) AND c NOT IN ({but}))"


_GIVEN: Final = (
    "IF told IN ('i', 'u', 's') THEN "
    "given := pg_catalog.array_prepend(i::text, given); "
    "results := results || pg_catalog.jsonb_build_array(pg_catalog.to_jsonb(given)); "
    "END IF;"
)

_SINGLE: Final = "{single} letters := letters || told; {given} i := i + 1;"

_SEVERAL: Final = """
j := least(i + step - 1, size);
IF j > i THEN
  {several}
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n <> j - i + 1 THEN RAISE SQLSTATE 'BW003'; END IF;
  letters := letters || pg_catalog.repeat('i', n);
ELSE
  {single}
  letters := letters || told;
END IF;
step := least(step * 2, {largest});
i := j + 1;
"""

_BLOCK: Final = """DECLARE
  {declared}
  size int := coalesce(pg_catalog.array_length(a0, 1), 0);
  i int := 1; j int := 1; n int; live int := 0; step int := {largest};
  told text; given text[]; letters text := ''; errors jsonb := '[]'; results jsonb := '[]';
  c text; m text; d text; k text; l text;
BEGIN
  WHILE i <= size AND live < {most} LOOP
    BEGIN
      {body}
      live := live + 1;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS c = RETURNED_SQLSTATE, m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL,
        k = CONSTRAINT_NAME, l = COLUMN_NAME;
      IF {is_no_rows} THEN RAISE; END IF;
      IF {largest} > 1 AND j > i THEN
        step := greatest(1, (j - i + 1) / {part});
      ELSE
        errors := errors || pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_array(i, c, k, l, d, m));
        letters := letters || 'r';
        i := i + 1;
      END IF;
    END;
  END LOOP;
  PERFORM pg_catalog.set_config('bulkwriter.letters', letters, true),
    pg_catalog.set_config('bulkwriter.errors', errors::text, true),
    pg_catalog.set_config('bulkwriter.given', results::text, true);
END"""

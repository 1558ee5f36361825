"""One batch within an open transaction: together if it can be, and the bad rows found if it cannot."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from bulkwriter.backends.sqlalchemy import errors
from bulkwriter.backends.sqlalchemy.target import counts_rows
from bulkwriter.results import SKIPPED, UNCHANGED, UPDATED, Outcome, WriteResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bulkwriter.backends.sqlalchemy.batch import Batch
    from bulkwriter.backends.sqlalchemy.options import Options
    from bulkwriter.backends.sqlalchemy.statements import Statements

# How often a row may be met by others that come and go while it is written.
_MOST_ROUNDS: Final = 4


class BadRowError(Exception):
    """A statement failed because of a row in it; what it did has been undone.

    Args:
        why: What was raised.
        were_new: Whether it was to insert rows of which nothing had been found.
    """

    def __init__(self, why: Exception, *, were_new: bool = False) -> None:
        super().__init__(type(why).__name__)
        self.why = why
        self.were_new = were_new


class UndoneError(Exception):
    """A bad row has undone the whole transaction, by a trigger's RAISE(ROLLBACK) or an ON CONFLICT ROLLBACK.

    Args:
        why: What was raised.
    """

    def __init__(self, why: Exception) -> None:
        super().__init__(type(why).__name__)
        self.why = why


class SwallowedError(Exception):
    """A statement wrote fewer rows than it was given: a trigger has dropped some."""


class UnprovenError(Exception):
    """It is not certain which row gave back what, or which keys are equal: each row must go by itself."""


class Writing:
    """Writes the rows of one attempt.

    Args:
        connection: The connection, with its transaction open.
        options: What the caller asked for.
        statements: How the rows are written.
        batch: The rows.
        most_bytes: The bytes that a statement may have; ``None`` if there is no limit to be met.
        is_over: Whether the transaction has ended by itself.
    """

    def __init__(
        self,
        connection: sa.Connection,
        options: Options,
        statements: Statements,
        batch: Batch,
        *,
        most_bytes: int | None,
        is_over: Callable[[sa.Connection], bool],
    ) -> None:
        self._connection = connection
        self._most_bytes = most_bytes
        self._is_over = is_over
        self._options = options
        self._language = options.family.language
        self._statements = statements
        self._batch = batch

    def write(self) -> None:
        """Write all rows together.

        Raises:
            BadRowError: One of them is bad; the transaction is to be rolled back.
            SwallowedError: One of them was not written; the same.
            UnprovenError: Each must go by itself; the same.
        """
        self._write(self._in_order(self._batch.places))

    def write_carefully(self) -> None:
        """Write all rows that can be, and find those that cannot."""
        places = self._in_order(self._batch.places)
        if places and not (self._probes and self._probe(places)):
            self._isolate(places)

    def _in_order(self, places: list[int]) -> list[int]:
        """Return the places by key: writers side by side then wait for each other in one order, and not in a circle."""
        keys = self._statements.keys
        if self._statements.mode == "error" or keys is None:
            return places
        by_key = {place: keys.read_sent(self._batch.rows[place]) for place in places}
        try:
            return sorted(places, key=lambda place: by_key[place])  # type: ignore[arg-type, return-value]
        except TypeError:
            return sorted(places, key=lambda place: str(by_key[place]))

    # -- together

    def _write(self, places: Sequence[int]) -> None:
        for start in range(0, len(places), self._statements.largest):
            for part in self._that_fit(places[start : start + self._statements.largest]):
                self._write_statement(part)

    def _that_fit(self, places: Sequence[int]) -> Iterator[Sequence[int]]:
        """Yield rows that fit into a statement, and reject one that fits into none: the server would hang up."""
        most = self._most_bytes
        if most is None or self._batch.most_bytes(places) <= most:
            yield places
        elif len(places) > 1:
            middle = len(places) // 2
            yield from self._that_fit(places[:middle])
            yield from self._that_fit(places[middle:])
        elif self._batch.least_bytes(places[0]) >= most:
            self._batch.reject(places[0], errors.too_large(self._statements.target.label, most))
        else:
            yield places

    def _write_statement(self, places: Sequence[int]) -> None:
        if self._statements.mode == "delete":
            self._delete(places)
            return
        there = self._found(places) if self._statements.may_meet else set()
        new = [place for place in places if place not in there] if there else places
        if new:
            self._insert(new)
        if there and self._statements.mode == "skip":
            self._batch.tell(dict.fromkeys(there, SKIPPED))
        elif there:
            self._update([place for place in places if place in there])

    def _insert(self, places: Sequence[int]) -> None:
        result = self._execute(self._statements.insert(len(places)), self._batch.flat(places), are_new=True)
        if not self._statements.wanted:
            self._require(result.rowcount, places)
            return
        types = _types_of(result)
        rows = result.all()
        self._require(len(rows), places)
        width = len(self._statements.wanted)
        columns = [list(column) for column in zip(*rows, strict=True)]
        self._check_order(columns[width:], places)
        self._batch.tell(self._given_back(columns[:width], types, places, Outcome.INSERTED))

    def _update(self, places: Sequence[int]) -> None:
        result = self._execute(self._statements.update(len(places)), self._batch.flat(places))
        if not result.returns_rows:
            # MySQL counts a row that it has changed as two.
            self._require(result.rowcount if self._language != "mysql" else len(places), places)
            self._batch.tell(dict.fromkeys(places, UPDATED))
            return
        types = _types_of(result)
        rows = result.all()
        width = len(self._statements.wanted)
        written = self._places_of([row[width:] for row in rows], places)
        columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
        self._batch.tell(self._given_back(columns[:width], types, written, Outcome.UPDATED))
        left = set(places).difference(written)
        if left and not self._options.update_where:
            raise SwallowedError
        self._batch.tell(dict.fromkeys(left, UNCHANGED))

    def _delete(self, places: Sequence[int]) -> None:
        result = self._execute(self._statements.delete(len(places)), self._batch.flat_keys(places))
        # Where fewer went than were named, most likely they were not there; but a trigger may have kept one.
        if result.rowcount != len(places) and self._found(places):
            raise SwallowedError

    def _found(self, places: Sequence[int]) -> set[int]:
        """Return the places of the rows whose key is there."""
        asked = list(self._by_key(places).values())
        if not asked:
            return set()
        rows = self._execute(self._statements.find(len(asked)), self._batch.flat_keys(asked)).all()
        return set(self._places_of(rows, asked))

    def _places_of(self, keys: Sequence[Sequence[Any]], places: Sequence[int]) -> list[int]:
        """Return whose keys these are, as the database gave them back.

        Raises:
            UnprovenError: It is not certain.
        """
        if len(places) == 1:
            return list(places) * len(keys)
        reader, by_key = self._statements.keys, self._by_key(places)
        assert reader is not None
        try:
            return [by_key[reader.read_back(tuple(key))] for key in keys]
        except KeyError as error:
            raise UnprovenError from error

    def _by_key(self, places: Sequence[int]) -> dict[Any, int]:
        """Return the place of each key; rows that have none are left out.

        Raises:
            UnprovenError: Two rows may have the same.
        """
        keys = self._statements.keys
        assert keys is not None
        read = [(keys.read_sent(self._batch.rows[place]), place) for place in places]
        by_key = {key: place for key, place in read if key is not None}
        if len(by_key) < sum(key is not None for key, _ in read):
            raise UnprovenError
        return by_key

    def _given_back(
        self, columns: list[list[Any]], types: list[Any], places: Sequence[int], outcome: Outcome
    ) -> dict[int, WriteResult]:
        """Return the result of each row, with the columns that it gave back."""
        wanted = self._statements.wanted
        if not wanted:
            return dict.fromkeys(places, WriteResult(outcome))
        described = zip(wanted, columns, types[: len(wanted)], strict=True)
        received = [slot.received(values, kind) for slot, values, kind in described]
        rows = zip(*received, strict=True)
        return {
            place: WriteResult(outcome, self._statements.mapping(row)) for place, row in zip(places, rows, strict=True)
        }

    def _check_order(self, back: list[list[Any]], places: Sequence[int]) -> None:
        """Check that what came back is in the order of what was sent.

        A column may come back as something else than it was sent, such as a number of fewer digits. That does no harm
        where no two rows are equal in the others.

        Raises:
            UnprovenError: It is not certain.
        """
        sent = [[self._batch.rows[place][column] for place in places] for column in self._statements.proof]
        same = [values for values, returned in zip(sent, back, strict=True) if values == returned]
        if len(same) == len(sent):
            return
        try:
            is_distinct = len(set(zip(*same, strict=True))) == len(places) and bool(same)
        except TypeError as error:  # a list, say, which nobody can look up
            raise UnprovenError from error
        if not is_distinct and len(places) > 1:
            raise UnprovenError

    def _require(self, rows: int, places: Sequence[int]) -> None:
        if rows != len(places):
            raise SwallowedError

    def _execute(self, sql: str, values: Any, *, are_new: bool = False) -> sa.CursorResult[Any]:
        """Execute a statement with rows in it.

        Raises:
            BadRowError: It failed because of one of them.
            UndoneError: The same, and nothing of what was done before is left.
        """
        try:
            return self._connection.exec_driver_sql(sql, values)
        except Exception as error:
            if self._is_row_fault(error, sql, values):
                if self._is_over(self._connection):
                    # What is written from here on would be stored, whatever the callers are told.
                    raise UndoneError(error) from error
                raise BadRowError(error, were_new=are_new) from error
            raise

    def _is_row_fault(self, error: Exception, sql: str, values: Any) -> bool:
        if not errors.may_be_value(error, self._language):
            return errors.is_row_fault(error, self._language)
        if self._language == "postgresql":
            # Nothing can be asked before the transaction is taken back; it is when the row is alone.
            return True
        # "Malformed JSON" and "no such table" have the same code; but only the latter is found without any values.
        with contextlib.suppress(Exception):
            self._connection.exec_driver_sql(f"EXPLAIN {sql}", values[0] if isinstance(values, list) else values)
            return True
        return False

    # -- looking for bad rows

    @property
    def _probes(self) -> bool:
        """Whether the driver can go through the rows by itself, and tells at which it came to a halt."""
        statements = self._statements
        is_plain = self._language == "sqlite" and statements.mode == "error" and not statements.wanted
        # It is asked now: what was so when the table was opened may be so no more.
        return is_plain and counts_rows(self._connection, statements.target.table)

    def _probe(self, places: Sequence[int]) -> bool:
        """Write row after row in one call of the driver's, beginning again behind each bad one.

        ``sqlite3`` undoes of ``executemany`` the row that failed, and no other: the count of changes tells which.

        Returns:
            Whether all rows have been judged; if not, nothing was written.
        """
        driver: Any = self._connection.connection.driver_connection
        sql, rows = self._statements.insert(1), [tuple(self._batch.rows[place]) for place in places]
        start = 0
        self._say("SAVEPOINT bulkwriter")
        while start < len(rows):
            before = driver.total_changes
            try:
                result = self._execute(sql, rows[start:])
            except BadRowError as bad:
                start += driver.total_changes - before
                self._reject(places[start], bad.why)
                start += 1
                continue
            if result.rowcount == len(rows) - start:
                break
            self._say("ROLLBACK TO bulkwriter")
            self._batch.restart()
            return False
        self._say("RELEASE bulkwriter")
        return True

    def _isolate(self, places: Sequence[int]) -> None:
        """Write rows among which there is a bad one: half of them, and then the others."""
        if len(places) == 1:
            self._write_single(places[0])
            return
        middle = len(places) // 2
        if not self._is_written(places[:middle]):
            self._isolate(places[:middle])
            if self._is_written(places[middle:]):
                return
        # If all went well with the first half, it is in the second.
        self._isolate(places[middle:])

    def _is_written(self, places: Sequence[int]) -> bool:
        try:
            with self._savepoint():
                self._write(places)
        except (BadRowError, SwallowedError, UnprovenError):
            self._batch.forget(places)
            return False
        return True

    def _write_single(self, place: int) -> None:
        for _ in range(_MOST_ROUNDS):
            try:
                with self._savepoint():
                    self._write([place])
            except SwallowedError:
                self._batch.forget([place])
                doing = "deleting" if self._statements.mode == "delete" else "writing"
                self._batch.reject(place, errors.swallowed(self._statements.target.label, doing))
                return
            except BadRowError as bad:
                self._batch.forget([place])
                self._require_about_row(bad)
                if not self._has_come_meanwhile(place, bad):
                    self._reject(place, bad.why)
                    return
            else:
                return
        message = f"table {self._statements.target.label}: a row of this key comes and goes all the time"
        raise errors.unavailable(message, self._statements.target.label)

    def _require_about_row(self, bad: BadRowError) -> None:
        """Raise what is about the statement, and not about the row in it: it fails without any values as well."""
        if self._language == "postgresql" and errors.may_be_value(bad.why, self._language):
            nothing = (None,) * len(self._statements.slots)
            try:
                self._connection.exec_driver_sql(f"EXPLAIN {self._statements.insert(1)}", nothing)
            except sa.exc.DBAPIError as error:
                raise bad.why from error

    def _has_come_meanwhile(self, place: int, bad: BadRowError) -> bool:
        """Whether a row of the key was not there when it was looked for, and is now."""
        is_about_key = self._statements.may_meet and errors.is_duplicate(bad.why, self._language)
        return bad.were_new and is_about_key and place in self._found([place])

    def _reject(self, place: int, error: Exception) -> None:
        label, names = self._statements.target.label, self._statements.names
        self._batch.reject(place, errors.rejected(error, self._language, label, names))

    @contextlib.contextmanager
    def _savepoint(self) -> Iterator[None]:
        """Undo what fails, and nothing else."""
        self._say("SAVEPOINT bulkwriter")
        try:
            yield
        except (BadRowError, SwallowedError, UnprovenError):
            self._say("ROLLBACK TO SAVEPOINT bulkwriter")
            raise
        self._say("RELEASE SAVEPOINT bulkwriter")

    def _say(self, sql: str) -> None:
        self._connection.exec_driver_sql(sql)


def _types_of(result: sa.CursorResult[Any]) -> list[Any]:
    """Return what the driver calls the type of each column that came back; to be asked before they are read."""
    described: Any = getattr(result.cursor, "description", ())
    return [column[1] for column in described]

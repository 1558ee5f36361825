"""What the database made of rows: by RETURNING where the statement can, else read within the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkwriter.backends.mysql.errors import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkwriter.backends.mysql.builder import Piece
    from bulkwriter.backends.mysql.task import Task
    from bulkwriter.backends.mysql.wire import Answer


class GivingBack:
    """Finds what is to be given back for each row.

    Args:
        task: What is written.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._session = task.session
        self._statements = task.statements
        # The key that was generated for a row, by its place.
        self._generated: dict[int, int] = {}

    def note(self, piece: Piece, answer: Answer) -> None:
        """Note what the answer to an INSERT says of its rows."""
        if not self._statements.returning:
            return
        if answer.rows is not None:
            # MariaDB sends each row as it is inserted, one after the other.
            for place, row in zip(piece.places, answer.rows, strict=True):
                self._task.give_back(place, dict(zip(self._statements.returning, row, strict=True)))
            return
        if not answer.insert_id:
            return
        # InnoDB takes all keys of a statement at once, if it knows how many rows it has; none of them brings its own.
        # https://dev.mysql.com/doc/refman/8.4/en/innodb-auto-increment-handling.html
        without = [place for place in piece.places if self._statements.lacks_generated_key(self._task.rows[place])]
        step = self._session.server.increment
        self._generated.update({place: answer.insert_id + number * step for number, place in enumerate(without)})

    async def read(self, places: Sequence[int]) -> None:
        """Read what is to be given back of rows that have been written.

        Raises:
            MisconfigurationError: A row is not there under its key: something has changed that on its way.
            Error: The server refused to tell.
        """
        if not self._statements.returning or self._statements.gives_back:
            return
        written = self._task.written(places)
        keys = [self._key_of(place) for place in written]
        lookup = self._statements.written
        folded = await lookup.folded(keys)
        is_clear = None not in folded and len(set(folded)) == len(folded)
        builder = self._task.builder_for(lookup)
        if is_clear:
            asked = [piece async for piece in builder.pieces(keys, range(len(keys)), {})]
        else:
            asked = await builder.groups(keys, range(len(keys)), 1, {})
        answers = await self._session.run_all([piece.sql for piece in asked])
        for piece, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            found = await lookup.by_key(answer.rows or ())
            for index in piece.places:
                values = found.get(folded[index]) if is_clear else next(iter(found.values()), None)
                if values is None:
                    refuse("returning= needs rows that keep the key they were given", self._task.table)
                self._task.give_back(written[index], values)

    def _key_of(self, place: int) -> tuple[Any, ...]:
        statements, row = self._statements, self._task.rows[place]
        if place in self._generated:
            return (self._generated[place],)
        return tuple([row[statements.names.index(name)] for name in statements.written.names])

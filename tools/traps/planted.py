"""The traps that are planted: each has cost users of some bulk writer their rows, their answers or their time."""

from __future__ import annotations

from tools.traps.trap import Edit, Trap

_CONFORMANCE = ("tests/test_memory_conformance.py", "tests/test_sqlite_conformance.py")


def _trap(name: str, *edits: tuple[str, str, str], tests: tuple[str, ...]) -> Trap:
    return Trap(name, tuple(Edit(*edit) for edit in edits), tests)


WAITING = (
    _trap(
        "a caller that was cancelled keeps its neighbours from their answers",
        (
            "delivering.py",
            "            if not waiter.done():\n                waiter.set_result(result)\n            elif not",
            "            if True:\n                waiter.set_result(result)\n            elif not",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "whoever waits is forgotten when a batch fails in an unforeseen way",
        ("flights.py", "            self._settle_bluntly(batch)\n", ""),
        (
            "flights.py",
            '        self._settle_with_error(batch, len(batch.waiters), error, "unknown")',
            "        batch.settled = len(batch.waiters)",
        ),
        tests=("tests/test_batcher_raising.py", "tests/test_batcher_cancel.py", "tests/test_writer_futures.py"),
    ),
    _trap(
        "a forced stop leaves futures pending",
        ("dispatch.py", "telling = self._tell_everybody(flights)", "telling = iter(())"),
        tests=("tests/test_batcher_force.py",),
    ),
    _trap(
        "a stop forgets the rows that wait for another attempt",
        (
            "dispatch.py",
            "return not (self._queued or self._waiting or self._flights or",
            "return not (self._waiting or self._flights or",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "the second stop hangs, or undoes the first",
        (
            "dispatch.py",
            "        if self._is_closing:\n            return\n        assert self._loop",
            "        assert self._loop",
        ),
        tests=("tests/test_batcher_stop.py",),
    ),
    _trap(
        "a flush does nothing",
        ("dispatch.py", "        await self._end_epoch()\n        after", "        after"),
        tests=("tests/test_batcher_flush.py",),
    ),
    _trap(
        "the age limit is an idle timer: a steady trickle puts the batch off for ever",
        (
            "intake.py",
            "        batch.items.append(item)\n",
            "        batch.opened_at = self._now()\n        batch.items.append(item)\n",
        ),
        ("intake.py", "self._open_door = -1 if limits.counts_bytes else self._max_queued", "self._open_door = -1"),
        tests=("tests/test_batcher_batching.py", "tests/test_batcher_natural.py"),
    ),
    _trap(
        "the queue has no bounds",
        (
            "intake.py",
            "        return load + rows <= self._max_queued and self._queued_bytes + size <= self._max_queued_bytes",
            "        return True",
        ),
        tests=("tests/test_batcher_queue.py",),
    ),
)
"""Who is never answered, and who answers too late."""

TRUTH = (
    _trap(
        "an attempt whose acknowledgement was lost is tried again",
        (
            "delivery.py",
            "            return self._unknown(verdict.cause, tries)",
            "            return NotApplied(BackendUnavailableError('lost', attempts=tries))",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "a reply that is too short is believed",
        ("delivery.py", "    if told != rows:", "    if told > rows:"),
        tests=_CONFORMANCE,
    ),
    _trap(
        "one bad row fails its whole batch",
        ("delivery.py", "        if len(rows) == 1:\n            suspect", "        if rows:\n            suspect"),
        (
            "delivery.py",
            "            return [suspect.error.for_row(None, attempts=tries)]",
            "            return [suspect.error.for_row(None, attempts=tries) for _ in rows]",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "a database that is down is called a bad row",
        (
            "delivery.py",
            "            reply = Uniform(NotApplied(error, retry=error.safe_to_retry), len(attempt.rows))",
            "            reply = Uniform(RowRejectedError(str(error)), len(attempt.rows))",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "retries do not pause",
        ("retry.py", "        return random.uniform(0.0, bound)", "        return 0.0 * random.random() * bound"),
        tests=("tests/test_retry.py",),
    ),
    _trap(
        "rows are told before the commit",
        ("backends/sqlite/transaction.py", "            session.commit()\n", "            pass\n"),
        tests=("tests/test_sqlite_conformance.py",),
    ),
    _trap(
        "what throttling has left undone is dropped",
        (
            "delivering.py",
            "            self._retry_later(left, wait)",
            "            [p.waiter.set_result(None) for p in left]",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "the earlier of two rows of one key is dropped without a word",
        (
            "keyed.py",
            "        for parcel in record.chain:\n            if parcel not",
            "        for parcel in ():\n            if parcel not",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "updates and deletes of one key overtake each other",
        ("ordering.py", "        if key in self._on_the_way:\n            return False\n", ""),
        (
            "ordering.py",
            "        others = self._on_the_way[key] - 1",
            "        others = self._on_the_way.get(key, 1) - 1",
        ),
        (
            "ordering.py",
            "        del self._on_the_way[key]\n        return False",
            "        self._on_the_way.pop(key, None)\n        return False",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "a row whose deadline passes in flight is told that it is not written",
        (
            "deadlines.py",
            '        error = self._unknown("its deadline passed while its batch was in flight", None)',
            '        error = DeadlineExceededError("late")',
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "a row that the caller changes afterwards is stored changed",
        (
            "snapshots.py",
            " and _is_left_out(value) else _frozen(value)",
            " and _is_left_out(value) else value",
        ),
        tests=("tests/test_rows.py", *_CONFORMANCE),
    ),
    _trap(
        "callers share one error object",
        ("delivery.py", "            return verdict.for_row(None, attempts=tries)", "            return verdict"),
        (
            "plans.py",
            "    mine = error.for_row(backend.row_mapping(plan, row), attempts=attempts)",
            "    mine = error if error.attempts else error.for_row(backend.row_mapping(plan, row), attempts=attempts)",
        ),
        tests=_CONFORMANCE,
    ),
    _trap(
        "the statistics lose a row whose caller has gone",
        (
            "flights.py",
            "met its fate all the same.\n        batch.epoch.add(fate)",
            "met its fate all the same.\n        if not waiter.cancelled():\n            batch.epoch.add(fate)",
        ),
        tests=("tests/test_batcher_cancel.py", "tests/test_batcher_machine.py", *_CONFORMANCE),
    ),
    _trap(
        "an attempt that was taken for lost can still commit after its rows were sent again",
        ("ledger/entries.py", "        return self.answers is None", "        return False and self.answers is None"),
        tests=("tests/test_ledger.py", "tests/test_sqlite_ledger.py", *_CONFORMANCE),
    ),
)
"""What is told, and is not so."""

SERVERS = (
    _trap(
        "PostgreSQL: a batch whose COMMIT was lost is tried again",
        (
            "backends/postgres/progress.py",
            "        return not errors.is_undoing(error)",
            "        return False",
        ),
        tests=("integration/test_postgres_truth.py", "-k", "TestTheWire"),
    ),
    _trap(
        "PostgreSQL: after a crash, the number of a transaction is taken for the one that had it before",
        (
            "backends/postgres/settling.py",
            'f"SELECT CASE WHEN i.run = $1 THEN pg_catalog.pg_xact_status($2::text::xid8) END, i.run = $1 "',
            'f"SELECT pg_catalog.pg_xact_status($2::text::xid8), i.run = $1 "',
        ),
        tests=("integration/test_postgres_truth.py", "-k", "is_not_believed_after_a_crash"),
    ),
    _trap(
        "PostgreSQL: a server that shuts down is taken for a bad row",
        ("sql/sqlstates.py", '"53", "54", "55", "57", "58",', '"53", "54", "55",'),
        tests=("tests/test_postgres_errors.py", "integration/postgres/test_faults.py"),
    ),
    _trap(
        "PostgreSQL: concurrent upserts lock their keys in any order",
        (
            "backends/postgres/writing.py",
            "order = sorted(range(len(keys)), key=keys.__getitem__)",
            "order = list(range(len(keys)))",
        ),
        tests=("integration/test_postgres_rows.py", "-k", "lock_them_in_one_order"),
    ),
    _trap(
        "PostgreSQL: a message tells a value of the row",
        (
            "backends/postgres/errors.py",
            'f"table {table}: {sqlstates.what_failed(code, constraint, column)} ({code})",',
            'f"table {table}: {said} ({code})",',
        ),
        tests=("tests/test_postgres_errors.py", "integration/test_postgres_conformance.py"),
    ),
    _trap(
        "MySQL: a value that the server has mangled counts as stored",
        (
            "backends/mysql/writing.py",
            '        if answer.warnings and mode != "delete":\n            raise NeedsCareError\n',
            "",
        ),
        tests=("integration/test_mysql_rows.py", "integration/test_mysql_types.py"),
    ),
    _trap(
        "MySQL: the counter of affected rows is taken for the fate of each",
        (
            "backends/mysql/writing.py",
            "        if len(there) != old or changed not in {0, old}:\n            raise NeedsCareError\n",
            "",
        ),
        tests=("integration/test_mysql_rows.py", "integration/test_mysql_conformance.py"),
    ),
    _trap(
        "MySQL: a batch whose COMMIT was lost is tried again",
        (
            "backends/mysql/attempting.py",
            "        is_sent = self.session is not None and self.session.is_ending",
            "        is_sent = False",
        ),
        tests=("integration/test_mysql_truth.py",),
    ),
    _trap(
        "SQLAlchemy: what fails after a COMMIT undoes what its callers hear",
        ("backends/sqlalchemy/attempting.py", "                self._reply = reply\n", ""),
        tests=("tests/test_sqlalchemy_truth.py",),
    ),
    _trap(
        "SQLAlchemy: two writers on one shared connection commit each other's halves",
        ("backends/sqlalchemy/transactions.py", "    if not isinstance(pool, sa.StaticPool):", "    if pool:"),
        tests=("tests/test_sqlalchemy_enemies.py",),
    ),
    _trap(
        "SQLAlchemy: a count of changes is believed while a trigger changes other rows",
        (
            "backends/sqlalchemy/writing.py",
            "        return is_plain and counts_rows(self._connection, statements.target.table)",
            "        return is_plain",
        ),
        tests=("tests/test_sqlalchemy_enemies.py",),
    ),
    _trap(
        "SQLAlchemy: rows are written on after a trigger has undone the transaction",
        (
            "backends/sqlalchemy/writing.py",
            "                if self._is_over(self._connection):",
            "                if False:",
        ),
        tests=("tests/test_sqlalchemy_enemies.py",),
    ),
    _trap(
        "DynamoDB: unprocessed items count as stored",
        (
            "backends/dynamodb/attempting.py",
            "        for row in left:\n            self._note(",
            "        for row in ():\n            self._note(",
        ),
        tests=("tests/test_dynamodb_attempting.py", "integration/test_dynamodb_truth.py"),
    ),
    _trap(
        "DynamoDB: a row's own item, stored by a request whose answer was lost, is taken for somebody else's",
        (
            "backends/dynamodb/attempting.py",
            "        if not self._is_again:\n            return told\n",
            "        return told\n",
        ),
        tests=("tests/test_dynamodb_attempting.py", "integration/test_dynamodb_truth.py"),
    ),
)
"""Traps of the databases themselves: the tests run on real servers."""

TRAPS = (*WAITING, *TRUTH, *SERVERS)

"""The ledger: one row for each batch, written in the batch's own transaction, by which its fate can be looked up.

A lost acknowledgement leaves open whether the batch was committed. If its identity is in the ledger, it was, and the
row also holds what every row's caller is to hear. If it is not, *settling* writes a tombstone under the same identity:
the batch's own ledger row now collides with it, so that a commit that is still on its way can no longer happen.

The identity may be the caller's own. A piece of work that is run again finds its row, writes nothing, and hears exactly
what the first run heard. A tombstone does not stand in its way: a try that finds one takes its place, by the token that
it found there. A try that has been settled never can: either its own row collides, or the token has changed.

The table, in one's own schema or created by the backend::

    CREATE TABLE bulkwriter_ledger (
        identity   VARCHAR(255) NOT NULL PRIMARY KEY,   -- of the batch, or the caller's own
        token      VARCHAR(64)  NOT NULL,               -- drawn at random for every write of the row
        work       VARCHAR(64)  NOT NULL,               -- a digest of table, operation, columns and policy
        row_count  BIGINT       NOT NULL,               -- rows of the batch
        written_at BIGINT       NOT NULL,               -- seconds since 1970, by the database's clock
        answers    TEXT                                 -- what the callers heard, as JSON; NULL in a tombstone
    );
    CREATE INDEX bulkwriter_ledger_written_at ON bulkwriter_ledger (written_at);

Several writers, also of several tables, may share one ledger. Rows are deleted by age, a few at a time, by the writers.

This module knows no driver: a backend executes the statements, each with its parameters in the order documented here.
"""

from bulkwriter.ledger.answers import decode_answers, encode_answers
from bulkwriter.ledger.entries import PRUNED_AT_ONCE, Entry, PruneCounter, Work, check_identity, digest_of
from bulkwriter.ledger.sql import DEFAULT_TABLE, Dialect, ParameterStyle, Statements, ddl, statements

DEFAULT_RETENTION = 7 * 24 * 3600.0
"""Seconds for which a row is kept: after that, a repeated piece of work is done again."""

__all__ = [
    "DEFAULT_RETENTION",
    "DEFAULT_TABLE",
    "PRUNED_AT_ONCE",
    "Dialect",
    "Entry",
    "ParameterStyle",
    "PruneCounter",
    "Statements",
    "Work",
    "check_identity",
    "ddl",
    "decode_answers",
    "digest_of",
    "encode_answers",
    "statements",
]

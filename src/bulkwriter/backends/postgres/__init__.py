"""PostgreSQL, through asyncpg: ``pip install bulkwriter[postgres]``."""

from bulkwriter.backends.postgres.backend import PostgresBackend

__all__ = ["PostgresBackend"]

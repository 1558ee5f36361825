"""Whatever SQLAlchemy has an async dialect for, as far as that dialect was run: see ``docs/sqlalchemy.md``."""

from bulkwriter.backends.sqlalchemy.backend import SQLAlchemyBackend

__all__ = ["SQLAlchemyBackend"]

"""What the backends of SQL databases have in common: how one is opened, how its errors are signed, and its ledger."""

from bulkwriter.sql.backend import KeyedPlan, SQLBackend
from bulkwriter.sql.book import BookKeeping
from bulkwriter.sql.errors import Signature

__all__ = ["BookKeeping", "KeyedPlan", "SQLBackend", "Signature"]

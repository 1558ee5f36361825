"""What the backends of SQL databases have in common: how one is opened, how its errors are signed, and its ledger."""

from bulkwriter.sql.backend import KeyedPlan, ServerBackend, SQLBackend
from bulkwriter.sql.book import BookKeeping
from bulkwriter.sql.connecting import Connecting
from bulkwriter.sql.errors import Signature

__all__ = ["BookKeeping", "Connecting", "KeyedPlan", "SQLBackend", "ServerBackend", "Signature"]

"""The proof of truth: callers and faults by chance on real servers, and every answer compared with the table."""

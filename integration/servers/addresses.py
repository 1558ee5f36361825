"""Where servers are that are not ours: the addresses that the environment names. Benchmarks ask here as tests do."""

from __future__ import annotations

import os

URL_VARIABLES = {
    "postgres": "BULKWRITER_TEST_POSTGRES_URL",
    "mariadb": "BULKWRITER_TEST_MARIADB_URL",
    "mysql": "BULKWRITER_TEST_MYSQL_URL",
    "dynamodb": "BULKWRITER_TEST_DYNAMODB_URL",
}
"""For each kind of server the variable that names one to be used, instead of whatever this machine has."""


def external_url(kind: str) -> str | None:
    """Return the address of the server to be used for tests of a kind, if the environment names one."""
    return os.environ.get(URL_VARIABLES[kind]) or None

"""A wire between a client and a server of PostgreSQL, MariaDB or MySQL that breaks when and where a test says.

``Wire`` is a TCP proxy that reads the protocol. A test names a ``Moment`` of the conversation (a COMMIT, the middle of
a COPY, a statement) and what is to happen then; the ``Fault`` that it gets counts what has truly happened.
"""

from integration.wire.faults import Fault
from integration.wire.moments import Moment, commit, copied, copying, statement
from integration.wire.mysql import MySQLDialect
from integration.wire.proxy import Wire

__all__ = ["Fault", "Moment", "MySQLDialect", "Wire", "commit", "copied", "copying", "statement"]

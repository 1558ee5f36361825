"""MySQL and MariaDB, through aiomysql: ``pip install bulkwriter[mysql]``."""

from bulkwriter.backends.mysql.backend import MySQLBackend

__all__ = ["MySQLBackend"]

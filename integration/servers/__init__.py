"""Real servers for the tests: found on this machine, started in temporary folders on loopback, stopped by their number.

``postgres_providers`` and its like say where a server comes from, ``postgres`` and its like run it, and ``registry``
keeps one of each kind for a test process. The order of the providers is the same for each kind of server:

1. an explicit URL (``BULKWRITER_TEST_POSTGRES_URL``);
2. containers;
3. binaries on this machine;
4. none: the test is skipped with every provider's reason, or fails if ``BULKWRITER_REQUIRE_SERVERS`` names the server.
"""

"""Requests that a client makes, sent over connections that are not its own.

Of what a client takes for a request, its connections take the most. A client asks who handles its event
``before-send`` whether there is an answer already: so the request goes from there, as the client has made and signed
it, and the client reads the answer as if it had sent it itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkwriter.backends.dynamodb import driver
from bulkwriter.backends.dynamodb.sending import LONG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkwriter.backends.dynamodb.bypassing import Lookout
    from bulkwriter.backends.dynamodb.connections import Connections
    from bulkwriter.backends.dynamodb.driver import Prepared


_OF_THE_CONNECTION: Final = frozenset({
    "connection", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that say how a request travels, of which the connections here know one way alone."""


class Carrier:
    """Sends what a client has made, wherever that makes no difference but in time.

    Args:
        connections: Connections like a client's own.
        lookout: Looks whether anybody else wants to see what the client sends, or to answer it.
    """

    def __init__(self, connections: Connections, lookout: Lookout) -> None:
        self._connections = connections
        self._lookout = lookout

    async def carry(self, request: Prepared) -> Any:
        """Send a request, and return its answer as the client's connections would; ``None`` if it is left to them.

        Raises:
            Exception: What the client would raise: that there is no connection, or that it broke, or nothing came.
        """
        may_be_sent = self._connections.are_understood and self._lookout.is_clear()
        headers = self._headers(request) if may_be_sent else None
        if headers is None:
            return None
        return driver.response(request.url, await self._connections.ask(headers, request.body))

    def _headers(self, request: Prepared) -> Mapping[str, str] | None:
        """Return the headers of a request; ``None`` if it is another than a client makes whom nobody interferes with.

        A handler of the user's may have changed anything before it was signed.
        """
        body = request.body
        if request.method != "POST" or request.url != self._connections.url:
            return None
        if not isinstance(body, bytes) or len(body) > LONG or driver.has_own_timeout(request):
            return None
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        # One that is of two lines would be two.
        if not all(text.isascii() and text.isprintable() for header in headers.items() for text in header):
            return None
        if headers.get("content-length") != str(len(body)) or not headers.keys().isdisjoint(_OF_THE_CONNECTION):
            return None
        return {**headers, "accept-encoding": "identity"}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")

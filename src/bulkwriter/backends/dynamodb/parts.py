"""What an open backend is made of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from bulkwriter.backends.dynamodb import driver
from bulkwriter.backends.dynamodb.bodies import Bodies
from bulkwriter.backends.dynamodb.bypassing import Lookout, bypassed_sending, what_is_bypassed
from bulkwriter.backends.dynamodb.carrying import Carrier
from bulkwriter.backends.dynamodb.direct import DirectSender, connections_like
from bulkwriter.backends.dynamodb.errors import refuse
from bulkwriter.backends.dynamodb.example import watched
from bulkwriter.backends.dynamodb.limit import CapacityLimit
from bulkwriter.backends.dynamodb.sending import ClientSender
from bulkwriter.backends.dynamodb.target import Table, describe
from bulkwriter.contract import Plan

if TYPE_CHECKING:
    from bulkwriter.backends.dynamodb.connections import Connections
    from bulkwriter.backends.dynamodb.driver import Client
    from bulkwriter.backends.dynamodb.example import Example
    from bulkwriter.backends.dynamodb.options import Options, Transport
    from bulkwriter.backends.dynamodb.sending import Sender

logger: logging.Logger = logging.getLogger("bulkwriter.dynamodb")


class Parts:
    """A client, and what is known of its table.

    Args:
        options: What the caller asked for.
        paths: Where to count attempts by the way they took.

    Attributes:
        table: The target.
        sender: What sends requests.
        transport: Who makes them.
        bodies: What makes them.
        most_requests: How many may be under way at once: one for each connection that the client has.
        connections: Lets as many requests go at once as the client has connections.
        limit: Lets as much be written as the table takes.
        lane: What the plans of all rows share.
    """

    table: Table
    sender: Sender
    transport: Transport = "client"
    bodies: Bodies
    most_requests: int
    connections: asyncio.Semaphore
    limit: CapacityLimit

    def __init__(self, options: Options, paths: dict[str, int]) -> None:
        self.options: Options = options
        self._paths = paths
        self._own = contextlib.AsyncExitStack()
        self.lane: Plan = Plan("insert", ())

    async def open(self) -> None:
        """Make a client, if none was given, and ask for the table.

        Raises:
            Exception: Whatever the client raises.
        """
        options = self.options
        client = options.client or await self._own.enter_async_context(self._new_client())
        with watched(client) as example:
            self.table = await describe(client, options.table)
        wanted = options.conflict_columns
        if wanted is not None and set(wanted) != set(self.table.key_names):
            refuse(f"conflict_columns must be the table's key ({', '.join(self.table.key_names)})", options.table)
        if options.write_token is not None and options.write_token in {*self.table.key_names, *self.table.indexed}:
            refuse("write_token must be an attribute of its own, and no key", options.table)
        key = self.table.key_names[0]
        self.bodies = Bodies(options.table, key, tells_old=options.tells_updated)
        self.most_requests = driver.connections_of(client)
        self.connections = asyncio.Semaphore(self.most_requests)
        self.limit = CapacityLimit()
        lookout = Lookout(
            client, lambda: bypassed_sending(client, example), lambda: driver.sending_functions(example.endpoint)
        )
        connections = await self._own_connections(client, example, lookout)
        carrier = None if connections is None else Carrier(connections, lookout)
        by_client = ClientSender(client, options.table, key, carrier)
        self._own.callback(by_client.close)
        bypassed = await what_is_bypassed(client, example) if options.transport != "client" else "it is wanted"
        self.sender = by_client
        if bypassed is None:
            self.transport = "direct"
            self.sender = DirectSender(client, example, by_client, connections, lookout)
        elif options.transport == "direct":
            refuse(f'transport="direct" would leave out what the client does: {bypassed}', options.table)
        elif options.transport == "auto":
            logger.info("table %s is written to through the client: %s", options.table, bypassed)

    async def close(self) -> None:
        """Close the client, unless it is the user's."""
        await self._own.aclose()

    async def _own_connections(self, client: Client, example: Example, lookout: Lookout) -> Connections | None:
        """Return connections like the client's; ``None`` if somebody else wants to see what goes over its own."""
        if not example.is_whole or not lookout.is_clear():
            return None
        connections = await connections_like(client, example)
        if connections is not None:
            self._own.callback(connections.close)
        return connections

    def count(self, path: str) -> None:
        """Count an attempt."""
        self._paths[path] = self._paths.get(path, 0) + 1

    def _new_client(self) -> Any:
        """Return what makes a client that checks nothing again, tries once, and has a connection for every request."""
        options = self.options
        config = driver.config(
            parameter_validation=False,
            max_pool_connections=options.max_connections,
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
            tcp_keepalive=True,
            **driver.introduction(options.session),
        )
        return driver.new_client(
            options.session, region_name=options.region_name, endpoint_url=options.endpoint_url, config=config
        )

"""A DynamoDB without a server, and a proxy before any DynamoDB that goes wrong when it is told to.

``http`` speaks HTTP, ``values`` and ``conditions`` know DynamoDB's rules, ``tables`` holds the rows, ``fake`` answers
requests, and ``proxy`` stands before it or before a real server.
"""

from __future__ import annotations

from integration.dynamodb.fake import FakeDynamoDB
from integration.dynamodb.proxy import Chances, FaultProxy, forward_to

__all__ = ["Chances", "FakeDynamoDB", "FaultProxy", "forward_to"]

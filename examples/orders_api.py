"""A web service that stores what it is sent: one row a request, and each request hears what became of its own row.

``DATABASE_URL=postgresql://... uvicorn examples.orders_api:app`` needs FastAPI, uvicorn and ``bulkwriter[postgres]``.
The writer lives as long as the service: uvicorn waits for the requests that it has begun, and the writer for their
rows.

==============================  ======  ============================================================================
what the writer says            status  what a client does
==============================  ======  ============================================================================
the row is stored               201
``UniqueViolationError``        409     nothing: there is an order with this number
``RowRejectedError``            422     mends its order
``NotWrittenError``             503     sends it again, after a while
``OutcomeUnknownError``         504     sends it again with the same number: if it was stored, the answer is 409
==============================  ======  ============================================================================
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from bulkwriter import (
    BulkWriterError,
    NotWrittenError,
    OutcomeUnknownError,
    RowRejectedError,
    UniqueViolationError,
    connect,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

logger = logging.getLogger("orders")

# The first that fits counts.
STATUSES: tuple[tuple[type[BulkWriterError], int], ...] = (
    (UniqueViolationError, 409),
    (RowRejectedError, 422),
    (NotWrittenError, 503),
    (OutcomeUnknownError, 504),
)


class Order(BaseModel):
    """What a client sends: a row of the table ``orders``."""

    id: int
    customer: str
    amount: int


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Open the writer before the first request, and finish what it has accepted after the last."""
    # No client waits longer than this: what is not certain by then is told as it is.
    timeout = float(os.environ.get("ORDER_TIMEOUT", "10"))
    async with connect(os.environ["DATABASE_URL"], os.environ.get("ORDERS", "orders"), timeout=timeout) as writer:
        yield {"writer": writer}


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def store(order: Order, request: Request) -> dict[str, Any]:
    """Store one order; a thousand requests at once share a few writes."""
    result = await request.state.writer.insert(order)
    return {"id": order.id, "outcome": result.outcome.value}


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Say how the writer is."""
    figures: dict[str, Any] = request.state.writer.statistics().as_dict()
    return figures


@app.exception_handler(BulkWriterError)
async def tell(_: Request, error: BulkWriterError) -> JSONResponse:
    """Answer with what became of the row. The message names table, constraint and code, never what a client sent."""
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    if not isinstance(error, RowRejectedError):
        logger.warning("%s", error)
    headers = {"Retry-After": "1"} if status == 503 else None  # noqa: PLR2004 - the table above says it
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status, headers)

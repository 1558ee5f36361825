"""Trying again to open a backend that cannot be reached yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bulkwriter.errors import MisconfigurationError, NotWrittenError

if TYPE_CHECKING:
    from bulkwriter.backend import Backend
    from bulkwriter.retry import RetryPolicy


async def open_patiently(backend: Backend, policy: RetryPolicy) -> NotWrittenError | None:
    """Open a backend, trying again while it cannot be reached; return what stood in the way to the end."""
    clock = asyncio.get_running_loop().time
    ends_at = clock() + policy.max_time
    tries = 0
    while not backend.is_open:
        try:
            await backend.open()
        except MisconfigurationError as error:
            return error
        except NotWrittenError as error:
            tries += 1
            wait = policy.backoff(tries)
            if tries >= policy.max_attempts or clock() + wait > ends_at:
                return error
            await asyncio.sleep(wait)
    return None

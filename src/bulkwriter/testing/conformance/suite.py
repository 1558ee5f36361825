"""All promises in one class, and the scene that each of its tests gets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from bulkwriter.testing.conformance.attempts import AttemptPromises
from bulkwriter.testing.conformance.columns import ColumnPromises, ReturningPromises
from bulkwriter.testing.conformance.door import DoorPromises
from bulkwriter.testing.conformance.failures import FailurePromises
from bulkwriter.testing.conformance.holding_back import HoldingBackPromises
from bulkwriter.testing.conformance.many import ManyPromises, ProcessBatchPromises
from bulkwriter.testing.conformance.opening import OpeningPromises
from bulkwriter.testing.conformance.order import OrderPromises
from bulkwriter.testing.conformance.outcomes import CoalescingPromises, OutcomePromises
from bulkwriter.testing.conformance.rejections import RejectionPromises
from bulkwriter.testing.conformance.scene import SENTINEL, Scene
from bulkwriter.testing.conformance.settling import SettlingPromises
from bulkwriter.testing.conformance.stopping import FlushPromises, StopPromises
from bulkwriter.testing.conformance.storms import StormPromises
from bulkwriter.testing.conformance.waiting import CancellationPromises, DeadlinePromises, QueuePromises

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkwriter.testing.conformance.target import Target


@pytest.mark.asyncio
class ConformanceSuite(
    OutcomePromises,
    CoalescingPromises,
    RejectionPromises,
    DoorPromises,
    ColumnPromises,
    ReturningPromises,
    OrderPromises,
    FailurePromises,
    HoldingBackPromises,
    SettlingPromises,
    DeadlinePromises,
    QueuePromises,
    CancellationPromises,
    StopPromises,
    FlushPromises,
    ManyPromises,
    ProcessBatchPromises,
    OpeningPromises,
    AttemptPromises,
    StormPromises,
):
    """What every backend promises. Derive a test class from it and give it a fixture named ``target``."""

    @pytest.fixture
    def target(self) -> Target:
        """Return a fresh, empty table; to be overridden, by a fixture of any kind."""
        message = f"{type(self).__name__} needs a fixture named target that returns a Target over a fresh table"
        raise NotImplementedError(message)

    @pytest_asyncio.fixture
    async def scene(self, target: Target, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Scene]:
        """Set the scene for one test, and after it check that callers, table, errors, logs and figures agree."""
        caplog.set_level(logging.DEBUG, logger="bulkwriter")
        scene = Scene(target)
        try:
            yield scene
        finally:
            await scene.close()
        await scene.check()
        assert SENTINEL not in caplog.text, f"a log line tells a value: {caplog.text}"

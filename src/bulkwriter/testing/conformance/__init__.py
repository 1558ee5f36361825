"""The suite that every backend passes: what the library promises, asked of one backend after the other.

For a backend of your own, describe its table by a ``Target`` and give it to the suite (this needs pytest and
pytest-asyncio)::

    import pytest_asyncio
    from bulkwriter.testing.conformance import ConformanceSuite, Target

    class MyTarget(Target):
        ...

    class TestMyBackend(ConformanceSuite):
        @pytest_asyncio.fixture
        async def target(self):
            async with my_database() as database:
                yield MyTarget(database)

Each test states one promise. Failures of the database are brought about by ``FaultScript.wrap``, so that they are the
same for every backend. After every test, what the callers were told is compared with what is stored, the statistics
with what the callers were told, and every error and log line is searched for values of the rows.

Where they differ, the test fails with ``MismatchError``: if your runner tries failed tests again, except this one.

A backend may decline what its ``Capabilities`` declare, and nothing else: such tests are skipped, and pytest's ``-rs``
lists them with the reason ``declined: ...``.
"""

import pytest

# Before the modules are imported, or their assertions would fail without a word.
for _module in (
    "attempts", "columns", "door", "failures", "holding_back", "many", "opening", "order", "outcomes", "rejections",
    "scene", "settling", "stopping", "storms", "suite", "told", "waiting",
):  # fmt: skip
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from bulkwriter.testing.conformance.scene import Scene  # noqa: E402
from bulkwriter.testing.conformance.suite import ConformanceSuite  # noqa: E402
from bulkwriter.testing.conformance.target import Target  # noqa: E402
from bulkwriter.testing.conformance.told import MismatchError  # noqa: E402

__all__ = ["ConformanceSuite", "MismatchError", "Scene", "Target"]

"""The adapters that async-batcher ships, in the settings that its documentation has."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy
from async_batcher.sqlalchemy.write import AsyncSqlalchemyWriteBatcher
from sqlalchemy.ext.asyncio import create_async_engine

from scorecard.ways import BATCH, Way

if TYPE_CHECKING:
    from scorecard.calls import Row

ITEMS = sqlalchemy.Table(
    "items",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("id", sqlalchemy.BigInteger, primary_key=True, autoincrement=False),
    sqlalchemy.Column("name", sqlalchemy.String(100), nullable=False),
    sqlalchemy.Column("amount", sqlalchemy.BigInteger),
)


class Adapted(Way):
    """A batcher of async-batcher's, made by ``batcher``."""

    name: ClassVar[str] = "async-batcher"

    @abc.abstractmethod
    def batcher(self) -> Any:
        """Return the batcher."""

    async def open(self) -> None:
        """Make it; it starts with the first row."""
        self._batcher = self.batcher()

    async def insert(self, row: Row) -> None:
        """Hand it over."""
        await self._batcher.process(row)

    async def stop(self) -> None:
        """Stop it in good order."""
        await self._batcher.stop()


class SQLAlchemyAdapter(Adapted):
    """``AsyncSqlalchemyWriteBatcher``."""

    name = "async-batcher: AsyncSqlalchemyWriteBatcher"
    configured = f"`max_batch_size={BATCH}`, all else by default; an engine with `pool_pre_ping=True`"

    @abc.abstractmethod
    def address(self) -> tuple[str, dict[str, Any]]:
        """Return the engine's URL, and what the driver is told."""

    def batcher(self) -> Any:
        """Return it, over an engine."""
        url, arguments = self.address()
        self._engine = create_async_engine(url, connect_args=arguments, pool_pre_ping=True)
        return AsyncSqlalchemyWriteBatcher(ITEMS, self._engine, max_batch_size=BATCH)

    async def close(self) -> None:
        """Dispose of the engine."""
        await self._engine.dispose()

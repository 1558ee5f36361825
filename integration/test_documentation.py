"""Those blocks of the documentation that need a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.test_documentation import ROOT, blocks_of, run_blocks

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from integration.servers.mysql_scratch import MySQLScratch
    from integration.servers.scratch import Scratch

PAGE = ROOT / "docs" / "postgres.md"
ADDRESS = "postgresql://app:secret@localhost/shop"
MYSQL_PAGE = ROOT / "docs" / "mysql.md"
MYSQL_ADDRESS = "mysql://app:secret@localhost/shop"


async def test_what_the_page_on_postgresql_shows_is_so(
    postgres: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who copies its blocks gets what is written there."""
    monkeypatch.chdir(tmp_path)
    # The page's tables are where a new session looks first.
    await postgres.execute(f"ALTER ROLE writer SET search_path = {postgres.schema}")
    try:
        await run_blocks(PAGE, monkeypatch, {"needs PostgreSQL": (ADDRESS, postgres.url)})
        assert await postgres.value("SELECT count(*) FROM stock") == 4
    finally:
        await postgres.execute("ALTER ROLE writer RESET search_path")


def test_every_block_of_the_page_is_run() -> None:
    """None needs anything else."""
    reasons = {block.reason for block in blocks_of(PAGE) if block.language == "python"}
    assert reasons == {"needs PostgreSQL"}


async def test_what_the_page_on_mysql_shows_is_so(
    mysql: MySQLScratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the table that it shows."""
    monkeypatch.chdir(tmp_path)
    (table,) = [block.text for block in blocks_of(MYSQL_PAGE) if block.language == "sql"]
    await mysql.execute(table)
    await run_blocks(MYSQL_PAGE, monkeypatch, {"needs MySQL": (MYSQL_ADDRESS, mysql.url)})
    assert await mysql.value("SELECT COUNT(*) FROM stock") == 3


def test_every_block_of_the_page_on_mysql_is_run() -> None:
    """None needs anything else."""
    reasons = {block.reason for block in blocks_of(MYSQL_PAGE) if block.language == "python"}
    assert reasons == {"needs MySQL"}

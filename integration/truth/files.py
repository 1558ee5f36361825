"""A table in a SQLite file, and what can go wrong with a file that others use as well."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulkwriter import errors
from bulkwriter.errors import OutcomeUnknownError
from bulkwriter.results import INSERTED
from bulkwriter.testing.conformance import MismatchError, Target
from bulkwriter.testing.conformance.told import Telling
from integration.faults.stage import CREATE_TABLE
from integration.truth.arenas import Arena
from integration.truth.callers import KEYS
from integration.truth.doomed import backend_on
from integration.truth.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkwriter import WriteResult
    from bulkwriter.errors import BulkWriterError

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]

# Seconds in which a process has begun to write, also where there is much else to do.
_PATIENCE = 30.0

# The callers' own keys come before these.
_FIRST_OF_THE_DOOMED = 1000 + KEYS


class FileTarget(Target):
    """The table in a file.

    Args:
        path: The file.
        way: How it is written to: ``"sqlite"``, or ``"sqlalchemy"``.
    """

    def __init__(self, path: Path, way: str) -> None:
        self.path = path
        self.way = way

    def backend(self, **options: Any) -> Any:
        """Return a backend over the table."""
        return backend_on(str(self.path), self.way, **options)

    def backend_without_table(self) -> Any:
        """Do not: what asks for one is the conformance suite, which is run on files elsewhere."""
        message = "the table of a soak is always there"
        raise NotImplementedError(message)

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return what is stored, of a file that is sound."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            return [dict(row) for row in connection.execute("SELECT id, name, amount, note FROM items")]


class FileTrouble(Trouble):
    """What befalls a file."""

    async def lock(self) -> int:
        """Somebody else holds the write lock, perhaps for longer than an attempt may take."""
        return await self._hold("BEGIN IMMEDIATE", "ROLLBACK", 1.5)

    async def read(self) -> int:
        """Somebody else reads for a while: without a WAL, nobody can commit meanwhile."""
        return await self._hold("BEGIN", "COMMIT", 1.0, "SELECT count(*) FROM items")

    async def _hold(self, begin: str, end: str, longest: float, *then: str) -> int:
        arena = self.arena
        has_begun = [await arena.say(sql) for sql in (begin, *then)]
        await asyncio.sleep(self.chance.uniform(0.01, longest))
        await arena.say(end)
        return int(all(has_begun))

    async def vacuum(self) -> int:
        """Somebody else writes the whole file anew."""
        return int(await self.arena.say("VACUUM"))

    async def change(self) -> int:
        """Somebody else changes the table: statements are to be prepared again."""
        arena = self.arena
        made = await arena.say("CREATE INDEX IF NOT EXISTS by_name ON items (name)")
        await asyncio.sleep(self.chance.uniform(0, 0.05))
        return int(await arena.say("DROP INDEX IF EXISTS by_name") and made)

    async def watch(self) -> int:
        """Somebody else puts a trigger on the table, which writes elsewhere, and takes it away again."""
        arena = self.arena
        body = "AFTER INSERT ON items BEGIN INSERT INTO log VALUES (new.id), (new.id); END"
        made = await arena.say(f"CREATE TRIGGER IF NOT EXISTS watched {body}")
        await asyncio.sleep(self.chance.uniform(0.05, 0.3))
        await arena.say("DROP TRIGGER IF EXISTS watched")
        return int(made)

    async def fill_disk(self) -> int:
        """There is no room for a while; it counts if rows had to be tried again."""
        before = self.writer.statistics().retries
        ballast = self.arena.folder / "ballast"
        await asyncio.to_thread(_fill, ballast)
        await asyncio.sleep(self.chance.uniform(0.05, 0.5))
        ballast.unlink()
        return int(self.writer.statistics().retries > before)

    async def kill_writer(self) -> int:
        """Another process of the library's writes to the file as well, and is killed in the midst of it."""
        return int(await self.arena.let_another_die(self.chance.uniform(0.01, 0.3)))


FILE_KINDS: dict[str, tuple[float, Any]] = {
    "write lock held": (2, FileTrouble.lock),
    "reader holds on": (1, FileTrouble.read),
    "file vacuumed": (1, FileTrouble.vacuum),
    "table changed": (1, FileTrouble.change),
    "trigger comes and goes": (1, FileTrouble.watch),
    "disk full": (2, FileTrouble.fill_disk),
    "process killed": (1, FileTrouble.kill_writer),
}
"""How likely each is, and what it does."""


class FileArena(Arena):
    """A file on a small disk, with a rival. An async context manager.

    Args:
        folder: The disk.
        way: How the file is written to.

    Attributes:
        folder: The disk.
    """

    trouble = FileTrouble
    kinds = FILE_KINDS

    def __init__(self, folder: Path, way: str) -> None:
        self.folder = folder
        self._path = folder / "truth.db"
        self._way = way
        self._rival: Any = None
        # Every other run has no WAL.
        self._modes = itertools.cycle(("WAL", "DELETE"))
        self._numbers = itertools.count(_FIRST_OF_THE_DOOMED, 10**6)
        super().__init__(FileTarget(self._path, way))

    def __repr__(self) -> str:
        return f"<SQLite {sqlite3.sqlite_version} by {self._way}>"

    async def make_table(self) -> None:
        """Make the file anew."""
        await self.close()
        self.tellings.clear()
        for file in self.folder.glob("truth.db*"):
            file.unlink()
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {next(self._modes)}")
            connection.execute(CREATE_TABLE.format(key="PRIMARY KEY"))
            connection.execute("CREATE TABLE log (id integer)")
        self._rival = await _started("rival", self._path)

    def calm(self) -> None:
        """Do nothing: whatever came has gone again."""

    async def close(self) -> None:
        """Send the rival away."""
        if self._rival is not None:
            await _ended(self._rival)
            self._rival = None

    async def say(self, sql: str) -> bool:
        """Let the rival run a statement; return whether it could."""
        self._rival.stdin.write(f"{sql}\n".encode())
        return bool((await self._rival.stdout.readline()).strip() == b"ok")

    async def let_another_die(self, after: float) -> bool:
        """Let another process write to the file, and kill it some time after it has begun to be answered.

        Returns:
            Whether rows were on their way when it was killed.
        """
        other = await _started("doomed", self._path, self._way, next(self._numbers))
        said: list[str] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while not any(line.startswith("=") for line in said):
                    said.append((await other.stdout.readline()).decode())
        await asyncio.sleep(after)
        said += (await _ended(other)).decode().splitlines()
        told = _tellings(said)
        self.tellings += told
        return any(isinstance(telling.answer, OutcomeUnknownError) for telling in told)


def _tellings(said: Sequence[str]) -> list[Telling]:
    """Return what a process that is no more has told its callers; those that it has not answered do not know."""
    told: dict[int, Telling] = {}
    for line in said:
        # It may have been cut off in the midst of a line only if that was longer than a pipe takes at once.
        match line.split():
            case ["+", number]:
                row = {"id": int(number), "name": f"row {number}", "amount": int(number)}
                told[int(number)] = Telling(row, "error", answer=OutcomeUnknownError("killed"))
            case ["=", number, answer]:
                told[int(number)].answer = _answer(answer)
            case other:
                message = f"a process said {other}"
                raise MismatchError(message)
    return list(told.values())


def _answer(word: str) -> WriteResult | BulkWriterError:
    """Return what was told in a word."""
    if word == "inserted":
        return INSERTED
    kind: type[BulkWriterError] = getattr(errors, f"{word}Error")
    return kind("told by a process that is no more")


async def _started(program: str, *arguments: object) -> Any:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"integration.truth.{program}",
        *map(str, arguments),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def _ended(process: Any) -> bytes:
    """Kill a process, and return what it had said that nobody has read yet."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    # First: asyncio waits for the end of the pipe, too, and reads no more of it than so much that nobody takes.
    said: bytes = await process.stdout.read()
    await process.wait()
    return said


def _fill(file: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))

"""A URL and options in, a writer out; what is wrong is said before anything is opened."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url

from bulkwriter.backend import Backend
from bulkwriter.backends.sqlalchemy import SQLAlchemyBackend
from bulkwriter.backends.sqlite import SQLiteBackend
from bulkwriter.connect import _keyword_options, _sqlite_arguments, connect
from bulkwriter.errors import MisconfigurationError
from bulkwriter.results import INSERTED
from bulkwriter.writer import BulkWriter

PASSWORD = "s3cret"  # noqa: S105 - what no message may show


def make_table(path: Path | str) -> None:
    """Make a file with the table ``events`` in it."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, name TEXT)")
    connection.close()


def stored(path: Path | str) -> list[Any]:
    """Return the rows of ``events``."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT id, name FROM events ORDER BY id").fetchall()
    connection.close()
    return rows


def files_in(folder: Path) -> list[str]:
    """Return the names of what is in a folder."""
    return [path.name for path in folder.iterdir()]


class TestSQLite:
    """The one backend that needs nothing but Python."""

    async def test_three_slashes_are_a_path_from_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the writer says is stored is in that file."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "data").mkdir()
        make_table("data/events.db")
        async with connect("sqlite:///data/events.db", "events") as writer:
            assert await writer.insert({"id": 1, "name": "a"}) == INSERTED
        assert stored(tmp_path / "data" / "events.db") == [(1, "a")]

    async def test_four_slashes_are_an_absolute_path(self, tmp_path: Path) -> None:
        """As in SQLAlchemy's URLs."""
        make_table(tmp_path / "events.db")
        async with connect(f"sqlite:///{tmp_path}/events.db", "events") as writer:
            assert await writer.insert({"id": 1}) == INSERTED
        assert stored(tmp_path / "events.db") == [(1, None)]

    async def test_a_path_is_percent_decoded(self, tmp_path: Path) -> None:
        """So that any file can be named; a plus stays a plus."""
        name = "a b+ü?#%.db"
        make_table(tmp_path / name)
        async with connect(f"sqlite:///{tmp_path}/a%20b+%C3%BC%3F%23%25.db", "events") as writer:
            await writer.insert({"id": 1})
        assert stored(tmp_path / name) == [(1, None)]

    def test_a_percent_code_stands_for_a_byte(self) -> None:
        """Not every file's name is text; to replace what is not would name another file."""
        assert os.fsencode(_sqlite_arguments(urlsplit("sqlite:///%FF.db"))["path"]) == b"\xff.db"

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "SQLite://"])
    async def test_a_database_in_memory_has_no_path(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No file appears."""
        monkeypatch.chdir(tmp_path)
        async with connect(url, "events", setup="CREATE TABLE events (id INTEGER PRIMARY KEY)") as writer:
            assert await writer.insert({"id": 1}) == INSERTED
        assert files_in(tmp_path) == []

    async def test_options_go_to_the_backend_and_to_the_writer(self, tmp_path: Path) -> None:
        """Whoever has an option of that name gets it."""
        make_table(tmp_path / "events.db")
        writer = connect(
            f"sqlite:///{tmp_path}/events.db", "events", columns=["id", "name"], on_conflict="skip", name="audit"
        )
        async with writer:
            assert await writer.insert((1, "a")) == INSERTED
            assert (await writer.insert((1, "b"))).outcome.value == "skipped"
            assert "audit" in repr(writer)

    def test_connecting_opens_nothing(self, tmp_path: Path) -> None:
        """Neither file nor thread nor event loop is needed before the first use."""
        writer = connect(f"sqlite:///{tmp_path}/absent/events.db", "events")
        assert isinstance(writer, BulkWriter)
        assert files_in(tmp_path) == []

    @pytest.mark.parametrize("url", ["sqlite://events.db", "sqlite://host/events.db", f"sqlite://u:{PASSWORD}@h/x.db"])
    def test_a_path_behind_two_slashes_is_refused(self, url: str) -> None:
        """It would be taken for a host, and its data lost in memory."""
        with pytest.raises(MisconfigurationError, match="three slashes before a relative path") as raised:
            connect(url, "events")
        assert PASSWORD not in str(raised.value)

    @pytest.mark.parametrize("end", ["?mode=ro", "?timeout=5", "#part", "?a#b"])
    def test_what_follows_the_path_is_refused_not_ignored(self, end: str) -> None:
        """An option that is silently dropped is worse than an error."""
        with pytest.raises(MisconfigurationError, match=r"give options as keywords of connect\(\)"):
            connect(f"sqlite:///events.db{end}", "events")


class TestSchemes:
    """What the scheme decides, and what is said where it decides nothing."""

    @pytest.mark.parametrize("scheme", ["oracle", "redis"])
    def test_a_scheme_without_a_backend_is_named_beside_those_that_have_one(self, scheme: str) -> None:
        """And nothing is promised that cannot be installed; the password is not shown."""
        with pytest.raises(MisconfigurationError) as raised:
            connect(f"{scheme}://user:{PASSWORD}@host/db", "events")
        there = "dynamodb://, mariadb://, mysql://, postgres://, postgresql://, sqlite://, dialect+driver://"
        assert str(raised.value) == f"this version has no backend for {scheme}:// URLs, only for: {there}"

    @pytest.mark.parametrize("end", ["/data/events.db", "//srv/data/events.db", "", "/x.db?timeout=3"])
    def test_a_dialect_and_a_driver_mean_sqlalchemy(self, end: str) -> None:
        """It reads the URL as it was given."""
        writer = connect(f"sqlite+aiosqlite://{end}", "events")
        backend = writer._backend
        assert isinstance(backend, SQLAlchemyBackend)
        assert backend._options.url == make_url(f"sqlite+aiosqlite://{end}")

    @pytest.mark.parametrize(
        "url", ["", "events.db", "/srv/events.db", "://x", f"user:{PASSWORD}@host", f"{PASSWORD}@host://x", "sqlite:x"]
    )
    def test_what_has_no_scheme_is_no_url(self, url: str) -> None:
        """The message says what one looks like, and shows nothing of what was given."""
        with pytest.raises(MisconfigurationError, match="must begin with a scheme and ://") as raised:
            connect(url, "events")
        assert PASSWORD not in str(raised.value)

    def test_a_malformed_host_is_refused_without_being_shown(self) -> None:
        """Python's own message would quote it, with the password."""
        with pytest.raises(MisconfigurationError, match="is no host") as raised:
            connect(f"postgresql://user:{PASSWORD}@[::1/db", "events")
        assert PASSWORD not in str(raised.value)
        assert raised.value.__cause__ is None

    @pytest.mark.parametrize("url", [None, b"sqlite://", Path("events.db"), 1], ids=repr)
    def test_a_url_is_a_str(self, url: Any) -> None:
        """A path or an engine belongs to a backend's constructor."""
        with pytest.raises(TypeError, match=f"url must be a str .* not {type(url).__name__}"):
            connect(url, "events")


class TestOptions:
    """Options are the constructors' own: no name is swallowed."""

    @pytest.mark.parametrize(
        ("option", "hint"),
        [
            ("max_batch_sise", "; did you mean max_batch_size"),
            ("on_conflicts", "; did you mean on_conflict"),
            ("path", ""),
            ("zzz", ""),
        ],
    )
    def test_an_unknown_option_is_an_error_that_names_what_is_alike(self, option: str, hint: str) -> None:
        """Whether it is the writer's or the backend's that was meant."""
        with pytest.raises(TypeError, match=f"no option '{option}' for SQLiteBackend{hint}"):
            connect("sqlite://", "events", **{option: 1})

    @pytest.mark.parametrize(
        ("options", "error"),
        [({"max_batch_size": 0}, ValueError), ({"on_conflict": "replace"}, MisconfigurationError)],
        ids=["writer", "backend"],
    )
    def test_a_wrong_value_is_refused_by_whom_it_is_for(self, options: dict[str, Any], error: type[Exception]) -> None:
        """With the same error as from the constructor itself."""
        with pytest.raises(error, match=next(iter(options))):
            connect("sqlite://", "events", **options)

    def test_no_option_belongs_to_both_the_backend_and_the_writer(self) -> None:
        """``connect`` could not tell for which of them it is."""
        assert issubclass(SQLiteBackend, Backend)
        assert set(_keyword_options(SQLiteBackend)).isdisjoint(_keyword_options(BulkWriter))
        assert "on_conflict" in _keyword_options(SQLiteBackend)
        assert "max_batch_size" in _keyword_options(BulkWriter)


def test_no_driver_is_loaded_before_it_is_asked_for() -> None:
    """Not even the standard library's."""
    script = (
        f"import sys; sys.path[:] = {list(filter(None, sys.path))!r}\n"
        "import bulkwriter.connect\n"
        "raise SystemExit('sqlite3 is loaded' if 'sqlite3' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr

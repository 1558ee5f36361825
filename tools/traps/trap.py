"""A trap: a defect that bulk writers have had, and how to plant it into this one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class MissingPlaceError(Exception):
    """The source no longer has, or has twice, the words that a trap replaces."""


@dataclasses.dataclass(frozen=True)
class Edit:
    """One replacement.

    Attributes:
        file: Below ``src/bulkwriter/``.
        old: What is there, exactly once.
        new: What takes its place.
    """

    file: str
    old: str
    new: str

    def applied(self, package: Path) -> str:
        """Return the file's new text.

        Raises:
            MissingPlaceError: ``old`` is not in it exactly once.
        """
        text = (package / self.file).read_text()
        if (found := text.count(self.old)) != 1:
            message = f"{self.file} has {self.old!r} {found} times, and not once"
            raise MissingPlaceError(message)
        return text.replace(self.old, self.new)


@dataclasses.dataclass(frozen=True)
class Trap:
    """A defect, and the tests that must notice it.

    Attributes:
        name: What goes wrong, in a few words.
        edits: What plants it.
        tests: Arguments of pytest: where to look first.
    """

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    @property
    def needs_servers(self) -> bool:
        """Whether these tests start real servers."""
        return any(test.startswith("integration/") for test in self.tests)

    def plant(self, package: Path) -> None:
        """Change a copy of the package."""
        for edit in self.edits:
            text = edit.applied(package)
            (package / edit.file).write_text(text)

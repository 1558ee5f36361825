"""Every Python block of the documentation is run, and says what it prints.

The blocks of a file are run in order and share their names, in an empty folder; ``await`` may stand at top level. What
stands as a comment behind a ``print`` is what it prints, where it is not prose: words that begin in lower case. A block
that truly cannot run here has a comment above it: ``<!-- not run: needs PostgreSQL -->``; where that server is at hand,
in ``integration/``, it is run as well.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import dataclasses
import inspect
import re
import shlex
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"( *)(```+|~~~+) *([^`\s]*)")
NOT_RUN = re.compile(r"<!-- not run: (needs .+) -->")
# In another spelling a block would pass for text, and never be run.
MISSPELLED = {"py", "python3", "pycon", "ipython", "bash", "shell", "zsh", "shell-session"}


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: What stands behind the fence.
        text: What stands between the fences, not indented.
        line: The line of its first fence, counted from 1.
        reason: Why it is not run; ``None`` for one that is.
    """

    language: str
    text: str
    line: int
    reason: str | None


def blocks_of(path: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown file."""
    lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))
    before = ""
    for number, line in lines:
        opening = FENCE.fullmatch(line.rstrip())
        if opening:
            indent, fence, language = opening.groups()
            assert language.lower() not in MISSPELLED, f"{path.name}:{number}: say python, or sh, not {language}"
            text = []
            for _, inner in lines:
                if inner.strip().startswith(fence) and not inner.strip().strip(fence[0]):
                    break
                text.append(inner[min(len(indent), len(inner) - len(inner.lstrip())) :])
            else:
                pytest.fail(f"{path.name}:{number}: this block has no end")
            marker = NOT_RUN.fullmatch(before)
            yield Block(language, "\n".join(text), number, marker[1] if marker else None)
        else:
            assert "```" not in line, f"{path.name}:{number}: a fence begins its line, and has one word behind it"
        before = line.strip() or before


async def run_blocks(
    path: Path, monkeypatch: pytest.MonkeyPatch, at_hand: Mapping[str, tuple[str, str]] | None = None
) -> None:
    """Run the Python blocks of a file, each with the names of those before it.

    Args:
        path: The file.
        monkeypatch: Pytest's.
        at_hand: By the reason why blocks are not run, what is at hand all the same: the address that stands in them,
            and the one to put in its place.
    """
    at_hand = at_hand or {}
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    vars(module)["print"] = checking_print(path)
    for block in blocks_of(path):
        if block.language != "python" or (block.reason is not None and block.reason not in at_hand):
            continue
        there, here = at_hand.get(block.reason or "", ("", ""))
        # As many empty lines before it as there are lines above: a traceback then shows the line of the document.
        code = compile(
            "\n" * block.line + (block.text.replace(there, here) if there else block.text),
            str(path),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        if "asyncio.run(" in block.text:
            # It makes a loop of its own, which cannot be done where one runs.
            await asyncio.to_thread(eval, code, vars(module))
            continue
        result = eval(code, vars(module))  # noqa: S307 - our own documentation
        if inspect.iscoroutine(result):
            await result


def checking_print(path: Path) -> Any:
    """Return a ``print`` that compares what it prints with the comment behind it."""
    lines = path.read_text(encoding="utf-8").splitlines()

    def print_checked(*values: object, sep: str | None = None, **options: Any) -> None:
        builtins.print(*values, sep=sep, **options)  # noqa: T201 - as the document says
        frame = sys._getframe(1)
        _, _, comment = lines[frame.f_lineno - 1].partition("  # ")
        if frame.f_code.co_filename == str(path) and comment and not re.match(r"[a-z]\S* ", comment):
            printed = (" " if sep is None else sep).join(map(str, values))
            said = ".*".join(map(re.escape, comment.strip().split("…")))
            assert re.fullmatch(said, printed), f"{path.name}:{frame.f_lineno}: it prints {printed!r}"

    return print_checked


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
class TestDocumentation:
    """What the documentation shows is so."""

    async def test_every_python_block_runs_and_prints_what_it_says(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reader who copies a block gets what is written there."""
        monkeypatch.chdir(tmp_path)
        await run_blocks(path, monkeypatch)

    def test_every_command_can_be_given(self, path: Path) -> None:
        """The targets of ``make`` are in the Makefile, and the scripts are where they are called."""
        missing = [
            wrong for block in blocks_of(path) if block.language in {"sh", "console"} for wrong in unknown(block)
        ]
        assert not missing, f"{path.name}: there is no {missing}"

    def test_every_file_that_is_linked_to_is_there(self, path: Path) -> None:
        """Links to other sites are left to their readers."""
        links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", path.read_text(encoding="utf-8"))
        missing = [link for link in links if not (path.parent / link).exists()]
        assert not missing, f"{path.name} links to {missing}"


def unknown(block: Block) -> list[str]:
    """Return the targets and scripts in a block of shell commands that do not exist."""
    targets = re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    missing = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] == ["make"]:
            named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
            missing += [f"make {word}" for word in named if word not in targets]
        elif words[:1] in (["python"], ["python3"]):
            missing += [word for word in words[1:] if word.endswith(".py") and not (ROOT / word).exists()]
    return missing


class TestHarness:
    """A check that cannot fail checks nothing."""

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("```python\nraise LookupError\n```", LookupError),
            ("text\n\n1. a list\n\n   ```python\n   raise LookupError\n   ```", LookupError),
            ("```python\nx = 1\n```\n\n```python\nassert x == 2\n```", AssertionError),
            ("```python\nimport asyncio\nawait asyncio.sleep(0)\nraise LookupError\n```", LookupError),
            (
                "```python\nimport asyncio\nasync def main():\n    raise LookupError\nasyncio.run(main())\n```",
                LookupError,
            ),
            ("```python\nprint(1 + 1)  # 3\n```", AssertionError),
            ("```python\nprint('a', 'b', sep='-')  # A…b\n```", AssertionError),
            ("~~~~python\nx =\n~~~~", SyntaxError),
            ("<!-- not run: too lazy -->\n```python\nraise LookupError\n```", LookupError),
            ("<!-- not run: needs a reason -->\n\ntext\n\n```python\nraise LookupError\n```", LookupError),
            ("```py\n1\n```", AssertionError),
            ("```python title=a\n1\n```", AssertionError),
            ("> ```python\n> 1\n> ```", AssertionError),
            ("```python\n1\n", pytest.fail.Exception),
        ],
    )
    async def test_what_is_wrong_is_found(
        self, text: str, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A block that raises, prints something else, is no Python, or would not have been run."""
        path = tmp_path / "page.md"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(error):
            await run_blocks(path, monkeypatch)

    async def test_what_is_right_passes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Names are shared, output is compared, prose and what cannot run are left alone."""
        path = tmp_path / "page.md"
        path.write_text(
            "```python\nimport asyncio\nx = await asyncio.sleep(0, 2)\nprint(x, 3)  # 2 3\n```\n"
            "```python\nprint(x, 'ab')  # 2 …b\nprint(x)  # what came of it\nprint('a')  # a\n```\n"
            "<!-- not run: needs a server -->\n```python\nraise LookupError\n```\n"
            "```text\nno Python at all\n```\n",
            encoding="utf-8",
        )
        await run_blocks(path, monkeypatch)

    def test_a_traceback_names_the_line_of_the_document(self) -> None:
        """Blocks keep the place they have in their file."""
        readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        for block in blocks_of(ROOT / "README.md"):
            assert readme[block.line].strip() == block.text.partition("\n")[0].strip()

    def test_commands_that_cannot_be_given_are_found(self) -> None:
        """Options, variables and comments are none of make's targets."""
        text = "make\n$ make -k test nonesuch ARGS='-k a'  # c\npython nonesuch.py \\\n --x\npip install nonesuch"
        assert unknown(Block("sh", text, 1, None)) == ["make nonesuch", "nonesuch.py"]

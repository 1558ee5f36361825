"""Writes the tables of ``docs/capabilities.md`` from what each backend declares: ``python3 -m tools.capabilities``.

A backend whose driver is not installed cannot be asked: its column stays as it stands in the document.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import bulkwriter.backends
from bulkwriter.backend import Backend
from bulkwriter.contract import Capabilities, Limits
from bulkwriter.testing import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENT = Path(__file__).parents[1] / "docs" / "capabilities.md"
TABLE = re.compile(r"(<!-- (\w+): written by tools/capabilities.py -->\n).*?(<!-- end -->)", re.DOTALL)

CAPABILITIES = {
    "on_conflict": "`on_conflict=`",
    "tells_updated": "tells `INSERTED` from `UPDATED` in an upsert; else both are `STORED`",
    "expressions": "`update_columns=` with names or expressions, and `update_where=`",
    "returning": "`returning=`",
    "delete": "`delete`",
    "ledger": "`ledger=True`",
    "settles": "settles a lost acknowledgement without a ledger",
    "isolates": "finds bad rows itself; else the engine splits the batch",
    "constraints": "NOT NULL, CHECK and foreign keys",
    "defaults": "defaults for columns that a row leaves out",
    "processes": "several processes may write to one target",
}
LIMITS = {
    "max_batch_size": "rows that fill a batch",
    "max_batch_bytes": "bytes that fill a batch",
    "concurrency": "batches in flight at once",
    "max_queue_size": "rows in the queue",
    "max_queue_bytes": "bytes in the queue",
    "hard_batch_size": "rows that the database takes in one batch",
    "hard_batch_bytes": "bytes that the database takes in one batch",
}


def backends() -> dict[str, type[Backend]]:
    """Return by name every shipped backend that can be imported here."""
    found: dict[str, type[Backend]] = {}
    for module in pkgutil.iter_modules(bulkwriter.backends.__path__, "bulkwriter.backends."):
        try:
            loaded = importlib.import_module(module.name)
        except ImportError:
            continue
        for value in vars(loaded).values():
            if inspect.isclass(value) and issubclass(value, Backend) and not inspect.isabstract(value):
                found[value.__name__] = value
    return {**dict(sorted(found.items())), MemoryBackend.__name__: MemoryBackend}


def columns() -> dict[str, dict[str, dict[str, str]]]:
    """Return by table and backend the cells by attribute."""
    tables: dict[str, dict[str, dict[str, str]]] = {"capabilities": {}, "limits": {}}
    for name, backend in backends().items():
        can = backend.capabilities
        tables["capabilities"][name] = {field: _capability(getattr(can, field)) for field in CAPABILITIES}
        tables["limits"][name] = {field: _number(getattr(backend.limits, field)) for field in LIMITS}
    return tables


def updated(document: str) -> str:
    """Return the document with its tables as they must be; columns of backends that cannot be asked stay."""
    found = columns()

    def replaced(match: re.Match[str]) -> str:
        start, name, end = match.group(1), match.group(2), match.group(3)
        texts = CAPABILITIES if name == "capabilities" else LIMITS
        cells = {**_cells(match.group(0), texts), **found[name]}
        return start + _table(texts, cells) + end

    return TABLE.sub(replaced, document)


def check_fields() -> None:
    """Check that no capability and no limit is left out.

    Raises:
        LookupError: One is.
    """
    for texts, kind in ((CAPABILITIES, Capabilities), (LIMITS, Limits)):
        fields = set(kind.__match_args__)
        if set(texts) != fields:
            message = f"{kind.__name__} and its table differ in {sorted(fields.symmetric_difference(texts))}"
            raise LookupError(message)


def _capability(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(f'`"{policy}"`' for policy in ("error", "skip", "update") if policy in value)
    return "yes" if value else "no"


def _number(value: int) -> str:
    return "no limit" if value < 0 else f"{value:,}"


def _cells(table: str, texts: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return by backend what the table in the document says."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    if not rows:
        return {}
    by_text = {row[0]: row[1:] for row in rows[2:]}
    known = {field: by_text[text] for field, text in texts.items() if text in by_text}
    names = [name.strip("`") for name in rows[0][1:]]
    return {name: {field: known[field][place] for field in known} for place, name in enumerate(names)}


def _table(texts: dict[str, str], cells: dict[str, dict[str, str]]) -> str:
    names = sorted(cells, key=lambda name: (name == MemoryBackend.__name__, name))
    lines = [_line(["", *(f"`{name}`" for name in names)]), _line(["---"] * (1 + len(names)))]
    lines += [_line([text, *(cells[name].get(field, "?") for name in names)]) for field, text in texts.items()]
    return "".join(f"{line}\n" for line in lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Bring the document up to date."""
    check_fields()
    DOCUMENT.write_text(updated(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{DOCUMENT}: {', '.join(backends())}", file=sys.stderr)


if __name__ == "__main__":
    main()

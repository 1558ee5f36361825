"""The capability table says what the backends declare."""

import pytest

from tools import capabilities


def test_no_capability_is_left_out() -> None:
    """Every field of ``Capabilities`` and ``Limits`` has its line."""
    capabilities.check_fields()


def test_the_document_is_up_to_date() -> None:
    """``python3 -m tools.capabilities`` would change nothing."""
    document = capabilities.DOCUMENT.read_text(encoding="utf-8")
    assert capabilities.updated(document) == document


@pytest.mark.parametrize("name", capabilities.backends())
def test_every_backend_is_in_the_document(name: str) -> None:
    """In both tables."""
    assert capabilities.DOCUMENT.read_text(encoding="utf-8").count(f"| `{name}` |") == len(capabilities.columns())


def test_a_backend_that_cannot_be_asked_keeps_its_column() -> None:
    """Its driver may not be installed where the table is made."""
    document = (
        "<!-- limits: written by tools/capabilities.py -->\n"
        "|  | `Elsewhere` |\n| --- | --- |\n| rows that fill a batch | 25 |\n<!-- end -->\n"
    )
    updated = capabilities.updated(document)
    assert updated.startswith(document.splitlines()[0])
    assert "| `Elsewhere` |" in updated
    assert "| rows that fill a batch | 25 |" in updated
    assert capabilities.updated(updated) == updated

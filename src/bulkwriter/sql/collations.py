"""Text as the collations of MySQL and MariaDB compare it; where it is not certain, rather too equal."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# Letters that the Unicode Collation Algorithm takes apart, and Unicode's own decomposition does not.
_TAKEN_APART: Final = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ł": "l",
        "ħ": "h",
        "ŧ": "t",
        "\u0131": "i",
        "þ": "th",
        "ŋ": "n",
    }
)

_TAILORED: Final[tuple[tuple[tuple[str, ...], Mapping[str, str]], ...]] = (
    (("general",), {"ß": "s"}),
    (("german2", "de_pb"), {"ä": "ae", "ö": "oe", "ü": "ue"}),
    (("danish", "norwegian", "da_0900", "nb_0900", "nn_0900"), {"å": "aa"}),
    (("swedish", "finnish", "danish", "sv_0900", "da_0900", "nb_0900", "nn_0900"), {"ü": "y"}),
)
"""Letters that collations of these names compare by the custom of a language, or by none."""

# Syllables of katakana weigh what those of hiragana do, and small ones what large ones do.
_KATAKANA, _KATAKANA_END, _TO_HIRAGANA = "\u30a1", "\u30f6", 0x60
_LARGE_KANA: Final = str.maketrans("ぁぃぅぇぉっゃゅょゎゕゖ", "あいうえおつやゆよわかけ")


def customs_of(collation: str) -> dict[int, str]:
    """Return how a collation writes the letters that it takes for others than Unicode's rules do."""
    known = [letters for names, letters in _TAILORED if any(name in collation for name in names)]
    return str.maketrans({letter: written for letters in known for letter, written in letters.items()})


def folded(text: str, customs: dict[int, str]) -> str:
    """Return what is equal for texts that a collation takes for equal.

    Args:
        text: The text.
        customs: The collation's, as ``customs_of`` tells them.
    """
    if text.isascii() and text.isprintable():
        return text.lower().rstrip(" ")
    customary = unicodedata.normalize("NFC", text).lower().translate(customs)
    apart = unicodedata.normalize("NFKD", customary).casefold().translate(_TAKEN_APART)
    # Marks, and what cannot be seen, have no weight.
    seen = [_weighed(char) for char in apart if unicodedata.category(char)[0] not in "MC"]
    return "".join(seen).translate(_LARGE_KANA).rstrip(" ")


def _weighed(char: str) -> str:
    """Return what a character that is no letter of ours is taken for."""
    if char <= "\x7f":
        return char
    if _KATAKANA <= char <= _KATAKANA_END:
        return chr(ord(char) - _TO_HIRAGANA)
    number = unicodedata.numeric(char, None)
    if number is not None and number in range(10):
        return str(int(number))
    # In older collations all characters beyond 16 bits are one.
    return char if char <= "\uffff" else "\ufffd"

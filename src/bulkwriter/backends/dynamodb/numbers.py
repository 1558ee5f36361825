"""Numbers as DynamoDB takes them: 38 significant digits, from 1E-130 up to 9.99…E+125.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
"""

from __future__ import annotations

import decimal
import math
from typing import Final

MOST_DIGITS: Final = 38
_SMALLEST: Final = -130
_LARGEST: Final = 125
_EASY: Final = 10**MOST_DIGITS
# No whole number of more bits is in range; to make text of such a one could take for ever.
_MOST_BITS: Final = (10 ** (_LARGEST + 1)).bit_length()


class BadNumberError(ValueError):
    """A number that DynamoDB cannot hold; the message says why."""


def int_text(number: int) -> str:
    """Return the digits of a whole number.

    Raises:
        BadNumberError: It has too many.
    """
    if -_EASY < number < _EASY:
        return int.__repr__(number)
    if number.bit_length() > _MOST_BITS or abs(number) >= 10 ** (_LARGEST + 1):
        raise _out_of_range()
    text = int.__repr__(number)
    if len(text.lstrip("-").rstrip("0")) > MOST_DIGITS:
        raise _too_long()
    return text


def float_text(number: float) -> str:
    """Return the shortest digits that stand for this very ``float``.

    Raises:
        BadNumberError: It is no number, infinite, or out of range.
    """
    size = abs(number)
    if 1e-130 <= size < 1e126:  # noqa: PLR2004 - the limits above
        return float.__repr__(number)
    if size == 0:
        return "0"
    raise _out_of_range() if math.isfinite(number) else _no_number()


def decimal_text(number: decimal.Decimal) -> str:
    """Return the digits of a ``Decimal``; none is rounded away.

    Raises:
        BadNumberError: It is no number, infinite, out of range, or has too many digits.
    """
    if type(number) is not decimal.Decimal:
        # One derived from it may say anything of itself.
        number = decimal.Decimal(number)
    if not number.is_finite():
        raise _no_number()
    if not number:
        return "0"
    digits = number.as_tuple().digits
    if len(digits) > MOST_DIGITS and any(digits[MOST_DIGITS:]):
        raise _too_long()
    if not _SMALLEST <= number.adjusted() <= _LARGEST:
        raise _out_of_range()
    return str(number)


def _no_number() -> BadNumberError:
    return BadNumberError("must be a finite number")


def _out_of_range() -> BadNumberError:
    return BadNumberError("must be a number from 1E-130 up to 9.99E+125")


def _too_long() -> BadNumberError:
    return BadNumberError(f"must be a number of at most {MOST_DIGITS} significant digits")

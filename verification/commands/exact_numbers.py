"""Fractions as a person writes and reads them."""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction

from refimpl.errors import InvalidParameterError

__all__ = ["decimal", "exact_slope", "slope_text"]

MOST_DIGITS = 400
"""Characters of --slope; its exponent has at most three digits, as those of float64."""


def exact_slope(text: str | None) -> Fraction | None:
    """The slope as a fraction if it was given as one, such as 1/10; None for a decimal number.

    Raises
    ------
    InvalidParameterError
        If it is no number, or none in [0, 1].
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?)\s*", text, re.IGNORECASE)
    requirement = "be a number such as 0.1 or a fraction such as 1/10"
    if not found or len(text) > MOST_DIGITS:  # so that nothing large is computed before it is refused
        raise InvalidParameterError("slope", f"{requirement}, of at most {MOST_DIGITS} characters", text)
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InvalidParameterError("slope", requirement, text) from error
    if not 0 <= value <= 1:
        raise InvalidParameterError("slope", "lie in [0, 1]", text.strip())
    return value if "/" in text else None


def slope_text(slope: Fraction) -> str:
    """A fraction of few digits as it is, that of a float by the float."""
    return str(slope) if slope.denominator < 10**9 else repr(float(slope))


def decimal(value: Fraction, digits: int = 17) -> str:
    """So many digits, of numbers that no float holds too."""
    context = Context(prec=digits, Emax=MAX_EMAX, Emin=MIN_EMIN)
    return f"{context.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(context):g}"

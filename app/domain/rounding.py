"""Rounding of money, all in integers: half a unit goes up in size, so that a discount rounds as a surcharge does.

What is divided among several adds up again: `split` gives what is left over to the largest remainders.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.money import EXPONENTS

WHOLE_BPS = 10_000
"""Basis points of the whole: 2,100 are 21 %."""


def divide(numerator: int, denominator: int) -> int:
    """The nearest integer; half goes away from zero. Raises ValueError unless the denominator is positive."""
    if denominator < 1:
        raise ValueError("nothing is divided by less than one")
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return size if numerator >= 0 else -size


def share(amount_minor: int, rate_bps: int) -> int:
    """`(12_345, 2_100)`: 21 % of 123.45 → 2,592 (25.92)."""
    return divide(amount_minor * rate_bps, WHOLE_BPS)


def included_share(gross_minor: int, rate_bps: int) -> int:
    """The part of `gross_minor` that was added to the rest at this rate: `(12_100, 2_100)` → 2,100."""
    return divide(gross_minor * rate_bps, WHOLE_BPS + rate_bps)


def split(amount_minor: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Parts in proportion to the weights that add up to the amount exactly, none above ⌈its exact share⌉.

    Each has its share rounded down; the units left over go one each to the largest remainders, among equal ones to the
    first. Raises ValueError for a negative amount or weight, or an amount with nobody to take it.
    """
    if amount_minor < 0 or any(weight < 0 for weight in weights):
        raise ValueError("only amounts that are not negative are split")
    total = sum(weights)
    if total == 0:
        if amount_minor:
            raise ValueError("an amount needs at least one weight above zero")
        return (0,) * len(weights)
    parts, remainders = [], []
    for weight in weights:
        part, remainder = divmod(amount_minor * weight, total)
        parts.append(part)
        remainders.append(remainder)
    left = amount_minor - sum(parts)
    for place in sorted(range(len(weights)), key=lambda n: -remainders[n])[:left]:
        parts[place] += 1
    return tuple(parts)


def charge_step(currency: str) -> int:
    """What every amount that is charged or returned is a multiple of, in minor units.

    1 for currencies without or with two decimals. Card networks take two decimals at most: 10 with three (12.340 KWD,
    never 12.345), 100 with four; and only whole ariary. Raises ValueError for an unknown currency.
    """
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise ValueError("is no current ISO 4217 currency")
    if currency == "MGA":
        return 100
    return 1 if exponent <= 2 else 10 ** (exponent - 2)


def to_step(amount_minor: int, step: int) -> int:
    """The nearest multiple of `step`; half goes away from zero."""
    return divide(amount_minor, step) * step


def down_to_step(amount_minor: int, step: int) -> int:
    """The multiple of `step` at or below an amount that is not negative."""
    return amount_minor // step * step


def up_to_step(amount_minor: int, step: int) -> int:
    """The multiple of `step` at or above an amount that is not negative."""
    return -(-amount_minor // step) * step

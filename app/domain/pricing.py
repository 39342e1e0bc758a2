"""What a service costs."""

from __future__ import annotations

from enum import StrEnum

from app.domain.money import MAXIMUM_MINOR

MAXIMUM_PRICE = MAXIMUM_MINOR // 24
"""Most for a service, so that a whole day of it by the hour can still be represented."""


class PriceType(StrEnum):
    FIXED = "fixed"
    HOURLY = "hourly"
    CUSTOM = "custom"


def price(price_type: PriceType, base_minor: int, duration_minutes: int) -> int | None:
    """The price in minor units; None for CUSTOM, whose price is a quote. HOURLY rounds half a unit up.

    Raises ValueError for a negative base, a length below a minute, or a price too large to be represented.
    """
    if base_minor < 0:
        raise ValueError("a price is not negative")
    if duration_minutes < 1:
        raise ValueError("a service lasts at least a minute")
    if price_type is PriceType.CUSTOM:
        return None
    amount = base_minor if price_type is PriceType.FIXED else (base_minor * duration_minutes + 30) // 60
    if amount > MAXIMUM_MINOR:
        raise ValueError("the price is too large")
    return amount

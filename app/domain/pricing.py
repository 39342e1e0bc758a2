"""What a service costs before any rule: its own price or the provider's, fixed, by the hour, or agreed on.

Rules, promo codes and taxes come on top of it: `app.domain.price_quote`.
"""

from __future__ import annotations

from enum import StrEnum

from app.domain.money import MAXIMUM_MINOR
from app.domain.rounding import divide

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
    amount = base_minor if price_type is PriceType.FIXED else divide(base_minor * duration_minutes, 60)
    if amount > MAXIMUM_MINOR:
        raise ValueError("the price is too large")
    return amount


def base_price(
    price_type: PriceType,
    service_minor: int,
    duration_minutes: int,
    *,
    own_minor: int | None = None,
    accepted_minor: int | None = None,
) -> int:
    """What rules start from, in minor units. `own_minor`: the provider's own price (of an hour where it is HOURLY).

    CUSTOM: the quote that the customer accepted. Raises ValueError without one, and as `price` does.
    """
    if price_type is not PriceType.CUSTOM:
        found = price(price_type, service_minor if own_minor is None else own_minor, duration_minutes)
        assert found is not None
        return found
    if accepted_minor is None:
        raise ValueError("a price by quote needs the quote that was accepted")
    if not 0 <= accepted_minor <= MAXIMUM_PRICE:
        raise ValueError("the price is too large" if accepted_minor > 0 else "a price is not negative")
    return accepted_minor

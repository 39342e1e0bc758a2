"""Who can do one service of a visit, when, and for how much."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.domain.masks import Span
from app.domain.slots import PlanMask
from app.domain.start_prices import StartPrices


class Doer(NamedTuple):
    """Someone who can do an item, at their length and price, and when. Bit 0 is the first minute of the window.

    `prices`: where it is not `price_minor` at every start.
    """

    provider_id: UUID
    minutes: int
    price_minor: int | None
    free: int
    prices: StartPrices | None = None

    @classmethod
    def of(cls, mask: PlanMask, axis: Span, now: datetime) -> Doer:
        plan = mask.plan
        prices = None if plan.tariff is None else mask.prices(axis, now)
        return cls(plan.provider_id, plan.duration_minutes, plan.price_minor, mask.free, prices)

    def by_price(self, starts: int, low: int) -> list[tuple[int | None, int]]:
        """Some starts by what they cost before tax and rounding. Their bit 0 is the bit `low`."""
        if self.prices is None:
            return [(self.price_minor, starts)]
        return [(price, part >> low) for price, part in self.prices.by_item(starts << low)]

"""A shop where the same service costs something else with everyone, so that visits have very many prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.domain.schedule import weekly_hours
from app.resolvers.context import Services
from tests.shop import Shop, make_shop, set_offer

ONE_START = tuple(weekly_hours(day, [(10 * 60, 12 * 60 + 30)]) for day in range(7))
"""For a visit of five times half an hour."""


async def shop_of_prices(services: Services, prices: Sequence[int], **more: Any) -> Shop:
    """The service takes 30 minutes, and as many people do it as there are prices."""
    shop = await make_shop(services, providers=len(prices), slot_interval=30, **more)
    for number, price in enumerate(prices):
        await set_offer(shop, number, price_minor=price)
    return shop


def five_times(shop: Shop) -> list[dict[str, Any]]:
    """The items of a visit."""
    return [{"serviceId": shop.service_id}] * 5


def sixfold(count: int) -> list[int]:
    """Prices of which no two sums of five are equal."""
    return [100 * 6**number for number in range(count)]

"""What the starts of one provider's service cost at an instant, where rules or an added tax change prices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.domain.instants import at_minute, minute_ceil, minute_floor
from app.domain.limits import day_span
from app.domain.masks import Span
from app.domain.occupancy import Loads, day_occupancy_bps
from app.domain.plan import ProviderPlan
from app.domain.tariff import Tariff

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class StartPrices:
    """Of a plan's starts; bit 0 is the minute `axis[0]` since 1970. `loads`: as `occupancy.day_loads` tells."""

    plan: ProviderPlan
    axis: Span
    now: datetime
    loads: Loads

    def by_item(self, starts: int) -> list[tuple[int | None, int]]:
        """Some starts by what the item costs there before tax and rounding; each price once, no mask empty.

        Without a tariff, and by quote, all of them cost the plan's own price.
        """
        plan = self.plan
        if plan.tariff is None or plan.price_minor is None:
            return [(plan.price_minor, starts)] if starts else []
        found: dict[int | None, int] = {}
        for matching, part in plan.tariff.cells(plan.time_zone, self.axis, self.now, self._occupancy(), starts):
            price = plan.tariff.item_minor(plan.price_minor, matching)
            found[price] = found.get(price, 0) | part
        return list(found.items())

    def by_total(self, starts: int) -> list[tuple[int | None, int]]:
        """The same with tax and rounding: what a hold of this alone would lock."""
        tariff = self.plan.tariff
        if tariff is None:
            return self.by_item(starts)
        found: dict[int | None, int] = {}
        for price, part in self.by_item(starts):
            total = tariff.total_minor(price)
            found[total] = found.get(total, 0) | part
        return list(found.items())

    def _occupancy(self) -> list[tuple[Span, int]]:
        plan = self.plan
        if plan.tariff is None or not plan.tariff.asks_occupancy:
            return []
        first, past = self.axis
        spans = [(day_span(day, plan.time_zone), day) for day in self.loads]
        return [
            ((low, high), day_occupancy_bps(plan, day, self.loads))
            for (low, high), day in spans
            if low < past and high > first
        ]


def price_at(
    tariff: Tariff, base_minor: int, starts_at: datetime, tz: ZoneInfo, *, now: datetime, occupancy_bps: int
) -> int | None:
    """What one start costs alone, with tax and rounding; `tz`: of the clock that rules look at. None: more than can be
    charged."""
    minute = minute_floor(starts_at)
    axis = minute, minute + 1
    [(matching, _)] = tariff.cells(tz, axis, now, [(axis, occupancy_bps)], 1)
    return tariff.total_minor(tariff.item_minor(base_minor, matching))


def next_price_change(plan: ProviderPlan, first: int, now: datetime, starts: int) -> datetime | None:
    """The earliest instant after `now` at which time alone may change what one of these starts costs; None: never.

    Bit 0 is the minute `first` since 1970.
    """
    if plan.tariff is None or plan.price_minor is None:
        return None
    soonest = minute_ceil(now) - first
    found: list[datetime] = []
    for bound in plan.tariff.lead_bounds:
        place = max(soonest + bound, 0)
        later = starts >> place
        if later:
            start = at_minute(first + place + (later & -later).bit_length() - 1)
            found.append(start - timedelta(minutes=bound) + _INSTANT)  # at exactly this lead time nothing has changed
    return min(found, default=None)

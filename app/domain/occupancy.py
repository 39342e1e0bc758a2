"""How full a provider's day is, for prices that depend on it.

Of the minutes that a local day's hours leave open, the share that holds and bookings of that day take (by their starts,
without buffers). What is being asked for does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from app.domain.busy import Busy
from app.domain.limits import day_of
from app.domain.masks import merge
from app.domain.openings import hours_on
from app.domain.plan import ProviderPlan
from app.domain.rounding import WHOLE_BPS

Loads = Mapping[date, int]
"""Minutes that are taken on each local day; a day without an entry has none."""
NO_LOADS: Loads = MappingProxyType({})

_MINUTE = timedelta(minutes=1)


def day_loads(claims: Iterable[Busy], tz: ZoneInfo, now: datetime) -> dict[date, int]:
    """What live holds and bookings take."""
    loads: dict[date, int] = {}
    for claim in claims:
        if claim.is_claim and claim.is_live(now):
            starts_at, ends_at = claim.service_range()
            day = day_of(starts_at, tz)
            loads[day] = loads.get(day, 0) + (ends_at - starts_at) // _MINUTE
    return loads


def day_occupancy_bps(plan: ProviderPlan, day: date, loads: Loads) -> int:
    """Of a local day of the provider, 0 … 10,000 (all of it, or more than its hours have)."""
    taken = loads.get(day, 0)
    if taken == 0:
        return 0
    open_minutes = _open_minutes(plan, day)
    return WHOLE_BPS if taken >= open_minutes else taken * WHOLE_BPS // open_minutes


def occupancy_bps(plan: ProviderPlan, starts_at: datetime, claims: Iterable[Busy], now: datetime) -> int:
    """Of the day of one start. `claims`: all that the provider has on that day, and maybe more."""
    return day_occupancy_bps(plan, day_of(starts_at, plan.time_zone), day_loads(claims, plan.time_zone, now))


def places_occupancy_bps(capacity: int, taken: int) -> int:
    """Of a session: places held and booked, before those that are asked for."""
    return WHOLE_BPS if taken >= capacity else max(taken, 0) * WHOLE_BPS // capacity


def _open_minutes(plan: ProviderPlan, day: date) -> int:
    """By the wall: what clocks skip or repeat that day is not looked at."""
    hours = hours_on(plan.versions, plan.exceptions, day)
    if hours is None:
        return 0
    opened = merge((one.start_minute, one.end_minute) for one in hours.open)
    closed = merge((one.start_minute, one.end_minute) for one in hours.breaks)
    inside = sum(max(0, min(high, end) - max(low, start)) for low, high in opened for start, end in closed)
    return sum(high - low for low, high in opened) - inside

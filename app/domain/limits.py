"""How many bookings a provider takes a day and a week: the local days and weeks that are full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.busy import Busy
from app.domain.instants import MAXIMUM_INSTANT, MINIMUM_INSTANT, day_bounds, local_date, minute_ceil
from app.domain.masks import Span
from app.domain.plan import BookingLimits, ProviderPlan, Window

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_SPARE = timedelta(days=2)
"""A zone's midnight is less than a day from that of UTC; a skipped day adds another."""


class FullPeriod(NamedTuple):
    """A local day or ISO week that took all it may; `to_date` is the first date after it."""

    from_date: date
    to_date: date
    taken: int
    limit: int

    def span(self, tz: ZoneInfo) -> Span:
        """In minutes since 1970."""
        return minute_ceil(_beginning(self.from_date, tz)), minute_ceil(_beginning(self.to_date, tz))


@lru_cache(maxsize=4_096)
def _beginning(day: date, tz: ZoneInfo) -> datetime:
    return day_bounds(day, tz)[0]


def day_of(instant: datetime, tz: ZoneInfo) -> date:
    """The local date to which `day_bounds` counts an instant."""
    day = local_date(instant, tz)
    # Where clocks went back over midnight, the wall shows the old date once more while the new one has begun.
    return day + _DAY if instant >= _beginning(day + _DAY, tz) else day


def day_span(day: date, tz: ZoneInfo) -> Span:
    """The starts that `day_of` counts to a local date, in minutes since 1970."""
    return minute_ceil(_beginning(day, tz)), minute_ceil(_beginning(day + _DAY, tz))


def full_periods(limits: BookingLimits, tz: ZoneInfo, claims: Iterable[Busy], now: datetime) -> Iterator[FullPeriod]:
    """Days, then weeks, with as many live holds and bookings as they may have."""
    if not limits:
        return
    days = Counter(day_of(c.service_range()[0], tz) for c in claims if c.is_claim and c.is_live(now))
    if limits.per_day is not None:
        for day, count in days.items():
            if count >= limits.per_day:
                yield FullPeriod(day, day + _DAY, count, limits.per_day)
    if limits.per_week is not None:
        weeks: Counter[date] = Counter()
        for day, count in days.items():
            weeks[day - day.weekday() * _DAY] += count
        for monday, count in weeks.items():
            if count >= limits.per_week:
                yield FullPeriod(monday, monday + _WEEK, count, limits.per_week)


def full_spans(plan: ProviderPlan, claims: Iterable[Busy], now: datetime) -> list[Span]:
    """Starts, in minutes since 1970, that the plan's limits forbid."""
    return [period.span(plan.time_zone) for period in full_periods(plan.limits, plan.time_zone, claims, now)]


def claims_window(plans: Sequence[ProviderPlan], window: Window) -> Window:
    """Service starts of the claims that must be known to answer for a window: wider where limits count whole weeks, or
    prices whole days."""
    reach = timedelta(0)
    if any(plan.limits.per_week is not None for plan in plans):
        reach = _WEEK + _SPARE
    elif any(plan.limits.per_day is not None or plan.asks_occupancy for plan in plans):
        reach = _SPARE
    return Window(
        max(window.from_utc, MINIMUM_INSTANT + reach) - reach, min(window.to_utc, MAXIMUM_INSTANT - reach) + reach
    )

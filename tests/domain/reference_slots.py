"""Free slots by brute force: every minute is looked at, sets instead of masks, no shortcuts. Slow, and easy to believe.

Shares nothing with `app.domain.slots` but its plain dataclasses. A local time is resolved by watching the wall clock go
by: it is the first minute at which the wall clock has reached it, which covers gaps and repeats alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.busy import Busy
from app.domain.schedule import Interval, ScheduleVersion
from app.domain.slots import ProviderPlan, Slot, SlotRules, Window

MINUTE = timedelta(minutes=1)
WALL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


class WallClock:
    """The wall clock of a zone, minute by minute, from three days before a window to five days after."""

    def __init__(self, tz: ZoneInfo, window: Window) -> None:
        self.first = window.from_utc.replace(second=0, microsecond=0) - timedelta(days=4)
        last = window.to_utc + timedelta(days=5)
        walls: list[datetime] = []
        instant = self.first
        while instant < last:
            walls.append(instant.astimezone(tz).replace(tzinfo=None, fold=0))
            instant += MINUTE
        self.reached = list(accumulate(walls, max))

    def minute_of(self, day: date, minute: int) -> int | None:
        """Minutes after `first` at which the wall clock reaches the local time; None when that lies outside."""
        target = datetime(day.year, day.month, day.day) + minute * MINUTE  # noqa: DTZ001
        if target < self.reached[0]:
            return None
        index = bisect_left(self.reached, target)
        return index if index < len(self.reached) else None


class Minutes:
    """Which minutes are open, which are breaks, and where starts may lie; counted from the clock's first."""

    def __init__(self, plan: ProviderPlan, window: Window) -> None:
        self.clock = WallClock(plan.time_zone, window)
        self.opened: set[int] = set()
        self.paused: set[int] = set()
        self.grid: set[int] = set()
        day = (window.from_utc - timedelta(days=3)).astimezone(plan.time_zone).date()
        last = window.to_utc.astimezone(plan.time_zone).date() + timedelta(days=3)
        while day <= last:
            for version in plan.versions:
                if version.effective_from <= day and (version.effective_to is None or day < version.effective_to):
                    self._lay(day, version)
            day += timedelta(days=1)

    def _lay(self, day: date, version: ScheduleVersion) -> None:
        for hours in version.weekly:
            if hours.weekday == day.weekday():
                for interval in hours.open:
                    self.opened |= set(self._range(day, interval))
                    self.grid |= set(self._range(day, interval)[:: version.slot_interval_minutes])
                for pause in hours.breaks:
                    self.paused |= set(self._range(day, pause))

    def _range(self, day: date, interval: Interval) -> range:
        start = self.clock.minute_of(day, interval.start_minute)
        end = self.clock.minute_of(day, interval.end_minute)
        return range(0) if start is None or end is None else range(start, end)


def reference_starts(plan: ProviderPlan, busy: Iterable[Busy], window: Window, rules: SlotRules) -> list[datetime]:
    minutes = Minutes(plan, window)
    claims = [c for c in busy if c.expires_at is None or c.expires_at > rules.now]
    today = rules.now.astimezone(plan.time_zone).date()
    free: list[datetime] = []
    for minute in sorted(minutes.grid):
        start = minutes.clock.first + minute * MINUTE
        end = start + plan.duration_minutes * MINUTE
        in_window = window.from_utc <= start < window.to_utc
        in_notice = start >= rules.now + rules.notice_minutes * MINUTE
        in_horizon = (start.astimezone(plan.time_zone).date() - today).days <= rules.maximum_advance_days
        if not (in_window and in_notice and in_horizon):
            continue
        service = range(minute, minute + plan.duration_minutes)
        low, high = start - plan.buffer_before * MINUTE, end + plan.buffer_after * MINUTE
        is_open = all(m in minutes.opened and m not in minutes.paused for m in service)
        is_taken = any(_outward(c)[0] < high and low < _outward(c)[1] for c in claims)
        if is_open and not is_taken:
            free.append(start)
    return free


def _outward(claim: Busy) -> tuple[datetime, datetime]:
    low = claim.busy_from.replace(second=0, microsecond=0)
    high = claim.busy_to.replace(second=0, microsecond=0)
    return low, high if high == claim.busy_to else high + MINUTE


def reference_slots(
    plans: Sequence[ProviderPlan], busy: Mapping[UUID, Iterable[Busy]], window: Window, rules: SlotRules
) -> list[Slot]:
    who: dict[tuple[datetime, datetime, int | None], set[UUID]] = {}
    for plan in plans:
        for start in reference_starts(plan, busy.get(plan.provider_id, ()), window, rules):
            key = (start.astimezone(UTC), start + plan.duration_minutes * MINUTE, plan.price_minor)
            who.setdefault(key, set()).add(plan.provider_id)
    found = [Slot(start, end, tuple(sorted(ids)), len(ids), price) for (start, end, price), ids in who.items()]
    return sorted(found, key=lambda s: (s.starts_at, s.ends_at, s.price_minor is None, s.price_minor or 0))

"""Free slots by brute force: every minute is looked at, sets instead of masks, no shortcuts. Slow, and easy to believe.

Shares nothing with the engine but its plain dataclasses. A local time is resolved by watching the wall clock go by: it
is the first minute at which the wall clock has reached it, which covers gaps and repeats alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, chain
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.busy import Busy, BusyBySubject, BusyKind
from app.domain.plan import Need, ProviderPlan, Slot, SlotRules, Window
from app.domain.schedule import DayException, ExceptionKind, Interval
from tests.domain.tariffs import BookOfPrices

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@lru_cache(maxsize=4_000)
def walls_of_day(tz: ZoneInfo, day: date) -> list[datetime]:
    """What the wall shows at each minute of a day of UTC. Times of one zone are compared as the wall shows them."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return [(midnight + n * MINUTE).astimezone(tz) for n in range(1_440)]


@lru_cache(maxsize=400)
def reached_by(tz: ZoneInfo, first: date, last: date) -> list[datetime]:
    """The latest time that the wall has shown by each minute of these days of UTC."""
    days = [first + n * DAY for n in range((last - first).days + 1)]
    return list(accumulate(chain.from_iterable(walls_of_day(tz, day) for day in days), max))


class WallClock:
    """The wall clock of a zone, minute by minute, from three days before a window to some days after."""

    def __init__(self, tz: ZoneInfo, window: Window, days_after: int) -> None:
        first = window.from_utc.astimezone(UTC).date() - 3 * DAY
        last = window.to_utc.astimezone(UTC).date() + days_after * DAY
        self.first = datetime(first.year, first.month, first.day, tzinfo=UTC)
        self.tz = tz
        self.reached = reached_by(tz, first, last)

    def minute_of(self, day: date, minute: int) -> int | None:
        """Minutes after `first` at which the wall clock reaches the local time; None when that lies outside."""
        target = datetime(day.year, day.month, day.day, tzinfo=self.tz) + minute * MINUTE
        if target < self.reached[0]:
            return None
        index = bisect_left(self.reached, target)
        return index if index < len(self.reached) else None

    def date_at(self, minute: int) -> date:
        """The latest that the wall has shown by then: where clocks go back over midnight, the new day goes on."""
        return self.reached[minute].date()

    def date_before(self, minute: int) -> date:
        """The latest before that one which the wall has shown: where a date was skipped, two days earlier."""
        today = self.date_at(minute)
        return next(wall.date() for wall in reversed(self.reached[:minute]) if wall.date() != today)


class Minutes:
    """Which minutes are open and no break, and where starts may lie; counted from the clock's first."""

    def __init__(self, plan: ProviderPlan, window: Window, days_after: int = 1) -> None:
        self.clock = WallClock(plan.time_zone, window, days_after)
        self.grid: set[int] = set()
        self.opened: set[int] = set()
        self.paused: set[int] = set()
        day = (window.from_utc - timedelta(days=3)).astimezone(plan.time_zone).date()
        last = window.to_utc.astimezone(plan.time_zone).date() + days_after * DAY
        while day <= last:
            for opening, step in openings_on(plan, day):
                self.opened |= set(self._range(day, opening))
                self.grid |= set(self._range(day, opening)[::step])
            for pause in breaks_on(plan, day):
                self.paused |= set(self._range(day, pause))
            day += DAY
        self.working = self.opened - self.paused

    def _range(self, day: date, interval: Interval) -> range:
        start = self.clock.minute_of(day, interval.start_minute)
        end = self.clock.minute_of(day, interval.end_minute)
        return range(0) if start is None or end is None else range(start, end)

    def number(self, instant: datetime) -> int:
        """Of a minute; the seconds are dropped."""
        return (instant - self.clock.first) // MINUTE

    def instant(self, minute: int) -> datetime:
        return self.clock.first + minute * MINUTE

    def outward(self, claim: Busy) -> range:
        """Every minute that a claim touches."""
        low = self.number(claim.busy_from)
        return range(low, max(low, -((self.clock.first - claim.busy_to) // MINUTE)))


def exception_of(plan: ProviderPlan, day: date) -> DayException | None:
    for exception in plan.exceptions:
        if exception.from_date <= day <= exception.to_date:
            return exception
    return None


def openings_on(plan: ProviderPlan, day: date) -> list[tuple[Interval, int]]:
    """With the distance of the starts."""
    versions = [v for v in plan.versions if v.effective_from <= day and (not v.effective_to or day < v.effective_to)]
    exception = exception_of(plan, day)
    if exception is None:
        return [
            (opening, version.slot_interval_minutes)
            for version in versions
            for hours in version.weekly
            if hours.weekday == day.weekday()
            for opening in hours.open
        ]
    if exception.kind is not ExceptionKind.SPECIAL_HOURS:
        return []
    usual = versions[0].slot_interval_minutes if versions else 15
    return [(opening, exception.slot_interval_minutes or usual) for opening in exception.open]


def breaks_on(plan: ProviderPlan, day: date) -> list[Interval]:
    exception = exception_of(plan, day)
    if exception is not None:
        return list(exception.breaks) if exception.kind is ExceptionKind.SPECIAL_HOURS else []
    return [
        pause
        for version in plan.versions
        if version.effective_from <= day and (not version.effective_to or day < version.effective_to)
        for hours in version.weekly
        if hours.weekday == day.weekday()
        for pause in hours.breaks
    ]


def date_of(instant: datetime, tz: ZoneInfo) -> date:
    """The latest date that the wall has shown by then: where clocks go back over midnight, the new day goes on."""
    return max((instant - n * 10 * MINUTE).astimezone(tz).date() for n in range(13))


class Day:
    """One provider's possibilities: everything but the notice, the horizon and the grid."""

    def __init__(
        self, plan: ProviderPlan, taken: BusyBySubject, window: Window, now: datetime, days_after: int = 1
    ) -> None:
        self.plan = plan
        self.minutes = Minutes(plan, window, days_after)
        self.live = {
            subject: [c for c in taken.get(subject, ()) if c.expires_at is None or c.expires_at > now]
            for subject in plan.subjects()
        }
        self.busy = {
            subject: {minute for claim in claims for minute in self.minutes.outward(claim)}
            for subject, claims in self.live.items()
        }
        claims = [c for c in self.live[plan.provider_id] if c.kind in {BusyKind.HELD, BusyKind.BOOKED}]
        self.dates = [date_of(c.starts_at or c.busy_from, plan.time_zone) for c in claims] if plan.limits else []

    def can_serve(self, minute: int) -> bool:
        plan = self.plan
        service = range(minute, minute + plan.duration_minutes)
        buffered = range(minute - plan.buffer_before, minute + plan.duration_minutes + plan.buffer_after)
        return (
            self.minutes.working.issuperset(service)
            and self.busy[plan.provider_id].isdisjoint(buffered)
            and all(self.free_units(need, minute) >= need.quantity for need in plan.needs)
            and self.is_within_limits(minute)
        )

    def free_units(self, need: Need, minute: int) -> int:
        plan = self.plan
        buffered = range(minute - plan.buffer_before, minute + plan.duration_minutes + plan.buffer_after)
        return sum(1 for unit in need.units if self.busy[unit].isdisjoint(buffered))

    def is_within_limits(self, minute: int) -> bool:
        limits = self.plan.limits
        if not limits:
            return True
        day = self.minutes.clock.date_at(minute)
        on_day = sum(1 for one in self.dates if one == day)
        in_week = sum(1 for one in self.dates if one.isocalendar()[:2] == day.isocalendar()[:2])
        return (limits.per_day is None or on_day < limits.per_day) and (
            limits.per_week is None or in_week < limits.per_week
        )

    def starts(self, window: Window, rules: SlotRules) -> list[datetime]:
        found = (self.minutes.clock.first + minute * MINUTE for minute in sorted(self.minutes.grid))
        return [
            start
            for start in found
            if window.from_utc <= start < window.to_utc
            and self.is_in_notice(start, rules)
            and self.is_in_horizon(start, rules)
            and self.can_serve(self.minutes.number(start))
        ]

    def is_in_notice(self, start: datetime, rules: SlotRules) -> bool:
        return start >= rules.now + rules.notice_minutes * MINUTE

    def is_in_horizon(self, start: datetime, rules: SlotRules) -> bool:
        today = rules.now.astimezone(self.plan.time_zone).date()
        return (start.astimezone(self.plan.time_zone).date() - today).days <= rules.maximum_advance_days


def reference_starts(plan: ProviderPlan, taken: BusyBySubject, window: Window, rules: SlotRules) -> list[datetime]:
    return Day(plan, taken, window, rules.now).starts(window, rules)


def reference_slots(
    plans: Sequence[ProviderPlan], taken: BusyBySubject, window: Window, rules: SlotRules, prices: BookOfPrices
) -> list[Slot]:
    who: dict[tuple[datetime, datetime, int | None], list[Day]] = {}
    for plan in plans:
        day = Day(plan, taken, window, rules.now)
        for start in day.starts(window, rules):
            price = prices.of([(plan, start)], taken, rules.now)
            who.setdefault((start, start + plan.duration_minutes * MINUTE, price), []).append(day)
    found = [
        Slot(start, end, tuple(sorted(day.plan.provider_id for day in days)), at_once(days, start), price)
        for (start, end, price), days in who.items()
    ]
    return in_order(found)


def at_once(days: Sequence[Day], start: datetime) -> int:
    """How many of them could serve, where those with the same needs (and buffers) share the same units."""
    sharing: dict[object, list[Day]] = {}
    for day in days:
        plan = day.plan
        key = (plan.needs, plan.buffer_before, plan.buffer_after) if plan.needs else plan.provider_id
        sharing.setdefault(key, []).append(day)
    total = 0
    for those in sharing.values():
        one = those[0]
        count = len(those)
        while any(one.free_units(need, one.minutes.number(start)) < need.quantity * count for need in one.plan.needs):
            count -= 1
        total += count
    return total


def reference_visits(
    items: Sequence[Sequence[ProviderPlan]],
    taken: BusyBySubject,
    window: Window,
    rules: SlotRules,
    prices: BookOfPrices,
) -> list[Slot]:
    """Every way of doing the visit is walked."""
    days = [[Day(plan, taken, window, rules.now, days_after=2) for plan in plans] for plans in items]
    who: dict[tuple[datetime, datetime, int | None], set[UUID]] = {}
    for first in days[0]:
        for start in first.starts(window, rules):
            for way in _ways([[first], *days[1:]], start):
                end, parts = start, []
                for plan in way:
                    parts.append((plan, end))
                    end += plan.duration_minutes * MINUTE
                price = prices.of(parts, taken, rules.now)
                who.setdefault((start, end, price), set()).update(plan.provider_id for plan in way)
    return in_order(Slot(start, end, tuple(sorted(ids)), 1, price) for (start, end, price), ids in who.items())


def _ways(days: Sequence[Sequence[Day]], start: datetime) -> Iterable[list[ProviderPlan]]:
    if not days:
        yield []
        return
    for day in days[0]:
        if day.can_serve(day.minutes.number(start)):
            for rest in _ways(days[1:], start + day.plan.duration_minutes * MINUTE):
                yield [day.plan, *rest]


def in_order(found: Iterable[Slot]) -> list[Slot]:
    return sorted(found, key=lambda s: (s.starts_at, s.ends_at, s.price_minor is None, s.price_minor or 0))

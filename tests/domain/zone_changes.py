"""Every change of clocks of every IANA zone, and what must hold around it."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.busy import Busy
from app.domain.instants import zone
from app.domain.plan import ProviderPlan, SlotRules, Window
from app.domain.schedule import Interval, ScheduleVersion, WeeklyHours
from tests.domain.reference_slots import reference_starts
from tests.domain.worlds import free_starts, provider_id

ALL_ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
DAY = timedelta(days=1)
FIRST = datetime(1970, 1, 5, tzinfo=UTC)
LAST = datetime(2038, 1, 1, tzinfo=UTC)
"""Later changes repeat by rule."""


def changes_of(tz: ZoneInfo, first: datetime = FIRST, last: datetime = LAST) -> Iterator[datetime]:
    """The instants, to the second, at which the zone's offset changes: those with more than a day between them."""
    day = first
    offset = day.astimezone(tz).utcoffset()
    while day < last:
        following = (day + DAY).astimezone(tz).utcoffset()
        if following != offset:
            yield _change(day, day + DAY, tz)
        day, offset = day + DAY, following


def _change(low: datetime, high: datetime, tz: ZoneInfo) -> datetime:
    before = low.astimezone(tz).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if middle.astimezone(tz).utcoffset() == before else (low, middle)
    return high


def all_changes() -> Iterator[tuple[str, datetime]]:
    """Each change once: many zones share their clocks."""
    seen: set[tuple[datetime, timedelta | None, timedelta | None]] = set()
    for name in ALL_ZONES:
        tz = zone(name)
        for change in changes_of(tz):
            before, after = (change - DAY).astimezone(tz).utcoffset(), change.astimezone(tz).utcoffset()
            if (change, before, after) not in seen:
                seen.add((change, before, after))
                yield name, change


def some_changes() -> Iterator[tuple[str, datetime]]:
    """Two changes of each zone with clocks of its own, of years by chance."""
    rng = Random(20_260_504)
    seen: set[tuple[timedelta | None, ...]] = set()
    halves = [datetime(year, month, 1, tzinfo=UTC) for year in range(1970, 2038) for month in (1, 7)]
    for name in ALL_ZONES:
        tz = zone(name)
        offsets = tuple(half.astimezone(tz).utcoffset() for half in halves)
        moving = [n for n, (before, after) in enumerate(pairwise(offsets)) if before != after]
        if moving and offsets not in seen:
            seen.add(offsets)
            for half in rng.sample(moving, min(2, len(moving))):
                yield name, rng.choice(list(changes_of(tz, halves[half], halves[half + 1])))


def check_around(name: str, change: datetime, *, examples: int = 1) -> None:
    """Hours that begin, end, and pause near the change: the engine's starts are those that brute force finds."""
    tz = zone(name)
    rng = Random(f"{name} {change}")
    around = change.astimezone(tz).date()
    local = change.astimezone(tz)
    minute = local.hour * 60 + local.minute
    for _ in range(examples):
        plan = _plan(rng, tz, minute)
        low = change.replace(second=0) - timedelta(hours=rng.randint(1, 12))
        window = Window(low, low + timedelta(hours=14))
        start = low + timedelta(minutes=rng.randint(0, 700))
        claims = [Busy(start, start + timedelta(minutes=rng.randint(1, 60)))]
        rules = SlotRules(datetime(1969, 12, 1, tzinfo=UTC), 0, 100_000)
        found = free_starts(plan, {plan.provider_id: claims}, window, rules)
        assert found == reference_starts(plan, {plan.provider_id: claims}, window, rules), (name, change, around)


def _plan(rng: Random, tz: ZoneInfo, minute: int) -> ProviderPlan:
    """Open from before or in the change on, the same each day; by chance over midnight."""
    start = max(0, min(1_380, minute + rng.randint(-150, 90)))
    end = start + rng.choice((60, 120, 240, 480))
    opened = [Interval(start, end)]
    if end < 1_380 and rng.random() < 0.4:
        opened.append(Interval(end + rng.choice((0, 30)), min(end + 120, 1_440)))
    breaks = (Interval(start + 20, start + 40),) if rng.random() < 0.4 else ()
    if rng.random() < 0.2:
        opened, breaks = [Interval(0, 1_440)], ()
    week = tuple(WeeklyHours(day, tuple(opened), breaks) for day in range(7))
    version = ScheduleVersion(UUID(int=rng.getrandbits(64)), date(1960, 1, 1), None, rng.choice((10, 15, 30, 60)), week)
    return ProviderPlan(provider_id(1), tz, (version,), rng.choice((15, 30, 60, 120)), rng.choice((0, 10)))

"""Random worlds: providers with hours near a change of clocks, and claims on their time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID

from app.domain.busy import Busy, BusyBySubject, BusyKind
from app.domain.instants import day_bounds, zone
from app.domain.schedule import DayException, ExceptionKind, Interval, ScheduleVersion, WeeklyHours, check_weekly
from app.domain.slots import BookingLimits, Need, ProviderPlan, SlotRules, Window, slots
from tests.domain.tariffs import BookOfPrices, random_prices

CHANGES = [
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Africa/Casablanca", date(2026, 2, 15)),  # back for Ramadan
    ("Africa/Casablanca", date(2026, 3, 22)),
    ("America/Sao_Paulo", date(2018, 11, 4)),  # no midnight
    ("America/Sao_Paulo", date(2018, 2, 18)),  # twice 23:00
    ("Asia/Beirut", date(2026, 3, 29)),  # no midnight
    ("America/Havana", date(2026, 3, 8)),  # no midnight
    ("America/Havana", date(2026, 11, 1)),  # midnight twice
    ("Pacific/Apia", date(2011, 12, 30)),  # no such day
    ("Pacific/Kwajalein", date(1993, 8, 21)),  # no such day
    ("Asia/Kathmandu", date(1986, 1, 1)),  # a quarter of an hour
    ("Asia/Kathmandu", date(2026, 5, 1)),
    ("Asia/Jerusalem", date(2026, 3, 27)),
    ("Asia/Jerusalem", date(2026, 10, 25)),
    ("America/Argentina/Buenos_Aires", date(2008, 10, 19)),  # no midnight
    ("America/Argentina/Buenos_Aires", date(2026, 7, 9)),
    ("Antarctica/Troll", date(2026, 3, 29)),  # two hours
    ("Pacific/Kiritimati", date(2026, 1, 1)),  # +14
    ("UTC", date(2026, 2, 28)),
]
STEPS = (5, 7, 10, 15, 20, 30, 45, 60, 90)


def provider_id(number: int) -> UUID:
    return UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000 + number)


def random_week(rng: Random) -> tuple[WeeklyHours, ...]:
    """A week that `check_weekly` accepts, with nights and openings that touch."""
    while True:
        days = [_random_day(rng, weekday) for weekday in range(7) if rng.random() < 0.8]
        if not check_weekly(days, 15):
            return tuple(days)


def _random_day(rng: Random, weekday: int) -> WeeklyHours:
    granularity = rng.choice((1, 5, 30))
    cuts = sorted(rng.sample(range(0, 1_440, granularity), 2 * rng.randint(1, 3)))
    opened = [Interval(low, high) for low, high in zip(cuts[::2], cuts[1::2], strict=True)]
    if rng.random() < 0.25 and len(opened) > 1:  # touching
        opened[0] = Interval(opened[0].start_minute, opened[1].start_minute)
    if rng.random() < 0.35:  # past midnight, or exactly to it
        last = opened.pop()
        opened.append(Interval(last.start_minute, 1_440 + rng.choice((0, 0, rng.randint(1, 180)))))
    breaks: list[Interval] = []
    host = rng.choice(opened)
    if host.end_minute - host.start_minute > 30 and rng.random() < 0.5:
        low = rng.randint(host.start_minute, host.end_minute - 20)
        breaks.append(Interval(low, low + rng.randint(5, 20)))
    return WeeklyHours(weekday, tuple(opened), tuple(breaks))


def random_versions(rng: Random, around: date) -> tuple[ScheduleVersion, ...]:
    steps = (rng.choice(STEPS), rng.choice(STEPS))
    if rng.random() < 0.05:
        return ()  # nothing published: only special hours open
    if rng.random() < 0.5:
        return (ScheduleVersion(UUID(int=1), date(1980, 1, 1), None, steps[0], random_week(rng)),)
    change = around + timedelta(days=rng.randint(-1, 2))
    return (
        ScheduleVersion(UUID(int=1), date(1980, 1, 1), change, steps[0], random_week(rng)),
        ScheduleVersion(UUID(int=2), change, change, steps[1], random_week(rng)),  # superseded at once: never rules
        ScheduleVersion(UUID(int=3), change, None, steps[1], random_week(rng)),
    )


def random_exceptions(rng: Random, around: date) -> tuple[DayException, ...]:
    """Up to three, which may overlap: the first that has a day rules it."""
    found: list[DayException] = []
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        first = around + timedelta(days=rng.randint(-2, 3))
        last = first + timedelta(days=rng.choice((0, 0, 1, 3)))
        kind = rng.choice(tuple(ExceptionKind))
        if kind is ExceptionKind.SPECIAL_HOURS:
            hours = _random_day(rng, 0)
            step = rng.choice((None, *STEPS))
            found.append(DayException(first, last, kind, hours.open, hours.breaks, step))
        else:
            found.append(DayException(first, last, kind, reason=rng.choice((None, "Carnival"))))
    return tuple(found)


def unit_id(number: int) -> UUID:
    return UUID(int=0x0190_0000_0000_7000_8000_0000_1000_0000 + number)


def random_needs(rng: Random, venue: int) -> tuple[Need, ...]:
    """Units of one venue; needs do not share them."""
    needs: list[Need] = []
    at = 20 * venue
    for _ in range(rng.choice((1, 1, 2))):
        units = rng.randint(1, 5)
        needs.append(Need(rng.randint(1, max(1, units - 1)), tuple(unit_id(at + n) for n in range(units))))
        at += units
    if rng.random() < 0.05:
        needs.append(Need(2, (unit_id(at),)))  # more than there are
    return tuple(needs)


def random_limits(rng: Random) -> BookingLimits:
    if rng.random() < 0.7:
        return BookingLimits()
    return BookingLimits(rng.choice((None, 1, 2, 4)), rng.choice((None, 2, 3, 6)))


def random_plan(rng: Random, number: int, zone_name: str, around: date) -> ProviderPlan:
    return ProviderPlan(
        provider_id=provider_id(number),
        time_zone=zone(zone_name),
        versions=random_versions(rng, around),
        duration_minutes=rng.choice((1, 15, 30, 45, 60, 90, 240)),
        buffer_before=rng.choice((0, 0, 5, 15)),
        buffer_after=rng.choice((0, 0, 10, 30)),
        price_minor=rng.choice((None, 1_000, 1_000, 2_500)),
        exceptions=random_exceptions(rng, around),
        limits=random_limits(rng),
    )


def random_busy(rng: Random, window: Window, now: datetime) -> Busy:
    minutes = int((window.to_utc - window.from_utc) / timedelta(minutes=1)) + 240
    start = window.from_utc + timedelta(minutes=rng.randint(-240, max(minutes, 1)))
    if rng.random() < 0.1:
        start += timedelta(days=rng.choice((-3, -1, 2)))  # counted by a weekly limit
    if rng.random() < 0.15:
        start += timedelta(seconds=rng.randint(1, 59), microseconds=rng.randint(0, 999_999))
    end = start + timedelta(minutes=rng.randint(1, 120), seconds=rng.choice((0, 0, 0, 30)))
    margin = timedelta(minutes=rng.choice((0, 0, 10)))
    what = rng.random()
    if what < 0.4:
        expires_at = now + timedelta(minutes=rng.randint(-10, 10), seconds=rng.randint(0, 59))
        return Busy(start - margin, end + margin, BusyKind.HELD, start, end, expires_at)
    if what < 0.5:
        return Busy(start, end, rng.choice((BusyKind.TIME_OFF, BusyKind.EXTERNAL)), note="a private matter")
    return Busy(start - margin, end + margin, BusyKind.BOOKED, start, end, booking_id=UUID(int=rng.getrandbits(64)))


@dataclass(frozen=True, slots=True)
class World:
    plans: tuple[ProviderPlan, ...]
    busy: dict[UUID, list[Busy]]
    window: Window
    rules: SlotRules
    prices: BookOfPrices


def random_world(seed: int, providers: int = 3) -> World:
    rng = Random(seed)
    name, around = rng.choice(CHANGES)
    window, rules = _random_time(rng, name, around)
    others = [name, name, _elsewhere(name)]
    plans = [random_plan(rng, n, rng.choice(others), around) for n in range(rng.randint(1, providers))]
    if rng.random() < 0.5:
        needs = (random_needs(rng, 0), random_needs(rng, 1))
        plans = [replace(plan, needs=rng.choice((*needs, needs[0], ()))) for plan in plans]
    if rng.random() < 0.3:  # alike, so that they share slots and units
        first = plans[0]
        plans = [
            replace(plan, duration_minutes=first.duration_minutes, buffer_before=0, buffer_after=0, price_minor=None)
            for plan in plans
        ]
    prices = random_prices(seed, window, rules, [plan.provider_id for plan in plans])
    claims = _random_claims(rng, plans, window, rules.now)
    return World(tuple(map(prices.put_into, plans)), claims, window, rules, prices)


def _elsewhere(name: str) -> str:
    """Another zone, always the same one."""
    names = list(dict.fromkeys(name for name, _ in CHANGES))
    return names[(names.index(name) + 5) % len(names)]


def _random_time(rng: Random, name: str, around: date) -> tuple[Window, SlotRules]:
    first = day_bounds(around + timedelta(days=rng.randint(-1, 0)), zone(name))[0]
    last = day_bounds(around + timedelta(days=rng.randint(0, 2)), zone(name))[1]
    window = Window(first + timedelta(seconds=rng.choice((0, 0, 0, 17))), last)
    now = first + timedelta(minutes=rng.randint(-3_000, 1_500), seconds=rng.choice((0, 0, 29)))
    return window, SlotRules(now, rng.choice((0, 0, 60, 1_440)), rng.choice((0, 1, 2, 3, 365)))


def _random_claims(rng: Random, plans: Iterable[ProviderPlan], window: Window, now: datetime) -> dict[UUID, list[Busy]]:
    busy: dict[UUID, list[Busy]] = {}
    for plan in plans:
        most = 12
        for subject in plan.subjects():
            if subject not in busy:
                busy[subject] = [random_busy(rng, window, now) for _ in range(rng.randint(0, most))]
            most = 6  # units
    return busy


@dataclass(frozen=True, slots=True)
class VisitWorld:
    items: tuple[tuple[ProviderPlan, ...], ...]
    busy: dict[UUID, list[Busy]]
    window: Window
    rules: SlotRules
    prices: BookOfPrices


def random_visit_world(seed: int) -> VisitWorld:
    """Two to four services, each by some of three people who mostly work in one place."""
    rng = Random(seed)
    name, around = rng.choice(CHANGES)
    window, rules = _random_time(rng, name, around)
    others = [name, name, name, _elsewhere(name)]
    people = [random_plan(rng, n, rng.choice(others), around) for n in range(rng.randint(1, 3))]
    items: list[tuple[ProviderPlan, ...]] = []
    for _ in range(rng.randint(2, 4)):
        needs = random_needs(rng, 0) if rng.random() < 0.3 else ()
        own = rng.sample(people, rng.randint(1, len(people)))
        minutes = rng.choice((15, 30, 60))
        items.append(
            tuple(
                replace(
                    plan,
                    duration_minutes=rng.choice((minutes, minutes, 45)),
                    price_minor=rng.choice((None, 500, 500, 500, 700)),
                    buffer_after=rng.choice((0, 10)),
                    needs=needs,
                )
                for plan in own
            )
        )
    busy = _random_claims(rng, [plan for plans in items for plan in plans], window, rules.now)
    prices = random_prices(seed, window, rules, [plan.provider_id for plan in people])
    priced = tuple(tuple(map(prices.put_into, plans)) for plans in items)
    return VisitWorld(priced, {subject: claims[:4] for subject, claims in busy.items()}, window, rules, prices)


def free_starts(plan: ProviderPlan, busy: BusyBySubject, window: Window, rules: SlotRules) -> list[datetime]:
    """Of one provider, rising."""
    return [slot.starts_at for slot in slots([plan], busy, window, rules)]

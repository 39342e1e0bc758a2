"""Which sessions a schedule gives, against a slow and obvious reading of the rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.instants import day_bounds, local_date, resolve_local, zone
from app.domain.openings import hours_on
from app.domain.schedule import DayException, ExceptionKind, Interval, ScheduleVersion, WeeklyHours
from app.domain.sessions import (
    STRETCH_MINUTES,
    SessionHours,
    SessionStatus,
    SessionTime,
    generation_day,
    horizon,
    places_left,
)
from tests.domain.worlds import CHANGES, STEPS, random_versions, random_week

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
BUENOS_AIRES = zone("America/Argentina/Buenos_Aires")


def version(weekly: list[WeeklyHours], step: int = 60, number: int = 1) -> ScheduleVersion:
    return ScheduleVersion(UUID(int=number), date(2020, 1, 1), None, step, tuple(weekly))


def starts(found: list[datetime], name: str) -> list[str]:
    return [f"{start.astimezone(zone(name)):%a %H:%M}" for start in found]


def every_day(*opened: tuple[int, int], breaks: tuple[tuple[int, int], ...] = ()) -> list[WeeklyHours]:
    intervals = tuple(Interval(start * 60, end * 60) for start, end in opened)
    pauses = tuple(Interval(start * 60, end * 60) for start, end in breaks)
    return [WeeklyHours(day, intervals, pauses) for day in range(7)]


def given_by(
    tz: ZoneInfo,
    versions: tuple[ScheduleVersion, ...],
    bounds: tuple[datetime, datetime],
    *exceptions: DayException,
    minutes: int = 60,
) -> list[SessionTime]:
    return list(SessionHours(tz, versions, exceptions, minutes).between(*bounds))


def on(day: date, weekly: list[WeeklyHours], *, zone_name: str, minutes: int = 60, step: int = 60) -> list[str]:
    """Local starts of one day."""
    tz = zone(zone_name)
    found = given_by(tz, (version(weekly, step),), day_bounds(day, tz), minutes=minutes)
    return starts([each.starts_at for each in found], zone_name)


def test_the_source_documents_week() -> None:
    """Monday to Friday 9:00 to 22:00, every hour; Saturday 10:00 to 23:00; Sunday closed."""
    weekly = [WeeklyHours(day, (Interval(540, 1320),)) for day in range(5)] + [WeeklyHours(5, (Interval(600, 1380),))]
    monday = date(2026, 3, 2)
    week = (day_bounds(monday, BUENOS_AIRES)[0], day_bounds(monday + 6 * DAY, BUENOS_AIRES)[1])
    found = given_by(BUENOS_AIRES, (version(weekly),), week)
    assert len(found) == 6 * 13
    told = starts([each.starts_at for each in found], BUENOS_AIRES.key)
    assert (told[0], told[12], told[65], told[-1]) == ("Mon 09:00", "Mon 21:00", "Sat 10:00", "Sat 22:00")
    assert {each.version_id for each in found} == {UUID(int=1)}


def test_a_session_lies_wholly_inside_and_outside_breaks() -> None:
    day = date(2026, 3, 2)
    assert on(day, every_day((9, 12)), zone_name="UTC", minutes=90) == ["Mon 09:00", "Mon 10:00"]
    assert on(day, every_day((9, 14), breaks=((12, 13),)), zone_name="UTC") == [
        "Mon 09:00",
        "Mon 10:00",
        "Mon 11:00",
        "Mon 13:00",
    ]
    # Openings that touch are one stretch, each with its own grid.
    assert on(day, every_day((9, 11), (11, 13)), zone_name="UTC", minutes=120, step=90) == [
        "Mon 09:00",
        "Mon 10:30",
        "Mon 11:00",
    ]


def test_a_night_belongs_to_the_day_it_begins_on() -> None:
    friday = [WeeklyHours(4, (Interval(22 * 60, 26 * 60),))]
    assert on(date(2026, 3, 6), friday, zone_name="UTC") == ["Fri 22:00", "Fri 23:00"]
    assert on(date(2026, 3, 7), friday, zone_name="UTC") == ["Sat 00:00", "Sat 01:00"]


def test_clocks_that_change() -> None:
    """New York, forward on 2026-03-08 at 2:00 and back on 2026-11-01 at 2:00."""
    night = every_day((0, 5))
    assert on(date(2026, 3, 8), night, zone_name="America/New_York") == [
        "Sun 00:00",
        "Sun 01:00",
        "Sun 03:00",
        "Sun 04:00",
    ]
    back = on(date(2026, 11, 1), night, zone_name="America/New_York")
    assert back == ["Sun 00:00", "Sun 01:00", "Sun 01:00", "Sun 02:00", "Sun 03:00", "Sun 04:00"]


def test_closed_days_holidays_and_special_hours() -> None:
    day = date(2026, 3, 2)
    closed = DayException(day, day, ExceptionKind.CLOSED)
    holiday = DayException(day, day, ExceptionKind.HOLIDAY, reason="Carnival")
    special = DayException(day, day, ExceptionKind.SPECIAL_HOURS, (Interval(600, 720),), slot_interval_minutes=30)
    tz = zone("UTC")
    bounds = day_bounds(day, tz)

    def count(*exceptions: DayException) -> int:
        return len(given_by(tz, (version(every_day((9, 17))),), bounds, *exceptions))

    assert (count(), count(closed), count(holiday), count(special, holiday)) == (8, 0, 0, 3)


def test_a_window_has_its_own_starts_and_nothing_else() -> None:
    tz = zone("UTC")
    at_nine = datetime(2026, 3, 2, 9, tzinfo=UTC)
    versions = (version(every_day((9, 12))),)
    assert [each.starts_at for each in given_by(tz, versions, (at_nine, at_nine + MINUTE))] == [at_nine]
    assert given_by(tz, versions, (at_nine + MINUTE, at_nine + 60 * MINUTE)) == []
    assert given_by(tz, versions, (at_nine, at_nine)) == []
    assert given_by(tz, versions, (at_nine, at_nine - DAY)) == []
    assert given_by(tz, (), (at_nine, at_nine + DAY)) == []


def test_a_long_window_is_the_sum_of_its_days() -> None:
    """Over several stretches, with nights that cross from one into the next."""
    tz = zone("America/New_York")
    first = date(2026, 2, 1)
    nights = (version(every_day((22, 27)), step=45),)
    closed = DayException(first + 27 * DAY, first + 28 * DAY, ExceptionKind.CLOSED)
    days = [first + n * DAY for n in range(STRETCH_MINUTES // 1_440 * 2 + 3)]
    whole = given_by(tz, nights, (day_bounds(days[0], tz)[0], day_bounds(days[-1], tz)[1]), closed, minutes=90)
    assert whole == [each for day in days for each in given_by(tz, nights, day_bounds(day, tz), closed, minutes=90)]
    assert len(whole) > 4 * (len(days) - 2)


# ── against the obvious ───────────────────────────────────────────────────────────────────────────────


def reference(
    tz_name: str,
    versions: tuple[ScheduleVersion, ...],
    exceptions: tuple[DayException, ...],
    minutes: int,
    bounds: tuple[datetime, datetime],
) -> list[datetime]:
    """Minute by minute: is it on a grid, and is each minute of the session open and in no break?"""
    tz = zone(tz_name)
    low, high = bounds
    opened: set[datetime] = set()
    closed: set[datetime] = set()
    grid: set[datetime] = set()
    day = local_date(low, tz) - 3 * DAY
    while day <= local_date(high, tz) + 3 * DAY:
        hours = hours_on(versions, exceptions, day)
        for one in hours.open if hours else ():
            start, end = resolve_local(day, one.start_minute, tz), resolve_local(day, one.end_minute, tz)
            at, place = start, 0
            while at < end:
                opened.add(at)
                if hours is not None and place % hours.slot_interval_minutes == 0:
                    grid.add(at)
                at, place = at + MINUTE, place + 1
        for one in hours.breaks if hours else ():
            at = resolve_local(day, one.start_minute, tz)
            while at < resolve_local(day, one.end_minute, tz):
                closed.add(at)
                at += MINUTE
        day += DAY
    free = opened - closed
    return sorted(
        start for start in grid if low <= start < high and all(start + n * MINUTE in free for n in range(minutes))
    )


@given(st.integers(0, 2**32))
def test_the_same_as_the_obvious_reading(seed: int) -> None:
    rng = Random(seed)
    name, around = rng.choice(CHANGES)
    first = day_bounds(around + rng.randint(-1, 0) * DAY, zone(name))[0]
    bounds = (first, first + timedelta(minutes=rng.randint(1, 2 * 1440)))
    versions = random_versions(rng, around)
    exceptions: tuple[DayException, ...] = ()
    if rng.random() < 0.4:
        kind = rng.choice(list(ExceptionKind))
        week = {day.weekday: day for day in random_week(rng)}
        hours = week.get(around.weekday(), WeeklyHours(0, ()))
        special = (hours.open, hours.breaks) if kind is ExceptionKind.SPECIAL_HOURS else ((), ())
        exceptions = (DayException(around, around, kind, *special, rng.choice((None, *STEPS))),)
    minutes = rng.choice((1, 30, 45, 60, 90, 240))
    found = given_by(zone(name), versions, bounds, *exceptions, minutes=minutes)
    assert [each.starts_at for each in found] == reference(name, versions, exceptions, minutes, bounds)
    assert all(each.ends_at - each.starts_at == minutes * MINUTE for each in found)


# ── horizon, 2:00 and places ──────────────────────────────────────────────────────────────────────────


def test_the_horizon_is_the_end_of_a_local_day() -> None:
    now = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)  # 22:00 of March 2nd in Buenos Aires
    assert horizon(now, 30, BUENOS_AIRES) == datetime(2026, 4, 2, 3, 0, tzinfo=UTC)
    assert horizon(datetime(2199, 12, 1, tzinfo=UTC), 1_095, BUENOS_AIRES).year == 2200


@pytest.mark.parametrize(
    ("zone_name", "instant", "due"),
    [
        ("UTC", "2026-03-02T01:59:59", date(2026, 3, 1)),
        ("UTC", "2026-03-02T02:00:00", date(2026, 3, 2)),
        ("Asia/Kathmandu", "2026-03-01T20:14:59", date(2026, 3, 1)),  # +5:45
        ("Asia/Kathmandu", "2026-03-01T20:15:00", date(2026, 3, 2)),
        # New York goes from 2:00 to 3:00: due at 7:00 UTC, when it strikes three.
        ("America/New_York", "2026-03-08T06:59:00", date(2026, 3, 7)),
        ("America/New_York", "2026-03-08T07:00:00", date(2026, 3, 8)),
        # And back at 2:00: the hour from 1:00 comes twice, 2:00 once.
        ("America/New_York", "2026-11-01T06:30:00", date(2026, 10, 31)),
        ("America/New_York", "2026-11-01T07:00:00", date(2026, 11, 1)),
    ],
)
def test_two_oclock_of_the_venue(zone_name: str, instant: str, due: date) -> None:
    assert generation_day(datetime.fromisoformat(instant).replace(tzinfo=UTC), zone(zone_name)) == due


def test_every_local_day_has_one_generation() -> None:
    """Hour by hour through a year of odd zones: due days never go back and none is left out."""
    for name in ("America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana"):
        at, days = datetime(2026, 1, 1, 12, tzinfo=UTC), []
        while at.year == 2026:
            days.append(generation_day(at, zone(name)))
            at += timedelta(minutes=60)
        assert days == sorted(days)
        assert len(set(days)) == (max(days) - min(days)).days + 1


def test_places_left() -> None:
    def left(capacity: int, taken: int, lapsed: int = 0, status: str = "open", *, is_legacy: bool = False) -> int:
        return places_left(capacity, taken, lapsed, SessionStatus(status), is_legacy=is_legacy)

    assert (left(10, 3), left(10, 3, 2), left(10, 10), left(4, 9)) == (7, 9, 0, 0)
    assert left(10, 3, status="closed") == left(10, 3, status="cancelled") == left(10, 3, is_legacy=True) == 0

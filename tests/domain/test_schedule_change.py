"""Versions that follow one another, and the minutes that a week gains and loses."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.domain.openings import version_on
from app.domain.schedule import DAY_MINUTES, WEEK_MINUTES, ScheduleVersion, WeeklyHours, check_day, weekly_hours
from app.domain.schedule_change import minutes_gained_and_lost, publish_over

MONDAY = date(2026, 1, 5)
_DAYS = st.integers(0, 20)


def _version(number: int, day: int) -> ScheduleVersion:
    return ScheduleVersion(UUID(int=number), MONDAY + timedelta(days=day), None, 15, ())


@given(st.lists(_DAYS, min_size=1, max_size=8))
def test_each_day_is_ruled_by_one(days: list[int]) -> None:
    """By the latest published of those that begin latest; nothing overlaps, and no gap opens behind the first day."""
    in_force: tuple[ScheduleVersion, ...] = ()
    for number, day in enumerate(days):
        in_force = publish_over(in_force, _version(number, day))
    for one, two in pairwise(in_force):
        assert one.effective_to == two.effective_from
    assert in_force[-1].effective_to is None
    for day in range(25):
        begun = [(start, number) for number, start in enumerate(days) if start <= day]
        ruling = version_on(in_force, MONDAY + timedelta(days=day))
        assert (None if ruling is None else ruling.id.int) == max(begun, default=(0, None))[1]


_TIMES = st.tuples(st.integers(0, DAY_MINUTES - 1), st.integers(0, DAY_MINUTES))


@st.composite
def _weeks(draw: st.DrawFn) -> tuple[WeeklyHours, ...]:
    days = draw(st.lists(st.integers(0, 6), unique=True, max_size=7))
    return tuple(
        weekly_hours(day, draw(st.lists(_TIMES, max_size=3)), draw(st.lists(_TIMES, max_size=2))) for day in days
    )


def _open(weekly: tuple[WeeklyHours, ...]) -> set[int]:
    """The obvious way: minute by minute."""
    opened: set[int] = set()
    closed: set[int] = set()
    for day in weekly:
        for minutes, intervals in ((opened, day.open), (closed, day.breaks)):
            for interval in intervals:
                start = day.weekday * DAY_MINUTES
                for minute in range(start + interval.start_minute, start + interval.end_minute):
                    minutes.add(minute % WEEK_MINUTES)
    return opened - closed


@given(_weeks(), _weeks())
def test_minutes_as_counted_one_by_one(before: tuple[WeeklyHours, ...], after: tuple[WeeklyHours, ...]) -> None:
    old, new = _open(before), _open(after)
    assert minutes_gained_and_lost(before, after) == (len(new - old), len(old - new))


def test_a_day_like_no_other() -> None:
    night = weekly_hours(0, [(20 * 60, 8 * 60)])
    assert check_day(night) == []
    assert check_day(night, repeats=True) == []
    early = weekly_hours(0, [(7 * 60, 9 * 60), (20 * 60, 8 * 60)])
    assert check_day(early) == []
    assert [violation.path for violation in check_day(early, repeats=True)] == ["input.open.0"]
    assert [violation.path for violation in check_day(weekly_hours(0, [(540, 720), (660, 780)]))] == ["input.open.1"]
    whole = weekly_hours(0, [(0, DAY_MINUTES)])
    assert check_day(whole, repeats=True) == []
